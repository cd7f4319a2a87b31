//! `ArtifactService`: uploads and downloads in chunks, checked against the artifact's name on the way in and out.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use transect_common::digest::ArtifactDigest;
use transect_common::job::JobState;
use transect_common::pb;
use transect_common::pb::artifact_service_server::ArtifactService;

use super::Shared;
use crate::artifacts::{ArtifactError, CHUNK_BYTES, Garbage, LEAST_SAFE_GRACE, Names, Staged, Terms, Totals, collect};
use crate::status::{internal, invalid};
use crate::store::{Store, StoreError, Timestamp};

/// Chunks of an upload that may wait for the disk.
const CHUNKS_AHEAD: usize = 4;
/// Pages of garbage that may wait for a reader.
const PAGES_AHEAD: usize = 2;

/// Serves artifacts.
#[derive(Debug)]
pub struct Service {
    shared: Shared,
}

impl Service {
    /// Serves the artifacts of `shared`.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

fn parse(artifact: &str) -> Result<ArtifactDigest, Status> {
    artifact.parse().map_err(|e| invalid("artifact", format!("{e}")))
}

/// What the thread that writes an upload is told. When it hears nothing more, the stream broke: what arrived is kept.
enum Told {
    Chunk(Vec<u8>),
    End,
    Discard,
}

/// Reads an upload's stream into `told`. A stream that breaks is the only error that keeps what arrived.
async fn receive(
    first: pb::PutRequest,
    stream: &mut Streaming<pb::PutRequest>,
    told: &mpsc::Sender<Told>,
) -> Result<(), Status> {
    let (artifact, whole) = (first.artifact.clone(), first.bytes);
    let mut have = first.offset;
    let mut next = Some(first);
    while let Some(request) = next {
        let wrong = if !request.artifact.is_empty() && request.artifact != artifact {
            Some(invalid("artifact", "one stream uploads one artifact; this message names another"))
        } else if request.chunk.len() > CHUNK_BYTES {
            let found = request.chunk.len();
            Some(invalid("chunk", format!("a chunk holds at most {CHUNK_BYTES} bytes, not {found}")))
        } else {
            None
        };
        if let Some(wrong) = wrong {
            // Nobody listens only when the writer has given up by itself.
            let _ = told.send(Told::Discard).await;
            return Err(wrong);
        }
        // The writer refuses an offset that it does not have.
        have = have.saturating_add(request.chunk.len() as u64);
        if told.send(Told::Chunk(request.chunk)).await.is_err() {
            // The writer has given up; its error says why.
            return Ok(());
        }
        next = stream.message().await?;
    }
    // A stream that its sender cancelled looks like one that ended.
    if have >= whole {
        let _ = told.send(Told::End).await;
    }
    Ok(())
}

#[tonic::async_trait]
impl ArtifactService for Service {
    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Result<Response<pb::PutResponse>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?;
        let first =
            first.ok_or_else(|| invalid("artifact", "the stream is empty: its first message names the artifact"))?;
        let artifact = parse(&first.artifact)?;

        // The disk is written in a thread of its own, which outlives this handler when that is dropped half-way.
        let (told, mut hears) = mpsc::channel(CHUNKS_AHEAD);
        let (store, name, offset) = (self.shared.artifacts.clone(), artifact.clone(), first.offset);
        let metrics = self.shared.metrics.clone();
        let writer = self.shared.work.spawn_blocking(move || -> Result<Option<Staged>, ArtifactError> {
            let mut upload = store.upload(name, offset, SystemTime::now())?;
            loop {
                match hears.blocking_recv() {
                    Some(Told::Chunk(chunk)) => {
                        metrics.add_artifact_bytes("in", chunk.len());
                        upload.write(&chunk)?;
                    }
                    Some(Told::End) => return upload.finish().map(Some),
                    Some(Told::Discard) => {
                        upload.discard();
                        return Ok(None);
                    }
                    None => return Ok(None),
                }
            }
        });
        let received = receive(first, &mut stream, &told).await;
        drop(told);
        let staged = writer.await.map_err(|e| internal(&e))?;
        received?;
        let broke_off = || Status::cancelled("the upload broke off");
        let metrics = &self.shared.metrics;
        let staged = metrics.artifact("put", staged.map_err(Status::from))?.ok_or_else(broke_off)?;

        // Likewise: what has arrived is stored even when nobody waits for the answer any more.
        let store = self.shared.artifacts.clone();
        let publish = self.shared.work.spawn(async move { store.publish(staged, SystemTime::now()).await });
        let stored = publish.await.map_err(|e| internal(&e))?;
        let stored = metrics.artifact("put", stored.map_err(Status::from))?;
        if stored.created {
            tracing::debug!(%artifact, bytes = stored.bytes, "stored an artifact");
        }
        Ok(Response::new(pb::PutResponse { bytes: stored.bytes, created: stored.created }))
    }

    type GetStream = BoxStream<'static, Result<pb::GetArtifactResponse, Status>>;

    async fn get(&self, request: Request<pb::GetArtifactRequest>) -> Result<Response<Self::GetStream>, Status> {
        let artifact = parse(&request.get_ref().artifact)?;
        let pieces = self.shared.artifacts.download(&artifact, request.get_ref().offset).await;
        let pieces = self.shared.metrics.artifact("get", pieces.map_err(Status::from))?;
        let metrics = self.shared.metrics.clone();
        let chunks = pieces.map_ok(|piece| stream::iter(chunks(&piece)).map(Ok::<Bytes, ArtifactError>)).try_flatten();
        let answers = chunks.map_ok(|chunk| pb::GetArtifactResponse { chunk: chunk.to_vec() }).map_err(Status::from);
        let counted = answers.map(move |answer| {
            if let Ok(answer) = &answer {
                metrics.add_artifact_bytes("out", answer.chunk.len());
            }
            metrics.artifact("get", answer)
        });
        Ok(Response::new(counted.boxed()))
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Result<Response<pb::StatResponse>, Status> {
        let pb::StatRequest { artifact, keep } = request.into_inner();
        let artifact = parse(&artifact)?;
        let artifacts = &self.shared.artifacts;
        let size = if !keep {
            artifacts.size(&artifact).await?
        } else if artifacts.is_whole(&artifact).await? {
            artifacts.keep(&artifact, SystemTime::now()).await?
        } else {
            None
        };
        let partial_bytes = if size.is_some() { 0 } else { artifacts.partial(&artifact).await? };
        Ok(Response::new(pb::StatResponse { exists: size.is_some(), bytes: size.unwrap_or(0), partial_bytes }))
    }

    type CollectGarbageStream = BoxStream<'static, Result<pb::CollectGarbageResponse, Status>>;

    async fn collect_garbage(
        &self,
        request: Request<pb::CollectGarbageRequest>,
    ) -> Result<Response<Self::CollectGarbageStream>, Status> {
        let pb::CollectGarbageRequest { dry_run, grace_seconds } = request.into_inner();
        let terms = Terms { grace: Duration::from_secs(grace_seconds), dry_run };
        let leased = held(&*self.shared.store).await?;
        if !dry_run && terms.grace < LEAST_SAFE_GRACE && leased > 0 {
            return Err(Status::failed_precondition(format!(
                "{leased} jobs are worked on now, and what they stored may not be reported yet: give a grace of at least 2h, or \
                 collect when no worker holds a job"
            )));
        }
        let (found, mut pages) = mpsc::channel(PAGES_AHEAD);
        let shared = self.shared.clone();
        let (answers, answered) = mpsc::channel(PAGES_AHEAD);
        // A reader that goes away ends the collection after the batch in hand, never within one.
        self.shared.work.spawn(async move {
            let names = Database(&*shared.store);
            let collection = async {
                let totals = collect(&shared.artifacts, &names, terms, SystemTime::now, found);
                tokio::select! {
                    biased;
                    totals = totals => totals.map(Some),
                    () = shared.stop.cancelled(), if dry_run => Ok(None),
                }
            };
            let forward = async {
                while let Some(page) = pages.recv().await {
                    if answers.send(Ok(page_of(page))).await.is_err() {
                        pages.close();
                    }
                }
            };
            let (totals, ()) = tokio::join!(collection, forward);
            let last = match totals {
                Ok(Some(totals)) => Ok(totals_of(totals)),
                Ok(None) => Err(crate::status::stopping()),
                Err(error) => Err(error.into()),
            };
            let _ = answers.send(last).await;
        });
        Ok(Response::new(ReceiverStream::new(answered).boxed()))
    }
}

/// Jobs that workers hold.
async fn held(store: &dyn Store) -> Result<u64, StoreError> {
    let counts = store.counts().await?;
    Ok(counts.jobs.iter().filter(|((_, state), _)| *state == JobState::Leased).map(|(_, n)| n).sum())
}

/// Pieces small enough for a message, cut without copying.
fn chunks(piece: &Bytes) -> Vec<Bytes> {
    let starts = (0..piece.len()).step_by(CHUNK_BYTES);
    starts.map(|start| piece.slice(start..piece.len().min(start + CHUNK_BYTES))).collect()
}

fn page_of(page: Vec<Garbage>) -> pb::CollectGarbageResponse {
    let removed = page.into_iter().map(|garbage| pb::Garbage {
        artifact: garbage.artifact.to_string(),
        bytes: garbage.bytes,
        stored_at: Timestamp::from(garbage.stored).to_string(),
    });
    pb::CollectGarbageResponse { removed: removed.collect(), totals: None }
}

fn totals_of(totals: Totals) -> pb::CollectGarbageResponse {
    let Totals { named, young, removed, bytes } = totals;
    let totals = pb::CollectGarbageTotals { removed, removed_bytes: bytes, named, young };
    pb::CollectGarbageResponse { removed: Vec::new(), totals: Some(totals) }
}

/// The names in a store.
pub struct Database<'a>(pub &'a dyn Store);

#[async_trait]
impl Names for Database<'_> {
    async fn named(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>, StoreError> {
        self.0.named_artifacts(artifacts).await
    }
}
