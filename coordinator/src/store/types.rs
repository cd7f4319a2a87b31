//! Plain data that goes into a store and comes out of it. Nothing here knows which database there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use transect_common::data::Split;
use transect_common::digest::{ArtifactDigest, RunDigest};
use transect_common::job::{ErrorClass, JobKind, JobState};
use transect_common::model::ModelSpec;
use transect_common::run::Tag;
use transect_common::sweep::Expansion;

use super::Timestamp;

macro_rules! lettered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                let number = text.strip_prefix($prefix).and_then(|n| n.parse().ok()).map(Self).ok_or(())?;
                // `s-07` and `s-+7` are names that somebody chose, not ids.
                if number.to_string() == text { Ok(number) } else { Err(()) }
            }
        }
    };
}

lettered!(
    /// A sweep, written `s-7`.
    SweepId,
    "s-"
);
lettered!(
    /// A worker since it registered, written `w-3`.
    WorkerId,
    "w-"
);

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// Counts the leases of a job from 1; only grows, and fences every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// One lease of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobAttempt {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
}

/// Some rows, and where the next page begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T, C> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// Pass it to read on; none when this is the last page.
    pub next: Option<C>,
}

/// A sweep to store.
#[derive(Debug, Clone)]
pub struct NewSweep {
    /// The sweep file as it was submitted.
    pub file: String,
    /// Not empty: repeating a submission with its key returns the first answer.
    pub idempotency_key: String,
    /// What the file means.
    pub expansion: Expansion,
}

/// A stored sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Submitted {
    /// The sweep, with its progress.
    pub sweep: Sweep,
    /// True when this request created it.
    pub created: bool,
}

/// State of a sweep, derived from its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepState {
    /// Some job is queued or leased.
    Running,
    /// Every job is done.
    Done,
    /// Nothing is left to do, and something failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl SweepState {
    /// As in SQL and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed, Self::Cancelled].into_iter().find(|state| state.name() == name)
    }
}

/// A sweep and its progress; the numbers count jobs unless they say otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// The sweep.
    pub id: SweepId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: SweepState,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When its last job ended or it was cancelled; none while it runs.
    pub finished_at: Option<Timestamp>,
    /// Number of runs.
    pub runs: u64,
    /// All jobs.
    pub jobs: u64,
    /// Waiting.
    pub queued: u64,
    /// Held by workers.
    pub leased: u64,
    /// Done.
    pub done: u64,
    /// Set aside.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Points stored.
    pub points: u64,
    /// Points when all is done.
    pub points_expected: u64,
    /// Training jobs.
    pub train_jobs: u64,
    /// Training jobs that are done.
    pub train_done: u64,
}

/// What one leased training job is doing.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The job.
    pub job: JobId,
    /// Its worker's name.
    pub worker: String,
    /// The architecture's name.
    pub model: String,
    /// The seed.
    pub seed: Option<u64>,
    /// As the worker said it last: `epoch 2 of 3`; empty before it said anything.
    pub text: String,
    /// Share done, 0 to 1.
    pub fraction: f64,
}

/// Whose row it is: what results and curves say of their run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunLabel {
    /// The run's digest.
    pub run: RunDigest,
    /// The architecture's name.
    pub model: String,
    /// The seed; none for an imported run.
    pub seed: Option<u64>,
    /// Every axis value of the run in this sweep, as a JSON object.
    pub settings: String,
}

/// One measured point of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePoint {
    /// Its run.
    pub label: RunLabel,
    /// Checkpoint at alpha = 0.
    pub from: String,
    /// Checkpoint at alpha = 1.
    pub to: String,
    /// What moves.
    pub mask: String,
    /// Checkpoint at which the rest is held.
    pub hold: String,
    /// Batch-norm mode: `interpolate`, `recalibrate`, `batch` or `none`.
    pub batch_norm: String,
    /// Where it was measured.
    pub split: Split,
    /// Coordinate.
    pub alpha: f64,
    /// Mean cross-entropy in nats; may be infinite or NaN.
    pub loss: f64,
    /// Share classified correctly.
    pub accuracy: f64,
    /// Images evaluated.
    pub count: u64,
}

/// Where a page of points begins: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointCursor {
    pub(super) position: i64,
    pub(super) split: Split,
    pub(super) index: u32,
}

/// One epoch of one run on one split, in a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// Its run.
    pub label: RunLabel,
    /// What was measured.
    pub epoch: Epoch,
}

/// Where a page of curves begins: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurveCursor {
    pub(super) position: i64,
    pub(super) epoch: u32,
    pub(super) split: Split,
}

/// A job as users see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// The job.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Where it is.
    pub state: JobState,
    /// How often it was leased.
    pub attempt: Attempt,
    /// Name of the worker that holds it, or held it last.
    pub worker: Option<String>,
    /// The run's digest.
    pub run: RunDigest,
    /// The architecture's name.
    pub model: String,
    /// The seed; none for an imported run.
    pub seed: Option<u64>,
    /// What moves, for a line.
    pub mask: Option<String>,
    /// When it was queued, first or again.
    pub queued_at: Timestamp,
    /// When its present or last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The last error, or why it will not run.
    pub error: Option<String>,
    /// Every failed attempt, oldest first.
    pub errors: Vec<AttemptError>,
}

/// What ended one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptError {
    /// The attempt.
    pub attempt: Attempt,
    /// When.
    pub at: Timestamp,
    /// Whose fault.
    pub class: ErrorClass,
    /// What happened.
    pub message: String,
    /// Name of the worker.
    pub worker: String,
}

/// Which jobs to queue again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    /// Of the failed ones, only those whose last error is the machine's (and the lines that wait for such a run).
    pub machine_errors_only: bool,
    /// The cancelled ones as well.
    pub cancelled: bool,
}

/// Checkpoints trained elsewhere, to store under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct NewImport {
    /// Name that sweep files use.
    pub name: String,
    /// The model.
    pub model: ModelSpec,
    /// Shape of its images: channels, height, width.
    pub input: [u32; 3],
    /// Number of its classes.
    pub classes: u32,
    /// Artifact and size in bytes of each checkpoint; at least one.
    pub checkpoints: BTreeMap<Tag, (ArtifactDigest, u64)>,
}

/// Whose checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointsOf {
    /// All runs of a sweep.
    Sweep(SweepId),
    /// The run whose digest begins like this (at least 6 digits).
    Run(String),
    /// The import of this name.
    Import(String),
}

/// One stored checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Its run; none for an import.
    pub run: Option<RunDigest>,
    /// The architecture's name.
    pub model: String,
    /// The seed; none for an import and for an imported run.
    pub seed: Option<u64>,
    /// Its moment.
    pub tag: Tag,
    /// Its artifact.
    pub artifact: ArtifactDigest,
    /// Its size in bytes.
    pub bytes: u64,
}

/// What a worker is; fields as in `transect.v1.WorkerInfo`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerInfo {
    /// Host name.
    pub host: String,
    /// Process id.
    pub pid: u32,
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// Processor's or GPU's model.
    pub device_name: String,
    /// Memory of the device in bytes.
    pub memory_bytes: u64,
    /// Version of libtorch.
    pub libtorch: String,
    /// Vector instructions that libtorch uses.
    pub cpu_capability: String,
    /// Threads of each executor.
    pub threads: u32,
    /// Version of the worker.
    pub version: String,
}

/// State of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerState {
    /// Heard of within a lease's length.
    Live,
    /// Likewise, and takes no new work.
    Draining,
    /// Left, or silent for longer than a lease.
    Gone,
}

impl WorkerState {
    /// As in SQL and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Gone => "gone",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Live, Self::Draining, Self::Gone].into_iter().find(|state| state.name() == name)
    }
}

/// A known worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The worker.
    pub id: WorkerId,
    /// Host, device and process id.
    pub name: String,
    /// Whether it is there.
    pub state: WorkerState,
    /// What it is.
    pub info: WorkerInfo,
    /// When it registered.
    pub registered_at: Timestamp,
    /// When it was heard last.
    pub seen_at: Timestamp,
    /// Jobs that it holds.
    pub leased: u64,
    /// Jobs that it has done.
    pub done: u64,
}

/// What a worker wants.
#[derive(Debug, Clone)]
pub struct LeaseWish {
    /// Who asks.
    pub worker: WorkerId,
    /// At most this many jobs; at least 1.
    pub max_jobs: u32,
    /// Runs whose checkpoints it holds; at most 100 are looked at.
    pub cached_runs: Vec<RunDigest>,
}

/// Work: one training job, or ready lines of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Lease {
    /// The run.
    pub run: RunDigest,
    /// Its canonical form.
    pub run_spec: String,
    /// Its stored checkpoints, when the jobs are lines; empty for a training job.
    pub checkpoints: Vec<(Tag, ArtifactDigest)>,
    /// The jobs, at least one, by id.
    pub jobs: Vec<LeasedJob>,
}

/// One job of a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct LeasedJob {
    /// The job and its new attempt.
    pub job: JobAttempt,
    /// The line's canonical form; none for a training job.
    pub line_spec: Option<String>,
    /// Points that are stored already: split and place in the grid.
    pub done_points: BTreeSet<(Split, u32)>,
}

/// How far a job is, as its worker says.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProgress {
    /// The job.
    pub job: JobAttempt,
    /// Share done; cut to 0 to 1.
    pub fraction: f64,
    /// For people.
    pub text: String,
}

/// One row of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportRow {
    /// Place in the stream, from 0; comes back with a refusal.
    pub place: u64,
    /// Whose row.
    pub job: JobAttempt,
    /// What it says.
    pub row: Row,
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum Row {
    /// One epoch of training.
    Epoch(Epoch),
    /// A checkpoint whose artifact is stored already (the caller has checked).
    Checkpoint {
        /// Its moment.
        tag: Tag,
        /// Its artifact.
        artifact: ArtifactDigest,
        /// Its size.
        bytes: u64,
    },
    /// A point of a line.
    Point(Point),
    /// The job is complete.
    Done {
        /// Seconds of work.
        seconds: f64,
        /// Threads that did it.
        threads: u32,
    },
    /// The attempt failed.
    Failed {
        /// Whose fault.
        class: ErrorClass,
        /// What happened.
        message: String,
    },
}

/// One epoch on one split.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Epoch, from 1; 0 is the state before training.
    pub epoch: u32,
    /// Where.
    pub split: Split,
    /// Mean cross-entropy in nats, finite.
    pub loss: f64,
    /// Share classified correctly.
    pub accuracy: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

/// One measured point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Where.
    pub split: Split,
    /// Place in the grid.
    pub index: u32,
    /// The grid's value there.
    pub alpha: f64,
    /// Mean cross-entropy in nats; may be infinite or NaN.
    pub loss: f64,
    /// Share classified correctly.
    pub accuracy: f64,
    /// Images evaluated.
    pub count: u64,
}

/// What became of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// Rows stored now or before.
    pub stored: u64,
    /// Rows refused.
    pub refused: Vec<Refusal>,
}

/// One refused row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose row.
    pub job: JobAttempt,
    /// Its place in the stream.
    pub place: u64,
    /// Why.
    pub reason: RefusalReason,
    /// For people.
    pub message: String,
}

/// Why a row was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// Another attempt owns the job, or it has ended: stop it.
    Stale,
    /// There is no such job.
    Unknown,
    /// The row contradicts the job.
    Invalid,
}

impl RefusalReason {
    /// As on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
        }
    }
}

/// How much there is, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sweeps ever submitted.
    pub sweeps: u64,
    /// Jobs by kind and state; those that are absent are 0.
    pub jobs: BTreeMap<(JobKind, JobState), u64>,
    /// Points stored.
    pub points: u64,
    /// Workers that are live or draining.
    pub workers: u64,
}
