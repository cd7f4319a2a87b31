//! Plain data of users: sweeps, their progress and results, imports. Nothing here knows which database there is.

use std::collections::BTreeMap;

use transect_common::data::Split;
use transect_common::digest::{ArtifactDigest, RunDigest};
use transect_common::job::{ErrorClass, JobKind, JobState};
use transect_common::model::ModelSpec;
use transect_common::run::Tag;
use transect_common::schedule::JobFacts;
use transect_common::sweep::Expansion;

use super::{Attempt, Epoch, JobId, SweepId, Timestamp};

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
    /// Likewise, and it is held back.
    Paused,
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
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether something is left to do for it.
    pub fn is_at_work(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Running, Self::Paused, Self::Done, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
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
    /// Its priority.
    pub priority: i32,
    /// Its share.
    pub share: f64,
    /// Its limit.
    pub max_workers: Option<u32>,
    /// Workers at work for it now.
    pub workers: u64,
    /// Seconds until it is done, learned from what is done; none while nothing is known, and once it has ended.
    pub seconds_left: Option<f64>,
}

/// Jobs of one kind and model of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobTotals {
    /// What they do.
    pub kind: JobKind,
    /// The architecture's name.
    pub model: String,
    /// All of them.
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
}

/// What to change of a sweep's scheduling; what is none stays.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Adjust {
    /// Its priority.
    pub priority: Option<i32>,
    /// Its share.
    pub share: Option<f64>,
    /// Its limit; 0 for no limit.
    pub max_workers: Option<u32>,
}

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Explained {
    /// The job.
    pub job: Job,
    /// Every sweep that needs it, newest first, with its name.
    pub sweeps: Vec<(SweepId, String)>,
    /// What the reasons are made of.
    pub facts: JobFacts,
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

/// Which line of a run it is.
#[derive(Debug, Clone, PartialEq)]
pub struct LineLabel {
    /// Its run.
    pub run: RunLabel,
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
    /// Where `to` lies: `run:DIGEST`, `init:SEED`; none for the run itself.
    pub elsewhere: Option<String>,
    /// The units of `to` are permuted to match those of `from`.
    pub align: bool,
    /// How the direction is scaled: `none` or `filter`.
    pub normalize: String,
}

/// One measured point of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct LinePoint {
    /// Its line.
    pub line: LineLabel,
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
    /// Not of the line's grid, but added where the curve bends.
    pub refined: bool,
}

/// Where a page of points begins: after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PointCursor {
    pub(super) position: i64,
    pub(super) split: Split,
    pub(super) index: u32,
}

/// One number of a whole line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineMeasure {
    /// Its line.
    pub line: LineLabel,
    /// Where it was measured; none for what depends on no images.
    pub split: Option<Split>,
    /// What it is, one of [`transect_common::line::MEASURED`].
    pub name: String,
    /// Its value, finite.
    pub value: f64,
}

/// Where a page of measures begins: after this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeasureCursor {
    pub(super) position: i64,
    pub(super) split: String,
    pub(super) name: String,
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
