//! Submission: a sweep with everything that it needs and nobody has stored yet, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use transect_common::digest::{LineDigest, RunDigest};
use transect_common::job::JobState;
use transect_common::line::LineSpec;
use transect_common::run::{Origin, RunSpec, Source, Tag};
use transect_common::schedule::{line_cost, training_cost};
use transect_common::sweep::Expansion;

use super::state::{JobRow, Line, RunRow, State, SweepRow};
use crate::store::{NewSweep, Point, Result, StoreError, SweepId, Timestamp};

/// The sweep that was submitted with this key.
pub(super) fn known(state: &State, new: &NewSweep) -> Result<Option<SweepId>> {
    match state.sweeps.iter().find(|(_, sweep)| sweep.key == new.idempotency_key) {
        None => Ok(None),
        Some((id, sweep)) if sweep.file == new.file => Ok(Some(SweepId(*id))),
        Some(_) => Err(StoreError::Taken { what: "idempotency key", name: new.idempotency_key.clone() }),
    }
}

pub(super) fn submit(state: &mut State, new: &NewSweep, now: Timestamp) -> Result<SweepId> {
    check(state, &new.expansion)?;
    let mut next = state.clone();
    let id = add(&mut next, new, now)?;
    *state = next;
    Ok(SweepId(id))
}

fn next_id<T>(map: &BTreeMap<i64, T>) -> i64 {
    map.last_key_value().map_or(1, |(id, _)| id + 1)
}

fn add(state: &mut State, new: &NewSweep, now: Timestamp) -> Result<i64> {
    let mut runs = vec![];
    for run in &new.expansion.runs {
        let id = add_run(state, &run.digest, &run.spec);
        add_imported(state, id, &run.spec)?;
        let settings = serde_json::to_string(&run.settings).expect("settings are plain data with text keys");
        runs.push((id, settings));
    }
    // Trainings come first, so that their ids are in the order of the expansion.
    let mut trains = BTreeMap::new();
    for (&(run, _), expanded) in runs.iter().zip(&new.expansion.runs) {
        if let Origin::Trained { .. } = expanded.spec.origin {
            trains.insert(run, add_train(state, run, now));
        }
    }
    let mut jobs = vec![];
    let mut lines: BTreeMap<LineDigest, Arc<Line>> = BTreeMap::new();
    for (&(run, _), expanded) in runs.iter().zip(&new.expansion.runs) {
        jobs.extend(trains.get(&run));
        for spec in expanded.lines.iter() {
            let line = lines.entry(spec.digest()).or_insert_with(|| shared_line(spec)).clone();
            jobs.push(add_line(state, run, line, now));
        }
    }
    add_needs(state, &new.expansion, &jobs);
    let listed: BTreeSet<i64> = jobs.iter().copied().collect();
    let needed: Vec<i64> = needed(state, &jobs).into_iter().filter(|job| !listed.contains(job)).collect();
    jobs.extend(needed);
    for &job in &jobs {
        if !state.job(job).needs.is_empty() {
            state.set_ready(job);
        }
    }
    let id = next_id(&state.sweeps);
    let row = SweepRow {
        name: new.expansion.name.clone(),
        file: new.file.clone(),
        key: new.idempotency_key.clone(),
        submitted_at: now,
        cancelled_at: None,
        is_paused: false,
        is_rolled_up: false,
        schedule: new.expansion.schedule.clone(),
        runs,
        jobs: jobs.clone(),
    };
    state.sweeps.insert(id, row);
    settle(state, id, &jobs, now);
    Ok(id)
}

/// What was cancelled is queued again, what cannot run fails at once, and what waits, waits in the right name.
fn settle(state: &mut State, id: i64, jobs: &[i64], now: Timestamp) {
    for &job in jobs {
        let row = state.job(job);
        let has_hope = row.blocked_by.is_some_and(|source| state.job(source).state != JobState::Failed);
        if row.state == JobState::Cancelled || (row.state == JobState::Failed && has_hope) {
            state.requeue(job, now);
        }
    }
    state.fail_missing(jobs, now);
    state.fail_waiting_among(jobs, now);
    // Jobs that are new wait in no name yet.
    state.adopt(id);
    for &job in jobs {
        if state.job(job).sweep.is_none() {
            state.job_mut(job).sweep = Some(id);
        }
        if state.job(job).state == JobState::Queued {
            take_over_points(state, job);
        }
    }
}

fn add_run(state: &mut State, digest: &RunDigest, spec: &RunSpec) -> i64 {
    if let Some(id) = state.run_ids.get(digest) {
        return *id;
    }
    let id = next_id(&state.runs);
    let parameters = spec.model.describe(spec.data.input(), spec.data.classes()).map_or(0, |model| model.theta_len());
    let row = RunRow {
        digest: digest.clone(),
        canonical: spec.canonical().into(),
        spec: Arc::new(spec.clone()),
        parameters,
        train: None,
        lines: vec![],
        needed_by: BTreeSet::new(),
        checkpoints: BTreeMap::new(),
        curves: BTreeMap::new(),
        snapshot: None,
    };
    state.runs.insert(id, row);
    state.run_ids.insert(digest.clone(), id);
    id
}

/// Checkpoints of a run that was trained elsewhere.
fn add_imported(state: &mut State, run: i64, spec: &RunSpec) -> Result<()> {
    let Origin::Imported { checkpoints } = &spec.origin else { return Ok(()) };
    for (tag, artifact) in checkpoints {
        let bytes = state.imported_bytes(artifact).ok_or_else(|| {
            StoreError::Invalid(format!(
                "checkpoint {artifact} belongs to no import; import it first (`transect import`)"
            ))
        })?;
        state.run_mut(run).checkpoints.entry(tag.clone()).or_insert((artifact.clone(), bytes));
    }
    Ok(())
}

fn job(run: i64, line: Option<Arc<Line>>, cost: f64, now: Timestamp) -> JobRow {
    JobRow {
        run,
        points_expected: line.as_ref().map_or(0, |line| line.spec.most_points()),
        line,
        state: JobState::Queued,
        is_ready: true,
        due_at: now,
        attempt: 0,
        failures: 0,
        lost: 0,
        worker: None,
        expires_at: None,
        fraction: 0.0,
        progress: String::new(),
        points: BTreeMap::new(),
        points_counted: 0,
        measures: BTreeMap::new(),
        queued_at: now,
        started_at: None,
        finished_at: None,
        seconds: None,
        error: None,
        error_class: None,
        blocked_by: None,
        needs: BTreeSet::new(),
        sweep: None,
        cost,
        errors: BTreeMap::new(),
    }
}

fn add_train(state: &mut State, run: i64, now: Timestamp) -> i64 {
    if let Some(id) = state.run(run).train {
        return id;
    }
    let id = next_id(&state.jobs);
    let row = state.run_mut(run);
    row.train = Some(id);
    let cost = training_cost(&row.spec, row.parameters);
    state.jobs.insert(id, job(run, None, cost, now));
    id
}

fn shared_line(spec: &LineSpec) -> Arc<Line> {
    let canonical = spec.canonical();
    let sans_alphas = LineSpec { alphas: vec![], refine: None, ..spec.clone() }.canonical();
    Arc::new(Line { digest: LineDigest::of(canonical.as_bytes()), canonical, sans_alphas, spec: spec.clone() })
}

fn add_line(state: &mut State, run: i64, line: Arc<Line>, now: Timestamp) -> i64 {
    let is_same = |id: &&i64| state.job(**id).line.as_ref().is_some_and(|known| known.digest == line.digest);
    if let Some(id) = state.run(run).lines.iter().find(is_same) {
        return *id;
    }
    let id = next_id(&state.jobs);
    let row = state.run_mut(run);
    row.lines.push(id);
    let cost = line_cost(&row.spec.data, &line.spec, row.parameters);
    state.jobs.insert(id, job(run, Some(line), cost, now));
    state.job_mut(id).is_ready = false;
    state.set_ready(id);
    id
}

/// Notes what jobs need of other runs; every run is stored by now.
fn add_needs(state: &mut State, expansion: &Expansion, jobs: &[i64]) {
    let mut needs: Vec<(i64, RunDigest, Tag)> = vec![];
    for &id in jobs {
        let job = state.job(id);
        match &job.line {
            Some(line) => needs.extend(line.spec.needs().map(|(run, tag)| (id, run.clone(), tag.clone()))),
            None => needs.extend(state.run(job.run).spec.needs().into_iter().map(|(run, tag)| (id, run, tag))),
        }
    }
    debug_assert!(expansion.runs.iter().all(|run| state.run_ids.contains_key(&run.digest)));
    for (job, run, tag) in needs {
        let run = state.run_ids[&run];
        state.run_mut(run).needed_by.insert(job);
        let job = state.job_mut(job);
        if job.state == JobState::Queued && job.attempt == 0 && !job.needs.contains(&(run, tag.clone())) {
            job.is_ready = false;
        }
        job.needs.insert((run, tag));
    }
}

/// Every training that jobs wait for, directly or through others.
fn needed(state: &State, jobs: &[i64]) -> BTreeSet<i64> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<i64> = jobs.to_vec();
    while let Some(job) = open.pop() {
        for source in state.job(job).needs.iter().filter_map(|(run, _)| state.run(*run).train) {
            if needed.insert(source) {
                open.push(source);
            }
        }
    }
    needed
}

/// A line that differs from another of its run only in its grid has its points already where both grids go.
fn take_over_points(state: &mut State, id: i64) {
    let job = state.job(id);
    let Some(line) = job.line.clone() else { return };
    let mut taken = job.points.clone();
    for other in state.run(job.run).lines.iter().filter(|other| **other != id).map(|other| state.job(*other)) {
        if other.line.as_ref().is_none_or(|other| other.sans_alphas != line.sans_alphas) {
            continue;
        }
        let grid = other.line.as_ref().map_or(0, |other| other.spec.alphas.len());
        for ((split, _), (point, worker)) in other.points.iter().filter(|((_, index), _)| (*index as usize) < grid) {
            let is_here = |alpha: &f64| alpha.to_bits() == point.alpha.to_bits();
            if let Some(index) = line.spec.alphas.iter().position(is_here) {
                let index = index as u32;
                taken.entry((*split, index)).or_insert((Point { index, ..point.clone() }, *worker));
            }
        }
    }
    let job = state.job_mut(id);
    job.points_counted = taken.len() as u64;
    job.points = taken;
}

/// Checks that every file that a run starts from is imported, and that whatever a sweep needs of other runs is in the
/// sweep or in the store, and will be kept there.
fn check(state: &State, expansion: &Expansion) -> Result<()> {
    for run in &expansion.runs {
        for start in run.spec.starts() {
            if let Source::Artifact { artifact } = &start.source
                && state.imported_bytes(artifact).is_none()
            {
                return Err(StoreError::Invalid(format!(
                    "run {} starts from file {artifact}, which belongs to no import; import it first (`transect import`)",
                    run.digest.short()
                )));
            }
        }
    }
    let listed: BTreeMap<&RunDigest, &RunSpec> = expansion.runs.iter().map(|run| (&run.digest, &run.spec)).collect();
    let tags = |run: &RunDigest| {
        let stored = || state.run_ids.get(run).map(|id| state.run(*id).spec.tags());
        listed.get(run).map(|spec| spec.tags()).or_else(stored)
    };
    for run in &expansion.runs {
        let own = run.spec.needs().into_iter().map(|(need, tag)| (need, tag, "starts from"));
        let lines = run.lines.iter().filter_map(LineSpec::needs);
        let lines = lines.map(|(need, tag)| (need.clone(), tag.clone(), "has a line that ends in"));
        for (need, tag, does) in own.chain(lines) {
            let refuse = |reason: String| {
                let what = format!("run {} {does} checkpoint `{tag}` of run {}", run.digest.short(), need.short());
                Err(StoreError::Invalid(format!("{what}, {reason}")))
            };
            if does == "starts from" && need == run.digest {
                return refuse("which is itself; no run can start from itself".to_owned());
            }
            let Some(kept) = tags(&need) else {
                return refuse("which is neither in the sweep nor in the store; add that run to the sweep".to_owned());
            };
            if !kept.contains(&tag) {
                let kept: Vec<&str> = kept.iter().map(Tag::as_str).collect();
                let kept = if kept.is_empty() { "no checkpoint".to_owned() } else { kept.join(", ") };
                return refuse(format!("which keeps {kept}; have it keep `{tag}`, or name another"));
            }
        }
    }
    Ok(())
}
