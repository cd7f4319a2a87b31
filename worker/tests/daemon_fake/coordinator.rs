//! A coordinator in memory: gives out the leases it was given, stores what it is told, and misbehaves on demand.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::broadcast;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use transect_common::digest::ArtifactDigest;
use transect_common::pb::artifact_service_server::{ArtifactService, ArtifactServiceServer};
use transect_common::pb::report_request::Row;
use transect_common::pb::worker_service_server::{WorkerService, WorkerServiceServer};
use transect_common::pb::*;

type Key = (u64, u32);

/// What the coordinator knows, and how it shall behave.
#[derive(Default)]
pub struct State {
    /// Leases to give out.
    pub leases: VecDeque<LeaseResponse>,
    /// Rows stored, in order.
    pub rows: Vec<(Key, Row)>,
    /// Artifacts by digest.
    pub artifacts: BTreeMap<String, Vec<u8>>,
    /// Downloads so far.
    pub downloads: usize,
    /// Registered workers that have not left.
    pub workers: BTreeMap<String, WorkerInfo>,
    /// Registrations so far.
    pub registrations: usize,
    /// Workers that left.
    pub left: Vec<String>,
    /// Heartbeats so far.
    pub heartbeats: usize,
    /// The last heartbeat's jobs.
    pub alive: Vec<JobProgress>,
    /// What the last lease request named as cached.
    pub cached_runs: Vec<String>,
    /// Jobs that heartbeats are told to stop.
    pub stop: BTreeSet<Key>,
    /// Jobs whose rows are refused, with the reason.
    pub refuse: BTreeMap<Key, &'static str>,
    /// Artifacts are refused with this.
    pub refuse_artifacts: Option<Status>,
    /// Snapshots are refused with this reason.
    pub refuse_snapshots: Option<&'static str>,
    /// Time between heartbeats in milliseconds, if not 200.
    pub heartbeat_ms: Option<u64>,
    /// Streams of signals that were opened; they are not known when this is absent.
    pub signals: Option<usize>,
    /// What lease requests said of the time that is left.
    pub seconds_left: Vec<f64>,
    /// After so many refusals it takes them again.
    pub refusals: Option<u32>,
    /// Parts of uploads that were cut.
    pub partial: BTreeMap<String, Vec<u8>>,
    /// The next upload is cut once so many bytes have come.
    pub cut_upload_after: Option<usize>,
    /// The next download is cut after so many chunks.
    pub cut_download_after: Option<usize>,
    /// Transfers that began elsewhere than at 0.
    pub resumed: u64,
    /// This many reports are stored and then answered with an error, as when a connection breaks.
    pub lose_answers: usize,
}

impl State {
    /// The refusal that an upload meets now.
    fn refused_artifact(&mut self) -> Option<Status> {
        if let Some(left) = &mut self.refusals {
            if *left == 0 {
                (self.refuse_artifacts, self.refusals) = (None, None);
            } else {
                *left -= 1;
            }
        }
        self.refuse_artifacts.clone()
    }

    /// Rows of a job.
    pub fn rows_of(&self, job: u64) -> Vec<&Row> {
        self.rows.iter().filter(|((id, _), _)| *id == job).map(|(_, row)| row).collect()
    }

    /// True once a job is done.
    pub fn is_done(&self, job: u64) -> bool {
        self.rows_of(job).iter().any(|row| matches!(row, Row::Done(_)))
    }

    /// How a job failed, once it has.
    pub fn failure(&self, job: u64) -> Option<FailedRow> {
        self.rows_of(job).into_iter().find_map(|row| match row {
            Row::Failed(row) => Some(row.clone()),
            _ => None,
        })
    }

    /// Points of a job.
    pub fn points(&self, job: u64) -> Vec<PointRow> {
        let point = |row: &Row| if let Row::Point(row) = row { Some(row.clone()) } else { None };
        self.rows_of(job).into_iter().filter_map(point).collect()
    }

    /// The latest snapshot of a job, as a lease offers it.
    pub fn snapshot(&self, job: u64) -> Option<Snapshot> {
        let rows = self.rows_of(job);
        rows.into_iter().rev().find_map(|row| match row.clone() {
            Row::Snapshot(SnapshotRow { artifact, bytes, step, threads }) => {
                Some(Snapshot { artifact, bytes, step, threads })
            }
            _ => None,
        })
    }

    /// Checkpoints of a job.
    pub fn checkpoints(&self, job: u64) -> Vec<TaggedArtifact> {
        let checkpoint = |row: &Row| match row {
            Row::Checkpoint(row) => Some(TaggedArtifact { tag: row.tag.clone(), artifact: row.artifact.clone() }),
            _ => None,
        };
        self.rows_of(job).into_iter().filter_map(checkpoint).collect()
    }
}

/// A running fake.
pub struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    wake: broadcast::Sender<()>,
    runtime: Option<Runtime>,
}

impl Fake {
    pub fn start() -> Self {
        Self::start_with(Arc::default(), broadcast::channel(16).0)
    }

    /// Another coordinator of the same store.
    pub fn beside(&self) -> Self {
        Self::start_with(Arc::clone(&self.state), self.wake.clone())
    }

    fn start_with(state: Arc<Mutex<State>>, wake: broadcast::Sender<()>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut fake = Self { address, state, wake, runtime: None };
        fake.serve(listener);
        fake
    }

    /// Asks every worker for a heartbeat.
    pub fn wake(&self) {
        self.wake.send(()).unwrap();
    }

    fn serve(&mut self, listener: std::net::TcpListener) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        listener.set_nonblocking(true).unwrap();
        let service = Service(Arc::clone(&self.state), self.wake.clone());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
            let server = Server::builder()
                .add_service(WorkerServiceServer::new(service.clone()))
                .add_service(ArtifactServiceServer::new(service));
            server.serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Closes every connection and the port, as a killed process does.
    pub fn vanish(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }

    /// Listens on the same port again, knowing what it knew.
    pub fn come_back(&mut self) {
        let address = self.address;
        let listener = super::wait_for("the port to be free again", || std::net::TcpListener::bind(address).ok());
        self.serve(listener);
    }

    pub fn give(&self, lease: LeaseResponse) {
        self.state().leases.push_back(lease);
    }

    /// Waits until `found` gives something of the state.
    pub fn wait<T>(&self, what: &str, found: impl Fn(&State) -> Option<T>) -> T {
        super::wait_for(what, || found(&self.state()))
    }

    /// Waits until a job is done.
    pub fn wait_done(&self, job: u64) {
        self.wait(&format!("job {job} to be done"), |state| {
            assert_eq!(state.failure(job), None);
            state.is_done(job).then_some(())
        });
    }

    /// Waits until a job has failed.
    pub fn wait_failure(&self, job: u64) -> FailedRow {
        self.wait(&format!("job {job} to fail"), |state| state.failure(job))
    }
}

#[derive(Clone)]
struct Service(Arc<Mutex<State>>, broadcast::Sender<()>);

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn known(&self, worker_id: &str) -> Result<MutexGuard<'_, State>, Status> {
        let state = self.state();
        let is_known = state.workers.contains_key(worker_id);
        if is_known { Ok(state) } else { Err(Status::not_found(format!("no worker {worker_id}"))) }
    }
}

#[tonic::async_trait]
impl WorkerService for Service {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let mut state = self.state();
        state.registrations += 1;
        let worker_id = format!("w-{}", state.registrations);
        state.workers.insert(worker_id.clone(), request.into_inner().info.unwrap());
        let heartbeat_ms = state.heartbeat_ms.unwrap_or(200);
        Ok(Response::new(RegisterResponse { worker_id, lease_ms: 3 * heartbeat_ms, heartbeat_ms }))
    }

    async fn lease(&self, request: Request<LeaseRequest>) -> Result<Response<LeaseResponse>, Status> {
        let request = request.into_inner();
        self.state().seconds_left.extend(request.seconds_left);
        for _ in 0..request.wait_seconds * 50 {
            {
                let mut state = self.known(&request.worker_id)?;
                state.cached_runs.clone_from(&request.cached_runs);
                if let Some(lease) = state.leases.pop_front() {
                    return Ok(Response::new(lease));
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Response::new(LeaseResponse::default()))
    }

    async fn heartbeat(&self, request: Request<HeartbeatRequest>) -> Result<Response<HeartbeatResponse>, Status> {
        let request = request.into_inner();
        let mut state = self.known(&request.worker_id)?;
        state.heartbeats += 1;
        let is_stopped = |job: &JobAttempt| state.stop.contains(&(job.job_id, job.attempt));
        let stop = request.jobs.iter().filter_map(|progress| progress.job).filter(is_stopped).collect();
        state.alive = request.jobs;
        Ok(Response::new(HeartbeatResponse { stop }))
    }

    async fn report(&self, request: Request<Streaming<ReportRequest>>) -> Result<Response<ReportResponse>, Status> {
        let mut stream = request.into_inner();
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            rows.push(row?);
        }
        let mut state = self.known(&rows[0].worker_id)?;
        let mut refused = Vec::new();
        let mut stored = 0;
        for (place, row) in rows.into_iter().enumerate() {
            let job = row.job.unwrap();
            let (key, row) = ((job.job_id, job.attempt), row.row.unwrap());
            let reason = match row {
                Row::Snapshot(_) => state.refuse_snapshots.or_else(|| state.refuse.get(&key).copied()),
                _ => state.refuse.get(&key).copied(),
            };
            // A coordinator that finds points invalid still takes the news that the attempt failed.
            let reason = reason.filter(|reason| !(*reason == "invalid" && matches!(row, Row::Failed(_))));
            if let Some(reason) = reason {
                let message = format!("told to refuse job {}", job.job_id);
                refused.push(Refusal { job: Some(job), row: place as u64, reason: reason.into(), message });
                continue;
            }
            stored += 1;
            let row = (key, row);
            if !state.rows.contains(&row) {
                state.rows.push(row);
            }
        }
        if state.lose_answers > 0 {
            state.lose_answers -= 1;
            return Err(Status::unavailable("told to lose this answer"));
        }
        Ok(Response::new(ReportResponse { stored, refused }))
    }

    type SignalsStream = Pin<Box<dyn Stream<Item = Result<SignalsResponse, Status>> + Send>>;

    async fn signals(&self, request: Request<SignalsRequest>) -> Result<Response<Self::SignalsStream>, Status> {
        let mut state = self.known(&request.into_inner().worker_id)?;
        let Some(opened) = &mut state.signals else { return Err(Status::unimplemented("an older coordinator")) };
        *opened += 1;
        let mut wake = self.1.subscribe();
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(
            async move { while wake.recv().await.is_ok() && sender.send(Ok(SignalsResponse {})).await.is_ok() {} },
        );
        Ok(Response::new(Box::pin(tokio_stream::wrappers::ReceiverStream::new(receiver))))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        let worker_id = request.into_inner().worker_id;
        let mut state = self.known(&worker_id)?;
        state.workers.remove(&worker_id);
        state.left.push(worker_id);
        Ok(Response::new(LeaveResponse { released: 0 }))
    }
}

#[tonic::async_trait]
impl ArtifactService for Service {
    async fn put(&self, request: Request<Streaming<PutRequest>>) -> Result<Response<PutResponse>, Status> {
        if let Some(status) = self.state().refused_artifact() {
            return Err(status);
        }
        let mut stream = request.into_inner();
        let (mut name, mut bytes) = (String::new(), Vec::new());
        while let Some(message) = stream.next().await {
            let message = message?;
            assert!(message.chunk.len() <= 1 << 20);
            if name.is_empty() {
                name = message.artifact;
                let kept = self.state().partial.remove(&name).unwrap_or_default();
                assert!(message.offset as usize <= kept.len(), "{} of {}", message.offset, kept.len());
                bytes.extend_from_slice(&kept[..message.offset as usize]);
                self.state().resumed += u64::from(message.offset > 0);
            }
            bytes.extend(message.chunk);
            let cut = self.state().cut_upload_after;
            if cut.is_some_and(|cut| bytes.len() >= cut) {
                let mut state = self.state();
                state.cut_upload_after = None;
                state.partial.insert(name, bytes);
                return Err(Status::unavailable("the connection was cut"));
            }
        }
        if ArtifactDigest::of(&bytes).as_str() != name {
            return Err(Status::data_loss("the bytes do not match the name"));
        }
        let len = bytes.len() as u64;
        let created = self.state().artifacts.insert(name, bytes).is_none();
        Ok(Response::new(PutResponse { bytes: len, created }))
    }

    type GetStream = Pin<Box<dyn Stream<Item = Result<GetArtifactResponse, Status>> + Send>>;

    async fn get(&self, request: Request<GetArtifactRequest>) -> Result<Response<Self::GetStream>, Status> {
        let GetArtifactRequest { artifact: name, offset } = request.into_inner();
        let mut state = self.state();
        state.downloads += 1;
        state.resumed += u64::from(offset > 0);
        let cut = state.cut_download_after.take();
        let bytes = state.artifacts.get(&name).ok_or_else(|| Status::not_found(format!("no artifact {name}")))?;
        let mut chunks: Vec<_> = bytes[offset as usize..]
            .chunks(10_000)
            .map(|chunk| Ok(GetArtifactResponse { chunk: chunk.to_vec() }))
            .collect();
        if let Some(cut) = cut {
            chunks.truncate(cut);
            chunks.push(Err(Status::unavailable("the connection was cut")));
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(chunks))))
    }

    async fn stat(&self, request: Request<StatRequest>) -> Result<Response<StatResponse>, Status> {
        let name = request.into_inner().artifact;
        let bytes = self.state().artifacts.get(&name).map(|bytes| bytes.len() as u64);
        let partial_bytes = self.state().partial.get(&name).map_or(0, |bytes| bytes.len() as u64);
        Ok(Response::new(StatResponse { exists: bytes.is_some(), bytes: bytes.unwrap_or(0), partial_bytes }))
    }

    type CollectGarbageStream = Pin<Box<dyn Stream<Item = Result<CollectGarbageResponse, Status>> + Send>>;

    async fn collect_garbage(
        &self,
        _: Request<CollectGarbageRequest>,
    ) -> Result<Response<Self::CollectGarbageStream>, Status> {
        Err(Status::unimplemented("no worker asks for it"))
    }
}
