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
        self.inner.taken.notify_waiters();
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

    /// True while any job is ours.
    pub fn any(&self) -> bool {
        !self.jobs().is_empty()
    }

    /// Waits until `is_so`, which is looked at again whenever a job was removed.
    pub async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        loop {
            // Listening before looking, so that a removal in between is not missed.
            let mut taken = std::pin::pin!(self.inner.taken.notified());
            taken.as_mut().enable();
            if is_so(self) {
                return;
            }
            taken.await;
        }
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
