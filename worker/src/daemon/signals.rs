//! Being woken by the coordinator: a word from it asks for a heartbeat at once, so that a cancelled job stops within a
//! second instead of with the next regular heartbeat.
//!
//! Nothing depends on it: without the stream, or with a coordinator that does not know it, heartbeats come in their time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Code;
use transect_common::pb::SignalsRequest;

use super::backoff::Backoff;
use super::session::Session;

/// A coordinator that does not know the call may be replaced by one that does.
const OLDER: Duration = Duration::from_mins(5);
/// A stream that lasted so long was a good one.
const LASTED: Duration = Duration::from_secs(10);

/// Listens until the task is dropped, and wakes whoever waits on `wake`.
pub async fn run(session: Arc<Session>, wake: Arc<Notify>) {
    let mut backoff = Backoff::default();
    loop {
        let Ok(terms) = session.terms().await else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let began = Instant::now();
        match session.worker().signals(SignalsRequest { worker_id: terms.worker_id }).await {
            Ok(answer) => {
                // Something may have happened while nobody listened.
                wake.notify_one();
                let mut words = answer.into_inner();
                while let Ok(Some(_)) = words.message().await {
                    wake.notify_one();
                }
            }
            Err(status) if status.code() == Code::Unimplemented => tokio::time::sleep(OLDER).await,
            // A worker that is not known is registered again by its heartbeats.
            Err(_) => {}
        }
        if began.elapsed() >= LASTED {
            backoff.reset();
        }
        backoff.wait().await;
    }
}
