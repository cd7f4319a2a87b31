//! What the tests share: a coordinator to talk to, a sweep to submit, and a worker that measures nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use tonic::transport::Channel;
use transect_common::checkpoint::{Checkpoint, encode};
use transect_common::data::Split;
use transect_common::digest::ArtifactDigest;
use transect_common::line::LineSpec;
use transect_common::model::ModelSpec;
use transect_common::pb;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::report_request::Row;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;
use transect_common::run::RunSpec;
use transect_coordinator::{Config, Coordinator, start};

/// Two runs with one line of three points each: 4 jobs, 6 points.
pub const SMALL: &str = r#"
name = "small"
[data]
set = "mnist"
train_size = 100
test_size = 50
[model]
architecture = "lenet5"
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

/// The defaults on free ports.
pub fn config(home: &Path) -> Config {
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Config { listen: free, http: Some(free), ..Config::new(home) }
}

/// A coordinator with a home of its own.
pub struct Server {
    pub home: tempfile::TempDir,
    pub coordinator: Coordinator,
    pub channel: Channel,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|config| config).await
    }

    pub async fn start_with(change: impl FnOnce(Config) -> Config) -> Self {
        let home = tempfile::tempdir().unwrap();
        let coordinator = start(change(config(home.path()))).await.unwrap();
        let channel = connect(coordinator.address()).await;
        Self { home, coordinator, channel }
    }

    pub fn sweeps(&self) -> SweepServiceClient<Channel> {
        SweepServiceClient::new(self.channel.clone())
    }

    pub fn workers(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone())
    }

    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel.clone())
    }

    /// Submits a sweep file that must be right.
    pub async fn submit(&self, sweep_file: &str) -> pb::Sweep {
        submit(self.channel.clone(), sweep_file).await
    }

    pub async fn sweep(&self, id: &str) -> pb::Sweep {
        let request = pb::GetRequest { sweep: id.to_owned() };
        self.sweeps().get(request).await.unwrap().into_inner().sweep.unwrap()
    }

    pub async fn jobs(&self, sweep: &str) -> Vec<pb::Job> {
        let request = pb::JobsRequest { sweep: sweep.to_owned(), page_size: 1000, ..Default::default() };
        self.sweeps().jobs(request).await.unwrap().into_inner().jobs
    }
}

pub async fn connect(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub async fn submit(channel: Channel, sweep_file: &str) -> pb::Sweep {
    let request = pb::SubmitRequest { sweep_file: sweep_file.to_owned(), ..Default::default() };
    SweepServiceClient::new(channel).submit(request).await.unwrap().into_inner().sweep.unwrap()
}

/// A worker that makes everything up.
pub struct Worker {
    pub id: String,
    workers: WorkerServiceClient<Channel>,
    artifacts: ArtifactServiceClient<Channel>,
}

impl Worker {
    pub async fn register(channel: Channel) -> Self {
        let mut workers = WorkerServiceClient::new(channel.clone());
        let info =
            pb::WorkerInfo { host: "here".into(), pid: 42, device: "cpu".into(), threads: 1, ..Default::default() };
        let answer = workers.register(pb::RegisterRequest { info: Some(info) }).await.unwrap().into_inner();
        Self::known(channel, answer.worker_id)
    }

    /// One that registered before, on a new connection.
    pub fn known(channel: Channel, id: String) -> Self {
        Self { id, workers: WorkerServiceClient::new(channel.clone()), artifacts: ArtifactServiceClient::new(channel) }
    }

    pub async fn try_lease(&mut self, max_jobs: u32, wait_seconds: u32) -> Result<pb::LeaseResponse, tonic::Status> {
        let request = pb::LeaseRequest {
            worker_id: self.id.clone(),
            max_jobs,
            wait_seconds,
            cached_runs: vec![],
            seconds_left: None,
        };
        Ok(self.workers.lease(request).await?.into_inner())
    }

    pub async fn lease(&mut self, max_jobs: u32) -> pb::LeaseResponse {
        self.try_lease(max_jobs, 0).await.unwrap()
    }

    pub async fn report(&mut self, rows: Vec<(pb::JobAttempt, Row)>) -> pb::ReportResponse {
        let worker_id = self.id.clone();
        let requests = rows.into_iter().map(move |(job, row)| pb::ReportRequest {
            worker_id: worker_id.clone(),
            job: Some(job),
            row: Some(row),
        });
        self.workers.report(tokio_stream::iter(requests.collect::<Vec<_>>())).await.unwrap().into_inner()
    }

    pub async fn heartbeat(&mut self, job: pb::JobAttempt, text: &str) -> Vec<pb::JobAttempt> {
        let progress = pb::JobProgress { job: Some(job), fraction: 0.5, text: text.to_owned() };
        let request = pb::HeartbeatRequest { worker_id: self.id.clone(), jobs: vec![progress], draining: false };
        self.workers.heartbeat(request).await.unwrap().into_inner().stop
    }

    pub async fn leave(&mut self) -> u32 {
        let request = pb::LeaveRequest { worker_id: self.id.clone() };
        self.workers.leave(request).await.unwrap().into_inner().released
    }

    /// Uploads an artifact and returns its name.
    pub async fn put(&mut self, bytes: &[u8]) -> String {
        put(&mut self.artifacts, bytes).await
    }

    /// Does everything that a lease asks for. Losses are made up: the index plus one.
    pub async fn finish(&mut self, lease: &pb::LeaseResponse) {
        let run = RunSpec::from_canonical(&lease.run_spec).unwrap();
        let mut rows = Vec::new();
        for leased in &lease.jobs {
            let job = attempt(leased);
            if leased.line_spec.is_empty() {
                for tag in run.tags() {
                    let bytes = weights(&run.model, 1.0);
                    let artifact = self.put(&bytes).await;
                    let row = pb::CheckpointRow { tag: tag.into(), artifact, bytes: bytes.len() as u64 };
                    rows.push((job, Row::Checkpoint(row)));
                }
                rows.push((job, Row::Epoch(epoch(1, 0.5))));
            } else {
                let line = LineSpec::from_canonical(&leased.line_spec).unwrap();
                let points = line_points(&line, |index| f64::from(index) + 1.0);
                rows.extend(points.into_iter().map(|point| (job, Row::Point(point))));
            }
            rows.push((job, Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 })));
        }
        let answer = self.report(rows).await;
        assert_eq!(answer.refused, [], "stored {}", answer.stored);
    }

    /// Works until there is nothing left to do.
    pub async fn finish_all(&mut self) {
        loop {
            let lease = self.lease(100).await;
            if lease.jobs.is_empty() {
                return;
            }
            self.finish(&lease).await;
        }
    }
}

pub fn attempt(job: &pb::LeasedJob) -> pb::JobAttempt {
    pb::JobAttempt { job_id: job.job_id, attempt: job.attempt }
}

pub fn epoch(epoch: u32, loss: f64) -> pb::EpochRow {
    pb::EpochRow { epoch, split: "train".into(), loss, accuracy: 0.5, learning_rate: 0.1, seconds: 1.0 }
}

/// Every point of a line.
pub fn line_points(line: &LineSpec, loss: impl Fn(u32) -> f64) -> Vec<pb::PointRow> {
    let all = line.splits.iter().flat_map(|&split: &Split| (0..).zip(&line.alphas).map(move |place| (split, place)));
    all.map(|(split, (index, &alpha))| pb::PointRow {
        split: split.name().to_owned(),
        index,
        alpha,
        loss: loss(index),
        accuracy: 0.5,
        count: 50,
    })
    .collect()
}

/// A checkpoint of `model` with all numbers the same.
pub fn weights(model: &ModelSpec, value: f32) -> Vec<u8> {
    let description = model.describe(model.usual_input(), 10).unwrap();
    let theta = vec![value; description.theta_len()];
    let buffers = vec![value; description.buffers_len()];
    encode(&description, &Checkpoint { theta, buffers })
}

/// Uploads an artifact and returns its name.
pub async fn put(artifacts: &mut ArtifactServiceClient<Channel>, bytes: &[u8]) -> String {
    let artifact = ArtifactDigest::of(bytes).to_string();
    let mut requests: Vec<_> = bytes
        .chunks(1 << 20)
        .map(|chunk| pb::PutRequest { artifact: String::new(), chunk: chunk.to_vec(), offset: 0 })
        .collect();
    requests[0].artifact.clone_from(&artifact);
    artifacts.put(tokio_stream::iter(requests)).await.unwrap();
    artifact
}

/// Reads one page over HTTP: status line, headers and body.
pub async fn page(address: SocketAddr, path: &'static str) -> String {
    let read = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// Waits until something is so; the test fails when it never is.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never came to be: {what}");
}
