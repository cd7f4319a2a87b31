//! Everything that a store knows, as plain data, and the few questions and steps that all operations share.
//!
//! Invariants: ids are given in order and never again; maps are ordered, so that every walk over them is the same in
//! every process; whatever changes a job's state goes through [`State::step`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::job::{ErrorClass, JobEvent, JobKind, JobState};
use transect_common::line::LineSpec;
use transect_common::model::ModelSpec;
use transect_common::run::{RunSpec, Tag};
use transect_common::schedule::{Rate, Schedule};

use super::bugs::Bug;
use crate::security::{SecretHash, Token};
use crate::store::{Epoch, Point, Result, Snapshot, StoreError, SweepId, Terms, Timestamp, WorkerInfo, WorkerState};

/// The whole store.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) terms: Terms,
    /// A deliberate mistake, for simulations that must find it.
    pub(super) bug: Option<Bug>,
    /// Writes so far, by which a mistake decides when to strike.
    pub(super) writes: u64,
    pub(super) sweeps: BTreeMap<i64, SweepRow>,
    pub(super) runs: BTreeMap<i64, RunRow>,
    pub(super) run_ids: BTreeMap<RunDigest, i64>,
    pub(super) jobs: BTreeMap<i64, JobRow>,
    pub(super) workers: BTreeMap<i64, WorkerRow>,
    pub(super) imports: BTreeMap<String, ImportRow>,
    /// Oldest first, each with what stands for its secret.
    pub(super) tokens: Vec<(SecretHash, Token)>,
    /// Who alone speaks for a worker.
    pub(super) owners: BTreeMap<i64, String>,
}

#[derive(Debug, Clone)]
pub(super) struct SweepRow {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) key: String,
    pub(super) submitted_at: Timestamp,
    pub(super) cancelled_at: Option<Timestamp>,
    pub(super) is_paused: bool,
    /// It had nothing left to do when its books were closed.
    pub(super) is_rolled_up: bool,
    pub(super) schedule: Schedule,
    /// Runs in the sweep file's order, with their settings as JSON.
    pub(super) runs: Vec<(i64, String)>,
    /// Jobs in the sweep file's order; trainings that it does not list come last.
    pub(super) jobs: Vec<i64>,
}

impl SweepRow {
    pub(super) fn is_live(&self) -> bool {
        self.cancelled_at.is_none()
    }

    /// Work may be given in its name.
    pub(super) fn is_open(&self) -> bool {
        self.is_live() && !self.is_paused
    }

    pub(super) fn settings(&self, run: i64) -> String {
        self.runs.iter().find(|(id, _)| *id == run).map(|(_, settings)| settings.clone()).unwrap_or_default()
    }
}

#[derive(Debug, Clone)]
pub(super) struct RunRow {
    pub(super) digest: RunDigest,
    pub(super) canonical: Arc<str>,
    pub(super) spec: Arc<RunSpec>,
    /// Number of its parameters, for costs.
    pub(super) parameters: usize,
    /// Its training; none when it was trained elsewhere.
    pub(super) train: Option<i64>,
    pub(super) lines: Vec<i64>,
    /// Jobs that need a checkpoint of it beside its own lines.
    pub(super) needed_by: BTreeSet<i64>,
    pub(super) checkpoints: BTreeMap<Tag, (ArtifactDigest, u64)>,
    /// By epoch and split's name.
    pub(super) curves: BTreeMap<(u32, &'static str), Epoch>,
    /// Where its training goes on, and the worker that took it.
    pub(super) snapshot: Option<(Snapshot, i64)>,
}

impl RunRow {
    /// `lenet5 seed 3 (0123456789ab)`.
    pub(super) fn words(&self) -> String {
        format!("{} ({})", self.name(), self.digest.short())
    }

    /// `lenet5 seed 3`.
    pub(super) fn name(&self) -> String {
        let seed = self.spec.seed().map(|seed| format!(" seed {seed}")).unwrap_or_default();
        format!("{}{seed}", self.spec.model.name())
    }
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) digest: LineDigest,
    pub(super) canonical: String,
    /// The canonical form without the alphas and what refines them.
    pub(super) sans_alphas: String,
    pub(super) spec: LineSpec,
}

#[derive(Debug, Clone)]
pub(super) struct JobRow {
    pub(super) run: i64,
    /// None for a training.
    pub(super) line: Option<Arc<Line>>,
    pub(super) state: JobState,
    /// Whatever it waits for is trained.
    pub(super) is_ready: bool,
    pub(super) due_at: Timestamp,
    pub(super) attempt: u32,
    pub(super) failures: u32,
    pub(super) lost: u32,
    pub(super) worker: Option<i64>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) fraction: f64,
    pub(super) progress: String,
    /// By split's name and place in the grid, with the worker that measured.
    pub(super) points: BTreeMap<(&'static str, u32), (Point, i64)>,
    pub(super) points_counted: u64,
    pub(super) points_expected: u64,
    /// By split's name, empty for none, and name.
    pub(super) measures: BTreeMap<(&'static str, String), f64>,
    pub(super) queued_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) seconds: Option<f64>,
    pub(super) error: Option<String>,
    pub(super) error_class: Option<ErrorClass>,
    pub(super) blocked_by: Option<i64>,
    /// Checkpoints of other runs that it needs.
    pub(super) needs: BTreeSet<(i64, Tag)>,
    /// The sweep in whose name it waits, or was leased last.
    pub(super) sweep: Option<i64>,
    pub(super) cost: f64,
    /// What ended attempts, by attempt.
    pub(super) errors: BTreeMap<u32, ErrorRow>,
}

impl JobRow {
    pub(super) fn kind(&self) -> JobKind {
        if self.line.is_some() { JobKind::Line } else { JobKind::Train }
    }

    pub(super) fn is_train(&self) -> bool {
        self.line.is_none()
    }

    /// It could be leased now.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.state == JobState::Queued && self.is_ready && self.due_at <= now
    }
}

#[derive(Debug, Clone)]
pub(super) struct ErrorRow {
    pub(super) at: Timestamp,
    pub(super) class: ErrorClass,
    pub(super) message: String,
    pub(super) worker: i64,
}

#[derive(Debug, Clone)]
pub(super) struct WorkerRow {
    pub(super) name: String,
    pub(super) info: WorkerInfo,
    /// Live, draining or gone.
    pub(super) state: WorkerState,
    pub(super) registered_at: Timestamp,
    pub(super) seen_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) done: u64,
    /// Runs whose jobs failed on it since one succeeded.
    pub(super) failed_runs: BTreeSet<i64>,
    pub(super) quarantined_until: Option<Timestamp>,
    /// The sweep of its last lease.
    pub(super) sweep: Option<i64>,
}

impl WorkerRow {
    pub(super) fn is_same_machine(&self, other: &WorkerInfo) -> bool {
        (&self.info.host, &self.info.device) == (&other.host, &other.device)
    }

    pub(super) fn is_quarantined(&self, now: Timestamp) -> bool {
        self.quarantined_until.is_some_and(|until| until > now)
    }

    /// As users see it.
    pub(super) fn shown_state(&self) -> WorkerState {
        match self.state {
            WorkerState::Gone => WorkerState::Gone,
            _ if self.quarantined_until.is_some() => WorkerState::Quarantined,
            state => state,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct ImportRow {
    pub(super) model: ModelSpec,
    pub(super) input: [u32; 3],
    pub(super) classes: u32,
    pub(super) checkpoints: BTreeMap<Tag, (ArtifactDigest, u64)>,
}

impl State {
    pub(super) fn new(terms: Terms, bug: Option<Bug>) -> Self {
        Self {
            terms,
            bug,
            writes: 0,
            sweeps: BTreeMap::new(),
            runs: BTreeMap::new(),
            run_ids: BTreeMap::new(),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            imports: BTreeMap::new(),
            tokens: vec![],
            owners: BTreeMap::new(),
        }
    }

    /// Whether this deliberate mistake is made.
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn sweep(&self, id: SweepId) -> Result<&SweepRow> {
        self.sweeps.get(&id.0).ok_or_else(|| StoreError::NotFound { what: "sweep", name: id.to_string() })
    }

    pub(super) fn sweep_mut(&mut self, id: SweepId) -> Result<&mut SweepRow> {
        self.sweeps.get_mut(&id.0).ok_or_else(|| StoreError::NotFound { what: "sweep", name: id.to_string() })
    }

    pub(super) fn job(&self, id: i64) -> &JobRow {
        self.jobs.get(&id).expect("ids of jobs are kept only of jobs that are stored")
    }

    pub(super) fn job_mut(&mut self, id: i64) -> &mut JobRow {
        self.jobs.get_mut(&id).expect("ids of jobs are kept only of jobs that are stored")
    }

    pub(super) fn run(&self, id: i64) -> &RunRow {
        self.runs.get(&id).expect("ids of runs are kept only of runs that are stored")
    }

    pub(super) fn run_mut(&mut self, id: i64) -> &mut RunRow {
        self.runs.get_mut(&id).expect("ids of runs are kept only of runs that are stored")
    }

    /// Changes a job's state.
    pub(super) fn step(&mut self, id: i64, event: JobEvent) {
        let job = self.job_mut(id);
        job.state = job.state.after(event).expect("whoever asks has looked at the state");
    }

    /// Trainings that a job waits for.
    pub(super) fn sources(&self, id: i64) -> Vec<i64> {
        let job = self.job(id);
        let own = job.line.as_ref().and_then(|_| self.run(job.run).train);
        own.into_iter().chain(job.needs.iter().filter_map(|(run, _)| self.run(*run).train)).collect()
    }

    /// Sweeps that need a job, oldest first.
    pub(super) fn sweeps_of(&self, job: i64) -> impl Iterator<Item = (i64, &SweepRow)> {
        self.sweeps.iter().filter(move |(_, sweep)| sweep.jobs.contains(&job)).map(|(id, sweep)| (*id, sweep))
    }

    /// Hands a waiting job over to a sweep in whose name it can be leased, where its own is cancelled or paused: the
    /// one of highest priority, then the oldest.
    pub(super) fn rehome(&mut self, id: i64) {
        let job = self.job(id);
        if job.state != JobState::Queued || self.has(Bug::NoHandover) {
            return;
        }
        let own = job.sweep.and_then(|sweep| self.sweeps.get(&sweep));
        if own.is_some_and(SweepRow::is_open) {
            return;
        }
        let best = |open: bool| {
            self.sweeps_of(id)
                .filter(|(_, sweep)| if open { sweep.is_open() } else { sweep.is_live() })
                .max_by_key(|(sweep, row)| (row.schedule.priority, -sweep))
                .map(|(sweep, _)| sweep)
        };
        let home = best(true).or_else(|| if own.is_some_and(SweepRow::is_live) { job.sweep } else { best(false) });
        self.job_mut(id).sweep = home;
    }

    /// Jobs that others hold back, and that sweep `id` needs as well, go on in its name.
    pub(super) fn adopt(&mut self, id: i64) {
        let sweep = &self.sweeps[&id];
        let (is_live, is_open, priority) = (sweep.is_live(), sweep.is_open(), sweep.schedule.priority);
        let is_held_back = |job: &JobRow| {
            job.sweep.and_then(|other| self.sweeps.get(&other)).is_none_or(|other| {
                !other.is_live() || (is_open && (other.is_paused || other.schedule.priority < priority))
            })
        };
        let is_to_move = |id: &i64| self.job(*id).state.is_live() && is_held_back(self.job(*id));
        let moved: Vec<i64> = sweep.jobs.iter().copied().filter(is_to_move).collect();
        if is_live && !self.has(Bug::NoHandover) {
            for job in moved {
                self.job_mut(job).sweep = Some(id);
            }
        }
    }

    /// Jobs that sweep `id` holds back, and that others need as well, go on in the name of one of those: the one of
    /// highest priority, then the oldest, held back or not only where this one is cancelled.
    pub(super) fn hand_over(&mut self, id: i64) {
        let sweep = &self.sweeps[&id];
        let better = |other: &SweepRow| {
            let comes_first = sweep.is_paused || other.schedule.priority > sweep.schedule.priority;
            if sweep.is_live() { other.is_open() && comes_first } else { other.is_live() }
        };
        let heir = |job: i64| {
            self.sweeps_of(job)
                .filter(|(other, row)| *other != id && better(row))
                .max_by_key(|(other, row)| (!row.is_paused, row.schedule.priority, -other))
                .map(|(other, _)| (job, other))
        };
        let is_own = |job: &i64| self.job(*job).sweep == Some(id) && self.job(*job).state.is_live();
        let moved: Vec<(i64, i64)> = sweep.jobs.iter().copied().filter(is_own).filter_map(heir).collect();
        if !self.has(Bug::NoHandover) {
            for (job, other) in moved {
                self.job_mut(job).sweep = Some(other);
            }
        }
    }

    /// Queues a job again that failed or was cancelled.
    pub(super) fn requeue(&mut self, id: i64, now: Timestamp) {
        self.step(id, JobEvent::Requeue);
        let job = self.job_mut(id);
        (job.failures, job.lost, job.due_at, job.queued_at) = (0, 0, now, now);
        (job.finished_at, job.error, job.error_class, job.blocked_by) = (None, None, None, None);
        for sweep in self.sweeps.values_mut().filter(|sweep| sweep.jobs.contains(&id)) {
            sweep.is_rolled_up = false;
        }
        self.rehome(id);
    }

    /// Queues a leased job again, not to be leased before `due`.
    pub(super) fn give_back(&mut self, id: i64, due: Timestamp) {
        self.step(id, JobEvent::GiveBack);
        let job = self.job_mut(id);
        (job.due_at, job.expires_at, job.fraction) = (due, None, 0.0);
        job.progress.clear();
        self.rehome(id);
    }

    /// What jobs of this kind and model took, and what those of this kind took.
    pub(super) fn rates(&self, kind: JobKind, model: &str) -> (Rate, Rate) {
        let (mut own, mut all) = (Rate::default(), Rate::default());
        for job in self.jobs.values().filter(|job| job.state == JobState::Done && job.kind() == kind) {
            let Some(seconds) = job.seconds else { continue };
            all = Rate { cost: all.cost + job.cost, seconds: all.seconds + seconds };
            if self.run(job.run).spec.model.name() == model {
                own = Rate { cost: own.cost + job.cost, seconds: own.seconds + seconds };
            }
        }
        (own, all)
    }

    /// Seconds that a job should take; none while nothing was learned.
    pub(super) fn estimate(&self, id: i64) -> Option<f64> {
        let job = self.job(id);
        let (own, kind) = self.rates(job.kind(), self.run(job.run).spec.model.name());
        own.seconds_for(job.cost).or_else(|| kind.seconds_for(job.cost))
    }

    /// Workers at work for each sweep, `asker` not counted.
    pub(super) fn at_work(&self, asker: Option<i64>) -> BTreeMap<i64, u32> {
        let mut busy: BTreeSet<(i64, i64)> = BTreeSet::new();
        for job in self.jobs.values().filter(|job| job.state == JobState::Leased) {
            if let Some(worker) = job.worker.filter(|worker| Some(*worker) != asker)
                && let Some(sweep) = self.workers[&worker].sweep
                && self.workers[&worker].state != WorkerState::Gone
            {
                busy.insert((sweep, worker));
            }
        }
        let mut count = BTreeMap::new();
        for (sweep, _) in busy {
            *count.entry(sweep).or_insert(0) += 1;
        }
        count
    }
}
