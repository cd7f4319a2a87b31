//! `ArtifactService`: uploads and downloads in chunks, checked against the artifact's name on the way in and out.

use futures::StreamExt as _;
use futures::stream::{BoxStream, try_unfold};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tonic::{Request, Response, Status, Streaming};
use transect_common::digest::ArtifactDigest;
use transect_common::pb;
use transect_common::pb::artifact_service_server::ArtifactService;

use super::Shared;
use crate::artifacts::{ArtifactError, CHUNK_BYTES, Stored};
use crate::status::{internal, invalid};

/// Chunks of an upload that may wait for the disk.
const CHUNKS_AHEAD: usize = 4;

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

#[tonic::async_trait]
impl ArtifactService for Service {
    async fn put(&self, request: Request<Streaming<pb::PutRequest>>) -> Result<Response<pb::PutResponse>, Status> {
        let mut stream = request.into_inner();
        let first = stream.message().await?;
        let first =
            first.ok_or_else(|| invalid("artifact", "the stream is empty: its first message names the artifact"))?;
        let artifact = parse(&first.artifact)?;

        // The disk is written in a thread of its own. When this handler is dropped half-way, the channel closes, the bytes
        // do not match their name, and nothing is stored.
        let (chunks, mut incoming) = mpsc::channel::<Vec<u8>>(CHUNKS_AHEAD);
        let store = self.shared.artifacts.clone();
        let name = artifact.clone();
        let writer = self.shared.work.spawn_blocking(move || -> Result<Stored, ArtifactError> {
            let mut upload = store.upload(name)?;
            while let Some(chunk) = incoming.blocking_recv() {
                upload.write(&chunk)?;
            }
            upload.finish()
        });

        let mut next = Some(first);
        while let Some(request) = next {
            if !request.artifact.is_empty() && request.artifact != artifact.as_str() {
                return Err(invalid("artifact", "one stream uploads one artifact; this message names another"));
            }
            if request.chunk.len() > CHUNK_BYTES {
                let found = request.chunk.len();
                return Err(invalid("chunk", format!("a chunk holds at most {CHUNK_BYTES} bytes, not {found}")));
            }
            self.shared.metrics.add_artifact_bytes("in", request.chunk.len());
            if chunks.send(request.chunk).await.is_err() {
                // The writer has given up; its error says why.
                break;
            }
            next = stream.message().await?;
        }
        drop(chunks);
        let stored = writer.await.map_err(|e| internal(&e))?.map_err(Status::from);
        let stored = self.shared.metrics.artifact("put", stored)?;
        if stored.created {
            tracing::debug!(%artifact, bytes = stored.bytes, "stored an artifact");
        }
        Ok(Response::new(pb::PutResponse { bytes: stored.bytes, created: stored.created }))
    }

    type GetStream = BoxStream<'static, Result<pb::GetArtifactResponse, Status>>;

    async fn get(&self, request: Request<pb::GetArtifactRequest>) -> Result<Response<Self::GetStream>, Status> {
        let artifact = parse(&request.get_ref().artifact)?;
        let file = self.shared.blocking(move |artifacts| artifacts.open_checked(&artifact)).await;
        let file = self.shared.metrics.artifact("get", file)?;
        let metrics = self.shared.metrics.clone();
        let chunks = try_unfold((File::from_std(file), metrics), |(mut file, metrics)| async move {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await.map_err(|e| internal(&e))?;
            metrics.add_artifact_bytes("out", chunk.len());
            Ok((!chunk.is_empty()).then_some((pb::GetArtifactResponse { chunk }, (file, metrics))))
        });
        Ok(Response::new(chunks.boxed()))
    }

    async fn stat(&self, request: Request<pb::StatRequest>) -> Result<Response<pb::StatResponse>, Status> {
        let artifact = parse(&request.get_ref().artifact)?;
        let size = self.shared.blocking(move |artifacts| artifacts.size(&artifact)).await;
        let size = self.shared.metrics.artifact("stat", size)?;
        Ok(Response::new(pb::StatResponse { exists: size.is_some(), bytes: size.unwrap_or(0) }))
    }
}
