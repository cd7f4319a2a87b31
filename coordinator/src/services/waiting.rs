//! Workers that wait for work. Thousands may, and when something happens all of them are woken; here they take turns at looking, and
//! once one has seen that there is nothing for anybody, the others need not look.
//!
//! Invariants: whoever waits looks again after every change that may have freed a job, unless a look that began after that change
//! found nothing for anybody; and in any case after [`Waiting::pause`], since back-offs end without a change. The pause grows
//! with the number of those who wait, so that together they look a few hundred times a second and no more.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Those who look at once.
const AT_ONCE: usize = 4;
/// Time for each who waits, of which the pause is made.
const EACH: Duration = Duration::from_millis(2);
/// Bounds of the pause.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(20);

/// All who wait at one coordinator.
#[derive(Debug)]
pub struct Waiting {
    turns: Semaphore,
    number: AtomicUsize,
    /// One more than the latest revision of the work after which a look found nothing for anybody.
    nothing: AtomicU64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), number: AtomicUsize::new(0), nothing: AtomicU64::new(0) }
    }
}

impl Waiting {
    /// One more waits, until the answer is dropped.
    pub fn one(&self) -> One<'_> {
        self.number.fetch_add(1, Ordering::Relaxed);
        One { all: self }
    }

    /// A look without a change comes after this.
    pub fn pause(&self) -> Duration {
        let number = u32::try_from(self.number.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        EACH.saturating_mul(number).clamp(LEAST, MOST)
    }

    /// Waits for a turn at looking.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed; without a permit one looks all the same.
        self.turns.acquire().await.ok()
    }

    /// Notes that a look, begun at this revision of the work or later, found nothing for anybody.
    pub fn nothing_at(&self, revision: u64) {
        self.nothing.fetch_max(revision.saturating_add(1), Ordering::AcqRel);
    }

    /// Whether there is nothing to be found for one who was woken at this revision.
    pub fn is_nothing_at(&self, revision: u64) -> bool {
        self.nothing.load(Ordering::Acquire) > revision
    }
}

/// One of those who wait.
#[derive(Debug)]
pub struct One<'a> {
    all: &'a Waiting,
}

impl Drop for One<'_> {
    fn drop(&mut self) {
        self.all.number.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_found_nothing_holds_until_the_next_change() {
        let waiting = Waiting::default();
        assert!(!waiting.is_nothing_at(0), "nobody has looked");
        waiting.nothing_at(3);
        assert!(waiting.is_nothing_at(2) && waiting.is_nothing_at(3) && !waiting.is_nothing_at(4));
        waiting.nothing_at(1);
        assert!(waiting.is_nothing_at(3), "an older look says nothing of newer changes");
    }

    #[test]
    fn the_more_wait_the_less_often_each_looks() {
        let waiting = Waiting::default();
        assert_eq!(waiting.pause(), LEAST);
        let many: Vec<_> = (0..5000).map(|_| waiting.one()).collect();
        assert_eq!(waiting.pause(), Duration::from_secs(10));
        drop(many);
        assert_eq!(waiting.pause(), LEAST);
    }
}
