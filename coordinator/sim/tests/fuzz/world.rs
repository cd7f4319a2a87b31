//! One coordinator's services over a store in memory in which something is going on.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{Service, http};
use tonic::{Code, Request, Status};
use transect_common::pb;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;
use transect_coordinator::artifacts::{Artifacts, Location};
use transect_coordinator::store::{MemoryStore, SqliteStore, Store, Terms, Timestamp};
use transect_coordinator::{Clock, Embedded};
use transect_simulate::sound;

use crate::messages::Known;

const LEASE: Duration = Duration::from_secs(30);
const TERMS: Terms = Terms { lease: LEASE, max_attempts: 3 };
/// An endless stream, and a worker that waits for work, are listened to for so long.
const LISTEN: Duration = Duration::from_millis(30);
/// Most answers of a stream that are read.
const MOST: usize = 10;

const SWEEP: &str = r#"
name = "small"
[data]
set = "mnist"
train_size = 100
test_size = 50
[model]
architecture = "mlp"
[train]
seed = [0, 1]
epochs = 2
optimizer = { name = "sgd", lr = 0.1 }
[[probe]]
kind = "line"
alphas = { start = 0.0, stop = 1.0, count = 3 }
layers = ["all"]
splits = ["test"]
"#;

/// The services as what a client sends through.
#[derive(Clone)]
struct Way(Embedded);

impl Service<http::Request<Body>> for Way {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let services = self.0.clone();
        Box::pin(async move { Ok(services.call(request).await) })
    }
}

/// Messages as bytes, whatever they mean.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }
    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let length = from.remaining();
        Ok(Some(from.copy_to_bytes(length).to_vec()))
    }
}

/// Statuses that say that a coordinator is at fault, but for what tonic says of bytes that are no message.
pub fn is_our_fault(status: &Status) -> bool {
    let is_no_message = ["failed to decode Protobuf message", "Missing request message"];
    match status.code() {
        Code::Internal | Code::Unknown => !is_no_message.iter().any(|text| status.message().starts_with(text)),
        // Bytes that do not have the digest that they are sent under.
        Code::DataLoss => !status.message().contains("digest"),
        _ => false,
    }
}

pub struct World {
    store: Arc<dyn Store>,
    /// The store, where it is the one in memory.
    memory: Option<Arc<MemoryStore>>,
    way: Way,
    now: Arc<AtomicU64>,
    /// Words that mean something here.
    pub known: Known,
    _artifacts: tempfile::TempDir,
}

impl World {
    /// A world over a store in memory.
    pub async fn in_memory() -> Self {
        let memory = Arc::new(MemoryStore::new(TERMS));
        Self { memory: Some(memory.clone()), ..Self::over(memory).await }
    }

    /// A world over a store in this folder.
    pub async fn on_disk(folder: &Path) -> Self {
        Self::over(Arc::new(SqliteStore::open(&folder.join("transect.db"), TERMS).await.unwrap())).await
    }

    /// A sweep of two runs, one of which a worker is training; an artifact; another worker.
    async fn over(store: Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Folder(folder.path().join("artifacts"));
        let artifacts = Artifacts::open(location, &folder.path().join("spool")).await.unwrap();
        let now = Arc::new(AtomicU64::new(1_700_000_000_000));
        let told = now.clone();
        let clock = Clock::told(move || Timestamp::from_millis(told.load(Ordering::Relaxed)));
        let way = Way(Embedded::new(store.clone(), artifacts, clock, LEASE));

        let mut sweeps = SweepServiceClient::new(way.clone());
        let request = pb::SubmitRequest { sweep_file: SWEEP.to_owned(), ..Default::default() };
        sweeps.submit(request).await.unwrap();
        let bytes = b"an artifact".to_vec();
        let artifact = blake3::hash(&bytes).to_hex().to_string();
        let whole = bytes.len() as u64;
        let put = pb::PutRequest { artifact: artifact.clone(), chunk: bytes, offset: 0, bytes: whole };
        ArtifactServiceClient::new(way.clone()).put(tokio_stream::iter([put])).await.unwrap();
        let mut workers = WorkerServiceClient::new(way.clone());
        for device in ["cpu", "cuda:0"] {
            let info = pb::WorkerInfo { host: "here".into(), device: device.into(), ..Default::default() };
            workers.register(pb::RegisterRequest { info: Some(info) }).await.unwrap();
        }
        let lease = pb::LeaseRequest { worker_id: "w-1".into(), max_jobs: 1, ..Default::default() };
        let lease = workers.lease(lease).await.unwrap().into_inner();
        let known = known(&artifact, whole, &lease.run);
        Self { store, memory: None, way, now, known, _artifacts: folder }
    }

    /// Sends messages to a method; what it answers is read for a while.
    pub async fn call(&self, path: &str, messages: Vec<Vec<u8>>) -> Result<(), Status> {
        // One that is not answered in time is one whose client went away.
        tokio::time::timeout(LISTEN, self.ask(path, messages)).await.unwrap_or(Ok(vec![])).map(drop)
    }

    /// Sends messages to a method; what it answers.
    pub async fn ask(&self, path: &str, messages: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Status> {
        let mut grpc = Grpc::new(self.way.clone());
        let path = http::uri::PathAndQuery::try_from(path).unwrap();
        grpc.ready().await.map_err(|e| Status::unknown(e.to_string()))?;
        let request = Request::new(tokio_stream::iter(messages));
        let mut answers = grpc.streaming(request, path, Raw).await?.into_inner();
        let mut read = vec![];
        while let Some(answer) = answers.message().await? {
            read.push(answer);
            if read.len() == MOST {
                break;
            }
        }
        Ok(read)
    }

    /// Time passes, and leases end.
    pub async fn pass(&self, milliseconds: u64) {
        let now = self.now.fetch_add(milliseconds, Ordering::Relaxed) + milliseconds;
        self.store.expire(Timestamp::from_millis(now)).await.unwrap();
        self.store.roll_up(Timestamp::from_millis(now)).await.unwrap();
    }

    /// Everything that must hold of a store at any moment.
    pub fn is_sound(&self) {
        let memory = self.memory.as_ref().expect("only a store in memory is seen through");
        sound(&memory.see()).unwrap();
    }
}

fn known(artifact: &str, bytes: u64, run: &str) -> Known {
    let longer = SWEEP.replace("[0, 1]", "[0, 1, 2]").replace("small", "longer");
    let broken = SWEEP.replace("count = 3", "count = 1152921504606846976");
    let words = [
        ("sweep", "s-1"),
        ("sweep", "small"),
        ("sweep_file", SWEEP),
        ("sweep_file", &longer),
        ("sweep_file", &broken),
        ("worker_id", "w-1"),
        ("worker_id", "w-2"),
        ("worker", "w-1"),
        ("artifact", artifact),
        ("bytes", &bytes.to_string()),
        ("offset", "0"),
        ("run", run),
        ("cached_runs", run),
        ("split", "test"),
        ("tag", "init"),
        ("tag", "final"),
        ("class", "run"),
        ("class", "machine"),
        ("device", "cpu"),
        ("state", "failed"),
        ("scopes", "read"),
        ("name", "barrier"),
        ("name", "other"),
        ("model", "mlp"),
        ("job_id", "1"),
        ("job_id", "2"),
        ("job_id", "3"),
        ("attempt", "1"),
        ("attempt", "2"),
        ("index", "0"),
        ("index", "1"),
        ("count", "50"),
        ("epoch", "1"),
        ("threads", "1"),
        ("page_size", "2"),
        ("max_jobs", "2"),
        ("wait_seconds", "0"),
        ("priority", "3"),
    ];
    words.into_iter().map(|(field, word)| (field, word.to_owned())).collect()
}
