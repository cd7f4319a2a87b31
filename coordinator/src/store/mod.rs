//! What the coordinator knows: sweeps, runs, jobs, leases, checkpoints and measurements, behind one trait.
//!
//! Invariants of every store:
//! - Each method is one transaction that either happens or does not, also when its caller goes away half-way.
//! - A job's `attempt` only grows, and whatever a worker writes is stored only while the job is leased under the attempt
//!   that the row names; the statement that writes checks it, never the clock.
//! - States change as [`transect_common::job::JobState::after`] says and in no other way.
//! - Time is passed in; the store reads no clock and draws no random number.
//! - Nothing is ever deleted.

mod apart;
mod check;
mod copy;
mod error;
mod failure;
mod ids;
mod memory;
mod place;
mod postgres;
mod sqlite;
mod time;
mod tokens;
mod types;
mod work;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::job::JobState;
use transect_common::sweep::Import;

pub use copy::{Copied, copy};
pub use error::StoreError;
pub use ids::*;
pub use memory::{Bug, MemoryStore, SeenJob, SeenSweep, SeenWorker, Sight};
pub use place::{NoStorePlace, StorePlace};
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;
pub use time::{Timestamp, TimestampError};
pub use tokens::Tokens;
pub use types::*;
pub use work::*;

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Workers that are gone and still listed, the newest first: every start of a worker leaves a row for ever.
pub const MOST_GONE: u32 = 200;

/// Terms on which jobs are leased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// Length of a lease.
    pub lease: Duration,
    /// Attempts that may fail before a job is set aside; at least 1.
    pub max_attempts: u32,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), max_attempts: transect_common::job::DEFAULT_MAX_ATTEMPTS }
    }
}

/// Everything that is asked of a database. Used as `Arc<dyn Store>`.
#[async_trait]
pub trait Store: Tokens {
    /// Stores a sweep with its runs, lines and jobs, or finds the one that was submitted with the same key.
    ///
    /// Runs and jobs that earlier sweeps stored are shared: what is done stays done, what was cancelled is queued again,
    /// what failed stays failed until [`Store::retry`]. A run from checkpoints trained elsewhere must have been imported.
    /// A run that others need is in the expansion, anywhere in its order, or stored; then the sweep needs its training,
    /// too.
    ///
    /// Errors: `Taken` when the key was used for another file; `Invalid` when an imported checkpoint is not known, when a
    /// needed run is neither in the expansion nor stored, and when it does not keep the checkpoint that is needed.
    async fn submit(&self, sweep: NewSweep, now: Timestamp) -> Result<Submitted>;

    /// The sweep of that id (`s-7`), or the newest of that name. `NotFound` otherwise.
    async fn find_sweep(&self, id_or_name: &str) -> Result<SweepId>;

    /// A sweep with its progress.
    async fn sweep(&self, sweep: SweepId) -> Result<Sweep>;

    /// A sweep's jobs, counted by kind and model, in the order of their names.
    async fn totals(&self, sweep: SweepId) -> Result<Vec<JobTotals>>;

    /// The sweep file as it was submitted.
    async fn sweep_file(&self, sweep: SweepId) -> Result<String>;

    /// Up to `limit` sweeps, newest first, those older than `before`.
    async fn sweeps(&self, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>>;

    /// Sweeps that are running or paused, oldest first.
    async fn sweeps_at_work(&self) -> Result<Vec<Sweep>>;

    /// Training jobs of a sweep that are leased now, by id.
    async fn activity(&self, sweep: SweepId) -> Result<Vec<Activity>>;

    /// Points of a sweep, ordered by run and line (in the sweep file's order), split (`test`, `train`) and alpha.
    /// Points that arrive while pages are read may be missed where the reader has passed already.
    async fn points(
        &self,
        sweep: SweepId,
        after: Option<PointCursor>,
        limit: u32,
    ) -> Result<Page<LinePoint, PointCursor>>;

    /// Numbers measured of a sweep's whole lines, ordered by run and line (in the sweep file's order), split (none, `test`,
    /// `train`) and name.
    async fn measures(
        &self,
        sweep: SweepId,
        after: Option<MeasureCursor>,
        limit: u32,
    ) -> Result<Page<LineMeasure, MeasureCursor>>;

    /// Training curves of a sweep's runs, ordered by run (in the sweep file's order), epoch and split.
    async fn curves(
        &self,
        sweep: SweepId,
        after: Option<CurveCursor>,
        limit: u32,
    ) -> Result<Page<CurvePoint, CurveCursor>>;

    /// Jobs of a sweep (in `state`, when given) with their errors, by id, those after `after`.
    async fn jobs(
        &self,
        sweep: SweepId,
        state: Option<JobState>,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Page<Job, JobId>>;

    /// Cancels a sweep, and those of its jobs that no other live sweep needs. Returns how many that were; cancelling
    /// twice is no error.
    async fn cancel(&self, sweep: SweepId, now: Timestamp) -> Result<u64>;

    /// Queues a sweep's failed jobs again, their counts of failures reset, and with a training job whatever failed because
    /// it did: its lines, and the trainings and lines that need its run, however indirectly. The sweep is live again if anything was queued. Returns how many of its jobs that were.
    async fn retry(&self, sweep: SweepId, which: Retry, now: Timestamp) -> Result<u64>;

    /// Holds a sweep back: none of its jobs is leased; what another live sweep needs goes on in that one's name.
    async fn pause(&self, sweep: SweepId, now: Timestamp) -> Result<()>;

    /// Lets a paused sweep go on.
    async fn unpause(&self, sweep: SweepId, now: Timestamp) -> Result<()>;

    /// Changes how a sweep is scheduled.
    async fn adjust(&self, sweep: SweepId, adjust: Adjust, now: Timestamp) -> Result<()>;

    /// What there is to say about a job. `NotFound`.
    async fn explain(&self, job: JobId, now: Timestamp) -> Result<Explained>;

    /// Those of `runs` whose training is done.
    async fn trained(&self, runs: &[RunDigest]) -> Result<HashSet<RunDigest>>;

    /// Those of `lines` that are measured.
    async fn measured(&self, lines: &[(RunDigest, LineDigest)]) -> Result<HashSet<(RunDigest, LineDigest)>>;

    /// Stores checkpoints trained elsewhere under a name; true when it is new, false when the same was there.
    /// `Taken` when the name has other content.
    async fn import(&self, import: NewImport, now: Timestamp) -> Result<bool>;

    /// Those of `names` that are imported.
    async fn imports(&self, names: &[&str]) -> Result<BTreeMap<String, Import>>;

    /// Checkpoints, by run (in the sweep file's order) and moment. `NotFound`, or `Ambiguous` for a run.
    async fn checkpoints(&self, of: &CheckpointsOf) -> Result<Vec<Checkpoint>>;

    /// Every artifact that some checkpoint names.
    async fn artifacts(&self) -> Result<HashSet<ArtifactDigest>>;

    /// Those of `artifacts` that a checkpoint, an import or a snapshot names.
    async fn named_artifacts(&self, artifacts: &[ArtifactDigest]) -> Result<HashSet<ArtifactDigest>> {
        let all = self.artifacts().await?;
        Ok(artifacts.iter().filter(|artifact| all.contains(artifact)).cloned().collect())
    }

    /// Makes a worker known.
    async fn register(&self, info: WorkerInfo, now: Timestamp) -> Result<WorkerId>;

    /// Leases ready lines of one of the runs that the worker holds, or else of another, or else a training job; the
    /// oldest first. None when nothing is due: ask again when [`Store::work`] says so and in any case after a while, since
    /// back-offs end by themselves. `NotFound` for an unknown worker.
    async fn lease(&self, wish: LeaseWish, now: Timestamp) -> Result<Option<Lease>>;

    /// Extends leases and keeps how far each job is. Returns the jobs that are not this worker's any more.
    /// `NotFound` for an unknown worker.
    async fn heartbeat(
        &self,
        worker: WorkerId,
        jobs: &[JobProgress],
        draining: bool,
        now: Timestamp,
    ) -> Result<Vec<JobAttempt>>;

    /// Stores rows in one transaction, in order. A row that cannot be stored is refused by itself; the others are
    /// stored. Rows that are there already count as stored, also once the attempt has ended.
    async fn report(&self, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported>;

    /// Ends a worker and queues its jobs again, which counts as no failure. Returns how many that were.
    async fn leave(&self, worker: WorkerId, now: Timestamp) -> Result<u64>;

    /// Queues jobs again whose leases have run out, and marks workers that fell silent as gone. Returns the leases
    /// that ran out.
    async fn expire(&self, now: Timestamp) -> Result<Vec<JobAttempt>>;

    /// To be called when a coordinator starts, before [`Store::expire`]: while it was away nobody could extend a lease, so
    /// each lasts for at least one lease's length from now, and workers that went on working lose nothing.
    async fn resume(&self, now: Timestamp) -> Result<()>;

    /// Workers: live, draining, quarantined, gone; then by name. Of those that are gone the [`MOST_GONE`] that came last.
    async fn workers(&self) -> Result<Vec<Worker>>;

    /// Closes the books of sweeps that have nothing left to do, so that those who look for work pass them by. Returns how
    /// many that were. For maintenance; safe to run twice at once.
    async fn roll_up(&self, now: Timestamp) -> Result<u64>;

    /// Ends the quarantine of the worker of that id (`w-3`) or name. `NotFound`.
    async fn release_worker(&self, id_or_name: &str, now: Timestamp) -> Result<Worker>;

    /// How much there is.
    async fn counts(&self) -> Result<Counts>;

    /// False when nothing can be leased now, by no worker whatever; true when something might. Cheaper than to ask for it.
    async fn due(&self, now: Timestamp) -> Result<bool> {
        let _ = now;
        Ok(true)
    }

    /// Cheapest sign of life: one read. For readiness checks.
    async fn ping(&self) -> Result<()>;

    /// A number that changes after every committed write of this process.
    fn changed(&self) -> watch::Receiver<u64>;

    /// A number that changes when jobs may have come to be free for lease, by any process on this database; not when a
    /// back-off ends by itself.
    fn work(&self) -> watch::Receiver<u64> {
        self.changed()
    }

    /// A number that changes when jobs may have been taken from workers that hold them, by any process on this database.
    fn stops(&self) -> watch::Receiver<u64>;

    /// Waits for open work and closes the database; later calls fail.
    async fn close(&self);
}
