//! Being asked to stop, as a value passed down.
//!
//! Four stages, each of which only follows the one before: work; finish what is in hand and take nothing new; give back
//! what is in hand; leave at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// A terminal and a parent may both pass on one Ctrl-C; signals so close to the first are the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Work,
    Finish,
    /// Since then.
    Drain(Instant),
    Leave,
}

impl Stage {
    fn is_drain(self) -> bool {
        matches!(self, Self::Drain(_) | Self::Leave)
    }
}

/// Whether the daemon was asked to stop; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown {
    stage: Arc<watch::Sender<Stage>>,
    grace: Duration,
    /// The time limit, less the grace.
    limit: Option<Instant>,
}

impl Shutdown {
    /// Listens for SIGTERM, SIGINT and SIGUSR1 from now on, and asks by itself so early that it is gone within
    /// `time_limit` from now. Must be called inside a tokio runtime.
    pub fn listen(grace: Duration, time_limit: Option<Duration>) -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut finish = signal(SignalKind::user_defined1())?;
        let stage = Arc::new(watch::channel(Stage::Work).0);
        let limit = time_limit.map(|limit| Instant::now() + limit.saturating_sub(grace));
        let shutdown = Self { stage, grace, limit };
        let asked = shutdown.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => asked.ask("asked to stop"),
                    _ = interrupt.recv() => asked.ask("asked to stop"),
                    _ = finish.recv() => asked.finish("asked to take no new work"),
                    () = at(asked.limit), if !asked.is_asked() => asked.ask("the time limit is near"),
                }
            }
        });
        Ok(shutdown)
    }

    /// Asks to stop, or, the second time, to leave at once.
    fn ask(&self, why: &str) {
        match *self.stage.borrow() {
            Stage::Work | Stage::Finish => {
                tracing::info!("{why}: the work in hand is given back, what was measured is sent");
            }
            Stage::Drain(since) if since.elapsed() >= SAME_REQUEST => tracing::info!("{why} again: leaving at once"),
            Stage::Drain(_) | Stage::Leave => return,
        }
        self.stage.send_modify(|stage| {
            *stage = if stage.is_drain() { Stage::Leave } else { Stage::Drain(Instant::now()) };
        });
    }

    /// Lets the work in hand be finished, and nothing after it.
    pub fn finish(&self, why: &str) {
        if *self.stage.borrow() == Stage::Work {
            tracing::info!("{why}: leaving once the work in hand is done");
            self.stage.send_replace(Stage::Finish);
        }
    }

    /// True once no new work is to be taken.
    pub fn is_finishing(&self) -> bool {
        *self.stage.borrow() > Stage::Work
    }

    /// True once the work in hand is to be given back.
    pub fn is_asked(&self) -> bool {
        self.stage.borrow().is_drain()
    }

    /// Waits until no new work is to be taken.
    pub async fn finishing(&self) {
        self.reached(|stage| stage > Stage::Work).await;
    }

    /// Waits until the work in hand is to be given back.
    pub async fn asked(&self) {
        self.reached(Stage::is_drain).await;
    }

    /// Waits until asked twice.
    pub async fn asked_twice(&self) {
        self.reached(|stage| stage == Stage::Leave).await;
    }

    /// When `share` of the grace period is over, which begins now unless it has begun.
    pub fn deadline(&self, share: f64) -> Instant {
        let began = if let Stage::Drain(since) = *self.stage.borrow() { since } else { Instant::now() };
        began + self.grace.mul_f64(share)
    }

    /// Seconds until work is given back, where a time limit says so.
    pub fn seconds_left(&self) -> Option<f64> {
        self.limit.map(|limit| limit.saturating_duration_since(Instant::now()).as_secs_f64())
    }

    async fn reached(&self, is_reached: impl Fn(Stage) -> bool) {
        // The sender is in this very value.
        let _ = self.stage.subscribe().wait_for(|stage| is_reached(*stage)).await;
    }
}

async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shutdown() -> Shutdown {
        Shutdown { stage: Arc::new(watch::channel(Stage::Work).0), grace: Duration::from_secs(20), limit: None }
    }

    #[tokio::test(start_paused = true)]
    async fn one_request_passed_on_twice_is_one_and_a_later_one_is_another() {
        let shutdown = shutdown();
        shutdown.finish("");
        assert!(shutdown.is_finishing() && !shutdown.is_asked());
        shutdown.ask("");
        let deadline = shutdown.deadline(0.5);
        shutdown.ask("");
        tokio::time::timeout(Duration::from_millis(1), shutdown.asked_twice()).await.unwrap_err();
        tokio::time::advance(SAME_REQUEST).await;
        assert_eq!(shutdown.deadline(0.5), deadline, "the grace period begins once");
        shutdown.finish("");
        shutdown.ask("");
        shutdown.asked_twice().await;
    }
}
