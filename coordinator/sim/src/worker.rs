//! A worker that speaks the protocol as the daemon does (`worker/src/daemon`), and makes its measurements up from
//! [`super::truth`]: it registers, leases, sends signs of life, keeps rows until they are answered, drops those of jobs that
//! were taken away, and leaves or dies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tonic::Code;
use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::pb::report_request::Row;

use super::scheduler::Group;
use super::truth::{self, BYTES, STEPS};
use super::world::World;

/// Where a worker runs.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its number, and that of its tasks.
    pub group: Group,
    /// `cpu` or `cuda:0`.
    pub device: &'static str,
    /// Most of what it does fails, as long as things go wrong.
    pub is_bad: bool,
}

/// One process on a machine; clones are the same.
#[derive(Clone)]
pub struct Process {
    world: World,
    machine: Machine,
    pid: u32,
    id: Arc<Mutex<Option<(String, u64)>>>,
    held: Arc<Mutex<BTreeMap<(u64, u32), pb::JobAttempt>>>,
    is_leaving: Arc<AtomicBool>,
    frozen_until: Arc<AtomicU64>,
}

/// A row on its way, and whether the coordinator should refuse it.
type Sent = (pb::JobAttempt, Row, bool);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    /// Starts a worker.
    pub fn start(world: &World, machine: Machine, pid: u32) -> Self {
        let process = Self {
            world: world.clone(),
            machine,
            pid,
            id: Arc::default(),
            held: Arc::default(),
            is_leaving: Arc::default(),
            frozen_until: Arc::default(),
        };
        process.say(format_args!("starts as process {pid}"));
        let group = process.machine.group;
        let (beats, works) = (process.clone(), process.clone());
        world.sim.spawn(group, async move { beats.heartbeats().await });
        world.sim.spawn(group, async move { works.work().await });
        process
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Stops it for a while, as a machine that swaps does.
    pub fn freeze(&self, milliseconds: u64) {
        self.frozen_until.store(self.world.sim.now() + milliseconds, Ordering::Relaxed);
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.world.sim.say(&format!("m{}", self.machine.group), what);
    }

    fn is_leaving(&self) -> bool {
        self.is_leaving.load(Ordering::Relaxed)
    }

    async fn nap(&self, from: u64, to: u64) {
        self.world.sim.sleep(self.world.sim.between(from, to)).await;
        while self.world.sim.now() < self.frozen_until.load(Ordering::Relaxed) {
            self.world.sim.sleep(500).await;
        }
    }

    /// The id under which it is known and the time between heartbeats.
    async fn terms(&self) -> (String, u64) {
        loop {
            if let Some(terms) = lock(&self.id).clone() {
                return terms;
            }
            let info = pb::WorkerInfo {
                host: format!("m{}", self.machine.group),
                pid: self.pid,
                device: self.machine.device.to_owned(),
                libtorch: "2.11.0".to_owned(),
                threads: 1,
                ..Default::default()
            };
            let request = pb::RegisterRequest { info: Some(info) };
            let mut client = self.world.workers(self.machine.group);
            if let Ok(answer) = self.world.call(client.register(request)).await {
                lock(&self.id).get_or_insert((answer.worker_id, answer.heartbeat_ms));
            } else {
                self.nap(200, 1_000).await;
            }
        }
    }

    async fn heartbeats(&self) {
        loop {
            let (worker_id, pause) = self.terms().await;
            self.nap(pause, pause).await;
            let held: Vec<pb::JobAttempt> = lock(&self.held).values().copied().collect();
            let jobs = held.into_iter().map(|job| pb::JobProgress { job: Some(job), ..Default::default() }).collect();
            let request = pb::HeartbeatRequest { worker_id, jobs, draining: self.is_leaving() };
            let mut client = self.world.workers(self.machine.group);
            if let Ok(answer) = self.world.call(client.heartbeat(request)).await {
                for job in answer.stop {
                    lock(&self.held).remove(&(job.job_id, job.attempt));
                }
            }
        }
    }

    fn holds(&self, job: &pb::JobAttempt) -> bool {
        lock(&self.held).contains_key(&(job.job_id, job.attempt))
    }

    async fn work(&self) {
        let mut cached = vec![];
        while !self.is_leaving() {
            let (worker_id, _) = self.terms().await;
            let request =
                pb::LeaseRequest { worker_id, max_jobs: 2, cached_runs: cached.clone(), ..Default::default() };
            let mut client = self.world.workers(self.machine.group);
            match self.world.call(client.lease(request)).await {
                Ok(lease) if !lease.jobs.is_empty() => {
                    cached = vec![lease.run.clone()];
                    self.take(lease).await;
                }
                _ => self.nap(500, 1_500).await,
            }
        }
        let (worker_id, _) = self.terms().await;
        let mut client = self.world.workers(self.machine.group);
        let _ = self.world.call(client.leave(pb::LeaveRequest { worker_id })).await;
        self.say(format_args!("left"));
        self.world.sim.kill(self.machine.group);
    }

    async fn take(&self, lease: pb::LeaseResponse) {
        for job in &lease.jobs {
            let attempt = pb::JobAttempt { job_id: job.job_id, attempt: job.attempt };
            lock(&self.held).insert((job.job_id, job.attempt), attempt);
            self.world.was_given(attempt);
        }
        for job in &lease.jobs {
            if self.is_leaving() {
                return;
            }
            self.meddle().await;
            if job.line_spec.is_empty() {
                self.train(&lease, job).await;
            } else {
                self.measure(&lease, job).await;
            }
        }
    }

    /// A worker gone wrong: it takes a lease for its own that is another's, or over, extends it and says that the job
    /// has ended.
    async fn meddle(&self) {
        if !self.world.is_rough() || !self.world.sim.chance(60) {
            return;
        }
        let Some(job) = self.world.some_lease().filter(|job| !self.holds(job)) else { return };
        self.say(format_args!("takes {}#{} for its own", job.job_id, job.attempt));
        let (worker_id, _) = self.terms().await;
        let mut client = self.world.workers(self.machine.group);
        let jobs = vec![pb::JobProgress { job: Some(job), ..Default::default() }];
        let beat = pb::HeartbeatRequest { worker_id: worker_id.clone(), jobs, draining: false };
        // Whether it is told to stop or is not heard, it goes on.
        let _ = self.world.call(client.heartbeat(beat)).await;
        let failed = pb::FailedRow { class: "run".to_owned(), message: "not its own".to_owned() };
        let row = if self.world.sim.chance(500) { Row::Failed(failed) } else { done_row() };
        let row = pb::ReportRequest { worker_id, job: Some(job), row: Some(row) };
        if let Ok(answer) = self.world.call(client.report(tokio_stream::iter([row]))).await
            && answer.refused.iter().any(|refusal| refusal.reason != "stale")
        {
            self.world.sim.fail(format!("a row for job {}, not held, is looked at", job.job_id));
        }
    }

    /// How an attempt fails now, if it does.
    fn failure(&self, job: pb::JobAttempt) -> Option<Sent> {
        let in_a_thousand = if self.machine.is_bad { 700 } else { 15 };
        if !self.world.is_rough() || !self.world.sim.chance(in_a_thousand) {
            return None;
        }
        let class = if self.world.sim.chance(200) { "run" } else { "machine" };
        self.say(format_args!("fails job {} by fault of the {class}", job.job_id));
        let row = pb::FailedRow { class: class.to_owned(), message: "simulated".to_owned() };
        Some((job, Row::Failed(row), false))
    }

    async fn upload(&self, state: &str) -> String {
        self.nap(1, 200).await;
        self.world.blobs.put(state, kind(self.machine.device)).to_string()
    }

    async fn train(&self, lease: &pb::LeaseResponse, leased: &pb::LeasedJob) {
        let job = pb::JobAttempt { job_id: leased.job_id, attempt: leased.attempt };
        let run = lease.run.as_str();
        let (mut state, mut done, mut is_elsewhere) = (truth::start(run), 0, false);
        let artifact = self.upload(&state).await;
        let row = pb::CheckpointRow { tag: "init".to_owned(), artifact, bytes: BYTES };
        self.send(vec![(job, Row::Checkpoint(row), false)]).await;
        if let Some(snapshot) = &lease.snapshot {
            let Some((found, kinds)) = self.world.blobs.get(&snapshot.artifact) else {
                return self.world.sim.fail(format!("snapshot {} was never stored", snapshot.artifact));
            };
            self.say(format_args!("job {} goes on at step {}", job.job_id, snapshot.step));
            (state, done, is_elsewhere) = (found, snapshot.step, !kinds.contains(kind(self.machine.device)));
        }
        while done < STEPS {
            self.nap(300, 2_500).await;
            if !self.holds(&job) || self.is_leaving() {
                return;
            }
            if let Some(failed) = self.failure(job) {
                return self.send(vec![failed]).await;
            }
            state = truth::step(run, &state, is_elsewhere);
            is_elsewhere = false;
            done += 1;
            let epoch = pb::EpochRow { epoch: done as u32, split: "test".to_owned(), loss: 1.0, ..Default::default() };
            let mut rows = vec![(job, Row::Epoch(epoch), false)];
            if done < STEPS && self.world.sim.chance(600) {
                let artifact = self.upload(&state).await;
                let row = pb::SnapshotRow { artifact, bytes: BYTES, step: done, threads: 1 };
                rows.push((job, Row::Snapshot(row), false));
            }
            self.send(rows).await;
        }
        let artifact = self.upload(&state).await;
        let row = pb::CheckpointRow { tag: "final".to_owned(), artifact, bytes: BYTES };
        let mut rows = vec![(job, Row::Checkpoint(row), false)];
        if self.world.sim.chance(500) {
            self.send(std::mem::take(&mut rows)).await;
            self.nap(50, 500).await;
        }
        rows.push((job, done_row(), false));
        self.send(rows).await;
    }

    async fn measure(&self, lease: &pb::LeaseResponse, leased: &pb::LeasedJob) {
        let job = pb::JobAttempt { job_id: leased.job_id, attempt: leased.attempt };
        let Ok(line) = LineSpec::from_canonical(&leased.line_spec) else {
            return self.world.sim.fail(format!("the line of job {} cannot be read", job.job_id));
        };
        let artifact = |tag: &str| {
            let found = lease.checkpoints.iter().find(|checkpoint| checkpoint.tag == tag);
            found.map(|checkpoint| checkpoint.artifact.clone()).unwrap_or_default()
        };
        let (from, to) = (artifact(line.from.as_str()), artifact(line.to.as_str()));
        let mut rows = vec![];
        if self.world.is_rough() && self.world.sim.chance(30) {
            // A worker gone wrong: it says that it is done before it began.
            let is_early = leased.done_points.len() < line.points() as usize;
            self.send(vec![(job, done_row(), is_early)]).await;
        }
        for split in line.splits.iter().map(|split| split.name()) {
            for (index, alpha) in (0..).zip(&line.alphas) {
                if leased.done_points.iter().any(|point| point.split == split && point.index == index) {
                    continue;
                }
                self.nap(50, 900).await;
                if !self.holds(&job) || self.is_leaving() {
                    return self.send(rows).await;
                }
                if let Some(failed) = self.failure(job) {
                    rows.push(failed);
                    return self.send(rows).await;
                }
                let loss = truth::loss(&line, split, *alpha, &from, &to);
                let point =
                    pb::PointRow { split: split.to_owned(), index, alpha: *alpha, loss, accuracy: 0.5, count: 10 };
                rows.push((job, Row::Point(point), false));
                if self.world.sim.chance(400) {
                    self.send(std::mem::take(&mut rows)).await;
                }
            }
        }
        rows.push((job, done_row(), false));
        self.send(rows).await;
    }

    /// Sends rows until they are answered, as long as their jobs are held.
    async fn send(&self, mut rows: Vec<Sent>) {
        loop {
            rows.retain(|(job, ..)| self.holds(job));
            if rows.is_empty() {
                return;
            }
            let (worker_id, _) = self.terms().await;
            let requests: Vec<pb::ReportRequest> = rows
                .iter()
                .map(|(job, row, _)| pb::ReportRequest {
                    worker_id: worker_id.clone(),
                    job: Some(*job),
                    row: Some(row.clone()),
                })
                .collect();
            let mut client = self.world.workers(self.machine.group);
            match self.world.call(client.report(tokio_stream::iter(requests))).await {
                Ok(answer) => return self.settle(&rows, &answer),
                Err(status) if status.code() == Code::InvalidArgument => {
                    return self.world.sim.fail(format!("a report is refused whole: {}", status.message()));
                }
                Err(_) => self.nap(200, 1_500).await,
            }
        }
    }

    fn settle(&self, rows: &[Sent], answer: &pb::ReportResponse) {
        for (place, (job, row, is_wrong)) in (0..).zip(rows) {
            let refusal = answer.refused.iter().find(|refusal| refusal.row == place);
            let key = (job.job_id, job.attempt);
            match refusal {
                Some(refusal) if refusal.reason == "invalid" && !is_wrong => {
                    self.world.sim.fail(format!("a good row is refused as invalid: {}", refusal.message));
                }
                Some(refusal) if refusal.reason == "invalid" => {}
                Some(_) => drop(lock(&self.held).remove(&key)),
                None if matches!(row, Row::Done(_) | Row::Failed(_)) => drop(lock(&self.held).remove(&key)),
                None => {}
            }
        }
    }
}

fn kind(device: &'static str) -> &'static str {
    device.split(':').next().unwrap_or(device)
}

fn done_row() -> Row {
    Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 })
}
