//! Artifacts over the wire: into the cache, and up to the coordinator.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};
use transect_common::digest::ArtifactDigest;
use transect_common::pb::{GetArtifactRequest, PutRequest};

use super::backoff::Backoff;
use super::cache::Cache;
use super::session::{Session, is_passing, sentence};

/// Bytes of one chunk.
const CHUNK: usize = 1 << 20;
/// A transfer that moves nothing for so long is begun again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Spoilt bytes are asked for so often before the attempt fails.
const TRIES: u32 = 5;

/// An artifact could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The coordinator will not.
    #[error("the coordinator answered: {}", sentence(.0))]
    Refused(#[from] Status),
    /// The bytes that arrived have another digest, again and again.
    #[error("the bytes that arrived do not match the name")]
    Mismatch,
    /// This machine's disk will not.
    #[error("on the worker's disk, at {path}: {source}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> TransferError + '_ {
    move |source| TransferError::Disk { path: path.to_owned(), source }
}

/// Runs `work` off the one thread of the daemon.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Lends an artifact from the cache, fetching it first where needed. Waits for a coordinator that is away, and for `patience`
/// for one that is there and cannot. A disk that is full is cleared of what is not in use, once.
pub async fn fetch(
    session: &Session,
    cache: &Arc<Cache>,
    digest: &ArtifactDigest,
    patience: Duration,
) -> Result<PathBuf, TransferError> {
    let (here, name) = (Arc::clone(cache), digest.clone());
    let lent = blocking(move || here.lend(&name)).await.map_err(disk(&cache.lent(digest)))?;
    if let Some(path) = lent {
        return Ok(path);
    }
    let part = cache.scratch().join(format!("{digest}.part"));
    let (mut backoff, mut spoilt, mut has_made_room) = (Backoff::default(), 0, false);
    let began = Instant::now();
    loop {
        match download(session, digest, &part).await {
            Ok(()) => break,
            Err(TransferError::Refused(status)) if is_away(&status) => {}
            Err(TransferError::Refused(status)) if is_passing(&status) && began.elapsed() < patience => {}
            Err(TransferError::Mismatch) if spoilt + 1 < TRIES => spoilt += 1,
            Err(TransferError::Disk { source, .. }) if is_full(&source) && !has_made_room => {
                has_made_room = true;
                tracing::warn!("the disk of the cache is full; everything that is not in use is dropped");
                let here = Arc::clone(cache);
                blocking(move || here.make_room()).await.map_err(disk(&part))?;
            }
            Err(error) => return Err(error),
        }
        backoff.wait().await;
    }
    let (here, name, file) = (Arc::clone(cache), digest.clone(), part.clone());
    blocking(move || here.adopt(&name, &file)).await.map_err(disk(&part))
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

/// True for a failure of the connection, not of a coordinator that answered.
fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}

async fn download(session: &Session, digest: &ArtifactDigest, part: &Path) -> Result<(), TransferError> {
    let request = GetArtifactRequest { artifact: digest.to_string() };
    let slow = |_| session.too_slow("the download stands still");
    let mut service = session.artifacts();
    let answer = tokio::time::timeout(PATIENCE, service.get(request)).await.map_err(slow)??;
    let mut chunks = answer.into_inner();
    let mut file = tokio::fs::File::create(part).await.map_err(disk(part))?;
    let mut hasher = blake3::Hasher::new();
    while let Some(message) = tokio::time::timeout(PATIENCE, chunks.message()).await.map_err(slow)?? {
        hasher.update(&message.chunk);
        file.write_all(&message.chunk).await.map_err(disk(part))?;
    }
    file.flush().await.map_err(disk(part))?;
    if hasher.finalize().to_hex().as_str() == digest.as_str() { Ok(()) } else { Err(TransferError::Mismatch) }
}

/// Stores the file with the coordinator. Waits for one that is away, and for `patience` for one whose store is full or
/// fails.
pub async fn upload(
    session: &Session,
    digest: &ArtifactDigest,
    path: &Path,
    patience: Duration,
) -> Result<(), TransferError> {
    let (mut backoff, mut refused) = (Backoff::default(), None);
    loop {
        let status = match put(session, digest, path).await {
            Err(TransferError::Refused(status)) => status,
            done => return done,
        };
        if !is_away(&status) {
            let since = *refused.get_or_insert_with(Instant::now);
            if !is_passing(&status) || since.elapsed() >= patience {
                return Err(status.into());
            }
        }
        if backoff.failures() == 0 {
            tracing::warn!(
                artifact = digest.short(),
                error = sentence(&status),
                "an upload failed; trying until it is done"
            );
        }
        backoff.wait().await;
    }
}

async fn put(session: &Session, digest: &ArtifactDigest, path: &Path) -> Result<(), TransferError> {
    let mut file = tokio::fs::File::open(path).await.map_err(disk(path))?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<PutRequest>(4);
    let name = digest.to_string();
    let read = async move {
        let mut artifact = name;
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            let n = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await?;
            // The name travels in the first message, which is sent even for an empty file.
            let is_first = !artifact.is_empty();
            if n == 0 && !is_first {
                return Ok(());
            }
            let message = PutRequest { artifact: std::mem::take(&mut artifact), chunk };
            // The coordinator has ended the call: its answer says why.
            if sender.send(message).await.is_err() {
                return Ok(());
            }
        }
    };
    let mut service = session.artifacts();
    let call = service.put(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let both = async { tokio::join!(read, call) };
    let whole = PATIENCE * 20;
    let (read, answer) =
        tokio::time::timeout(whole, both).await.map_err(|_| session.too_slow("the upload stands still"))?;
    read.map_err(disk(path))?;
    answer?;
    Ok(())
}
