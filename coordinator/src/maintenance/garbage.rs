//! Once a day, removes artifacts that nothing names, when the coordinator was told to.
//!
//! Invariant: when the last collection ended is written where artifacts are kept, so several coordinators share one
//! collection a day, and one that restarts does not begin another. Two at once would do no harm.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::artifacts::{Artifacts, CollectError, Names, Terms, Totals, collect, is_due};
use crate::services::Shared;
use crate::services::artifacts::Database;

/// Time between two looks at the clock.
const LOOK: Duration = Duration::from_mins(10);

/// Collects daily until the coordinator stops; without a `grace`, never.
pub async fn daily(shared: Shared, grace: Option<Duration>) {
    let Some(grace) = grace else { return };
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            _ = looks.tick() => {}
        }
        let names = Database(&*shared.store);
        let collection = when_due(&shared.artifacts, &names, grace, SystemTime::now);
        // To stop half-way does no harm.
        let done = tokio::select! {
            () = shared.stop.cancelled() => return,
            done = collection => done,
        };
        match done {
            Ok(None) => {}
            Ok(Some(Totals { removed, bytes, named, young })) => {
                info!(removed, bytes, named, young, "removed artifacts that nothing names");
            }
            Err(error) => warn!(%error, "could not remove artifacts that nothing names; trying again"),
        }
    }
}

/// Collects if it is time to.
async fn when_due(
    artifacts: &Artifacts,
    names: &dyn Names,
    grace: Duration,
    now: fn() -> SystemTime,
) -> Result<Option<Totals>, CollectError> {
    if !is_due(artifacts.last_collection().await?, now()) {
        return Ok(None);
    }
    let (found, mut pages) = mpsc::channel(1);
    let ignore = async { while pages.recv().await.is_some() {} };
    let collection = collect(artifacts, names, Terms { grace, dry_run: false }, now, found);
    let (totals, ()) = tokio::join!(collection, ignore);
    let totals = totals?;
    artifacts.note_collection().await?;
    Ok(Some(totals))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use transect_common::digest::ArtifactDigest;

    use super::*;
    use crate::artifacts::Location;
    use crate::store::StoreError;

    struct Nothing;

    #[async_trait::async_trait]
    impl Names for Nothing {
        async fn named(&self, _: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>, StoreError> {
            Ok(HashSet::new())
        }
    }

    const DAY: Duration = Duration::from_hours(24);

    fn tomorrow() -> SystemTime {
        SystemTime::now() + DAY + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn once_a_day_and_not_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let open = async || Artifacts::open(Location::Folder(folder.path().into()), folder.path()).await.unwrap();
        let artifacts = open().await;
        let mut upload = artifacts.upload(ArtifactDigest::of(b"x"), 0, SystemTime::now()).unwrap();
        upload.write(b"x").unwrap();
        artifacts.publish(upload.finish().unwrap(), SystemTime::now()).await.unwrap();

        let first = when_due(&artifacts, &Nothing, DAY, SystemTime::now).await.unwrap().unwrap();
        assert_eq!((first.removed, first.young), (0, 1));
        assert_eq!(when_due(&open().await, &Nothing, DAY, SystemTime::now).await.unwrap(), None);
        let next = when_due(&artifacts, &Nothing, DAY, tomorrow).await.unwrap().unwrap();
        assert_eq!((next.removed, next.young), (1, 0));
    }
}
