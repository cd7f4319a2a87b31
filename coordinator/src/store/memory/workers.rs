//! Workers: who they are, when they were heard last, whether they are set aside; and the numbers for metrics.

use std::collections::BTreeSet;

use transect_common::job::JobState;

use super::state::{State, WorkerRow};
use crate::store::{Counts, MOST_GONE, Result, StoreError, Timestamp, Worker, WorkerId, WorkerInfo, WorkerState};

/// `NotFound` for a worker that never registered.
pub(super) fn must_exist(state: &State, worker: WorkerId) -> Result<&WorkerRow> {
    state.workers.get(&worker.0).ok_or_else(|| StoreError::NotFound { what: "worker", name: worker.to_string() })
}

pub(super) fn register(state: &mut State, info: WorkerInfo, now: Timestamp) -> WorkerId {
    let id = state.workers.last_key_value().map_or(1, |(id, _)| id + 1);
    // Starting anew on the same machine does not mend it.
    let quarantined_until = state
        .workers
        .values()
        .filter(|worker| worker.is_same_machine(&info) && worker.is_quarantined(now))
        .filter_map(|worker| worker.quarantined_until)
        .max();
    let row = WorkerRow {
        name: format!("{}/{}/{}", info.host, info.device, info.pid),
        info,
        state: WorkerState::Live,
        registered_at: now,
        seen_at: now,
        expires_at: now.plus(state.terms.lease),
        done: 0,
        failed_runs: BTreeSet::new(),
        quarantined_until,
        sweep: None,
    };
    state.workers.insert(id, row);
    WorkerId(id)
}

fn worker(state: &State, id: i64, row: &WorkerRow) -> Worker {
    let leased = state.jobs.values().filter(|job| job.state == JobState::Leased && job.worker == Some(id)).count();
    Worker {
        id: WorkerId(id),
        name: row.name.clone(),
        state: row.shown_state(),
        info: row.info.clone(),
        registered_at: row.registered_at,
        seen_at: row.seen_at,
        leased: leased as u64,
        done: row.done,
        failures: row.failed_runs.len() as u32,
        quarantined_until: row.quarantined_until,
    }
}

pub(super) fn workers(state: &State) -> Vec<Worker> {
    let (gone, mut shown): (Vec<_>, Vec<_>) = state.workers.iter().partition(|(_, row)| row.state == WorkerState::Gone);
    shown.extend(gone.into_iter().rev().take(MOST_GONE as usize));
    let mut workers: Vec<Worker> = shown.into_iter().map(|(id, row)| worker(state, *id, row)).collect();
    workers.sort_by(|a, b| (a.state, &a.name, a.id).cmp(&(b.state, &b.name, b.id)));
    workers
}

/// Ends the quarantine of a worker's machine: others that registered there since were put into it because of it.
pub(super) fn release(state: &mut State, id_or_name: &str) -> Result<Worker> {
    let by_id = id_or_name.parse::<WorkerId>().ok().map(|id| id.0).filter(|id| state.workers.contains_key(id));
    let by_name = || state.workers.iter().rev().find(|(_, row)| row.name == id_or_name).map(|(id, _)| *id);
    let unknown = || StoreError::NotFound { what: "worker", name: id_or_name.to_owned() };
    let id = by_id.or_else(by_name).ok_or_else(unknown)?;
    let machine = state.workers[&id].info.clone();
    for row in state.workers.values_mut().filter(|row| row.is_same_machine(&machine)) {
        row.quarantined_until = None;
        row.failed_runs.clear();
    }
    Ok(worker(state, id, &state.workers[&id]))
}

pub(super) fn counts(state: &State) -> Counts {
    let workers = state.workers.values().filter(|worker| worker.state != WorkerState::Gone).count();
    let mut counts = Counts { sweeps: state.sweeps.len() as u64, workers: workers as u64, ..Counts::default() };
    for job in state.jobs.values() {
        *counts.jobs.entry((job.kind(), job.state)).or_insert(0) += 1;
        counts.points += job.points.len() as u64;
    }
    counts
}
