//! The jobs that this worker holds: what heartbeats name, and whose rows may be reported.
//!
//! Invariant: a job is here from the answer that leased it until its end is stored or it was taken away. Rows of a job
//! that is not here are dropped, whoever has them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use transect_common::pb::{JobAttempt, JobProgress};

/// Names a job and attempt in maps.
pub type Key = (u64, u32);

/// The key of a job.
pub fn key(job: &JobAttempt) -> Key {
    (job.job_id, job.attempt)
}

/// The held jobs; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Held {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    // Locked for a moment only and never across an await, so a plain mutex.
    jobs: Mutex<BTreeMap<Key, JobProgress>>,
    taken: Notify,
}

impl Held {
    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Key, JobProgress>> {
        self.inner.jobs.lock().expect("nobody panics while holding this lock")
    }

    /// Notes a leased job.
    pub fn add(&self, job: JobAttempt) {
        let progress = JobProgress { job: Some(job), fraction: 0.0, text: String::new() };
        self.jobs().insert(key(&job), progress);
    }

    /// Notes how far a job is, if it is held.
    pub fn progress(&self, progress: JobProgress) {
        let Some(job) = progress.job else { return };
        if let Some(slot) = self.jobs().get_mut(&key(&job)) {
            *slot = progress;
        }
    }

    /// Forgets a job: its end is stored, or it is no longer ours. True when it was held.
    pub fn remove(&self, job: &JobAttempt) -> bool {
        let was_held = self.jobs().remove(&key(job)).is_some();
        self.inner.taken.notify_one();
        was_held
    }

    /// True while the job is ours.
    pub fn holds(&self, job: &Key) -> bool {
        self.jobs().contains_key(job)
    }

    /// Every held job with its progress.
    pub fn list(&self) -> Vec<JobProgress> {
        self.jobs().values().cloned().collect()
    }

    /// Waits until a job was removed. Meant for one waiter; a removal before the call is not missed.
    pub async fn removed(&self) {
        self.inner.taken.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(job_id: u64, attempt: u32) -> JobAttempt {
        JobAttempt { job_id, attempt }
    }

    #[test]
    fn progress_of_a_job_that_was_taken_away_is_not_revived() {
        let held = Held::default();
        held.add(job(1, 1));
        assert!(held.remove(&job(1, 1)));
        held.progress(JobProgress { job: Some(job(1, 1)), fraction: 0.5, text: String::new() });
        assert!(held.list().is_empty());
    }

    #[test]
    fn attempts_of_one_job_are_told_apart() {
        let held = Held::default();
        held.add(job(1, 2));
        assert!(!held.remove(&job(1, 1)));
        assert!(held.holds(&(1, 2)));
    }
}
