//! Asking for work until there is some.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tonic::{Code, Status};
use transect_common::pb::{LeaseRequest, LeaseResponse};

use super::backoff::Backoff;
use super::session::{Session, is_passing, sentence};
use super::shutdown::Shutdown;

/// Lines of one run that are taken together while nothing is known of how long they take, and at most.
const FIRST_JOBS: u32 = 64;
const MAX_JOBS: u32 = 1000;
/// They should take so long: a lease costs the coordinator milliseconds, and what waits in one is done by nobody else.
const WORK: Duration = Duration::from_mins(5);
/// Share of the last group in what is expected of the next.
const NEWS: f64 = 0.5;
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

/// How long lines took here: what the size of the next lease is made of.
#[derive(Debug, Default)]
pub struct LeaseSize {
    /// Seconds of one.
    line: Option<f64>,
}

impl LeaseSize {
    /// Notes that so many lines took so long together.
    pub fn note(&mut self, lines: usize, took: Duration) {
        if lines > 0 {
            let now = took.as_secs_f64() / lines as f64;
            self.line = Some(self.line.map_or(now, |before| before + NEWS * (now - before)));
        }
    }

    /// Lines to ask for.
    pub fn lines(&self) -> u32 {
        match self.line {
            None => FIRST_JOBS,
            Some(seconds) => ((WORK.as_secs_f64() / seconds) as u32).clamp(1, MAX_JOBS),
        }
    }
}

/// The next group of jobs, of `most` lines at most, however often the coordinator goes away; nothing when there was none for `idle`. Dropping the
/// call may drop a lease that was on its way; leaving gives it back.
///
/// # Errors
/// The coordinator is there and refuses.
pub async fn next(
    session: &Session,
    cached: Vec<String>,
    most: u32,
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
            max_jobs: most,
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

    #[test]
    fn the_shorter_lines_are_the_more_are_leased_together() {
        let after = |took| {
            let mut size = LeaseSize::default();
            size.note(10, took);
            size.lines()
        };
        assert_eq!(LeaseSize::default().lines(), FIRST_JOBS);
        assert_eq!(after(Duration::from_millis(10)), MAX_JOBS, "of a millisecond each");
        assert_eq!(after(Duration::from_mins(10)), 5, "of a minute each");
        assert_eq!(after(Duration::from_hours(2)), 1, "of twelve minutes each");
        let mut size = LeaseSize::default();
        size.note(10, Duration::from_secs(10));
        size.note(10, Duration::from_secs(30));
        size.note(0, Duration::from_secs(30));
        assert_eq!(size.lines(), 150, "two seconds each, midway between one and three");
    }
}
