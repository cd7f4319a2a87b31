//! Simulated workers: they speak as `transect-worker` does, and make up what they report.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use prost::Message as _;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until};
use transect_common::client::Channel;
use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::pb::report_request::Row;
use transect_common::pb::worker_service_client::WorkerServiceClient;

use crate::coordinator::Coordinator;

/// What workers do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// How many.
    pub workers: usize,
    /// Lines that each leases together.
    pub jobs_per_lease: u32,
    /// Lines whose points and ends each reports together, at most.
    pub jobs_per_report: usize,
    /// How long a line takes; nothing for as fast as the coordinator answers.
    pub job: Duration,
    /// They stop when so many jobs are done,
    pub jobs: Option<usize>,
    /// and after this long,
    pub time: Duration,
    /// and, if so, when there is nothing left to lease; otherwise an empty queue is an error.
    pub until_empty: bool,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Done {
    /// Milliseconds of each call that leased something.
    pub leases: Vec<f64>,
    /// Of each report.
    pub reports: Vec<f64>,
    /// Jobs that are done.
    pub jobs: usize,
    /// Bytes of requests and answers, without the framing of HTTP/2.
    pub bytes: usize,
    /// Seconds from the first lease to the last report.
    pub seconds: f64,
}

impl Done {
    fn add(&mut self, other: Self) {
        self.leases.extend(other.leases);
        self.reports.extend(other.reports);
        self.jobs += other.jobs;
        self.bytes += other.bytes;
    }
}

/// A worker as it registers, by number.
pub fn info(number: usize) -> pb::WorkerInfo {
    pb::WorkerInfo {
        host: format!("host-{}", number / 8),
        pid: 1000 + number as u32,
        device: format!("cuda:{}", number % 8),
        device_name: "simulated".into(),
        memory_bytes: 80 << 30,
        libtorch: "2.11.0".into(),
        cpu_capability: "AVX512".into(),
        threads: 1,
        version: "0.1.0".into(),
        labels: vec![],
    }
}

/// Registers a worker; returns its id and how often it should be heard.
pub async fn register(client: &mut WorkerServiceClient<Channel>, number: usize) -> anyhow::Result<(String, Duration)> {
    let answer = client.register(pb::RegisterRequest { info: Some(info(number)) }).await.context("register")?;
    let pb::RegisterResponse { worker_id, heartbeat_ms, .. } = answer.into_inner();
    Ok((worker_id, Duration::from_millis(heartbeat_ms)))
}

/// Has workers work, each on a connection of its own.
pub async fn run(coordinator: &Coordinator, load: Load) -> anyhow::Result<Done> {
    let mut workers = vec![];
    for number in 0..load.workers {
        let mut client = WorkerServiceClient::new(coordinator.connect().await?);
        let (id, heartbeat) = register(&mut client, number).await?;
        workers.push(Worker { client, id, heartbeat, held: Arc::default(), points: vec![], done: Done::default() });
    }
    let budget = Arc::new(AtomicI64::new(load.jobs.map_or(i64::MAX, |jobs| jobs as i64)));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for (number, worker) in workers.into_iter().enumerate() {
        // Workers of a cluster do not lease all at once: they begin at moments spread over the time of one lease.
        let cycle = load.job * load.jobs_per_lease;
        let start = began + cycle.mul_f64(number as f64 / load.workers as f64);
        tasks.spawn(worker.work(load, start, began + load.time, budget.clone()));
    }
    let mut all = Done::default();
    let mut finished = vec![];
    while let Some(worker) = tasks.join_next().await {
        let worker = worker??;
        finished.push((worker.client, worker.id));
        all.add(worker.done);
    }
    all.seconds = began.elapsed().as_secs_f64();
    // What they still hold is free again.
    for (mut client, worker_id) in finished {
        client.leave(pb::LeaveRequest { worker_id }).await.context("leave")?;
    }
    Ok(all)
}

struct Worker {
    client: WorkerServiceClient<Channel>,
    id: String,
    heartbeat: Duration,
    held: Arc<Mutex<Vec<pb::JobAttempt>>>,
    /// All lines of a sweep have the same points.
    points: Vec<pb::PointRow>,
    done: Done,
}

impl Worker {
    async fn work(mut self, load: Load, start: Instant, end: Instant, budget: Arc<AtomicI64>) -> anyhow::Result<Self> {
        sleep_until(start.min(end)).await;
        // Nor do they all beat at once.
        let beats = tokio::spawn(beat(self.client.clone(), self.id.clone(), self.heartbeat, self.held.clone()));
        let mut cached: Vec<String> = vec![];
        while Instant::now() < end && budget.load(Ordering::Relaxed) > 0 {
            let lease = self.lease(load, &cached).await?;
            if lease.jobs.is_empty() && load.until_empty {
                break;
            }
            ensure!(!lease.jobs.is_empty(), "the queue is empty: measure with a larger sweep or for a shorter time");
            cached.retain(|run| *run != lease.run);
            cached.insert(0, lease.run.clone());
            cached.truncate(3);
            if self.points.is_empty() {
                self.points = points(&lease.jobs[0].line_spec)?;
            }
            self.hold(lease.jobs.iter().map(attempt).collect());
            for jobs in lease.jobs.chunks(load.jobs_per_report.max(1)) {
                if Instant::now() >= end || budget.fetch_sub(jobs.len() as i64, Ordering::Relaxed) <= 0 {
                    break;
                }
                if !load.job.is_zero() {
                    sleep(load.job * jobs.len() as u32).await;
                }
                self.report(jobs).await?;
            }
            self.hold(vec![]);
        }
        beats.abort();
        Ok(self)
    }

    fn hold(&self, jobs: Vec<pb::JobAttempt>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = jobs;
    }

    async fn lease(&mut self, load: Load, cached: &[String]) -> anyhow::Result<pb::LeaseResponse> {
        let request = pb::LeaseRequest {
            worker_id: self.id.clone(),
            max_jobs: load.jobs_per_lease,
            wait_seconds: if load.until_empty { 0 } else { 5 },
            cached_runs: cached.to_vec(),
            seconds_left: None,
        };
        self.done.bytes += request.encoded_len();
        let asked = Instant::now();
        let lease = self.client.lease(request).await.context("lease")?.into_inner();
        self.done.leases.push(asked.elapsed().as_secs_f64() * 1e3);
        self.done.bytes += lease.encoded_len();
        Ok(lease)
    }

    /// Reports every point of some lines, and that they are done.
    async fn report(&mut self, jobs: &[pb::LeasedJob]) -> anyhow::Result<()> {
        let mut rows = Vec::with_capacity(jobs.len() * (self.points.len() + 1));
        for job in jobs {
            let row = |row| pb::ReportRequest { worker_id: String::new(), job: Some(attempt(job)), row: Some(row) };
            rows.extend(self.points.iter().map(|point| row(Row::Point(point.clone()))));
            rows.push(row(Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 })));
        }
        rows[0].worker_id.clone_from(&self.id);
        self.done.bytes += rows.iter().map(prost::Message::encoded_len).sum::<usize>();
        let asked = Instant::now();
        let answer = self.client.report(tokio_stream::iter(rows)).await.context("report")?.into_inner();
        self.done.reports.push(asked.elapsed().as_secs_f64() * 1e3);
        self.done.bytes += answer.encoded_len();
        ensure!(answer.refused.is_empty(), "rows were refused: {:?}", answer.refused);
        self.done.jobs += jobs.len();
        Ok(())
    }
}

fn attempt(job: &pb::LeasedJob) -> pb::JobAttempt {
    pb::JobAttempt { job_id: job.job_id, attempt: job.attempt }
}

/// Signs of life, for ever.
async fn beat(
    mut client: WorkerServiceClient<Channel>,
    worker_id: String,
    every: Duration,
    held: Arc<Mutex<Vec<pb::JobAttempt>>>,
) {
    let mut ticks = interval(every);
    loop {
        ticks.tick().await;
        let jobs = held.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let progress = |job| pb::JobProgress { job: Some(job), fraction: 0.5, text: String::new() };
        let jobs = jobs.into_iter().map(progress).collect();
        // A beat that is lost is followed by another.
        let _ = client.heartbeat(pb::HeartbeatRequest { worker_id: worker_id.clone(), jobs, draining: false }).await;
    }
}

/// Every point of a line, made up.
fn points(line_spec: &str) -> anyhow::Result<Vec<pb::PointRow>> {
    let line = LineSpec::from_canonical(line_spec).context("a line's canonical form")?;
    let losses = losses(line.alphas.len());
    let all = line.splits.iter().flat_map(|split| (0..).zip(&line.alphas).map(move |place| (split, place)));
    let point = |(split, (index, &alpha)): (&transect_common::data::Split, (u32, &f64))| pb::PointRow {
        split: split.name().to_owned(),
        index,
        alpha,
        loss: losses[index as usize],
        accuracy: 0.5,
        count: 10_000,
    };
    Ok(all.map(point).collect())
}

/// The made up losses at so many values of alpha.
pub fn losses(alphas: usize) -> Vec<f64> {
    (0..alphas).map(|index| 0.125 + index as f64 / 3.0).collect()
}
