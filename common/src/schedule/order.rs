//! In which order a worker looks at the sweeps, and a sweep hands out its trainings.

use std::cmp::Ordering;

use super::{Offer, Queue};

/// Sweeps that the worker may serve, by number, the one to look at first foremost: higher priority, then fewer workers
/// for its share (counting this one), then the older sweep. Nobody starves among equals: a sweep without workers comes
/// before any of the same share that has some.
pub fn serve_order(offer: &Offer, queues: &[Queue]) -> Vec<i64> {
    if offer.is_closed {
        return vec![];
    }
    let mut open: Vec<&Queue> = queues.iter().filter(|queue| queue.bar(offer).is_none()).collect();
    open.sort_by(|a, b| before(a, b));
    open.into_iter().map(|queue| queue.sweep).collect()
}

/// Whether `a` is served before `b`.
pub(super) fn before(a: &Queue, b: &Queue) -> Ordering {
    let load = |queue: &Queue| f64::from(queue.workers + 1) / queue.schedule.share;
    b.schedule.priority.cmp(&a.schedule.priority).then(load(a).total_cmp(&load(b))).then(a.sweep.cmp(&b.sweep))
}

/// Which training of a sweep comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingOrder {
    /// The oldest, so that results come in the sweep file's order.
    Oldest,
    /// The one that takes longest, so that the sweep does not end with many workers waiting for one long run.
    Longest,
}

/// Longest first once there is no more than one training left to begin for each worker at work, and one for each that
/// may come: until then the order does not change when the sweep ends.
pub fn training_order(waiting: u64, workers: u64) -> TrainingOrder {
    if waiting <= 2 * workers.max(1) { TrainingOrder::Longest } else { TrainingOrder::Oldest }
}

#[cfg(test)]
mod tests {
    use super::super::{Requires, Schedule};
    use super::*;
    use proptest::prelude::*;

    fn queue(sweep: i64, workers: u32) -> Queue {
        Queue { sweep, schedule: Schedule::default(), is_paused: false, workers }
    }

    fn cpu() -> Offer {
        Offer { device: "cpu".into(), memory_bytes: 8 << 30, ..Offer::default() }
    }

    #[test]
    fn higher_priority_comes_first_whatever_the_load() {
        let mut urgent = queue(2, 50);
        urgent.schedule.priority = 1;
        assert_eq!(serve_order(&cpu(), &[queue(1, 0), urgent]), [2, 1]);
    }

    #[test]
    fn among_equals_the_one_with_fewest_workers_for_its_share_comes_first() {
        assert_eq!(serve_order(&cpu(), &[queue(1, 3), queue(2, 1), queue(3, 2)]), [2, 3, 1]);
        let mut wide = queue(1, 5);
        wide.schedule.share = 4.0;
        assert_eq!(serve_order(&cpu(), &[queue(2, 1), wide]), [1, 2], "6 / 4 is less than 2 / 1");
    }

    #[test]
    fn paused_full_and_unfit_sweeps_are_left_out() {
        let paused = Queue { is_paused: true, ..queue(1, 0) };
        let mut full = queue(2, 2);
        full.schedule.max_workers = Some(2);
        let mut gpu = queue(3, 0);
        gpu.schedule.requires.device = Some("cuda".into());
        let mut large = queue(4, 0);
        large.schedule.requires.memory_bytes = 16 << 30;
        let mut labelled = queue(5, 0);
        labelled.schedule.requires.labels = ["a100".to_owned()].into();
        let queues = [paused, full, gpu, large, labelled, queue(6, 9)];
        assert_eq!(serve_order(&cpu(), &queues), [6]);
        let gpu = Offer {
            device: "cuda:1".into(),
            memory_bytes: 80 << 30,
            labels: ["a100".to_owned(), "fast".to_owned()].into(),
            ..Offer::default()
        };
        assert_eq!(serve_order(&gpu, &queues), [3, 4, 5, 6]);
        assert_eq!(serve_order(&Offer { is_closed: true, ..gpu }, &queues), [0_i64; 0]);
    }

    #[test]
    fn long_trainings_come_first_only_at_the_tail() {
        assert_eq!(training_order(100, 10), TrainingOrder::Oldest);
        assert_eq!(training_order(20, 10), TrainingOrder::Longest);
        assert_eq!(training_order(2, 0), TrainingOrder::Longest);
    }

    #[test]
    fn what_is_lacking_is_said() {
        let requires = Requires { device: Some("cuda".into()), ..Requires::default() };
        assert_eq!(requires.lack(&cpu()).unwrap(), "it asks for a cuda device, this is cpu");
        let requires = Requires { memory_bytes: 24 << 30, ..Requires::default() };
        assert_eq!(requires.lack(&cpu()).unwrap(), "it asks for 24 GiB of memory on the device, there are 8");
    }

    proptest! {
        /// Workers come one by one, each takes the first sweep: shares are met to within one worker.
        #[test]
        fn shares_are_met(shares in proptest::collection::vec(1_u32..5, 1..6), workers in 1_u32..60) {
            let mut queues: Vec<Queue> = shares.iter().zip(1..).map(|(share, sweep)| {
                let mut queue = queue(sweep, 0);
                queue.schedule.share = f64::from(*share);
                queue
            }).collect();
            for _ in 0..workers {
                let first = serve_order(&cpu(), &queues)[0];
                queues.iter_mut().find(|queue| queue.sweep == first).unwrap().workers += 1;
            }
            let total: u32 = shares.iter().sum();
            for queue in &queues {
                let due = f64::from(workers) * queue.schedule.share / f64::from(total);
                prop_assert!((f64::from(queue.workers) - due).abs() <= f64::from(total), "{queue:?} {due}");
                prop_assert!(queue.workers > 0 || workers < total);
            }
        }
    }
}
