//! What a supervisor (systemd) is told: ready once registered, alive while the daemon's loop turns, stopping once asked.
//!
//! Everything here does nothing where no supervisor listens. The daemon lives on one thread, so a task that gets its turn
//! shows that heartbeats, leases and reports get theirs; a stuck executor is another process, and its job's error.

use sd_notify::NotifyState;

use super::shutdown::Shutdown;

/// Says that the worker is registered, and from then on that it lives, until the task is dropped.
pub async fn run(name: String, shutdown: Shutdown) {
    tell(&[NotifyState::Ready, NotifyState::Status(&name)]);
    let live = async {
        if let Some(period) = sd_notify::watchdog_enabled() {
            loop {
                tell(&[NotifyState::Watchdog]);
                tokio::time::sleep(period / 3).await;
            }
        }
    };
    let stops = async {
        shutdown.asked().await;
        tell(&[NotifyState::Stopping, NotifyState::Status("giving its work back")]);
    };
    tokio::join!(live, stops);
}

/// Says what a worker waits for before it is ready.
pub fn waits(what: &str) {
    tell(&[NotifyState::Status(what)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor cannot be told how the worker is");
    }
}
