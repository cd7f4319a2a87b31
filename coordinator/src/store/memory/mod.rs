//! A store in memory: the executable specification that the stores over SQL are held against, and what simulations run
//! on.
//!
//! Invariants: each operation happens whole under one lock, with no I/O, clock or random number, and walks ordered maps;
//! so the same calls give the same answers in every process. It favours being read over being fast. No shipped program
//! keeps anything in it.

mod bugs;
mod change;
mod claim;
mod explain;
mod imports;
mod lease;
mod read;
mod report;
mod seen;
mod state;
mod submit;
mod tokens;
mod waiting;
mod workers;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;
use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::job::JobState;
use transect_common::sweep::Import;

pub use self::bugs::Bug;
pub use self::seen::{SeenJob, SeenSweep, SeenWorker, Sight};
use self::state::State;
use super::{
    Activity, Adjust, Checkpoint, CheckpointsOf, Counts, CurveCursor, CurvePoint, Explained, Job, JobAttempt, JobId,
    JobProgress, JobTotals, Lease, LeaseWish, LineMeasure, LinePoint, MeasureCursor, NewImport, NewSweep, Page,
    PointCursor, ReportRow, Reported, Result, Retry, Store, Submitted, Sweep, SweepId, Terms, Timestamp, Worker,
    WorkerId, WorkerInfo,
};

/// A [`Store`] in memory.
#[derive(Debug)]
pub struct MemoryStore {
    // Locked for one operation at a time and never across an await, so a plain mutex.
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    stops: watch::Sender<u64>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(terms: Terms) -> Self {
        Self::of(State::new(terms, None))
    }

    /// An empty store that makes a deliberate mistake.
    pub fn with_bug(terms: Terms, bug: Bug) -> Self {
        Self::of(State::new(terms, Some(bug)))
    }

    fn of(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(0), stops: watch::Sender::new(0) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in an operation is a bug that its test has shown already; others still want to look.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state())
    }

    /// A write that succeeds tells those who wait for changes.
    fn write<T>(&self, write: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.state();
        state.writes += 1;
        let done = write(&mut state)?;
        drop(state);
        self.changed.send_modify(|revision| *revision += 1);
        Ok(done)
    }

    fn stopped(&self) {
        self.stops.send_modify(|revision| *revision += 1);
    }

    /// All that invariants are checked on.
    pub fn see(&self) -> Sight {
        self.read(seen::see)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn submit(&self, sweep: NewSweep, now: Timestamp) -> Result<Submitted> {
        if let Some(known) = self.read(|state| submit::known(state, &sweep))? {
            return Ok(Submitted { sweep: self.read(|state| read::sweep(state, known))?, created: false });
        }
        self.write(|state| {
            // Somebody may have come between.
            if let Some(known) = submit::known(state, &sweep)? {
                return Ok(Submitted { sweep: read::sweep(state, known)?, created: false });
            }
            let id = submit::submit(state, &sweep, now)?;
            Ok(Submitted { sweep: read::sweep(state, id)?, created: true })
        })
    }

    async fn find_sweep(&self, id_or_name: &str) -> Result<SweepId> {
        self.read(|state| read::find(state, id_or_name))
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Sweep> {
        self.read(|state| read::sweep(state, sweep))
    }

    async fn totals(&self, sweep: SweepId) -> Result<Vec<JobTotals>> {
        self.read(|state| read::totals(state, sweep))
    }

    async fn sweep_file(&self, sweep: SweepId) -> Result<String> {
        self.read(|state| Ok(state.sweep(sweep)?.file.clone()))
    }

    async fn sweeps(&self, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>> {
        self.read(|state| read::sweeps(state, before, limit))
    }

    async fn sweeps_at_work(&self) -> Result<Vec<Sweep>> {
        self.read(read::at_work)
    }

    async fn activity(&self, sweep: SweepId) -> Result<Vec<Activity>> {
        Ok(self.read(|state| read::activity(state, sweep)))
    }

    async fn points(
        &self,
        sweep: SweepId,
        after: Option<PointCursor>,
        limit: u32,
    ) -> Result<Page<LinePoint, PointCursor>> {
        Ok(self.read(|state| read::points(state, sweep, after, limit)))
    }

    async fn measures(
        &self,
        sweep: SweepId,
        after: Option<MeasureCursor>,
        limit: u32,
    ) -> Result<Page<LineMeasure, MeasureCursor>> {
        Ok(self.read(|state| read::measures(state, sweep, after.as_ref(), limit)))
    }

    async fn curves(
        &self,
        sweep: SweepId,
        after: Option<CurveCursor>,
        limit: u32,
    ) -> Result<Page<CurvePoint, CurveCursor>> {
        Ok(self.read(|state| read::curves(state, sweep, after, limit)))
    }

    async fn jobs(
        &self,
        sweep: SweepId,
        job_state: Option<JobState>,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Page<Job, JobId>> {
        Ok(self.read(|state| read::jobs(state, sweep, job_state, after, limit)))
    }

    async fn cancel(&self, sweep: SweepId, now: Timestamp) -> Result<u64> {
        let cancelled = self.write(|state| change::cancel(state, sweep, now))?;
        self.stopped();
        Ok(cancelled)
    }

    async fn retry(&self, sweep: SweepId, which: Retry, now: Timestamp) -> Result<u64> {
        self.write(|state| change::retry(state, sweep, which, now))
    }

    async fn pause(&self, sweep: SweepId, _now: Timestamp) -> Result<()> {
        self.write(|state| change::pause(state, sweep))
    }

    async fn unpause(&self, sweep: SweepId, _now: Timestamp) -> Result<()> {
        self.write(|state| change::unpause(state, sweep))
    }

    async fn adjust(&self, sweep: SweepId, adjust: Adjust, _now: Timestamp) -> Result<()> {
        self.write(|state| change::adjust(state, sweep, adjust))
    }

    async fn explain(&self, job: JobId, now: Timestamp) -> Result<Explained> {
        self.read(|state| explain::explain(state, job, now))
    }

    async fn trained(&self, runs: &[RunDigest]) -> Result<HashSet<RunDigest>> {
        Ok(self.read(|state| runs.iter().filter(|run| read::is_trained(state, run)).cloned().collect()))
    }

    async fn measured(&self, lines: &[(RunDigest, LineDigest)]) -> Result<HashSet<(RunDigest, LineDigest)>> {
        Ok(self.read(|state| lines.iter().filter(|line| read::is_measured(state, line)).cloned().collect()))
    }

    async fn import(&self, import: NewImport, _now: Timestamp) -> Result<bool> {
        self.write(|state| imports::import(state, import))
    }

    async fn imports(&self, names: &[&str]) -> Result<BTreeMap<String, Import>> {
        Ok(self.read(|state| imports::imports(state, names)))
    }

    async fn checkpoints(&self, of: &CheckpointsOf) -> Result<Vec<Checkpoint>> {
        self.read(|state| imports::checkpoints(state, of))
    }

    async fn artifacts(&self) -> Result<HashSet<ArtifactDigest>> {
        Ok(self.read(imports::artifacts))
    }

    async fn register(&self, info: WorkerInfo, now: Timestamp) -> Result<WorkerId> {
        self.write(|state| Ok(workers::register(state, info, now)))
    }

    async fn lease(&self, wish: LeaseWish, now: Timestamp) -> Result<Option<Lease>> {
        let claimed = self.read(|state| claim::choose(state, &wish, now))?;
        if claimed.is_none() {
            return Ok(None);
        }
        self.write(|state| match claim::choose(state, &wish, now)? {
            Some(claim) => claim::take(state, wish.worker, &claim, now).map(Some),
            None => Ok(None),
        })
    }

    async fn heartbeat(
        &self,
        worker: WorkerId,
        jobs: &[JobProgress],
        draining: bool,
        now: Timestamp,
    ) -> Result<Vec<JobAttempt>> {
        self.write(|state| lease::heartbeat(state, worker, jobs, draining, now))
    }

    async fn report(&self, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
        self.write(|state| report::report(state, worker, &rows, now))
    }

    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<u64> {
        self.write(|state| lease::leave(state, worker, now))
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<JobAttempt>> {
        if !self.read(|state| lease::is_anything_over(state, now)) {
            return Ok(vec![]);
        }
        let lost = self.write(|state| Ok(lease::expire(state, now)))?;
        if !lost.is_empty() {
            self.stopped();
        }
        Ok(lost)
    }

    async fn resume(&self, now: Timestamp) -> Result<()> {
        self.write(|state| {
            lease::resume(state, now);
            Ok(())
        })
    }

    async fn workers(&self) -> Result<Vec<Worker>> {
        Ok(self.read(workers::workers))
    }

    async fn roll_up(&self, _now: Timestamp) -> Result<u64> {
        let closed = change::roll_up(&mut self.state());
        if closed > 0 {
            self.changed.send_modify(|revision| *revision += 1);
        }
        Ok(closed)
    }

    async fn release_worker(&self, id_or_name: &str, _now: Timestamp) -> Result<Worker> {
        self.write(|state| workers::release(state, id_or_name))
    }

    async fn counts(&self) -> Result<Counts> {
        Ok(self.read(workers::counts))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn stops(&self) -> watch::Receiver<u64> {
        self.stops.subscribe()
    }

    async fn close(&self) {}
}
