//! Being asked to stop, as a value passed down.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

/// A terminal and a parent may both pass on one Ctrl-C; signals so close to the first are the same request.
const SAME_REQUEST: Duration = Duration::from_secs(1);

/// How urgently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Work,
    Drain,
    Leave,
}

/// Whether the daemon was asked to stop; clones share it.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Stage>);

impl Shutdown {
    /// Listens for SIGTERM and SIGINT from now on. Must be called inside a tokio runtime.
    pub fn listen() -> std::io::Result<Self> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stage, receiver) = watch::channel(Stage::Work);
        tokio::spawn(async move {
            let mut first = None;
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                let since = *first.get_or_insert_with(Instant::now);
                if *stage.borrow() == Stage::Work {
                    tracing::info!("asked to stop: the work in hand is given back, what was measured is sent");
                    stage.send_replace(Stage::Drain);
                } else if since.elapsed() >= SAME_REQUEST {
                    tracing::info!("asked to stop again: leaving at once");
                    stage.send_replace(Stage::Leave);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// True once asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow() > Stage::Work
    }

    /// Waits until asked.
    pub async fn asked(&self) {
        self.reached(Stage::Drain).await;
    }

    /// Waits until asked twice.
    pub async fn asked_twice(&self) {
        self.reached(Stage::Leave).await;
    }

    async fn reached(&self, stage: Stage) {
        if self.0.clone().wait_for(|s| *s >= stage).await.is_err() {
            // The listening task ends with the runtime only.
            std::future::pending::<()>().await;
        }
    }
}
