//! The store as coordinators of a history have it: slow, sometimes failing before or after it wrote, and watched.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::job::JobState;
use transect_common::sweep::Import;
use transect_coordinator::security::{NewToken, SecretHash, Token, TokenId};
use transect_coordinator::store::{
    Activity, Adjust, Checkpoint, CheckpointsOf, Counts, CurveCursor, CurvePoint, Explained, Job, JobAttempt, JobId,
    JobProgress, JobTotals, Lease, LeaseWish, LineMeasure, LinePoint, MeasureCursor, MemoryStore, NewImport, NewSweep,
    Page, PointCursor, ReportRow, Reported, Retry, Row, Store, StoreError, Submitted, Sweep, SweepId, Timestamp,
    Tokens, Worker, WorkerId, WorkerInfo,
};

use super::check::{Checker, Write};
use super::scheduler::Sim;

type Result<T> = std::result::Result<T, StoreError>;

/// A memory store under faults; clones are the same.
#[derive(Clone)]
pub struct Watched {
    sim: Sim,
    memory: Arc<MemoryStore>,
    checker: Arc<Mutex<Checker>>,
    is_rough: Arc<Mutex<bool>>,
}

impl Watched {
    /// A store to be watched.
    pub fn new(sim: Sim, memory: MemoryStore) -> Self {
        Self { sim, memory: Arc::new(memory), checker: Arc::default(), is_rough: Arc::default() }
    }

    /// The store beneath.
    pub fn memory(&self) -> &MemoryStore {
        &self.memory
    }

    /// Whether it fails at times.
    pub fn set_rough(&self, is_rough: bool) {
        *self.is_rough.lock().unwrap_or_else(PoisonError::into_inner) = is_rough;
    }

    /// Leases given.
    pub fn leases(&self) -> u64 {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner).leases
    }

    /// Takes a while, and may fail.
    async fn falter(&self, when: &'static str) -> Result<()> {
        self.sim.sleep(self.sim.between(0, 3)).await;
        let is_rough = *self.is_rough.lock().unwrap_or_else(PoisonError::into_inner);
        if is_rough && self.sim.chance(15) {
            self.sim.say("store", format_args!("fails {when}"));
            return Err(StoreError::Database(format!("simulated failure {when}").into()));
        }
        Ok(())
    }

    fn wrote(&self, write: &Write<'_>, now: Timestamp) {
        self.tell(write);
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(broken) = checker.wrote(write, now, self.memory.see()) {
            self.sim.fail(broken);
        }
    }

    /// Says in the log what was written.
    fn tell(&self, write: &Write<'_>) {
        let named = |jobs: &mut dyn Iterator<Item = JobAttempt>| {
            let names: Vec<String> = jobs.map(|job| format!("{}#{}", job.job.0, job.attempt.0)).collect();
            names.join(" ")
        };
        match write {
            Write::Lease(worker, Some(lease)) => {
                let jobs = named(&mut lease.jobs.iter().map(|leased| leased.job));
                self.sim.say("store", format_args!("leases {jobs} to w-{worker}"));
            }
            Write::Report(worker, rows, answer) => {
                let (jobs, count) = (named(&mut rows.iter().take(1).map(|row| row.job)), rows.len());
                let ends = rows.iter().filter(|row| matches!(row.row, Row::Done { .. } | Row::Failed { .. })).count();
                let refused = answer.refused.len();
                let what =
                    format_args!("{count} rows of {jobs} by w-{worker}, {ends} ends, {refused} refused").to_string();
                self.sim.say("store", format_args!("{what}"));
            }
            Write::Heartbeat(_, _, stop) if !stop.is_empty() => {
                self.sim.say("store", format_args!("tells to stop {}", named(&mut stop.iter().copied())));
            }
            Write::Expire(lost) if !lost.is_empty() => {
                self.sim.say("store", format_args!("leases ran out: {}", named(&mut lost.iter().copied())));
            }
            _ => {}
        }
    }
}

macro_rules! watched {
    ($self:ident, $now:ident, $call:expr, |$done:ident| $write:expr) => {{
        $self.falter("before it wrote").await?;
        let answer = $call.await;
        if let Ok($done) = &answer {
            $self.wrote(&$write, $now);
        }
        let answer = answer?;
        $self.falter("after it wrote").await?;
        Ok(answer)
    }};
}

macro_rules! read {
    ($self:ident, $call:expr) => {{
        $self.falter("reading").await?;
        $call.await
    }};
}

#[async_trait]
impl Tokens for Watched {
    async fn create_token(&self, token: NewToken, now: Timestamp) -> Result<Token> {
        read!(self, self.memory.create_token(token, now))
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        read!(self, self.memory.tokens())
    }

    async fn token(&self, hash: SecretHash) -> Result<Option<Token>> {
        read!(self, self.memory.token(hash))
    }

    async fn revoke_token(&self, name_or_id: &str, now: Timestamp) -> Result<Token> {
        read!(self, self.memory.revoke_token(name_or_id, now))
    }

    async fn token_used(&self, token: TokenId, now: Timestamp) -> Result<()> {
        read!(self, self.memory.token_used(token, now))
    }

    async fn own_worker(&self, worker: WorkerId, owner: &str) -> Result<()> {
        read!(self, self.memory.own_worker(worker, owner))
    }

    async fn worker_owner(&self, worker: WorkerId) -> Result<Option<String>> {
        read!(self, self.memory.worker_owner(worker))
    }
}

#[async_trait]
impl Store for Watched {
    async fn submit(&self, sweep: NewSweep, now: Timestamp) -> Result<Submitted> {
        watched!(self, now, self.memory.submit(sweep, now), |_done| Write::Submit)
    }

    async fn find_sweep(&self, id_or_name: &str) -> Result<SweepId> {
        read!(self, self.memory.find_sweep(id_or_name))
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Sweep> {
        read!(self, self.memory.sweep(sweep))
    }

    async fn totals(&self, sweep: SweepId) -> Result<Vec<JobTotals>> {
        read!(self, self.memory.totals(sweep))
    }

    async fn sweep_file(&self, sweep: SweepId) -> Result<String> {
        read!(self, self.memory.sweep_file(sweep))
    }

    async fn sweeps(&self, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>> {
        read!(self, self.memory.sweeps(before, limit))
    }

    async fn sweeps_at_work(&self) -> Result<Vec<Sweep>> {
        read!(self, self.memory.sweeps_at_work())
    }

    async fn activity(&self, sweep: SweepId) -> Result<Vec<Activity>> {
        read!(self, self.memory.activity(sweep))
    }

    async fn points(
        &self,
        sweep: SweepId,
        after: Option<PointCursor>,
        limit: u32,
    ) -> Result<Page<LinePoint, PointCursor>> {
        read!(self, self.memory.points(sweep, after, limit))
    }

    async fn measures(
        &self,
        sweep: SweepId,
        after: Option<MeasureCursor>,
        limit: u32,
    ) -> Result<Page<LineMeasure, MeasureCursor>> {
        read!(self, self.memory.measures(sweep, after, limit))
    }

    async fn curves(
        &self,
        sweep: SweepId,
        after: Option<CurveCursor>,
        limit: u32,
    ) -> Result<Page<CurvePoint, CurveCursor>> {
        read!(self, self.memory.curves(sweep, after, limit))
    }

    async fn jobs(
        &self,
        sweep: SweepId,
        state: Option<JobState>,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Page<Job, JobId>> {
        read!(self, self.memory.jobs(sweep, state, after, limit))
    }

    async fn cancel(&self, sweep: SweepId, now: Timestamp) -> Result<u64> {
        watched!(self, now, self.memory.cancel(sweep, now), |_done| Write::Other)
    }

    async fn retry(&self, sweep: SweepId, which: Retry, now: Timestamp) -> Result<u64> {
        watched!(self, now, self.memory.retry(sweep, which, now), |_done| Write::Other)
    }

    async fn pause(&self, sweep: SweepId, now: Timestamp) -> Result<()> {
        watched!(self, now, self.memory.pause(sweep, now), |_done| Write::Other)
    }

    async fn unpause(&self, sweep: SweepId, now: Timestamp) -> Result<()> {
        watched!(self, now, self.memory.unpause(sweep, now), |_done| Write::Other)
    }

    async fn adjust(&self, sweep: SweepId, adjust: Adjust, now: Timestamp) -> Result<()> {
        watched!(self, now, self.memory.adjust(sweep, adjust, now), |_done| Write::Other)
    }

    async fn explain(&self, job: JobId, now: Timestamp) -> Result<Explained> {
        read!(self, self.memory.explain(job, now))
    }

    async fn trained(&self, runs: &[RunDigest]) -> Result<HashSet<RunDigest>> {
        read!(self, self.memory.trained(runs))
    }

    async fn measured(&self, lines: &[(RunDigest, LineDigest)]) -> Result<HashSet<(RunDigest, LineDigest)>> {
        read!(self, self.memory.measured(lines))
    }

    async fn import(&self, import: NewImport, now: Timestamp) -> Result<bool> {
        watched!(self, now, self.memory.import(import, now), |_done| Write::Other)
    }

    async fn imports(&self, names: &[&str]) -> Result<BTreeMap<String, Import>> {
        read!(self, self.memory.imports(names))
    }

    async fn checkpoints(&self, of: &CheckpointsOf) -> Result<Vec<Checkpoint>> {
        read!(self, self.memory.checkpoints(of))
    }

    async fn artifacts(&self) -> Result<HashSet<ArtifactDigest>> {
        read!(self, self.memory.artifacts())
    }

    async fn register(&self, info: WorkerInfo, now: Timestamp) -> Result<WorkerId> {
        watched!(self, now, self.memory.register(info, now), |_done| Write::Other)
    }

    async fn lease(&self, wish: LeaseWish, now: Timestamp) -> Result<Option<Lease>> {
        let worker = wish.worker.0;
        watched!(self, now, self.memory.lease(wish, now), |lease| Write::Lease(worker, lease.as_ref()))
    }

    async fn heartbeat(
        &self,
        worker: WorkerId,
        jobs: &[JobProgress],
        draining: bool,
        now: Timestamp,
    ) -> Result<Vec<JobAttempt>> {
        watched!(self, now, self.memory.heartbeat(worker, jobs, draining, now), |stop| Write::Heartbeat(
            worker.0, jobs, stop
        ))
    }

    async fn report(&self, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
        let told = rows.clone();
        watched!(self, now, self.memory.report(worker, rows, now), |answer| Write::Report(worker.0, &told, answer))
    }

    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<u64> {
        watched!(self, now, self.memory.leave(worker, now), |_done| Write::Leave(worker.0))
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<JobAttempt>> {
        watched!(self, now, self.memory.expire(now), |lost| Write::Expire(lost))
    }

    async fn resume(&self, now: Timestamp) -> Result<()> {
        watched!(self, now, self.memory.resume(now), |_done| Write::Resume)
    }

    async fn workers(&self) -> Result<Vec<Worker>> {
        read!(self, self.memory.workers())
    }

    async fn roll_up(&self, now: Timestamp) -> Result<u64> {
        watched!(self, now, self.memory.roll_up(now), |_done| Write::Other)
    }

    async fn release_worker(&self, id_or_name: &str, now: Timestamp) -> Result<Worker> {
        watched!(self, now, self.memory.release_worker(id_or_name, now), |_done| Write::Other)
    }

    async fn counts(&self) -> Result<Counts> {
        read!(self, self.memory.counts())
    }

    async fn ping(&self) -> Result<()> {
        read!(self, self.memory.ping())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.memory.changed()
    }

    fn stops(&self) -> watch::Receiver<u64> {
        self.memory.stops()
    }

    async fn close(&self) {}
}
