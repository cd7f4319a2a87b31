//! `WorkerService`: leases, signs of life, and reports.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures::stream::{BoxStream, unfold};
use futures::{Stream, StreamExt as _};
use prost::Message as _;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};
use transect_common::digest::RunDigest;
use transect_common::job::JobKind;
use transect_common::pb;
use transect_common::pb::worker_service_server::WorkerService;

use super::reports::{self, Rows, job_attempt};
use super::waiting::Waiting;
use super::{Shared, translate};
use crate::security::Principal;
use crate::status::{cut, invalid, stopping};
use crate::store::{JobProgress, Lease, LeaseWish, LeasedJob, Refusal, Row, WorkerId};

/// Longest wait of a long poll.
const MAX_WAIT: u32 = 60;
/// Most jobs of a lease, and rows of a report.
const MAX_JOBS: u32 = 1000;
const MAX_REPORT: usize = 10_000;
/// Most bytes of a report: it is held in memory until it is complete.
const MAX_REPORT_BYTES: usize = 16 << 20;
/// Longest texts of a worker about itself that are kept, in bytes.
const MAX_TEXT: usize = 256;

/// Serves workers.
#[derive(Debug)]
pub struct Service {
    shared: Shared,
    /// Only saves looks that would find nothing.
    waiting: Waiting,
}

impl Service {
    /// Serves the workers of `shared`.
    pub fn new(shared: Shared) -> Self {
        Self { shared, waiting: Waiting::default() }
    }

    /// Looks for work.
    async fn look(&self, wish: &LeaseWish) -> Result<Option<Lease>, Status> {
        let (metrics, asked) = (&self.shared.metrics, Instant::now());
        let lease = metrics.store("lease", self.shared.store.lease(wish.clone(), self.shared.now())).await?;
        let kinds = lease.iter().flat_map(|lease| lease.jobs.iter().map(kind));
        metrics.add_lease(kinds, asked.elapsed(), SystemTime::now());
        Ok(lease)
    }

    /// Waits for work until `deadline`.
    async fn wait_for_work(&self, wish: LeaseWish, deadline: Instant) -> Result<Option<Lease>, Status> {
        let mut work = self.shared.store.work();
        work.mark_unchanged();
        let lease = self.look(&wish).await?;
        if lease.is_some() || Instant::now() >= deadline {
            return Ok(lease);
        }
        let _one = self.waiting.one();
        loop {
            // Either way it is time to look again: something happened, or nothing did for long.
            let pause = timeout_at(deadline.min(Instant::now() + self.waiting.pause()), work.changed()).await;
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let woken_at = *work.borrow_and_update();
            let _turn = self.waiting.turn().await;
            if pause.is_ok() && self.waiting.is_nothing_at(woken_at) {
                continue;
            }
            let revision = *work.borrow();
            if !self.shared.store.due(self.shared.now()).await? {
                self.waiting.nothing_at(revision);
                continue;
            }
            let lease = self.look(&wish).await?;
            if lease.is_some() {
                return Ok(lease);
            }
        }
    }
}

fn kind(job: &LeasedJob) -> JobKind {
    if job.line_spec.is_some() { JobKind::Line } else { JobKind::Train }
}

#[tonic::async_trait]
impl WorkerService for Service {
    async fn register(&self, request: Request<pb::RegisterRequest>) -> Result<Response<pb::RegisterResponse>, Status> {
        let caller = request.extensions().get::<Principal>().cloned();
        let info = request.into_inner().info.ok_or_else(|| invalid("info", "say what the worker is"))?;
        let mut info = translate::info_from_wire(info);
        for text in [&mut info.host, &mut info.device, &mut info.device_name, &mut info.libtorch, &mut info.version] {
            *text = cut(text, MAX_TEXT);
        }
        if info.device.is_empty() {
            return Err(invalid("info.device", "say which device the worker has, such as `cpu` or `cuda:0`"));
        }
        if i64::try_from(info.memory_bytes).is_err() {
            let most = i64::MAX;
            return Err(invalid("info.memory_bytes", format!("it is {}; at most {most} fits", info.memory_bytes)));
        }
        let (host, device, pid) = (info.host.clone(), info.device.clone(), info.pid);
        let worker = self.shared.store.register(info, self.shared.now()).await?;
        if let Some(caller) = &caller {
            self.shared.gate.own(caller, worker).await?;
        }
        info!(%worker, host, device, pid, "worker registered");
        let lease_ms = self.shared.lease.as_millis() as u64;
        let heartbeat_ms = (lease_ms / 3).max(1);
        Ok(Response::new(pb::RegisterResponse { worker_id: worker.to_string(), lease_ms, heartbeat_ms }))
    }

    async fn lease(&self, request: Request<pb::LeaseRequest>) -> Result<Response<pb::LeaseResponse>, Status> {
        let worker = self.shared.worker(request.extensions(), &request.get_ref().worker_id).await?;
        let request = request.into_inner();
        if request.max_jobs > MAX_JOBS {
            return Err(invalid("max_jobs", format!("ask for 1 to {MAX_JOBS} jobs, not {}", request.max_jobs)));
        }
        if request.wait_seconds > MAX_WAIT {
            return Err(invalid("wait_seconds", format!("wait 0 to {MAX_WAIT} s, not {}", request.wait_seconds)));
        }
        let runs = request.cached_runs.iter().take(100).map(|run| run.parse::<RunDigest>());
        let cached_runs = runs.collect::<Result<_, _>>().map_err(|e| invalid("cached_runs", format!("{e}")))?;
        let seconds_left = request.seconds_left.filter(|seconds| seconds.is_finite());
        let wish = LeaseWish { worker, max_jobs: request.max_jobs.max(1), cached_runs, seconds_left };
        let deadline = Instant::now() + Duration::from_secs(request.wait_seconds.into());
        let lease = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return Err(stopping()),
            lease = self.wait_for_work(wish, deadline) => lease?,
        };
        if let Some(lease) = &lease {
            let jobs: Vec<i64> = lease.jobs.iter().map(|leased| leased.job.job.0).collect();
            debug!(%worker, run = lease.run.short(), ?jobs, "leased");
        }
        Ok(Response::new(lease.map(translate::lease).unwrap_or_default()))
    }

    async fn heartbeat(
        &self,
        request: Request<pb::HeartbeatRequest>,
    ) -> Result<Response<pb::HeartbeatResponse>, Status> {
        let worker = self.shared.worker(request.extensions(), &request.get_ref().worker_id).await?;
        let pb::HeartbeatRequest { jobs, draining, .. } = request.into_inner();
        let jobs = jobs.into_iter().map(|progress| JobProgress {
            job: job_attempt(progress.job.unwrap_or_default()),
            fraction: if progress.fraction.is_nan() { 0.0 } else { progress.fraction.clamp(0.0, 1.0) },
            text: cut(&progress.text, MAX_TEXT),
        });
        let jobs: Vec<JobProgress> = jobs.collect();
        let stop = self
            .shared
            .metrics
            .store("heartbeat", self.shared.store.heartbeat(worker, &jobs, draining, self.shared.now()))
            .await?;
        for job in &stop {
            info!(%worker, job = job.job.0, attempt = job.attempt.0, "the worker holds a job that is no longer its");
        }
        Ok(Response::new(pb::HeartbeatResponse { stop: stop.into_iter().map(translate::job_attempt).collect() }))
    }

    async fn report(
        &self,
        request: Request<Streaming<pb::ReportRequest>>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let (_, caller, mut stream) = request.into_parts();
        let (mut requests, mut bytes) = (Vec::new(), 0);
        while let Some(request) = stream.message().await? {
            bytes += request.encoded_len();
            if requests.len() == MAX_REPORT || bytes > MAX_REPORT_BYTES {
                let message =
                    format!("a report has at most {MAX_REPORT} rows and {MAX_REPORT_BYTES} bytes; send several");
                return Err(invalid("row", message));
            }
            // Only the first message has to name the worker.
            let others = |first: &pb::ReportRequest| first.worker_id != request.worker_id;
            if !request.worker_id.is_empty() && requests.first().is_some_and(others) {
                return Err(invalid("worker_id", "all rows of a report are one worker's"));
            }
            self.shared.metrics.add_report_bytes(request.encoded_len());
            requests.push(request);
        }
        let Some(first) = requests.first() else {
            return Ok(Response::new(pb::ReportResponse::default()));
        };
        let worker = self.shared.worker(&caller, &first.worker_id).await?;
        let mut stored = BTreeMap::new();
        for artifact in reports::artifacts(&requests) {
            if let Some(bytes) = self.shared.artifacts.keep(&artifact, SystemTime::now()).await? {
                stored.insert(artifact, bytes);
            }
        }
        let mut rows = Rows::default();
        for (place, request) in (0..).zip(requests) {
            rows.add(place, request, &stored);
        }
        let Rows { rows, mut refused } = rows;
        log_ends(worker, &rows);
        let metrics = &self.shared.metrics;
        for row in &rows {
            metrics.add_row(&row.row);
        }
        let reported = metrics.store("report", self.shared.store.report(worker, rows, self.shared.now())).await?;
        refused.extend(reported.refused);
        refused.sort_by_key(|refusal| refusal.place);
        log_refusals(worker, &refused);
        for refusal in &refused {
            metrics.add_refusal(refusal.reason.name());
        }
        let refused = refused.into_iter().map(|refusal| pb::Refusal {
            job: Some(translate::job_attempt(refusal.job)),
            row: refusal.place,
            reason: refusal.reason.name().to_owned(),
            message: refusal.message,
        });
        Ok(Response::new(pb::ReportResponse { stored: reported.stored, refused: refused.collect() }))
    }

    type SignalsStream = BoxStream<'static, Result<pb::SignalsResponse, Status>>;

    async fn signals(&self, request: Request<pb::SignalsRequest>) -> Result<Response<Self::SignalsStream>, Status> {
        self.shared.worker(request.extensions(), &request.get_ref().worker_id).await?;
        Ok(Response::new(signals(self.shared.clone()).boxed()))
    }

    async fn leave(&self, request: Request<pb::LeaveRequest>) -> Result<Response<pb::LeaveResponse>, Status> {
        let worker = self.shared.worker(request.extensions(), &request.get_ref().worker_id).await?;
        let released = self.shared.store.leave(worker, self.shared.now()).await?;
        info!(%worker, released, "worker left");
        Ok(Response::new(pb::LeaveResponse { released: u32::try_from(released).unwrap_or(u32::MAX) }))
    }
}

/// A message whenever jobs were taken from those who hold them, until the coordinator stops.
fn signals(shared: Shared) -> impl Stream<Item = Result<pb::SignalsResponse, Status>> + Send {
    let stops = shared.store.stops();
    unfold((shared, stops), |(shared, mut stops)| async move {
        tokio::select! {
            () = shared.stop.cancelled() => None,
            changed = stops.changed() => changed.ok().map(|()| (Ok(pb::SignalsResponse {}), (shared, stops))),
        }
    })
}

fn log_ends(worker: WorkerId, rows: &[crate::store::ReportRow]) {
    for report in rows {
        let (job, attempt) = (report.job.job.0, report.job.attempt.0);
        match &report.row {
            Row::Done { seconds, .. } => info!(%worker, job, attempt, seconds, "job done"),
            Row::Failed { class, message } => warn!(%worker, job, attempt, %class, message, "attempt failed"),
            _ => {}
        }
    }
}

/// One line for each job and reason: a stale attempt may have sent thousands of rows.
fn log_refusals(worker: WorkerId, refused: &[Refusal]) {
    for same in refused.chunk_by(|a, b| (a.job, a.reason) == (b.job, b.reason)) {
        let Refusal { job, reason, message, .. } = &same[0];
        let (job, attempt, rows) = (job.job.0, job.attempt.0, same.len());
        warn!(%worker, job, attempt, rows, reason = reason.name(), message, "refused rows");
    }
}
