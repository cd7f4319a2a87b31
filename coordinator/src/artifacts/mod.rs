//! The artifact store: immutable blobs named by the BLAKE3 digest of their bytes, in a folder or in a bucket.
//!
//! ```text
//! ROOT/ab/abcdef...     an artifact: ROOT / first two digits / all 64 digits
//! ROOT/gc/doomed/...    names that a collection is about to remove; gone when it is over
//! ROOT/gc/last          when a collection last ended
//! SPOOL/                uploads that have not ended, always files of this machine (`staging`)
//! ```
//!
//! Invariants: an artifact was whole and checked before it got its name: its bytes are staged in a file, hashed and synced,
//! and then renamed (a folder) or sent in one atomic step (a bucket). Bytes are checked again when they are read. What
//! [`Artifacts::keep`] has promised stays for as long as `collect` spares what is young.
//!
//! Reading, listing and deleting go through the crate `object_store`. Writing to a folder does not: `LocalFileSystem` can
//! sync, but it stages each object beside its place and copies the bytes there, which would write a checkpoint twice;
//! here the staged file itself is renamed, and then its folder is synced.

mod collect;
mod error;
mod keep;
mod location;
mod publish;
mod staging;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tokio::sync::Semaphore;
use transect_common::digest::ArtifactDigest;

pub use collect::{CollectError, Garbage, LEAST_SAFE_GRACE, Names, Terms, Totals, collect, is_due};
pub use error::ArtifactError;
pub use location::Location;
pub use staging::{Staged, Upload};

use error::{failed, refused};
use staging::{Staging, digest};

/// Bytes read or sent at a time.
pub const CHUNK_BYTES: usize = 1 << 20;
/// Bytes of one part of a large object on its way to a bucket.
const PART_BYTES: u64 = 8 << 20;
/// Bytes asked of a bucket at a time. Many may read at once, and each has a few pieces in memory.
const PIECE_BYTES: u64 = 2 << 20;
/// Uploads to a bucket at the same time, each with a few parts in memory; others wait their turn.
const SENT_AT_ONCE: usize = 4;
/// A store that takes longer to answer when the coordinator starts is done without at first.
const FIRST_ANSWER: Duration = Duration::from_secs(15);
/// Pieces asked for before they are needed.
const PIECES_AHEAD: usize = 2;
/// What was stored so short a while ago need not be stored again to be safe from a collection.
const YOUNG: Duration = Duration::from_mins(30);

type Result<T, E = ArtifactError> = std::result::Result<T, E>;

/// The artifact store. Clones share it.
#[derive(Clone)]
pub struct Artifacts {
    location: Location,
    objects: Arc<dyn ObjectStore>,
    staging: Staging,
    sending: Arc<Semaphore>,
    young: Duration,
    /// Sizes of what a simulation pretends is stored, in place of all else.
    pretended: Option<Pretended>,
}

impl fmt::Debug for Artifacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is inside `objects` may know keys.
        f.debug_tuple("Artifacts").field(&self.location).finish()
    }
}

/// Sizes of artifacts that a simulation pretends to have stored.
pub type Pretended = Arc<Mutex<BTreeMap<ArtifactDigest, u64>>>;

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Size in bytes.
    pub bytes: u64,
    /// False when the artifact was there already.
    pub created: bool,
}

impl Artifacts {
    /// Opens the store at `location`, making a folder where it is missing. Uploads are staged in `spool` for a bucket and
    /// inside a folder otherwise. A bucket that does not answer is no error: it may be back soon; one that is not there, or
    /// refuses us, is.
    pub async fn open(location: Location, spool: &Path) -> Result<Self> {
        let spool = match &location {
            Location::Folder(root) => root.join("tmp"),
            Location::Bucket { .. } => spool.to_owned(),
        };
        let artifacts = blocking(move || {
            let objects = location.objects()?;
            let staging = Staging::open(spool, SystemTime::now())?;
            Ok(Self {
                location,
                objects,
                staging,
                sending: Arc::new(Semaphore::new(SENT_AT_ONCE)),
                young: YOUNG,
                pretended: None,
            })
        });
        let artifacts = artifacts.await?;
        match tokio::time::timeout(FIRST_ANSWER, artifacts.ping()).await {
            Ok(Err(error @ ArtifactError::Away { .. })) => {
                tracing::warn!(%error, "starting without the artifact store");
            }
            Err(_) => {
                tracing::warn!(place = %artifacts.location, "the artifact store does not answer; starting without it");
            }
            Ok(done) => done?,
        }
        Ok(artifacts)
    }

    /// A store that only knows sizes, for simulations: what is in `sizes` counts as stored, and nothing can be read.
    pub fn pretend(sizes: Pretended) -> Self {
        let location = Location::Folder("pretended".into());
        let (objects, staging) = (Arc::new(object_store::memory::InMemory::new()), Staging::nowhere());
        let sending = Arc::new(Semaphore::new(SENT_AT_ONCE));
        Self { location, objects, staging, sending, young: YOUNG, pretended: Some(sizes) }
    }

    /// Where artifacts are kept.
    pub fn location(&self) -> &Location {
        &self.location
    }

    fn is_folder(&self) -> bool {
        matches!(self.location, Location::Folder(_))
    }

    /// The file of an artifact, when they are kept in a folder.
    pub fn path(&self, artifact: &ArtifactDigest) -> Option<PathBuf> {
        let Location::Folder(root) = &self.location else { return None };
        Some(root.join(&artifact.as_str()[..2]).join(artifact.as_str()))
    }

    /// Where an artifact lies, for people.
    fn place(&self, artifact: &ArtifactDigest) -> String {
        format!("{}/{}", self.location, key(artifact))
    }

    fn refused(&self, what: &'static str, place: String, error: &object_store::Error) -> ArtifactError {
        refused(what, place, error, self.is_folder())
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<()> {
        if let Location::Folder(root) = &self.location {
            // A folder that was moved away, or whose disk was.
            let folder = root.join("tmp");
            return blocking(move || {
                std::fs::metadata(&folder).map(|_| ()).map_err(failed("reach artifacts in", &folder))
            })
            .await;
        }
        let mut found = self.objects.list(Some(&keep::doomed()));
        match found.next().await {
            Some(Err(error)) => Err(self.refused("look into", self.location.to_string(), &error)),
            _ => Ok(()),
        }
    }

    /// Size of an artifact in bytes; None when it is not stored.
    pub async fn size(&self, artifact: &ArtifactDigest) -> Result<Option<u64>> {
        Ok(self.look(artifact).await?.map(|(bytes, _)| bytes))
    }

    /// Size, and when it was stored.
    async fn look(&self, artifact: &ArtifactDigest) -> Result<Option<(u64, SystemTime)>> {
        match self.objects.head(&key(artifact)).await {
            Ok(meta) => Ok(Some((meta.size, meta.last_modified.into()))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.refused("look up", self.place(artifact), &error)),
        }
    }

    /// Bytes that this coordinator keeps of an upload that broke off.
    pub async fn partial(&self, artifact: &ArtifactDigest) -> Result<u64> {
        let (staging, artifact) = (self.staging.clone(), artifact.clone());
        blocking(move || Ok(staging.partial(&artifact))).await
    }

    /// Begins to store an artifact, or goes on at `offset`. Blocks.
    pub fn upload(&self, artifact: ArtifactDigest, offset: u64, now: SystemTime) -> Result<Upload> {
        self.staging.begin(artifact, offset, now)
    }

    /// True when the bytes of an artifact are those that its name stands for. In a bucket that is for the bucket to know.
    pub async fn is_whole(&self, artifact: &ArtifactDigest) -> Result<bool> {
        match self.check(artifact).await {
            Ok(()) => Ok(true),
            Err(error @ ArtifactError::Damaged { .. }) => {
                tracing::warn!(%error, "it counts as not stored");
                Ok(false)
            }
            Err(ArtifactError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a file all through.
    async fn check(&self, artifact: &ArtifactDigest) -> Result<()> {
        let Some(path) = self.path(artifact) else { return Ok(()) };
        let artifact = artifact.clone();
        blocking(move || {
            let mut hasher = blake3::Hasher::new();
            let read = File::open(&path).and_then(|mut file| hasher.update_reader(&mut file).map(|_| ()));
            match read {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(ArtifactError::NotFound(artifact)),
                read => read.map_err(failed("read", &path))?,
            }
            let found = digest(&hasher);
            if found == artifact {
                return Ok(());
            }
            Err(ArtifactError::Damaged { artifact, place: path.display().to_string(), found })
        })
        .await
    }

    /// The bytes of an artifact from `offset` on. A file is checked before the first byte is given. What comes from a bucket
    /// is checked on the way when it is read from its beginning: then the last piece is held back until all is known to
    /// be right.
    pub async fn download(&self, artifact: &ArtifactDigest, offset: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        let size = self.size(artifact).await?.ok_or_else(|| ArtifactError::NotFound(artifact.clone()))?;
        if offset > size {
            return Err(ArtifactError::Beyond { artifact: artifact.clone(), bytes: size, offset });
        }
        self.check(artifact).await?;
        let step = if self.is_folder() { CHUNK_BYTES as u64 } else { PIECE_BYTES };
        let starts = (offset..size).step_by(step as usize);
        let this = self.clone();
        let name = artifact.clone();
        let pieces = stream::iter(starts).map(move |start| {
            let (this, name) = (this.clone(), name.clone());
            async move { this.piece(&name, start..size.min(start + step)).await }
        });
        let pieces = pieces.buffered(PIECES_AHEAD);
        if self.is_folder() || offset > 0 {
            return Ok(pieces.boxed());
        }
        let (artifact, place) = (artifact.clone(), self.place(artifact));
        let mut hasher = blake3::Hasher::new();
        let mut left = size;
        Ok(pieces
            .map(move |piece| {
                let piece = piece?;
                hasher.update(&piece);
                left = left.saturating_sub(piece.len() as u64);
                let found = (left == 0).then(|| digest(&hasher)).filter(|found| *found != artifact);
                match found {
                    Some(found) => {
                        Err(ArtifactError::Damaged { artifact: artifact.clone(), place: place.clone(), found })
                    }
                    None => Ok(piece),
                }
            })
            .boxed())
    }

    async fn piece(&self, artifact: &ArtifactDigest, range: Range<u64>) -> Result<Bytes> {
        let got = self.objects.get_range(&key(artifact), range).await;
        got.map_err(|error| match error {
            object_store::Error::NotFound { .. } if !error.to_string().contains("NoSuchBucket") => {
                ArtifactError::NotFound(artifact.clone())
            }
            error => self.refused("read", self.place(artifact), &error),
        })
    }

    /// All bytes of an artifact, checked.
    pub async fn read(&self, artifact: &ArtifactDigest) -> Result<Vec<u8>> {
        let mut pieces = self.download(artifact, 0).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }
}

/// The name of an artifact in the store.
fn key(artifact: &ArtifactDigest) -> Key {
    Key::from_iter([&artifact.as_str()[..2], artifact.as_str()])
}

/// Works with files off the threads that serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
