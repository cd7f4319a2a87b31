//! The scheduler of a history: it owns time, chance and the order in which tasks go on.
//!
//! Invariants: one thread; among tasks that can go on, the seed picks the next, so that interleavings vary with the seed
//! and are the same for the same seed; time moves only when nothing can go on. There is no tokio runtime: a service that
//! reached for a timer or a thread of its own would panic, and so nothing of the machine's time can leak in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::random::Random;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whatever takes part and can crash as one: a coordinator, a worker, the user.
pub type Group = u64;

#[derive(Default)]
struct Inner {
    now: u64,
    timers: BTreeMap<(u64, u64), Waker>,
    tasks: BTreeMap<u64, (Group, Option<Task>)>,
    ready: Vec<u64>,
    last: u64,
    log: String,
    broken: Option<String>,
}

/// The scheduler; clones are the same.
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Mutex<Inner>>,
    random: Arc<Mutex<Random>>,
}

struct Wakes {
    task: u64,
    inner: Arc<Mutex<Inner>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.ready.contains(&self.task) {
            inner.ready.push(self.task);
        }
    }
}

impl Sim {
    /// A history of this seed, at time 0.
    pub fn new(seed: u64) -> Self {
        Self { inner: Arc::default(), random: Arc::new(Mutex::new(Random::new(seed))) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    pub fn now(&self) -> u64 {
        self.inner().now
    }

    /// Asks chance.
    pub fn random<T>(&self, ask: impl FnOnce(&mut Random) -> T) -> T {
        ask(&mut self.random.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// True so often in a thousand.
    pub fn chance(&self, in_a_thousand: u64) -> bool {
        self.random(|random| random.chance(in_a_thousand))
    }

    /// A number from `from` to `to`.
    pub fn between(&self, from: u64, to: u64) -> u64 {
        self.random(|random| random.between(from, to))
    }

    /// Writes a line of the log.
    pub fn say(&self, who: &str, what: std::fmt::Arguments<'_>) {
        let mut inner = self.inner();
        let now = inner.now;
        let _ = writeln!(inner.log, "{:>4}.{:03} {who:<5} {what}", now / 1000, now % 1000);
    }

    /// Notes that an invariant does not hold; the history ends. The first counts.
    pub fn fail(&self, what: String) {
        self.say("CHECK", format_args!("{what}"));
        self.inner().broken.get_or_insert(what);
    }

    /// The log so far, and what was broken.
    pub fn outcome(&self) -> (String, Option<String>) {
        let mut inner = self.inner();
        (std::mem::take(&mut inner.log), inner.broken.take())
    }

    /// Starts a task that dies with its group.
    pub fn spawn(&self, group: Group, task: impl Future<Output = ()> + Send + 'static) {
        let mut inner = self.inner();
        inner.last += 1;
        let id = inner.last;
        inner.tasks.insert(id, (group, Some(Box::pin(task))));
        inner.ready.push(id);
    }

    /// Ends all tasks of a group where they are: a crash.
    pub fn kill(&self, group: Group) {
        let dead: Vec<_> = {
            let mut inner = self.inner();
            let ids: Vec<u64> = inner.tasks.iter().filter(|(_, (of, _))| *of == group).map(|(id, _)| *id).collect();
            ids.into_iter().filter_map(|id| inner.tasks.remove(&id)).collect()
        };
        // Dropping a task may wake others, so it must not happen under the lock.
        drop(dead);
    }

    /// Waits.
    pub async fn sleep(&self, milliseconds: u64) {
        let key = {
            let mut inner = self.inner();
            inner.last += 1;
            (inner.now + milliseconds, inner.last)
        };
        poll_fn(|context| {
            let mut inner = self.inner();
            if inner.now >= key.0 {
                inner.timers.remove(&key);
                return Poll::Ready(());
            }
            inner.timers.insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Waits for `what`, but not longer than that.
    pub async fn within<T>(&self, milliseconds: u64, what: impl Future<Output = T>) -> Option<T> {
        let mut what = pin!(what);
        let mut end = pin!(self.sleep(milliseconds));
        poll_fn(|context| match what.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => end.as_mut().poll(context).map(|()| None),
        })
        .await
    }

    /// Lets everything go on until an invariant breaks, nothing is left to do, `is_over` says so, or time ends.
    pub fn run(&self, end: u64, is_over: impl Fn() -> bool) {
        loop {
            let next = {
                let mut inner = self.inner();
                if inner.broken.is_some() || inner.now > end || is_over() {
                    return;
                }
                if inner.ready.is_empty() {
                    let Some(((at, _), waker)) = inner.timers.pop_first() else { return };
                    inner.now = inner.now.max(at);
                    drop(inner);
                    waker.wake();
                    continue;
                }
                let count = inner.ready.len() as u64;
                let place = self.random(|random| random.below(count)) as usize;
                let id = inner.ready.swap_remove(place);
                let task = inner.tasks.get_mut(&id).and_then(|(_, task)| task.take());
                task.map(|task| (id, task))
            };
            let Some((id, mut task)) = next else { continue };
            let waker = Waker::from(Arc::new(Wakes { task: id, inner: self.inner.clone() }));
            let done = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            let mut inner = self.inner();
            if done {
                inner.tasks.remove(&id);
            } else if let Some((_, slot)) = inner.tasks.get_mut(&id) {
                *slot = Some(task);
                continue;
            }
            // It is over, or its group was killed by itself: it is dropped outside of the lock.
            drop(inner);
            drop(task);
        }
    }

    /// Ends every task.
    pub fn clear(&self) {
        let tasks = {
            let mut inner = self.inner();
            inner.timers.clear();
            inner.ready.clear();
            std::mem::take(&mut inner.tasks)
        };
        drop(tasks);
    }
}
