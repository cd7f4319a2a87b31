//! From a staged file to an artifact under its name, in one atomic step.
//!
//! A folder: rename, and sync the folder, so that the name is on disk, too. A bucket: one request, or a multipart upload,
//! whose object appears when it is completed. Requests that fail are tried again by `object_store`; when that does not help
//! the staged file stays, and the next upload of the same artifact has nothing left to send.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime};

use futures::stream::{self, FuturesUnordered};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{MultipartUpload, ObjectStoreExt as _};
use transect_common::digest::ArtifactDigest;

use super::error::failed;
use super::{ArtifactError, Artifacts, PART_BYTES, Result, Staged, Stored, blocking, key};

/// Parts that travel at the same time.
const PARTS_AT_ONCE: usize = 4;
/// Most parts that S3 takes.
const MOST_PARTS: u64 = 10_000;
/// Cleaning up after a failed upload may take so long.
const ABORT: Duration = Duration::from_secs(5);

impl Artifacts {
    /// Gives a staged artifact its name. One that is there already is replaced by the same bytes in a folder, which mends a
    /// damaged file; in a bucket it is left alone when it has the right size.
    pub async fn publish(&self, staged: Staged, now: SystemTime) -> Result<Stored> {
        let (artifact, bytes) = (staged.artifact().clone(), staged.bytes());
        let before = self.size(&artifact).await?;
        let stored = Stored { bytes, created: before.is_none() };
        if let Some(path) = self.path(&artifact) {
            let root = path.ancestors().nth(2).unwrap_or(&path).to_owned();
            blocking(move || rename(staged, &path, &root)).await?;
            let kept = self.keep(&artifact, now).await?;
            return kept.map(|_| stored).ok_or(ArtifactError::Removed(artifact));
        }
        let is_there = before == Some(bytes) && self.keep(&artifact, now).await? == Some(bytes);
        if !is_there {
            loop {
                self.send(staged.path(), &artifact, bytes).await?;
                // A collection that had begun to remove it may have done so.
                if self.keep(&artifact, now).await?.is_some() {
                    break;
                }
            }
        }
        let _ = tokio::task::spawn_blocking(move || staged.discard()).await;
        Ok(stored)
    }

    /// Sends a file to the bucket.
    async fn send(&self, path: &Path, artifact: &ArtifactDigest, bytes: u64) -> Result<()> {
        let refused = |e: &object_store::Error| self.refused("write", self.place(artifact), e);
        if bytes <= PART_BYTES {
            let content = part(path, 0, bytes).await?;
            return self.objects.put(&key(artifact), content.into()).await.map(|_| ()).map_err(|e| refused(&e));
        }
        let mut upload = self.objects.put_multipart(&key(artifact)).await.map_err(|e| refused(&e))?;
        let sent = self.send_parts(&mut *upload, path, artifact, bytes).await;
        if sent.is_err() {
            // Whatever stays behind is for a lifecycle rule of the bucket to remove.
            let _ = tokio::time::timeout(ABORT, upload.abort()).await;
        }
        sent
    }

    async fn send_parts(
        &self,
        upload: &mut dyn MultipartUpload,
        path: &Path,
        artifact: &ArtifactDigest,
        bytes: u64,
    ) -> Result<()> {
        let refused = |e: &object_store::Error| self.refused("write", self.place(artifact), e);
        let step = PART_BYTES.max(bytes.div_ceil(MOST_PARTS));
        let mut contents = stream::iter((0..bytes).step_by(step as usize))
            .map(|start| part(path, start, step.min(bytes - start)))
            .buffered(1);
        let mut travelling = FuturesUnordered::new();
        while let Some(content) = contents.try_next().await? {
            travelling.push(upload.put_part(content.into()));
            if travelling.len() == PARTS_AT_ONCE {
                travelling.try_next().await.map_err(|e| refused(&e))?;
            }
        }
        while travelling.try_next().await.map_err(|e| refused(&e))?.is_some() {}
        upload.complete().await.map(|_| ()).map_err(|e| refused(&e))
    }
}

/// Some bytes of a file.
async fn part(path: &Path, start: u64, len: u64) -> Result<Vec<u8>> {
    let path = path.to_owned();
    blocking(move || {
        let mut bytes = Vec::with_capacity(len as usize);
        let read = File::open(&path).and_then(|mut file| {
            file.seek(SeekFrom::Start(start))?;
            file.take(len).read_to_end(&mut bytes)
        });
        read.map(|_| bytes).map_err(failed("read", &path))
    })
    .await
}

fn rename(staged: Staged, path: &Path, root: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(root);
    if !folder.exists() {
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        sync_folder(root)?;
    }
    staged.rename(path).map_err(failed("create", path))?;
    sync_folder(folder)
}

/// A new name in a folder is on disk only once the folder is.
fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}
