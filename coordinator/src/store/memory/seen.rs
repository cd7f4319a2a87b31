//! What invariants are checked on: all that matters of a store, as plain data.

use std::collections::BTreeMap;

use transect_common::digest::RunDigest;
use transect_common::job::{JobKind, JobState};
use transect_common::line::LineSpec;
use transect_common::schedule::Schedule;

use super::state::State;
use crate::store::{Timestamp, WorkerInfo};

/// A store at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sight {
    /// Jobs by id.
    pub jobs: BTreeMap<i64, SeenJob>,
    /// Sweeps by id.
    pub sweeps: BTreeMap<i64, SeenSweep>,
    /// Workers by id.
    pub workers: BTreeMap<i64, SeenWorker>,
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenJob {
    /// What it does.
    pub kind: JobKind,
    /// Its run.
    pub run: RunDigest,
    /// Its line; none for a training.
    pub line: Option<LineSpec>,
    /// Where it is.
    pub state: JobState,
    /// How often it was leased.
    pub attempt: u32,
    /// How often it failed since a user queued it.
    pub failures: u32,
    /// Leases lost in a row.
    pub lost: u32,
    /// Its holder, or its last.
    pub worker: Option<i64>,
    /// The sweep in whose name it waits, or was leased.
    pub sweep: Option<i64>,
    /// It may not be leased before.
    pub due_at: Timestamp,
    /// End of its lease.
    pub expires_at: Option<Timestamp>,
    /// Trainings that it waits for.
    pub sources: Vec<i64>,
    /// The training with which it failed.
    pub blocked_by: Option<i64>,
    /// Attempts of it that failed, or lost their leases.
    pub errors: u64,
    /// Losses measured, by split and place, as bits.
    pub points: BTreeMap<(&'static str, u32), u64>,
    /// It is a training of which a snapshot is kept.
    pub is_begun: bool,
    /// Points as the job counts them.
    pub points_counted: u64,
    /// Points when it is complete.
    pub points_expected: u64,
    /// Artifacts of its run's checkpoints, for a training.
    pub checkpoints: BTreeMap<String, String>,
}

/// A sweep at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenSweep {
    /// It is not cancelled.
    pub is_live: bool,
    /// It is held back.
    pub is_paused: bool,
    /// How it wants to be scheduled.
    pub schedule: Schedule,
    /// Its jobs.
    pub jobs: Vec<i64>,
}

/// A worker at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenWorker {
    /// What it is.
    pub info: WorkerInfo,
    /// Until when it is set aside.
    pub quarantined_until: Option<Timestamp>,
    /// The sweep of its last lease.
    pub sweep: Option<i64>,
    /// It has not been silent for longer than a lease.
    pub is_there: bool,
}

pub(super) fn see(state: &State) -> Sight {
    let jobs = state.jobs.iter().map(|(id, job)| {
        let checkpoints = if job.is_train() {
            let files = state.run(job.run).checkpoints.iter();
            files.map(|(tag, (artifact, _))| (tag.to_string(), artifact.to_string())).collect()
        } else {
            BTreeMap::new()
        };
        let seen = SeenJob {
            kind: job.kind(),
            run: state.run(job.run).digest.clone(),
            line: job.line.as_ref().map(|line| line.spec.clone()),
            state: job.state,
            attempt: job.attempt,
            failures: job.failures,
            lost: job.lost,
            worker: job.worker,
            sweep: job.sweep,
            due_at: job.due_at,
            expires_at: job.expires_at,
            sources: state.sources(*id),
            blocked_by: job.blocked_by,
            errors: job.errors.len() as u64,
            points: job.points.iter().map(|(key, (point, _))| (*key, point.loss.to_bits())).collect(),
            is_begun: job.is_train() && state.run(job.run).snapshot.is_some(),
            points_counted: job.points_counted,
            points_expected: job.points_expected,
            checkpoints,
        };
        (*id, seen)
    });
    let sweeps = state.sweeps.iter().map(|(id, sweep)| {
        let seen = SeenSweep {
            is_live: sweep.is_live(),
            is_paused: sweep.is_paused,
            schedule: sweep.schedule.clone(),
            jobs: sweep.jobs.clone(),
        };
        (*id, seen)
    });
    let workers = state.workers.iter().map(|(id, worker)| {
        let is_there = worker.state != crate::store::WorkerState::Gone;
        let (quarantined_until, sweep) = (worker.quarantined_until, worker.sweep);
        (*id, SeenWorker { info: worker.info.clone(), quarantined_until, sweep, is_there })
    });
    Sight { jobs: jobs.collect(), sweeps: sweeps.collect(), workers: workers.collect() }
}
