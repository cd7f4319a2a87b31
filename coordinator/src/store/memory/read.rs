//! Reading sweeps: progress, results, curves and jobs, page by page.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use transect_common::data::Split;
use transect_common::digest::{LineDigest, RunDigest};
use transect_common::job::{JobKind, JobState};
use transect_common::line::{Elsewhere, Normalize};
use transect_common::schedule::{Rest, seconds_left};

use super::state::{Line, State, SweepRow};
use crate::store::{
    Activity, Attempt, AttemptError, CurveCursor, CurvePoint, Job, JobId, JobTotals, LineLabel, LineMeasure, LinePoint,
    MeasureCursor, Page, PointCursor, Result, RunLabel, StoreError, Sweep, SweepId, SweepState,
};

pub(super) fn find(state: &State, id_or_name: &str) -> Result<SweepId> {
    let by_id = id_or_name.parse::<SweepId>().ok().filter(|id| state.sweeps.contains_key(&id.0));
    let by_name = || state.sweeps.iter().rev().find(|(_, sweep)| sweep.name == id_or_name).map(|(id, _)| SweepId(*id));
    by_id.or_else(by_name).ok_or_else(|| StoreError::NotFound { what: "sweep", name: id_or_name.to_owned() })
}

pub(super) fn sweep(state: &State, id: SweepId) -> Result<Sweep> {
    let row = state.sweep(id)?;
    let jobs = || row.jobs.iter().map(|job| state.job(*job));
    let in_state = |wanted: JobState| jobs().filter(|job| job.state == wanted).count() as u64;
    let trains = || jobs().filter(|job| job.is_train());
    let (queued, leased) = (in_state(JobState::Queued), in_state(JobState::Leased));
    let (failed, cancelled) = (in_state(JobState::Failed), in_state(JobState::Cancelled));
    let is_over = queued + leased == 0;
    let last = jobs().filter_map(|job| job.finished_at).max();
    let now = match () {
        () if !row.is_live() => SweepState::Cancelled,
        () if !is_over && row.is_paused => SweepState::Paused,
        () if !is_over => SweepState::Running,
        () if failed > 0 => SweepState::Failed,
        () if cancelled > 0 => SweepState::Cancelled,
        () => SweepState::Done,
    };
    let workers = u64::from(state.at_work(None).get(&id.0).copied().unwrap_or(0));
    Ok(Sweep {
        id,
        name: row.name.clone(),
        state: now,
        submitted_at: row.submitted_at,
        // A sweep whose jobs were all done before it came is finished when it is submitted.
        finished_at: row.cancelled_at.or(is_over.then(|| last.unwrap_or(row.submitted_at).max(row.submitted_at))),
        runs: row.runs.len() as u64,
        jobs: row.jobs.len() as u64,
        queued,
        leased,
        done: in_state(JobState::Done),
        failed,
        cancelled,
        points: jobs().map(|job| job.points.len() as u64).sum(),
        points_expected: jobs().map(|job| job.points_expected).sum(),
        train_jobs: trains().count() as u64,
        train_done: trains().filter(|job| job.state == JobState::Done).count() as u64,
        priority: row.schedule.priority,
        share: row.schedule.share,
        max_workers: row.schedule.max_workers,
        workers,
        seconds_left: if is_over || !row.is_live() { None } else { seconds_left(&rest(state, row), workers) },
    })
}

pub(super) fn totals(state: &State, id: SweepId) -> Result<Vec<JobTotals>> {
    let mut totals: BTreeMap<(&str, Reverse<&str>), JobTotals> = BTreeMap::new();
    for job in state.sweep(id)?.jobs.iter().map(|job| state.job(*job)) {
        let (kind, model) = (job.kind(), state.run(job.run).spec.model.name());
        let none = JobTotals {
            kind,
            model: model.to_owned(),
            jobs: 0,
            queued: 0,
            leased: 0,
            done: 0,
            failed: 0,
            cancelled: 0,
        };
        let row = totals.entry((model, Reverse(kind.name()))).or_insert(none);
        row.jobs += 1;
        *match job.state {
            JobState::Queued => &mut row.queued,
            JobState::Leased => &mut row.leased,
            JobState::Done => &mut row.done,
            JobState::Failed => &mut row.failed,
            JobState::Cancelled => &mut row.cancelled,
        } += 1;
    }
    Ok(totals.into_values().collect())
}

/// What a sweep still waits for, by kind and model.
fn rest(state: &State, sweep: &SweepRow) -> Vec<Rest> {
    let mut costs: BTreeMap<(JobKind, &str), f64> = BTreeMap::new();
    for job in sweep.jobs.iter().map(|job| state.job(*job)).filter(|job| job.state.is_live()) {
        *costs.entry((job.kind(), state.run(job.run).spec.model.name())).or_insert(0.0) += job.cost;
    }
    let rest = |((kind, model), cost): ((JobKind, &str), f64)| {
        let (own, all) = state.rates(kind, model);
        Rest { cost, own, kind: all }
    };
    costs.into_iter().map(rest).collect()
}

/// Up to `limit` of rows that are in order, and where the next page begins.
fn page<T, C>(rows: impl Iterator<Item = (C, T)>, limit: u32) -> Page<T, C> {
    let (mut taken, mut last) = (vec![], None);
    for (cursor, row) in rows.take(limit as usize) {
        last = Some(cursor);
        taken.push(row);
    }
    let next = if taken.len() >= limit as usize { last } else { None };
    Page { rows: taken, next }
}

pub(super) fn sweeps(state: &State, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>> {
    let ids = state.sweeps.keys().rev().map(|id| SweepId(*id));
    let ids = ids.filter(|id| before.is_none_or(|before| *id < before)).take(limit as usize);
    let rows = ids.map(|id| Ok((id, sweep(state, id)?))).collect::<Result<Vec<_>>>()?;
    Ok(page(rows.into_iter(), limit))
}

pub(super) fn at_work(state: &State) -> Result<Vec<Sweep>> {
    let all: Vec<Sweep> = state.sweeps.keys().map(|id| sweep(state, SweepId(*id))).collect::<Result<_>>()?;
    Ok(all.into_iter().filter(|sweep| sweep.state.is_at_work()).collect())
}

pub(super) fn activity(state: &State, id: SweepId) -> Vec<Activity> {
    let Some(sweep) = state.sweeps.get(&id.0) else { return vec![] };
    let mut jobs = sweep.jobs.clone();
    jobs.sort_unstable();
    let leased = jobs.into_iter().filter(|id| {
        let job = state.job(*id);
        job.is_train() && job.state == JobState::Leased
    });
    leased
        .map(|id| {
            let (job, shown) = (state.job(id), job(state, id));
            Activity {
                job: JobId(id),
                worker: shown.worker.unwrap_or_default(),
                model: shown.model,
                seed: shown.seed,
                text: job.progress.clone(),
                fraction: job.fraction,
            }
        })
        .collect()
}

fn run_label(state: &State, sweep: &SweepRow, run: i64) -> RunLabel {
    let row = state.run(run);
    RunLabel {
        run: row.digest.clone(),
        model: row.spec.model.name().to_owned(),
        seed: row.spec.seed(),
        settings: sweep.settings(run),
    }
}

fn line_label(state: &State, sweep: &SweepRow, run: i64, line: &Line) -> LineLabel {
    let spec = &line.spec;
    LineLabel {
        run: run_label(state, sweep, run),
        from: spec.from.to_string(),
        to: spec.to.to_string(),
        mask: spec.mask.clone(),
        hold: spec.hold.to_string(),
        batch_norm: spec.batch_norm.name().to_owned(),
        elsewhere: spec.elsewhere.as_ref().map(|elsewhere| match elsewhere {
            Elsewhere::Run { run } => format!("run:{run}"),
            Elsewhere::Init { seed } => format!("init:{seed}"),
        }),
        align: spec.align,
        normalize: match spec.normalize {
            Normalize::None => "none".to_owned(),
            Normalize::Filter => "filter".to_owned(),
        },
    }
}

pub(super) fn points(
    state: &State,
    id: SweepId,
    after: Option<PointCursor>,
    limit: u32,
) -> Page<LinePoint, PointCursor> {
    let Some(sweep) = state.sweeps.get(&id.0) else { return Page { rows: vec![], next: None } };
    let after = after.map(|after| (after.position, after.split.name(), after.index));
    let rows = (0_i64..).zip(&sweep.jobs).flat_map(|(position, job)| {
        let row = state.job(*job);
        let points = row
            .points
            .iter()
            .filter(move |((split, index), _)| after.is_none_or(|after| (position, *split, *index) > after));
        points.filter_map(move |(_, (point, _))| {
            let cursor = PointCursor { position, split: point.split, index: point.index };
            let shown = LinePoint {
                line: line_label(state, sweep, row.run, row.line.as_ref()?),
                split: point.split,
                alpha: point.alpha,
                loss: point.loss,
                accuracy: point.accuracy,
                count: point.count,
                refined: point.index as usize >= row.line.as_ref()?.spec.alphas.len(),
            };
            Some((cursor, shown))
        })
    });
    page(rows, limit)
}

pub(super) fn measures(
    state: &State,
    id: SweepId,
    after: Option<&MeasureCursor>,
    limit: u32,
) -> Page<LineMeasure, MeasureCursor> {
    let Some(sweep) = state.sweeps.get(&id.0) else { return Page { rows: vec![], next: None } };
    let after = after.map(|after| (after.position, after.split.as_str(), after.name.as_str()));
    let rows = (0_i64..).zip(&sweep.jobs).flat_map(|(position, job)| {
        let row = state.job(*job);
        let measures = row
            .measures
            .iter()
            .filter(move |((split, name), _)| after.is_none_or(|after| (position, *split, name.as_str()) > after));
        measures.filter_map(move |((split, name), value)| {
            let cursor = MeasureCursor { position, split: (*split).to_owned(), name: name.clone() };
            let line = line_label(state, sweep, row.run, row.line.as_ref()?);
            Some((cursor, LineMeasure { line, split: Split::from_name(split), name: name.clone(), value: *value }))
        })
    });
    page(rows, limit)
}

pub(super) fn curves(
    state: &State,
    id: SweepId,
    after: Option<CurveCursor>,
    limit: u32,
) -> Page<CurvePoint, CurveCursor> {
    let Some(sweep) = state.sweeps.get(&id.0) else { return Page { rows: vec![], next: None } };
    let after = after.map(|after| (after.position, after.epoch, after.split.name()));
    let rows = (0_i64..).zip(&sweep.runs).flat_map(|(position, (run, _))| {
        let row = state.run(*run);
        let epochs = row
            .curves
            .iter()
            .filter(move |((epoch, split), _)| after.is_none_or(|after| (position, *epoch, *split) > after));
        epochs.map(move |(_, epoch)| {
            let cursor = CurveCursor { position, epoch: epoch.epoch, split: epoch.split };
            (cursor, CurvePoint { label: run_label(state, sweep, *run), epoch: epoch.clone() })
        })
    });
    page(rows, limit)
}

pub(super) fn job(state: &State, id: i64) -> Job {
    let row = state.job(id);
    let run = state.run(row.run);
    let name = |worker: i64| state.workers[&worker].name.clone();
    let errors = row.errors.iter().map(|(attempt, error)| AttemptError {
        attempt: Attempt(*attempt),
        at: error.at,
        class: error.class,
        message: error.message.clone(),
        worker: name(error.worker),
    });
    Job {
        id: JobId(id),
        kind: row.kind(),
        state: row.state,
        attempt: Attempt(row.attempt),
        worker: row.worker.map(name),
        run: run.digest.clone(),
        model: run.spec.model.name().to_owned(),
        seed: run.spec.seed(),
        mask: row.line.as_ref().map(|line| line.spec.mask.clone()),
        queued_at: row.queued_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        error: row.error.clone(),
        errors: errors.collect(),
    }
}

pub(super) fn jobs(
    state: &State,
    sweep: SweepId,
    in_state: Option<JobState>,
    after: Option<JobId>,
    limit: u32,
) -> Page<Job, JobId> {
    let mut jobs = state.sweeps.get(&sweep.0).map(|sweep| sweep.jobs.clone()).unwrap_or_default();
    jobs.sort_unstable();
    let wanted = jobs.into_iter().filter(|id| {
        after.is_none_or(|after| *id > after.0) && in_state.is_none_or(|wanted| state.job(*id).state == wanted)
    });
    page(wanted.map(|id| (JobId(id), job(state, id))), limit)
}

pub(super) fn is_trained(state: &State, run: &RunDigest) -> bool {
    let train = state.run_ids.get(run).and_then(|run| state.run(*run).train);
    train.is_some_and(|train| state.job(train).state == JobState::Done)
}

pub(super) fn is_measured(state: &State, (run, line): &(RunDigest, LineDigest)) -> bool {
    let lines = state.run_ids.get(run).map(|run| state.run(*run).lines.as_slice()).unwrap_or_default();
    lines
        .iter()
        .map(|id| state.job(*id))
        .any(|job| job.state == JobState::Done && job.line.as_ref().is_some_and(|known| known.digest == *line))
}
