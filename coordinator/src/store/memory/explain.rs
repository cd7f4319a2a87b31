//! Why a job is where it is.

use transect_common::job::JobState;
use transect_common::schedule::{JobFacts, Standing};

use super::claim::queues;
use super::read;
use super::state::State;
use crate::store::{Explained, JobId, Result, StoreError, SweepId, Timestamp};

/// Most trainings that are named as waited for.
const MAX_SOURCES: usize = 5;

pub(super) fn explain(state: &State, id: JobId, now: Timestamp) -> Result<Explained> {
    let row = state.jobs.get(&id.0).ok_or_else(|| StoreError::NotFound { what: "job", name: id.0.to_string() })?;
    let job = read::job(state, id.0);
    let waits_for = state
        .sources(id.0)
        .into_iter()
        .map(|source| state.job(source))
        .filter(|source| source.state != JobState::Done)
        .take(MAX_SOURCES)
        .map(|source| (format!("training of {}", state.run(source.run).name()), source.state));
    let queues = queues(state, None);
    let home = row.sweep.filter(|sweep| state.sweeps[sweep].is_live());
    let standing = home.and_then(|sweep| {
        let queue = queues.iter().find(|queue| queue.sweep == sweep)?.clone();
        Some(Standing { name: format!("{} {}", SweepId(sweep), state.sweeps[&sweep].name), queue })
    });
    // Lines are leased before trainings, and the older first.
    let place = (row.is_train(), id.0);
    let ahead = state
        .jobs
        .iter()
        .filter(|(other, job)| job.sweep == row.sweep && job.is_due(now) && (job.is_train(), **other) < place);
    let facts = JobFacts {
        state: row.state,
        attempt: row.attempt,
        worker: job.worker.clone(),
        progress: (row.progress.clone(), row.fraction),
        error: row.error.clone(),
        waits_for: waits_for.collect(),
        back_off: row.due_at.as_millis().saturating_sub(now.as_millis()) as f64 / 1000.0,
        standing,
        ahead: ahead.count() as u64,
        queues: queues.clone(),
    };
    let mut sweeps: Vec<_> = state.sweeps_of(id.0).map(|(id, sweep)| (SweepId(id), sweep.name.clone())).collect();
    sweeps.reverse();
    Ok(Explained { job, sweeps, facts })
}
