//! One pass over the images of a split: batches in parallel, what comes of them in order.
//!
//! Threads take whole batches. Each number depends on its image alone (or, where batch norm asks for it, on its batch), and
//! what comes of the batches is handed on in the order of the images: so results depend neither on the number of threads
//! nor on how many images are taken at a time, and that can be chosen by what is fastest here and now.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Instant;

use transect_common::data::Split;

use super::compute::Bench;
use super::plan::Plan;
use crate::data::Data;

/// Bytes that the values of all threads' batches may take.
const VALUES: usize = 1 << 30;
/// Numbers of images at a time that are tried.
const SIZES: [usize; 7] = [4, 8, 16, 32, 64, 128, 256];
/// How often a batch should use each weight: fewer times, and it waits for them to come from memory.
const USES: f64 = 32.0;

/// How many images are taken at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// So many: batch norm normalises by its batch.
    Fixed(usize),
    /// Whatever is fastest.
    Free,
}

/// The images that a pass is made over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Images<'d> {
    pub(super) data: &'d Data,
    pub(super) split: Split,
    /// The first so many.
    pub(super) count: usize,
}

/// A batch on its way to a thread.
struct Batch {
    number: usize,
    images: Vec<f32>,
    labels: Vec<i64>,
}

/// What a thread made of it.
struct Made<T> {
    number: usize,
    size: usize,
    /// For one image.
    seconds: f64,
    result: Vec<T>,
}

/// Computes `plan` for every batch. `reduce` makes something of each root's numbers [n, ...] and the labels [n], on any
/// thread; `take` is given that for all roots, batch by batch.
pub(super) fn pass<T: Send>(
    plan: &Plan,
    images: Images,
    size: Size,
    threads: usize,
    reduce: impl Fn(usize, &[f32], &[i64]) -> T + Sync,
    mut take: impl FnMut(Vec<T>),
) {
    let mut sizes = Sizes::new(plan, images.count, size, threads);
    let threads = sizes.threads;
    // Threads work on batches of their own; libtorch's would get into their way, and wait by spinning.
    let own_threads = tch::get_num_threads();
    tch::set_num_threads(1);
    std::thread::scope(|scope| {
        let (to_threads, batches) = mpsc::sync_channel::<Batch>(threads);
        let batches = Arc::new(Mutex::new(batches));
        let (made, results) = mpsc::channel();
        for _ in 0..threads {
            let (batches, made, reduce) = (Arc::clone(&batches), made.clone(), &reduce);
            scope.spawn(move || {
                let _no_grad = tch::no_grad_guard();
                tch::set_num_threads(1);
                work(plan, &batches, &made, reduce);
            });
        }
        drop(made);
        let mut waiting = BTreeMap::new();
        let (mut sent, mut taken, mut first) = (0, 0, 0);
        while first < images.count || taken < sent {
            if first < images.count && sent - taken < 2 * threads + waiting.len() {
                let range = first..images.count.min(first + sizes.next());
                first = range.end;
                let batch = batch(images, sent, range);
                sent += 1;
                if to_threads.send(batch).is_err() {
                    break;
                }
                continue;
            }
            let Ok(Made { number, size, seconds, result }) = results.recv() else { break };
            sizes.took(size, seconds);
            waiting.insert(number, result);
            while let Some(result) = waiting.remove(&taken) {
                take(result);
                taken += 1;
            }
        }
    });
    tch::set_num_threads(own_threads);
    sizes.remember();
}

fn work<T>(
    plan: &Plan,
    batches: &Mutex<mpsc::Receiver<Batch>>,
    made: &mpsc::Sender<Made<T>>,
    reduce: &(impl Fn(usize, &[f32], &[i64]) -> T + Sync),
) {
    let mut bench = Bench::default();
    loop {
        let next = batches.lock().expect("nothing panics while it waits").recv();
        let Ok(Batch { number, images, labels }) = next else { return };
        let (began, size) = (Instant::now(), labels.len());
        let mut result = vec![];
        // Roots come in their order.
        bench.run(plan, size, images, |root, numbers| result.push(reduce(root, numbers, &labels)));
        let seconds = began.elapsed().as_secs_f64() / size as f64;
        if made.send(Made { number, size, seconds, result }).is_err() {
            return;
        }
    }
}

/// The images of `range`, [n, H, W, C], and their labels.
fn batch(Images { data, split, .. }: Images, number: usize, range: Range<usize>) -> Batch {
    let (x, labels) = data.batch(split, range);
    let x = x.permute([0, 2, 3, 1]).contiguous();
    let mut images = vec![0.0; x.numel()];
    x.copy_data(&mut images, x.numel());
    Batch { number, images, labels: Vec::try_from(labels).expect("labels are i64") }
}

/// Decides how many images are taken at a time: tries each size on the first images, and then keeps to the fastest.
struct Sizes {
    name: (usize, usize),
    threads: usize,
    /// Sizes are tried; otherwise the usual one is taken, and says nothing of what is fastest.
    tries: bool,
    /// Those still to be tried, each by every thread once.
    untried: Vec<usize>,
    /// The fastest so far, and its seconds for one image.
    best: Option<(usize, f64)>,
    usual: usize,
}

/// Sizes that were found to be fastest, by the size of plans.
fn remembered() -> &'static Mutex<HashMap<(usize, usize), usize>> {
    static SIZES: OnceLock<Mutex<HashMap<(usize, usize), usize>>> = OnceLock::new();
    SIZES.get_or_init(Mutex::default)
}

impl Sizes {
    fn new(plan: &Plan, images: usize, size: Size, threads: usize) -> Self {
        let bytes = plan.held.max(1) * size_of::<f32>();
        let name = (plan.held, plan.actions.len());
        let settled = |threads, usual| Self { name, threads, tries: false, untried: vec![], best: None, usual };
        if let Size::Fixed(size) = size {
            // Fewer at a time rather than too much memory.
            let threads = threads.min(VALUES / (bytes * size.min(images))).min(images.div_ceil(size)).max(1);
            return settled(threads, size);
        }
        let least = SIZES.into_iter().find(|&size| size as f64 * plan.uses >= USES).unwrap_or(SIZES[SIZES.len() - 1]);
        let most = (VALUES / bytes / threads).max(1);
        let share = images.div_ceil(threads);
        if share < 4 * least {
            // Too few to try sizes on: equal batches, as many for each thread.
            return settled(threads, share.div_ceil((share / least).max(1)).min(most));
        }
        // Each thread gets several batches, so that none waits long for the last.
        let most = most.min(share / 4);
        let known = remembered().lock().expect("nothing panics while it is held").get(&name).copied();
        if let Some(known) = known.filter(|known| *known <= most) {
            return settled(threads, known);
        }
        let fitting = SIZES.iter().rev().filter(|size| (least..=most).contains(*size));
        let untried: Vec<usize> = fitting.flat_map(|&size| std::iter::repeat_n(size, threads)).collect();
        Self { tries: !untried.is_empty(), untried, ..settled(threads, most.min(least)) }
    }

    fn next(&mut self) -> usize {
        self.untried.pop().or(self.best.map(|(size, _)| size)).unwrap_or(self.usual)
    }

    fn took(&mut self, size: usize, seconds: f64) {
        if self.tries && self.best.is_none_or(|(_, best)| seconds < best) {
            self.best = Some((size, seconds));
        }
    }

    fn remember(&self) {
        if let Some((size, _)) = self.best.filter(|_| self.untried.is_empty()) {
            remembered().lock().expect("nothing panics while it is held").insert(self.name, size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sizes_that_were_tried_are_remembered() {
        let remembered_of = |held, tries| {
            let name = (held, usize::MAX);
            let mut sizes = Sizes { name, threads: 1, tries, untried: vec![], best: None, usual: 50 };
            sizes.took(50, 0.1);
            sizes.remember();
            remembered().lock().unwrap().get(&name).copied()
        };
        assert_eq!((remembered_of(1, true), remembered_of(2, false)), (Some(50), None));
    }
}
