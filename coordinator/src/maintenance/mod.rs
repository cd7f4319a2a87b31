//! What a coordinator does by itself: small duties, one file each.
//!
//! Invariants: every coordinator on a database does every duty, so none is special; a duty is safe to do twice at once;
//! one that fails is logged and done again at its next turn. Time is passed in.

mod garbage;
mod leases;
mod rollups;

use std::future::Future;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use crate::services::Shared;
use crate::store::{StoreError, Timestamp};

/// Shortest pause between two turns of a duty.
const SHORTEST: Duration = Duration::from_millis(10);
/// Sweeps are looked over this often.
const ROLLUPS: Duration = Duration::from_secs(5);

/// Does every duty, until the coordinator stops.
pub async fn maintain(shared: Shared, gc: Option<Duration>) {
    let mut duties = JoinSet::new();
    duties.spawn(garbage::daily(shared.clone(), gc));
    // Four times in the length of a lease, so that a lost one is noticed soon.
    duties.spawn(every(shared.clone(), shared.lease / 4, "look for leases that ran out", leases::expire));
    duties.spawn(every(shared, ROLLUPS, "close the books of finished sweeps", rollups::roll_up));
    while duties.join_next().await.is_some() {}
}

/// Does one duty at every tick.
async fn every<F>(shared: Shared, pause: Duration, what: &'static str, duty: impl Fn(Shared, Timestamp) -> F + Send)
where
    F: Future<Output = Result<(), StoreError>> + Send,
{
    let mut ticks = interval(pause.max(SHORTEST));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = duty(shared.clone(), SystemTime::now().into()).await {
            warn!(%error, "could not {what}; trying again");
        }
    }
}
