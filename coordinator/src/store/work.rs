//! Plain data of workers: who they are, what they lease, what they report. Nothing here knows which database there is.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::data::Split;
use transect_common::digest::{ArtifactDigest, RunDigest};
use transect_common::job::ErrorClass;
use transect_common::run::Tag;

use super::{JobAttempt, Timestamp, WorkerId};

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
    /// Words that sweeps may require.
    pub labels: BTreeSet<String>,
}

/// State of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerState {
    /// Heard of within a lease's length.
    Live,
    /// Likewise, and takes no new work.
    Draining,
    /// Several jobs failed on it: it is given none for a while.
    Quarantined,
    /// Left, or silent for longer than a lease.
    Gone,
}

impl WorkerState {
    /// As in SQL and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Gone => "gone",
        }
    }

    /// The state of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Live, Self::Draining, Self::Quarantined, Self::Gone].into_iter().find(|state| state.name() == name)
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
    /// Different jobs that failed on it since one succeeded, for reasons that lie in the machine.
    pub failures: u32,
    /// When its quarantine ends; none when it is in none.
    pub quarantined_until: Option<Timestamp>,
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
    /// Seconds until it will be stopped, where that is known.
    pub seconds_left: Option<f64>,
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
    /// Checkpoints of other runs that the jobs need.
    pub elsewhere: Vec<(RunDigest, Tag, ArtifactDigest)>,
    /// Imported files that a training starts from.
    pub artifacts: Vec<ArtifactDigest>,
    /// The jobs, at least one, by id.
    pub jobs: Vec<LeasedJob>,
    /// Where the training goes on, when an earlier attempt got that far on a device like this worker's.
    pub snapshot: Option<Snapshot>,
}

/// A training that was interrupted. It goes on to the same bytes on the same kind of device, libtorch and CPU capability,
/// with as many threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its artifact.
    pub artifact: ArtifactDigest,
    /// Size in bytes.
    pub bytes: u64,
    /// Optimiser steps done.
    pub step: u64,
    /// Threads of the executor that took it.
    pub threads: u32,
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
    /// Alpha and loss of these, for a line whose grid is refined; empty for others.
    pub curve: BTreeMap<(Split, u32), (f64, f64)>,
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
    /// A training as it is now, in an artifact that is stored already (the caller has checked).
    Snapshot(Snapshot),
    /// A point of a line.
    Point(Point),
    /// A number of a whole line.
    Measure {
        /// What it is.
        name: String,
        /// Where it was measured; none for what depends on no images.
        split: Option<Split>,
        /// Its value.
        value: f64,
    },
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
    /// Place in the grid; places from its end on refine it.
    pub index: u32,
    /// The grid's value there, or one between its ends.
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
