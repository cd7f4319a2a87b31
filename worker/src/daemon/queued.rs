//! What waits to be reported, counted, so that a coordinator that is away for long fills neither memory nor disk.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use transect_common::pb::JobAttempt;

use super::held::{Held, Key, key};

/// Weight of what may wait: so many rows, or 1.5 GiB of files.
const MOST: u64 = 100_000;
/// A file weighs one for each so many bytes.
const BYTES: u64 = 1 << 14;

/// The weight of a row with a file of so many bytes, or none.
pub fn weight(bytes: u64) -> u64 {
    1 + bytes / BYTES
}

/// The count; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Queued(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    weight: AtomicU64,
    lighter: Notify,
    // Locked for a moment only and never across an await, so a plain mutex.
    latest: Mutex<BTreeMap<Key, u64>>,
}

impl Queued {
    /// Adds what begins to wait.
    pub fn add(&self, weight: u64) {
        self.0.weight.fetch_add(weight, Ordering::Relaxed);
    }

    /// Takes off what waits no longer.
    pub fn take(&self, weight: u64) {
        self.0.weight.fetch_sub(weight, Ordering::Relaxed);
        self.0.lighter.notify_waiters();
    }

    /// True while more may come. It counts what is there, so a last row may go over the limit.
    pub fn has_room(&self) -> bool {
        self.0.weight.load(Ordering::Relaxed) < MOST
    }

    /// Waits until more may come.
    pub async fn room(&self) {
        loop {
            // Listening before looking, so that nothing that leaves in between is missed.
            let mut lighter = std::pin::pin!(self.0.lighter.notified());
            lighter.as_mut().enable();
            if self.has_room() {
                return;
            }
            lighter.await;
        }
    }

    fn latest(&self) -> MutexGuard<'_, BTreeMap<Key, u64>> {
        self.0.latest.lock().expect("nobody panics while holding this lock")
    }

    /// Notes a job's latest snapshot by its step, or its end as `u64::MAX`: those before it are of no use any more.
    pub fn note(&self, job: &JobAttempt, step: u64) {
        self.latest().insert(key(job), step);
    }

    /// True while no later snapshot of the job, nor its end, waits too.
    pub fn is_latest(&self, job: &JobAttempt, step: u64) -> bool {
        self.latest().get(&key(job)).is_none_or(|latest| *latest <= step)
    }

    /// Forgets jobs that are over.
    pub fn forget_all_but(&self, held: &Held) {
        self.latest().retain(|job, _| held.holds(job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_has_room_again_once_something_left() {
        let queued = Queued::default();
        queued.add(weight(0));
        queued.add(weight(MOST * BYTES));
        assert!(!queued.has_room());
        let waiter = queued.clone();
        let room = tokio::spawn(async move { waiter.room().await });
        tokio::task::yield_now().await;
        queued.take(1);
        tokio::task::yield_now().await;
        assert!(!room.is_finished(), "it is still full");
        queued.take(2);
        room.await.unwrap();
    }

    #[test]
    fn of_a_jobs_snapshots_the_latest_counts_and_none_after_its_end() {
        let (queued, job) = (Queued::default(), JobAttempt { job_id: 1, attempt: 2 });
        queued.note(&job, 5);
        queued.note(&job, 9);
        assert!(!queued.is_latest(&job, 5) && queued.is_latest(&job, 9));
        queued.note(&job, u64::MAX);
        assert!(!queued.is_latest(&job, 9));
        queued.forget_all_but(&Held::default());
        assert!(queued.latest().is_empty());
    }
}
