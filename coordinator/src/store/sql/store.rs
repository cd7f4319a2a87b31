//! The trait, over the verbs beside this file. A write runs in a task of its own, so that a caller who goes away leaves
//! nothing half-done; a read is a single statement.

use std::collections::{BTreeMap, HashSet};

use async_trait::async_trait;
use tokio::sync::watch;
use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::job::JobState;
use transect_common::sweep::Import;

use super::db::sql;
use super::{This, change, explain, imports, lease, report, scheduling, submit, sweeps, workers};
use crate::store::apart::apart;
use crate::store::{
    Activity, Adjust, Checkpoint, CheckpointsOf, Counts, CurveCursor, CurvePoint, Explained, Job, JobAttempt, JobId,
    JobProgress, JobTotals, Lease, LeaseWish, LineMeasure, LinePoint, MeasureCursor, NewImport, NewSweep, Page,
    PointCursor, ReportRow, Reported, Result, Retry, Store, Submitted, Sweep, SweepId, Timestamp, Worker, WorkerId,
    WorkerInfo,
};

#[async_trait]
impl Store for This {
    async fn submit(&self, sweep: NewSweep, now: Timestamp) -> Result<Submitted> {
        let db = self.db.clone();
        apart(async move { submit::submit(&db, sweep, now).await }).await
    }

    async fn find_sweep(&self, id_or_name: &str) -> Result<SweepId> {
        sweeps::find(&self.db, id_or_name).await
    }

    async fn sweep(&self, sweep: SweepId) -> Result<Sweep> {
        sweeps::sweep(&self.db, sweep).await
    }

    async fn totals(&self, sweep: SweepId) -> Result<Vec<JobTotals>> {
        sweeps::totals(&self.db, sweep).await
    }

    async fn sweep_file(&self, sweep: SweepId) -> Result<String> {
        sweeps::file(&self.db, sweep).await
    }

    async fn sweeps(&self, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>> {
        sweeps::page(&self.db, before, limit).await
    }

    async fn sweeps_at_work(&self) -> Result<Vec<Sweep>> {
        sweeps::at_work(&self.db).await
    }

    async fn activity(&self, sweep: SweepId) -> Result<Vec<Activity>> {
        sweeps::activity(&self.db, sweep).await
    }

    async fn points(
        &self,
        sweep: SweepId,
        after: Option<PointCursor>,
        limit: u32,
    ) -> Result<Page<LinePoint, PointCursor>> {
        sweeps::points(&self.db, sweep, after, limit).await
    }

    async fn measures(
        &self,
        sweep: SweepId,
        after: Option<MeasureCursor>,
        limit: u32,
    ) -> Result<Page<LineMeasure, MeasureCursor>> {
        sweeps::measures(&self.db, sweep, after, limit).await
    }

    async fn curves(
        &self,
        sweep: SweepId,
        after: Option<CurveCursor>,
        limit: u32,
    ) -> Result<Page<CurvePoint, CurveCursor>> {
        sweeps::curves(&self.db, sweep, after, limit).await
    }

    async fn jobs(
        &self,
        sweep: SweepId,
        state: Option<JobState>,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Page<Job, JobId>> {
        sweeps::jobs(&self.db, sweep, state, after, limit).await
    }

    async fn cancel(&self, sweep: SweepId, now: Timestamp) -> Result<u64> {
        let db = self.db.clone();
        apart(async move { change::cancel(&db, sweep, now).await }).await
    }

    async fn retry(&self, sweep: SweepId, which: Retry, now: Timestamp) -> Result<u64> {
        let db = self.db.clone();
        apart(async move { change::retry(&db, sweep, which, now).await }).await
    }

    async fn pause(&self, sweep: SweepId, now: Timestamp) -> Result<()> {
        let db = self.db.clone();
        apart(async move { scheduling::pause(&db, sweep, now).await }).await
    }

    async fn unpause(&self, sweep: SweepId, _now: Timestamp) -> Result<()> {
        let db = self.db.clone();
        apart(async move { scheduling::unpause(&db, sweep).await }).await
    }

    async fn adjust(&self, sweep: SweepId, adjust: Adjust, _now: Timestamp) -> Result<()> {
        let db = self.db.clone();
        apart(async move { scheduling::adjust(&db, sweep, adjust).await }).await
    }

    async fn explain(&self, job: JobId, now: Timestamp) -> Result<Explained> {
        let db = self.db.clone();
        apart(async move { explain::explain(&db, job, now).await }).await
    }

    async fn trained(&self, runs: &[RunDigest]) -> Result<HashSet<RunDigest>> {
        Ok(sweeps::trained(&self.db, runs).await?.into_iter().collect())
    }

    async fn measured(&self, lines: &[(RunDigest, LineDigest)]) -> Result<HashSet<(RunDigest, LineDigest)>> {
        Ok(sweeps::measured(&self.db, lines).await?.into_iter().collect())
    }

    async fn import(&self, import: NewImport, now: Timestamp) -> Result<bool> {
        let db = self.db.clone();
        apart(async move { imports::import(&db, import, now).await }).await
    }

    async fn imports(&self, names: &[&str]) -> Result<BTreeMap<String, Import>> {
        imports::imports(&mut *self.db.readers.acquire().await?, names).await
    }

    async fn checkpoints(&self, of: &CheckpointsOf) -> Result<Vec<Checkpoint>> {
        imports::checkpoints(&self.db, of).await
    }

    async fn artifacts(&self) -> Result<HashSet<ArtifactDigest>> {
        imports::artifacts(&self.db).await
    }

    async fn named_artifacts(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>> {
        imports::named_artifacts(&self.db, artifacts).await
    }

    async fn register(&self, info: WorkerInfo, now: Timestamp) -> Result<WorkerId> {
        let db = self.db.clone();
        apart(async move { workers::register(&db, info, now).await }).await
    }

    async fn lease(&self, wish: LeaseWish, now: Timestamp) -> Result<Option<Lease>> {
        let db = self.db.clone();
        apart(async move { lease::lease(&db, wish, now).await }).await
    }

    async fn heartbeat(
        &self,
        worker: WorkerId,
        jobs: &[JobProgress],
        draining: bool,
        now: Timestamp,
    ) -> Result<Vec<JobAttempt>> {
        let (db, jobs) = (self.db.clone(), jobs.to_vec());
        apart(async move { lease::heartbeat(&db, worker, &jobs, draining, now).await }).await
    }

    async fn report(&self, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
        let db = self.db.clone();
        apart(async move { report::report(&db, worker, rows, now).await }).await
    }

    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<u64> {
        let db = self.db.clone();
        apart(async move { lease::leave(&db, worker, now).await }).await
    }

    async fn expire(&self, now: Timestamp) -> Result<Vec<JobAttempt>> {
        let db = self.db.clone();
        apart(async move { lease::expire(&db, now).await }).await
    }

    async fn resume(&self, now: Timestamp) -> Result<()> {
        let db = self.db.clone();
        apart(async move { lease::resume(&db, now).await }).await
    }

    async fn workers(&self) -> Result<Vec<Worker>> {
        workers::workers(&self.db, None).await
    }

    async fn roll_up(&self, now: Timestamp) -> Result<u64> {
        let db = self.db.clone();
        apart(async move { scheduling::roll_up(&db, now).await }).await
    }

    async fn release_worker(&self, id_or_name: &str, now: Timestamp) -> Result<Worker> {
        let (db, id_or_name) = (self.db.clone(), id_or_name.to_owned());
        apart(async move { scheduling::release_worker(&db, &id_or_name, now).await }).await
    }

    async fn counts(&self) -> Result<Counts> {
        workers::counts(&self.db).await
    }

    async fn due(&self, now: Timestamp) -> Result<bool> {
        lease::due(&self.db, now).await
    }

    async fn ping(&self) -> Result<()> {
        sqlx::query(sql!("ping")).fetch_optional(&self.db.readers).await?;
        Ok(())
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.db.changed.subscribe()
    }

    fn work(&self) -> watch::Receiver<u64> {
        self.db.work.subscribe()
    }

    fn stops(&self) -> watch::Receiver<u64> {
        self.db.stops.subscribe()
    }

    async fn close(&self) {
        self.db.close().await;
    }
}
