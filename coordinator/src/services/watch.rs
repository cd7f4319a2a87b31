//! Progress of a sweep as it changes.

use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use tokio::sync::watch::Receiver;
use tonic::Status;
use transect_common::pb;

use super::{Shared, translate};
use crate::status::stopping;
use crate::store::{SweepId, SweepState};

/// Time between two messages, at least.
const PAUSE: Duration = Duration::from_millis(200);

/// What a watcher has seen.
struct Watcher {
    shared: Shared,
    sweep: SweepId,
    changed: Receiver<u64>,
    last: Option<pb::WatchResponse>,
    is_over: bool,
}

/// The sweep now and after each change; ends after the state in which nothing is left to do, and with UNAVAILABLE
/// when the coordinator stops.
pub fn watch(shared: Shared, sweep: SweepId) -> impl Stream<Item = Result<pb::WatchResponse, Status>> + Send {
    let changed = shared.store.changed();
    let watcher = Watcher { shared, sweep, changed, last: None, is_over: false };
    try_unfold(watcher, |mut watcher| async move { Ok(watcher.next().await?.map(|response| (response, watcher))) })
}

impl Watcher {
    async fn next(&mut self) -> Result<Option<pb::WatchResponse>, Status> {
        if self.is_over {
            return Ok(None);
        }
        let stop = self.shared.stop.clone();
        loop {
            if self.last.is_some() {
                let change = async {
                    tokio::time::sleep(PAUSE).await;
                    self.changed.changed().await
                };
                tokio::select! {
                    () = stop.cancelled() => return Err(stopping()),
                    // The store is gone when its side of the channel is.
                    changed = change => changed.map_err(|_| stopping())?,
                }
            }
            // Seen before it is read: a change in between is read again.
            self.changed.mark_unchanged();
            let now = self.read().await?;
            if self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return Ok(Some(now));
            }
        }
    }

    async fn read(&mut self) -> Result<pb::WatchResponse, Status> {
        let sweep = self.shared.store.sweep(self.sweep).await?;
        let activity = self.shared.store.activity(self.sweep).await?;
        // One that is held back goes on when it is let go.
        self.is_over = !matches!(sweep.state, SweepState::Running | SweepState::Paused);
        let activity = activity.into_iter().map(translate::activity).collect();
        Ok(pb::WatchResponse { sweep: Some(translate::sweep(sweep)), activity })
    }
}
