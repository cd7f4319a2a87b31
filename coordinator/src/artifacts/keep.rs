//! Keeping an artifact that somebody is about to name in the database, while collections run.
//!
//! The danger: a collection sees that an old artifact is named nowhere; a worker stores the same bytes, finds them there,
//! and reports their name; the collection deletes them. Both sides therefore leave a trace before they look for the
//! other's:
//!
//! - Who keeps an artifact makes it young first (its time of change is set to now), then looks whether a collection has
//!   it on its list, and then whether it is still there.
//! - A collection writes its list first, then looks whether each artifact is still old, and only then deletes.
//!
//! If the keeper finds no list and then the artifact, then no collection that could have found it old was still to delete
//! it: one whose list was written later finds it young, and one whose list was gone by then had deleted before the
//! artifact was seen. If the keeper finds a list, it waits until that is gone and looks again.
//!
//! Assumed: a write that has been answered is seen by every later read and listing (S3 and what imitates it promise
//! that), clocks agree to a few minutes, and a collection that stalled between its last look and its deletions for longer
//! than [`ABANDONED`] does not go on; it checks its own time to make that so.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use object_store::ObjectStoreExt as _;
use object_store::path::Path as Key;
use transect_common::digest::ArtifactDigest;

use super::error::failed;
use super::{Artifacts, Result, blocking, key};

/// A list that is older was left by a collection that died.
pub(super) const ABANDONED: Duration = Duration::from_mins(10);
/// Time between two looks at a list.
const PAUSE: Duration = Duration::from_millis(100);

/// The folder of the lists of collections at work.
pub(super) fn doomed() -> Key {
    Key::from_iter(["gc", "doomed"])
}

impl Artifacts {
    /// Sees to it that an artifact stays for at least as long as a collection spares what is young, less
    /// half an hour. Returns its size; None when it is not stored, or no longer.
    pub async fn keep(&self, artifact: &ArtifactDigest, now: SystemTime) -> Result<Option<u64>> {
        let Some((_, modified)) = self.look(artifact).await? else { return Ok(None) };
        let age = now.duration_since(modified).unwrap_or_default();
        if age >= self.young && !self.make_young(artifact).await? {
            return Ok(None);
        }
        while self.is_doomed(artifact, now).await? {
            tokio::time::sleep(PAUSE).await;
        }
        self.size(artifact).await
    }

    /// Sets an artifact's time of change to now. False when it is not there.
    async fn make_young(&self, artifact: &ArtifactDigest) -> Result<bool> {
        if let Some(path) = self.path(artifact) {
            return blocking(move || touch(&path)).await;
        }
        // A store takes no copy of an object onto itself, so it goes by way of another name.
        let (key, by_way) = (key(artifact), Key::from_iter(["gc", "moved", artifact.as_str()]));
        let copied = async {
            self.objects.copy(&key, &by_way).await?;
            self.objects.copy(&by_way, &key).await
        };
        match copied.await {
            Ok(()) => {
                // Left behind it is only in the way; the next collection removes it.
                let _ = self.objects.delete(&by_way).await;
                Ok(true)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.refused("copy", self.place(artifact), &error)),
        }
    }

    /// True while a collection has the artifact on its list.
    async fn is_doomed(&self, artifact: &ArtifactDigest, now: SystemTime) -> Result<bool> {
        let refused = |e: &object_store::Error| self.refused("look into", format!("{}/gc", self.location), e);
        let lists: Vec<_> = self.objects.list(Some(&doomed())).try_collect().await.map_err(|e| refused(&e))?;
        for list in lists {
            let age = now.duration_since(list.last_modified.into()).unwrap_or_default();
            if age > ABANDONED {
                let _ = self.objects.delete(&list.location).await;
                continue;
            }
            let names = match self.objects.get(&list.location).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            match names {
                Ok(names) if holds(&names, artifact) => return Ok(true),
                // That collection is over, as if its list had not been found.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Ok(false)
    }
}

/// Lists have one name a line.
fn holds(list: &[u8], artifact: &ArtifactDigest) -> bool {
    list.split(|&b| b == b'\n').any(|name| name == artifact.as_str().as_bytes())
}

fn touch(path: &Path) -> Result<bool> {
    match File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now())) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true).map_err(failed("touch", path)),
    }
}
