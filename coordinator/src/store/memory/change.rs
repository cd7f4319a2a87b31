//! What users do to a sweep that is there: cancel it, try its failed jobs again, hold it back, change its schedule.

use transect_common::job::{ErrorClass, JobEvent, JobState};

use super::bugs::Bug;
use super::state::{State, SweepRow};
use crate::store::{Adjust, Result, Retry, SweepId, Timestamp};

/// Cancels a job wherever it is.
fn cancel_job(state: &mut State, id: i64, now: Timestamp) {
    state.step(id, JobEvent::Cancel);
    let job = state.job_mut(id);
    (job.finished_at, job.expires_at, job.fraction) = (Some(now), None, 0.0);
    job.progress.clear();
}

pub(super) fn cancel(state: &mut State, id: SweepId, now: Timestamp) -> Result<u64> {
    let sweep = state.sweep_mut(id)?;
    sweep.cancelled_at.get_or_insert(now);
    let mut cancelled = 0;
    for job in sweep.jobs.clone() {
        let is_needed = state.sweeps_of(job).any(|(_, sweep)| sweep.is_live());
        let spared = state.has(Bug::CancelForgetsLeased) && state.job(job).state == JobState::Leased;
        if !is_needed && state.job(job).state.is_live() && !spared {
            cancel_job(state, job, now);
            cancelled += 1;
        }
    }
    state.hand_over(id.0);
    Ok(cancelled)
}

pub(super) fn pause(state: &mut State, id: SweepId) -> Result<()> {
    state.sweep_mut(id)?.is_paused = true;
    state.hand_over(id.0);
    Ok(())
}

pub(super) fn unpause(state: &mut State, id: SweepId) -> Result<()> {
    state.sweep_mut(id)?.is_paused = false;
    state.adopt(id.0);
    Ok(())
}

pub(super) fn adjust(state: &mut State, id: SweepId, adjust: Adjust) -> Result<()> {
    let schedule = &mut state.sweep_mut(id)?.schedule;
    schedule.priority = adjust.priority.unwrap_or(schedule.priority);
    schedule.share = adjust.share.unwrap_or(schedule.share);
    if let Some(most) = adjust.max_workers {
        schedule.max_workers = (most > 0).then_some(most);
    }
    if adjust.priority.is_some() {
        state.adopt(id.0);
        state.hand_over(id.0);
    }
    Ok(())
}

/// Closes the books of sweeps that have nothing left to do, until one of their jobs is queued. Returns how many.
pub(super) fn roll_up(state: &mut State) -> u64 {
    let is_over = |sweep: &SweepRow| !sweep.jobs.iter().any(|job| state.jobs[job].state.is_live());
    let over = |(_, sweep): &(&i64, &SweepRow)| sweep.is_live() && !sweep.is_rolled_up && is_over(sweep);
    let closed: Vec<i64> = state.sweeps.iter().filter(over).map(|(id, _)| *id).collect();
    for sweep in &closed {
        state.sweeps.get_mut(sweep).expect("it was found").is_rolled_up = true;
    }
    closed.len() as u64
}

pub(super) fn retry(state: &mut State, id: SweepId, which: Retry, now: Timestamp) -> Result<u64> {
    let jobs = state.sweep(id)?.jobs.clone();
    let queued_before = |state: &State| jobs.iter().filter(|job| state.job(**job).state == JobState::Queued).count();
    let before = queued_before(state);
    let mut sources = 0;
    for &id in &jobs {
        let job = state.job(id);
        let is_wanted =
            !which.machine_errors_only || matches!(job.error_class, Some(ErrorClass::Machine | ErrorClass::Gone));
        let is_failed = job.state == JobState::Failed && job.blocked_by.is_none() && is_wanted;
        if is_failed || (job.state == JobState::Cancelled && which.cancelled) {
            state.requeue(id, now);
        }
    }
    if !state.has(Bug::RetryForgetsWaiting) {
        for &id in &jobs {
            let source = state.job(id).blocked_by.map(|source| state.job(source).state);
            let has_hope = matches!(source, Some(JobState::Queued | JobState::Leased | JobState::Done));
            if state.job(id).state == JobState::Failed && has_hope {
                state.requeue(id, now);
            }
        }
        retry_elsewhere(state, &jobs, now);
    }
    // A sweep that was cancelled while some of it had failed: what failed needs what was cancelled.
    for job in sources_of_waiting(state, &jobs) {
        if state.job(job).state == JobState::Cancelled {
            sources += u64::from(!jobs.contains(&job));
            state.requeue(job, now);
        }
    }
    // A job that was cancelled is of no use while a training that it waits for stays failed, or has stopped too early.
    state.fail_missing(&jobs, now);
    state.fail_waiting_among(&jobs, now);
    // What came back elsewhere may wait for another training that stays failed.
    state.fail_waiting_anywhere(now);
    let queued = (queued_before(state) as u64 + sources).saturating_sub(before as u64);
    if queued > 0 {
        state.sweep_mut(id)?.cancelled_at = None;
        for job in jobs {
            state.rehome(job);
        }
    }
    state.adopt(id.0);
    state.hand_over(id.0);
    Ok(queued)
}

/// Jobs of other live sweeps that failed with a training of this one which is queued again.
fn retry_elsewhere(state: &mut State, jobs: &[i64], now: Timestamp) {
    let waiting: Vec<i64> = state
        .jobs
        .iter()
        .filter(|(_, job)| job.state == JobState::Failed)
        .filter(|(_, job)| {
            job.blocked_by.is_some_and(|source| jobs.contains(&source) && state.job(source).state == JobState::Queued)
        })
        .map(|(id, _)| *id)
        .filter(|id| state.sweeps_of(*id).any(|(_, sweep)| sweep.is_live()))
        .collect();
    for job in waiting {
        state.requeue(job, now);
    }
}

/// Every training that queued jobs wait for, directly or through others.
fn sources_of_waiting(state: &State, jobs: &[i64]) -> Vec<i64> {
    let is_waiting = |id: &&i64| state.job(**id).state == JobState::Queued && !state.job(**id).is_ready;
    let mut open: Vec<i64> = jobs.iter().filter(is_waiting).copied().collect();
    let mut found = std::collections::BTreeSet::new();
    while let Some(job) = open.pop() {
        for source in state.sources(job) {
            if found.insert(source) {
                open.push(source);
            }
        }
    }
    found.into_iter().collect()
}
