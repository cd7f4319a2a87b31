//! Asking for work until there is some.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use transect_common::pb::{LeaseRequest, LeaseResponse};

use super::backoff::Backoff;
use super::session::{Session, is_passing, sentence};
use super::shutdown::Shutdown;

/// Lines of one run that are taken together.
const MAX_JOBS: u32 = 64;
/// The coordinator waits so long for work before it answers that there is none.
const WAIT: Duration = Duration::from_secs(20);
/// Runs that are named as cached; the coordinator takes 100 at most.
const MAX_CACHED: usize = 100;

/// The runs whose checkpoints were here last, latest first.
#[derive(Debug, Default)]
pub struct CachedRuns(VecDeque<String>);

impl CachedRuns {
    /// Notes that the checkpoints of a run are here.
    pub fn note(&mut self, run: &str) {
        self.0.retain(|r| r != run);
        self.0.push_front(run.to_owned());
        self.0.truncate(MAX_CACHED);
    }

    /// Their digests.
    pub fn list(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }
}

/// The next group of jobs, however often the coordinator goes away; nothing when there was none for `idle`. Dropping the
/// call may drop a lease that was on its way; leaving gives it back.
///
/// # Errors
/// The coordinator is there and refuses.
pub async fn next(
    session: &Session,
    cached: Vec<String>,
    shutdown: &Shutdown,
    idle: Option<Duration>,
) -> Result<Option<LeaseResponse>, Status> {
    let (began, mut backoff) = (Instant::now(), Backoff::default());
    loop {
        let left = idle.map_or(WAIT, |idle| idle.saturating_sub(began.elapsed()));
        if left.is_zero() {
            return Ok(None);
        }
        let wait = left.min(WAIT);
        let terms = session.terms().await?;
        let request = LeaseRequest {
            worker_id: terms.worker_id.clone(),
            max_jobs: MAX_JOBS,
            wait_seconds: wait.as_secs_f64().ceil() as u32,
            cached_runs: cached.clone(),
            seconds_left: shutdown.seconds_left(),
        };
        let asked = Instant::now();
        match session.within(WAIT + Duration::from_secs(10), session.worker().lease(request)).await {
            Ok(lease) if !lease.jobs.is_empty() => return Ok(Some(lease)),
            Ok(_) => {
                backoff.reset();
                // A coordinator that does not wait for work must not be asked without a pause.
                if asked.elapsed() < Duration::from_secs(1) {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            Err(status) if status.code() == Code::NotFound => {
                session.forget(&terms.worker_id).await;
                backoff.wait().await;
            }
            Err(status) if is_passing(&status) => {
                if backoff.failures() == 0 {
                    tracing::warn!(
                        error = sentence(&status),
                        "no work can be had from the coordinator; trying until it can"
                    );
                }
                backoff.wait().await;
            }
            Err(status) => return Err(status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_runs_come_first_and_each_once() {
        let mut cached = CachedRuns::default();
        for run in ["a", "b", "a"] {
            cached.note(run);
        }
        assert_eq!(cached.list(), ["a", "b"]);
        for run in 0..200 {
            cached.note(&run.to_string());
        }
        assert_eq!(cached.list().len(), 100);
        assert_eq!(cached.list()[0], "199");
    }
}
