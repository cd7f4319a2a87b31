//! Leases: extending, giving back and losing them.

use transect_common::job::{AfterFailure, ErrorClass, JobEvent, JobState, after_lost_lease};

use super::bugs::Bug;
use super::state::{ErrorRow, State};
use super::workers::must_exist;
use crate::store::{Attempt, JobAttempt, JobId, JobProgress, Result, Timestamp, WorkerId, WorkerState};

/// Notes that a worker was heard; its state as it says, or live unless it is draining.
pub(super) fn touch(state: &mut State, worker: i64, says: Option<WorkerState>, now: Timestamp) {
    let until = now.plus(state.terms.lease);
    let row = state.workers.get_mut(&worker).expect("whoever calls has looked");
    (row.seen_at, row.expires_at) = (now, until);
    row.state = says.unwrap_or(if row.state == WorkerState::Draining { row.state } else { WorkerState::Live });
}

pub(super) fn heartbeat(
    state: &mut State,
    worker: WorkerId,
    jobs: &[JobProgress],
    draining: bool,
    now: Timestamp,
) -> Result<Vec<JobAttempt>> {
    must_exist(state, worker)?;
    let says = if draining { WorkerState::Draining } else { WorkerState::Live };
    touch(state, worker.0, Some(says), now);
    let until = now.plus(state.terms.lease);
    let (any_attempt, renews) = (state.has(Bug::HeartbeatIgnoresAttempt), !state.has(Bug::LeaseNotRenewed));
    let any_holder = any_attempt || state.has(Bug::AnyHolder);
    let mut stop = vec![];
    for said in jobs {
        let held = state
            .jobs
            .get_mut(&said.job.job.0)
            .filter(|job| job.state == JobState::Leased && (any_attempt || job.attempt == said.job.attempt.0))
            .filter(|job| any_holder || job.worker == Some(worker.0));
        let Some(job) = held else {
            stop.push(said.job);
            continue;
        };
        if renews {
            job.expires_at = Some(until);
        }
        job.fraction = if said.fraction.is_nan() { 0.0 } else { said.fraction.clamp(0.0, 1.0) };
        job.progress.clone_from(&said.text);
    }
    Ok(stop)
}

pub(super) fn leave(state: &mut State, worker: WorkerId, now: Timestamp) -> Result<u64> {
    must_exist(state, worker)?;
    let is_held = |id: &i64| {
        let job = state.job(*id);
        job.state == JobState::Leased && job.worker == Some(worker.0)
    };
    let held: Vec<i64> = state.jobs.keys().copied().filter(is_held).collect();
    for &job in &held {
        state.give_back(job, now);
        if state.has(Bug::GiveBackIsFailure) {
            let most = state.terms.max_attempts;
            let row = state.job_mut(job);
            row.failures += 1;
            if row.failures >= most {
                let attempt = row.attempt;
                state.step(job, JobEvent::SetAside);
                state.job_mut(job).finished_at = Some(now);
                keep_error(state, job, attempt, worker.0, ErrorClass::Machine, "given back", now);
            }
        }
    }
    let row = state.workers.get_mut(&worker.0).expect("it was looked up");
    (row.state, row.seen_at) = (WorkerState::Gone, now);
    Ok(held.len() as u64)
}

/// Remembers what ended an attempt.
pub(super) fn keep_error(
    state: &mut State,
    job: i64,
    attempt: u32,
    worker: i64,
    class: ErrorClass,
    message: &str,
    now: Timestamp,
) {
    let error = ErrorRow { at: now, class, message: message.to_owned(), worker };
    state.job_mut(job).errors.insert(attempt, error);
}

/// Sets a leased job aside, and with a training whatever waits for it. Its error is kept already.
pub(super) fn set_aside(state: &mut State, id: i64, class: ErrorClass, message: &str, now: Timestamp) {
    state.step(id, JobEvent::SetAside);
    let job = state.job_mut(id);
    (job.finished_at, job.expires_at, job.fraction) = (Some(now), None, 0.0);
    (job.error, job.error_class) = (Some(message.to_owned()), Some(class));
    job.progress.clear();
    if job.is_train() {
        state.fail_waiting(&[id], None, now);
    }
}

/// Whether [`expire`] would do anything.
pub(super) fn is_anything_over(state: &State, now: Timestamp) -> bool {
    let frees_finished = state.has(Bug::ExpiryFreesFinished);
    state.jobs.values().any(|job| {
        let is_held = job.state == JobState::Leased && job.expires_at.is_some_and(|at| at <= now);
        is_held || (frees_finished && job.state == JobState::Done)
    }) || state.workers.values().any(|worker| {
        let is_silent = worker.state != WorkerState::Gone && worker.expires_at <= now;
        is_silent || worker.quarantined_until.is_some_and(|until| until <= now)
    })
}

pub(super) fn expire(state: &mut State, now: Timestamp) -> Vec<JobAttempt> {
    let is_over = |id: &i64| {
        let job = state.job(*id);
        job.state == JobState::Leased && job.expires_at.is_some_and(|at| at <= now)
    };
    let over: Vec<i64> = state.jobs.keys().copied().filter(is_over).collect();
    let mut lost = vec![];
    for id in over {
        let job = state.job_mut(id);
        job.lost += 1;
        let (attempt, count, worker) = (job.attempt, job.lost, job.worker.unwrap_or_default());
        lost.push(JobAttempt { job: JobId(id), attempt: Attempt(attempt) });
        match after_lost_lease(count) {
            AfterFailure::RetryIn(pause) => {
                let message = "its worker fell silent (killed, out of memory, or cut off)";
                keep_error(state, id, attempt, worker, ErrorClass::Gone, message, now);
                state.give_back(id, now.plus(pause));
            }
            AfterFailure::SetAside => {
                let message = format!(
                    "{count} leases in a row ran out: its workers fell silent each time (killed, out of memory, or cut off)"
                );
                keep_error(state, id, attempt, worker, ErrorClass::Machine, &message, now);
                set_aside(state, id, ErrorClass::Machine, &message, now);
            }
        }
    }
    if state.has(Bug::ExpiryFreesFinished) {
        let lease = state.terms.lease;
        for job in state.jobs.values_mut().filter(|job| job.state == JobState::Done) {
            if job.started_at.is_some_and(|at| at.plus(lease) <= now) {
                (job.state, job.finished_at) = (JobState::Queued, None);
            }
        }
    }
    for worker in state.workers.values_mut() {
        if worker.expires_at <= now {
            worker.state = WorkerState::Gone;
        }
        if worker.quarantined_until.is_some_and(|until| until <= now) {
            worker.quarantined_until = None;
            worker.failed_runs.clear();
        }
    }
    lost
}

pub(super) fn resume(state: &mut State, now: Timestamp) {
    let until = now.plus(state.terms.lease);
    // Workers are heard three times in a lease, so one that was heard since shows that a coordinator is there.
    let heard = now.minus(state.terms.lease / 3);
    if state.workers.values().any(|worker| worker.state != WorkerState::Gone && worker.seen_at > heard) {
        return;
    }
    for job in state.jobs.values_mut().filter(|job| job.state == JobState::Leased) {
        job.expires_at = job.expires_at.max(Some(until));
    }
    for worker in state.workers.values_mut().filter(|worker| worker.state != WorkerState::Gone) {
        worker.expires_at = worker.expires_at.max(until);
    }
}
