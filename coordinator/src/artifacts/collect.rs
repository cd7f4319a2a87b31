//! Removing artifacts that nothing names: what attempts left that failed before they reported, snapshots and checkpoints
//! that newer ones replaced.
//!
//! Invariants: nothing that the database names is removed, nor anything younger than the grace, nor what somebody keeps
//! at this moment (`keep` says how that is made sure of). Several collections may run at once. One that dies leaves at
//! most a list of names, which holds up nobody for longer than ten minutes.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path as Key;
use object_store::{ObjectMeta, ObjectStoreExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;
use transect_common::digest::ArtifactDigest;

use super::keep::{ABANDONED, doomed};
use super::{ArtifactError, Artifacts, key};
use crate::store::StoreError;

/// The shortest grace that is safe while workers work: what they stored must be reported within it, less half an hour.
pub const LEAST_SAFE_GRACE: Duration = Duration::from_hours(2);
/// Artifacts looked at together.
const BATCH: usize = 500;
/// Looks at the store at the same time.
const AT_ONCE: usize = 16;
/// Between the last look and the deletions of a batch lies no more than this.
const HASTE: Duration = Duration::from_mins(1);
/// Time between two collections that nobody asked for.
const DAY: Duration = Duration::from_hours(24);

/// What the database names.
#[async_trait]
pub trait Names: Sync {
    /// Those of `artifacts` that something names.
    async fn named(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>, StoreError>;
}

/// Why a collection stopped. What it had removed by then is removed.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The artifact store.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// What was stored so short a while ago is spared.
    pub grace: Duration,
    /// Only look.
    pub dry_run: bool,
}

/// An artifact that was removed, or would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbage {
    /// Its name.
    pub artifact: ArtifactDigest,
    /// Its size.
    pub bytes: u64,
    /// When it was stored.
    pub stored: SystemTime,
}

/// What a collection came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Artifacts that the database names.
    pub named: u64,
    /// Artifacts that nothing names but that are spared: young, or kept by somebody at that moment.
    pub young: u64,
    /// Artifacts removed, or that would have been.
    pub removed: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// True when it is time for a collection that nobody asked for.
pub fn is_due(last: Option<SystemTime>, now: SystemTime) -> bool {
    // A time in the future is a clock that was wrong.
    last.and_then(|last| now.duration_since(last).ok()).is_none_or(|since| since >= DAY)
}

/// True for what is older than the grace. A time in the future is a clock that differs, and so young.
fn is_old(stored: SystemTime, now: SystemTime, grace: Duration) -> bool {
    now.duration_since(stored).is_ok_and(|age| age >= grace)
}

/// Removes what nothing names and is older than the grace, telling `found` of it batch by batch. Stops early when nobody
/// listens there any more.
pub async fn collect(
    artifacts: &Artifacts,
    names: &dyn Names,
    terms: Terms,
    now: fn() -> SystemTime,
    found: mpsc::Sender<Vec<Garbage>>,
) -> Result<Totals, CollectError> {
    let mut totals = Totals::default();
    let listing = artifacts.objects.list(None).map_err(|e| list_error(artifacts, &e));
    let mut batches = listing.try_chunks(BATCH);
    let mut number = 0_u32;
    while let Some(batch) = batches.next().await {
        // What came before an error is left for another time.
        let batch = batch.map_err(|e| e.1)?;
        let began = now();
        let mut old = Vec::new();
        let mut young = Vec::new();
        for meta in batch {
            let Some(garbage) = garbage(&meta) else {
                sweep_moved(artifacts, meta, began, terms).await;
                continue;
            };
            if is_old(garbage.stored, began, terms.grace) { old.push(garbage) } else { young.push(garbage.artifact) }
        }
        let named = names.named(&young).await?.len() as u64;
        totals.named += named;
        totals.young += young.len() as u64 - named;
        let seen = old.len() as u64;
        let unnamed = without_named(names, old).await?;
        totals.named += seen - unnamed.len() as u64;
        let removed = if terms.dry_run || unnamed.is_empty() {
            unnamed
        } else {
            number += 1;
            let seen = unnamed.len();
            let removed = remove(artifacts, names, unnamed, terms.grace, now, number).await?;
            totals.young += (seen - removed.len()) as u64;
            removed
        };
        totals.removed += removed.len() as u64;
        totals.bytes += removed.iter().map(|garbage| garbage.bytes).sum::<u64>();
        if !removed.is_empty() && found.send(removed).await.is_err() {
            break;
        }
    }
    Ok(totals)
}

fn list_error(artifacts: &Artifacts, error: &object_store::Error) -> CollectError {
    artifacts.refused("list", artifacts.location.to_string(), error).into()
}

/// An object as an artifact; None for anything else that lies there.
fn garbage(meta: &ObjectMeta) -> Option<Garbage> {
    let artifact: ArtifactDigest = meta.location.filename()?.parse().ok()?;
    let is_its_place = key(&artifact) == meta.location;
    is_its_place.then(|| Garbage { artifact, bytes: meta.size, stored: meta.last_modified.into() })
}

/// Removes a copy that somebody who kept an artifact left behind half-way.
async fn sweep_moved(artifacts: &Artifacts, meta: ObjectMeta, now: SystemTime, terms: Terms) {
    let is_moved = meta.location.as_ref().starts_with("gc/moved/");
    if is_moved && !terms.dry_run && is_old(meta.last_modified.into(), now, LEAST_SAFE_GRACE) {
        let _ = artifacts.objects.delete(&meta.location).await;
    }
}

async fn without_named(names: &dyn Names, garbage: Vec<Garbage>) -> Result<Vec<Garbage>, StoreError> {
    if garbage.is_empty() {
        return Ok(garbage);
    }
    let all: Vec<ArtifactDigest> = garbage.iter().map(|garbage| garbage.artifact.clone()).collect();
    let named = names.named(&all).await?;
    Ok(garbage.into_iter().filter(|garbage| !named.contains(&garbage.artifact)).collect())
}

/// Removes a batch: its list first, then a last look at each, then the deletions, and the list goes.
async fn remove(
    artifacts: &Artifacts,
    names: &dyn Names,
    batch: Vec<Garbage>,
    grace: Duration,
    now: fn() -> SystemTime,
    number: u32,
) -> Result<Vec<Garbage>, CollectError> {
    let began = Instant::now();
    let since = now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let list = doomed().join(format!("{since}-{}-{number}", std::process::id()));
    let text: String = batch.iter().map(|garbage| format!("{}\n", garbage.artifact)).collect();
    let write_error = |e: &object_store::Error| artifacts.refused("write", format!("{}/{list}", artifacts.location), e);
    artifacts.objects.put(&list, text.into()).await.map_err(|e| write_error(&e))?;
    let removed = remove_listed(artifacts, names, batch, grace, now, began).await;
    // Left behind, it holds up those who want to keep one of these for ten minutes.
    let swept = artifacts.objects.delete(&list).await;
    let removed = removed?;
    swept.map_err(|e| write_error(&e))?;
    Ok(removed)
}

async fn remove_listed(
    artifacts: &Artifacts,
    names: &dyn Names,
    batch: Vec<Garbage>,
    grace: Duration,
    now: fn() -> SystemTime,
    began: Instant,
) -> Result<Vec<Garbage>, CollectError> {
    let looks = stream::iter(batch).map(|garbage| {
        let artifacts = artifacts.clone();
        async move {
            let stored = artifacts.look(&garbage.artifact).await?.map(|(_, stored)| stored);
            Ok::<_, ArtifactError>(stored.filter(|stored| is_old(*stored, now(), grace)).map(|_| garbage))
        }
    });
    let still_old: Vec<Option<Garbage>> = looks.buffered(AT_ONCE).try_collect().await?;
    // Asked after the look at their ages: what was kept long ago has been named by now.
    let batch = without_named(names, still_old.into_iter().flatten().collect()).await?;
    debug_assert!(HASTE < ABANDONED);
    if began.elapsed() > HASTE {
        tracing::warn!(
            "the artifact store or the database is slow; a batch of artifacts is left for the next collection"
        );
        return Ok(Vec::new());
    }
    let deletions = stream::iter(batch.clone()).map(|garbage| {
        let artifacts = artifacts.clone();
        async move {
            match artifacts.objects.delete(&key(&garbage.artifact)).await {
                // Another collection was faster.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(artifacts.refused("delete", artifacts.place(&garbage.artifact), &error)),
            }
        }
    });
    deletions.buffered(AT_ONCE).try_collect::<()>().await?;
    Ok(batch)
}

impl Artifacts {
    /// When a collection last ended that nobody asked for.
    pub async fn last_collection(&self) -> super::Result<Option<SystemTime>> {
        match self.objects.head(&last()).await {
            Ok(meta) => Ok(Some(meta.last_modified.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refused("look up", format!("{}/{}", self.location, last()), &error)),
        }
    }

    /// Notes that a collection ended.
    pub async fn note_collection(&self) -> super::Result<()> {
        let noted = self.objects.put(&last(), "a collection of artifacts that nothing names ended\n".into()).await;
        noted.map(|_| ()).map_err(|e| self.refused("write", format!("{}/{}", self.location, last()), &e))
    }
}

fn last() -> Key {
    Key::from_iter(["gc", "last"])
}
