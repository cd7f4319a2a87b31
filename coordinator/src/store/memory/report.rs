//! Reports: what workers measured, row by row, each fenced by the attempt that holds the job.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use transect_common::data::Split;
use transect_common::job::{AfterFailure, ErrorClass, JobEvent, JobState, after_failure, after_lost_lease};
use transect_common::run::{Origin, RunSpec, Tag};
use transect_common::schedule::{QUARANTINE, QUARANTINE_FAILURES};

use super::bugs::Bug;
use super::lease::{keep_error, set_aside, touch};
use super::state::State;
use super::workers::must_exist;
use crate::store::check::{JobSpec, check, complete};
use crate::store::{Point, Refusal, RefusalReason, ReportRow, Reported, Result, Row, Timestamp, WorkerId};

/// Longest error message that is kept, in characters.
const MAX_MESSAGE: usize = 16_384;

/// Why a row is not stored.
type Refused = (RefusalReason, String);

pub(super) fn report(state: &mut State, worker: WorkerId, rows: &[ReportRow], now: Timestamp) -> Result<Reported> {
    must_exist(state, worker)?;
    touch(state, worker.0, None, now);
    let mut answer = Reported::default();
    let is_cut = state.has(Bug::ReportInTwoCommits) && state.writes.is_multiple_of(5);
    for (place, row) in rows.iter().enumerate() {
        if is_cut && place >= rows.len() / 2 {
            answer.stored += 1;
            continue;
        }
        match store(state, worker.0, row, now) {
            Ok(()) => answer.stored += 1,
            Err((reason, message)) => answer.refused.push(Refusal { job: row.job, place: row.place, reason, message }),
        }
    }
    Ok(answer)
}

fn spec_of(state: &State, id: i64) -> JobSpec {
    let job = state.job(id);
    match &job.line {
        Some(line) => JobSpec::Line(Arc::new(line.spec.clone())),
        None => JobSpec::Train(Arc::new(RunSpec::clone(&state.run(job.run).spec))),
    }
}

fn store(state: &mut State, worker: i64, row: &ReportRow, now: Timestamp) -> std::result::Result<(), Refused> {
    let id = row.job.job.0;
    let Some(job) = state.jobs.get(&id) else {
        return Err((RefusalReason::Unknown, format!("there is no job {id}")));
    };
    let is_own = job.attempt == row.job.attempt.0;
    if is_own && job.worker.is_some_and(|holder| holder != worker) && !state.has(Bug::AnyHolder) {
        let message = format!("attempt {} of job {id} is another worker's", job.attempt);
        return Err((RefusalReason::Stale, message));
    }
    let stale_done = state.has(Bug::StaleDone) && matches!(row.row, Row::Done { .. });
    let passes = is_own || ((state.has(Bug::NoFence) || stale_done) && row.job.attempt.0 < job.attempt);
    if job.state != JobState::Leased || !passes {
        // An answer that got lost is asked for again: what is there already counts as stored.
        return if is_own && is_stored(state, row) { Ok(()) } else { Err((RefusalReason::Stale, stale(state, row))) };
    }
    check(&spec_of(state, id), &row.row).map_err(|message| (RefusalReason::Invalid, message))?;
    let run = job.run;
    match &row.row {
        Row::Point(point) => store_point(state, id, worker, point),
        Row::Measure { name, split, value } => {
            let key = (split.map_or("", Split::name), name.clone());
            state.job_mut(id).measures.entry(key).or_insert(*value);
        }
        Row::Epoch(epoch) => {
            state.run_mut(run).curves.insert((epoch.epoch, epoch.split.name()), epoch.clone());
            state.job_mut(id).lost = 0;
        }
        Row::Checkpoint { tag, artifact, bytes } => {
            state.run_mut(run).checkpoints.insert(tag.clone(), (artifact.clone(), *bytes));
            state.ready_too_early(id);
        }
        Row::Snapshot(snapshot) => {
            state.run_mut(run).snapshot = Some((snapshot.clone(), worker));
            state.job_mut(id).lost = 0;
        }
        Row::Done { seconds, .. } => return finish(state, id, worker, *seconds, now),
        Row::Failed { class, message } => fail(state, row, worker, *class, message, now),
    }
    Ok(())
}

fn store_point(state: &mut State, id: i64, worker: i64, point: &Point) {
    let counts_twice = state.has(Bug::PointsCountedTwice);
    let job = state.job_mut(id);
    let key = (point.split.name(), point.index);
    let is_new = !job.points.contains_key(&key);
    if is_new {
        job.points.insert(key, (point.clone(), worker));
        job.lost = 0;
    }
    job.points_counted += u64::from(is_new || counts_twice);
}

/// Checkpoints without which a run is not trained. One that may stop early may never reach those in between.
fn required(run: &RunSpec) -> BTreeSet<Tag> {
    let mut tags = run.tags();
    if let Origin::Trained { train, .. } = &run.origin
        && train.stop.is_some()
    {
        tags.retain(|tag| [Tag::init(), Tag::last()].contains(tag));
    }
    tags
}

fn finish(state: &mut State, id: i64, worker: i64, seconds: f64, now: Timestamp) -> std::result::Result<(), Refused> {
    let job = state.job(id);
    let is_train = job.is_train();
    let run = state.run(job.run);
    if is_train {
        let missing: Vec<String> =
            required(&run.spec).iter().filter(|tag| !run.checkpoints.contains_key(*tag)).map(Tag::to_string).collect();
        if !missing.is_empty() {
            let message = format!("not complete: checkpoint {} is not stored", missing.join(", "));
            return Err((RefusalReason::Invalid, message));
        }
    }
    if let Some(line) = job.line.as_ref().map(|line| &line.spec).filter(|line| line.refine.is_some()) {
        let points = job.points.values().map(|(point, _)| ((point.split, point.index), point.alpha));
        complete(line, points).map_err(|message| (RefusalReason::Invalid, message))?;
        let job = state.job_mut(id);
        job.points_expected = job.points_counted;
    }
    let job = state.job(id);
    if job.points_counted < job.points_expected && !state.has(Bug::DoneWithoutPoints) {
        return Err((RefusalReason::Invalid, "not complete: some of its points are not stored".to_owned()));
    }
    state.step(id, JobEvent::Finish);
    let job = state.job_mut(id);
    (job.finished_at, job.expires_at, job.seconds) = (Some(now), None, Some(seconds));
    (job.fraction, job.lost, job.error, job.error_class) = (1.0, 0, None, None);
    job.progress.clear();
    let run = job.run;
    let row = state.workers.get_mut(&worker).expect("it was looked up");
    row.done += 1;
    row.failed_runs.clear();
    if is_train {
        state.run_mut(run).snapshot = None;
        state.training_is_done(id, now);
    }
    Ok(())
}

fn fail(state: &mut State, row: &ReportRow, worker: i64, class: ErrorClass, message: &str, now: Timestamp) {
    let id = row.job.job.0;
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    keep_error(state, id, row.job.attempt.0, worker, class, &message, now);
    let most = state.terms.max_attempts;
    let job = state.job_mut(id);
    let after = if class == ErrorClass::Gone {
        job.lost += 1;
        after_lost_lease(job.lost)
    } else {
        job.failures += 1;
        after_failure(class, job.failures, most)
    };
    match after {
        AfterFailure::SetAside => set_aside(state, id, class, &message, now),
        AfterFailure::RetryIn(pause) => {
            (job.error, job.error_class) = (Some(message), Some(class));
            state.give_back(id, now.plus(pause));
        }
    }
    if class == ErrorClass::Machine {
        let run = state.job(id).run;
        let row = state.workers.get_mut(&worker).expect("it was looked up");
        row.failed_runs.insert(run);
        if row.failed_runs.len() >= QUARANTINE_FAILURES as usize {
            row.quarantined_until.get_or_insert(now.plus(QUARANTINE));
        }
    }
}

/// Whether the row was stored by the same attempt before it ended.
fn is_stored(state: &State, row: &ReportRow) -> bool {
    let job = state.job(row.job.job.0);
    let run = state.run(job.run);
    match &row.row {
        Row::Done { .. } => job.state == JobState::Done,
        Row::Failed { .. } => job.errors.contains_key(&row.job.attempt.0),
        Row::Point(point) => job.points.contains_key(&(point.split.name(), point.index)),
        Row::Measure { name, split, .. } => job.measures.contains_key(&(split.map_or("", Split::name), name.clone())),
        Row::Epoch(epoch) => {
            run.curves.get(&(epoch.epoch, epoch.split.name())).is_some_and(|known| known.loss == epoch.loss)
        }
        Row::Checkpoint { tag, artifact, .. } => run.checkpoints.get(tag).is_some_and(|(known, _)| known == artifact),
        // With the training done the snapshot has served, and is gone.
        Row::Snapshot(snapshot) => {
            job.state == JobState::Done
                || run.snapshot.as_ref().is_some_and(|(known, _)| known.artifact == snapshot.artifact)
        }
    }
}

fn stale(state: &State, row: &ReportRow) -> String {
    let (id, own) = (row.job.job.0, row.job.attempt.0);
    let job = state.job(id);
    let (now, at) = (job.attempt, job.state);
    match own.cmp(&now) {
        Ordering::Equal => format!("attempt {own} of job {id} has ended: the job is {at}"),
        Ordering::Less => format!("attempt {own} of job {id} has ended: it is at attempt {now}, and {at}"),
        Ordering::Greater => format!("job {id} was never leased as attempt {own}: its last is {now}, and it is {at}"),
    }
}
