//! Artifacts over the wire: into the cache, and up to the coordinator.
//!
//! Invariants: what arrived of a broken download is kept and gone on with, and so is what the coordinator kept of a broken
//! upload; either is checked whole, by digest. A coordinator, or its artifact store, that is away costs time and nothing
//! else: the file stays here until it is stored.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};
use transect_common::digest::ArtifactDigest;
use transect_common::pb::{GetArtifactRequest, PutRequest, StatRequest};

use super::backoff::Backoff;
use super::cache::Cache;
use super::session::{Session, is_passing, sentence};

/// Bytes of one chunk.
const CHUNK: usize = 1 << 20;
/// A transfer that moves nothing for so long is begun again.
const PATIENCE: Duration = Duration::from_secs(30);
/// After the last byte of an upload its answer is waited for so long: the coordinator may have to send it on.
const STORING: Duration = Duration::from_mins(10);
/// Bytes that do not fit together are asked for, or sent, so often before the attempt fails.
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
    if let Some(path) = lend(cache, digest).await? {
        return Ok(path);
    }
    let _alone = cache.downloading.lock().await;
    // Whoever downloaded until now may have brought it.
    if let Some(path) = lend(cache, digest).await? {
        return Ok(path);
    }
    let part = cache.scratch().join(format!("{digest}.part"));
    let (mut backoff, mut spoilt, mut has_made_room, mut have) = (Backoff::default(), 0, false, 0);
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
        let now = tokio::fs::metadata(&part).await.map_or(0, |metadata| metadata.len());
        if now > have {
            backoff.reset();
        }
        have = now;
        backoff.wait().await;
    }
    let (here, name, file) = (Arc::clone(cache), digest.clone(), part.clone());
    blocking(move || here.adopt(&name, &file)).await.map_err(disk(&part))
}

async fn lend(cache: &Arc<Cache>, digest: &ArtifactDigest) -> Result<Option<PathBuf>, TransferError> {
    let (here, name) = (Arc::clone(cache), digest.clone());
    blocking(move || here.lend(&name)).await.map_err(disk(cache.scratch()))
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::StorageFull
}

/// True for a failure of the connection or of what lies behind the coordinator, which is waited for.
fn is_away(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled | Code::DeadlineExceeded)
}

/// Brings what is missing of `part`. Bytes that turn out wrong are removed.
async fn download(session: &Session, digest: &ArtifactDigest, part: &Path) -> Result<(), TransferError> {
    let path = part.to_owned();
    let begun = blocking(move || {
        let mut file = File::options().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut hasher = blake3::Hasher::new();
        // Reading leaves the file at its end, where it is gone on with.
        hasher.update_reader(&mut file)?;
        Ok((file, hasher))
    });
    let (file, mut hasher) = begun.await.map_err(disk(part))?;
    let mut file = tokio::fs::File::from_std(file);
    let received = receive(session, digest, &mut file, &mut hasher, part).await;
    // What arrived counts, also when the rest did not.
    file.flush().await.map_err(disk(part))?;
    let is_right = hasher.finalize().to_hex().as_str() == digest.as_str();
    match received {
        Ok(()) if is_right => Ok(()),
        Err(TransferError::Refused(status)) if status.code() != Code::OutOfRange => Err(status.into()),
        Ok(()) | Err(TransferError::Refused(_)) => {
            file.set_len(0).await.map_err(disk(part))?;
            Err(TransferError::Mismatch)
        }
        Err(error) => Err(error),
    }
}

async fn receive(
    session: &Session,
    digest: &ArtifactDigest,
    file: &mut tokio::fs::File,
    hasher: &mut blake3::Hasher,
    part: &Path,
) -> Result<(), TransferError> {
    let request = GetArtifactRequest { artifact: digest.to_string(), offset: hasher.count() };
    let slow = |_| session.too_slow("the download stands still");
    let mut service = session.artifacts();
    let answer = tokio::time::timeout(PATIENCE, service.get(request)).await.map_err(slow)??;
    let mut chunks = answer.into_inner();
    while let Some(message) = tokio::time::timeout(PATIENCE, chunks.message()).await.map_err(slow)?? {
        file.write_all(&message.chunk).await.map_err(disk(part))?;
        hasher.update(&message.chunk);
    }
    Ok(())
}

/// Stores the file with the coordinator. Waits for one that is away, and for `patience` for one whose store is full or
/// fails.
pub async fn upload(
    session: &Session,
    digest: &ArtifactDigest,
    path: &Path,
    patience: Duration,
) -> Result<(), TransferError> {
    let mut backoff = Backoff::default();
    let began = Instant::now();
    loop {
        let status = match put(session, digest, path).await {
            Err(TransferError::Refused(status)) => status,
            done => return done,
        };
        if !is_waited_for(&status, backoff.failures() + 1, began.elapsed(), patience) {
            return Err(status.into());
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

/// Whether an upload that failed for the `failures`-th time, so long after its beginning, is tried again.
fn is_waited_for(status: &Status, failures: u32, since: Duration, patience: Duration) -> bool {
    match status.code() {
        _ if is_away(status) => true,
        // The coordinator kept other bytes than these, or none any more: it is asked anew.
        Code::DataLoss | Code::OutOfRange => failures < TRIES,
        _ => is_passing(status) && since < patience,
    }
}

async fn put(session: &Session, digest: &ArtifactDigest, path: &Path) -> Result<(), TransferError> {
    let mut file = tokio::fs::File::open(path).await.map_err(disk(path))?;
    let len = file.metadata().await.map_err(disk(path))?.len();
    let mut service = session.artifacts();
    let request = StatRequest { artifact: digest.to_string(), keep: true };
    let there = session.within(PATIENCE, service.stat(request)).await?;
    if there.exists && there.bytes == len {
        return Ok(());
    }
    let offset = there.partial_bytes.min(len);
    file.seek(io::SeekFrom::Start(offset)).await.map_err(disk(path))?;
    let (sender, receiver) = tokio::sync::mpsc::channel::<PutRequest>(4);
    let call = service.put(tokio_stream::wrappers::ReceiverStream::new(receiver));
    // When sending fails the call is dropped, which the coordinator sees as a stream that broke, not one that ended.
    tokio::select! {
        answer = call => answer.map(|_| ()).map_err(TransferError::from),
        failure = send(session, digest, file, (offset, len), sender) => Err(match failure {
            Err(error) => disk(path)(error),
            Ok(status) => status.into(),
        }),
    }
}

/// Sends a file, and then waits: it is for the other side to answer. Returns only what goes wrong.
async fn send(
    session: &Session,
    digest: &ArtifactDigest,
    mut file: tokio::fs::File,
    (offset, len): (u64, u64),
    sender: tokio::sync::mpsc::Sender<PutRequest>,
) -> io::Result<Status> {
    // The name travels in the first message, which is sent even when there is nothing more to send.
    let mut first = Some(PutRequest { artifact: digest.to_string(), offset, bytes: len, ..PutRequest::default() });
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let n = (&mut file).take(CHUNK as u64).read_to_end(&mut chunk).await?;
        if n == 0 && first.is_none() {
            break;
        }
        let message = PutRequest { chunk, ..first.take().unwrap_or_default() };
        match tokio::time::timeout(PATIENCE, sender.send(message)).await {
            Ok(Ok(())) => {}
            // The coordinator has ended the call: its answer says why.
            Ok(Err(_)) => break,
            Err(_) => return Ok(session.too_slow("the upload stands still")),
        }
    }
    drop(sender);
    tokio::time::sleep(STORING).await;
    Ok(Status::deadline_exceeded("the coordinator has everything but does not say that it is stored"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_or_full_costs_time_and_a_wrong_answer_a_few_tries() {
        let hour = Duration::from_hours(1);
        let waits = |status: Status, failures, since| is_waited_for(&status, failures, since, hour);
        assert!(waits(Status::unavailable("the store is gone"), 1000, 24 * hour));
        for passing in [Status::resource_exhausted("full"), Status::internal(""), Status::aborted("")] {
            assert!(waits(passing.clone(), 1000, Duration::from_secs(3599)));
            assert!(!waits(passing, 1000, hour));
        }
        for spoilt in [Status::data_loss(""), Status::out_of_range("")] {
            assert!(waits(spoilt.clone(), TRIES - 1, hour) && !waits(spoilt, TRIES, hour));
        }
        assert!(!waits(Status::invalid_argument(""), 1, Duration::ZERO));
    }
}
