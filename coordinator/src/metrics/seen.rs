//! What the database says at the moment it is asked, condensed to few labels. Pure.
//!
//! Labels never name a sweep, a worker or a GPU: priorities fall into three classes, devices into their kinds.

use transect_common::job::{JobKind, JobState};

use crate::store::{Counts, Sweep, SweepState, Worker, WorkerState};

/// Classes of priority: below, at and above what a sweep has when it says nothing.
pub const PRIORITIES: [&str; 3] = ["low", "normal", "high"];
/// Kinds of devices.
pub const DEVICES: [&str; 3] = ["cpu", "cuda", "other"];
/// States of workers.
pub const STATES: [WorkerState; 4] =
    [WorkerState::Live, WorkerState::Draining, WorkerState::Quarantined, WorkerState::Gone];
/// States of sweeps that are not over.
pub const LIVE: [SweepState; 2] = [SweepState::Running, SweepState::Paused];

/// Everything that is read from the database for one answer.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Totals.
    pub counts: Counts,
    /// Workers that are there, and the newest that are gone.
    pub workers: Vec<Worker>,
    /// Sweeps that are not over.
    pub sweeps: Vec<Sweep>,
}

impl Seen {
    /// Every kind and state with its number of jobs, also where there are none: a number that falls to 0 must not stay
    /// as it was. That holds for all of these.
    pub fn jobs(&self) -> impl Iterator<Item = (JobKind, JobState, u64)> {
        let all = JobKind::ALL.iter().flat_map(|&kind| JobState::ALL.iter().map(move |&state| (kind, state)));
        all.map(|(kind, state)| (kind, state, self.counts.jobs.get(&(kind, state)).copied().unwrap_or(0)))
    }

    /// Jobs that wait, by the priority of the running sweeps that need them; one that several need counts for each.
    pub fn queue(&self) -> impl Iterator<Item = (&'static str, u64)> {
        PRIORITIES.into_iter().map(|class| {
            let running = self.sweeps.iter().filter(|sweep| sweep.state == SweepState::Running);
            (class, running.filter(|sweep| priority(sweep.priority) == class).map(|sweep| sweep.queued).sum())
        })
    }

    /// Sweeps that are not over, by state.
    pub fn live(&self) -> impl Iterator<Item = (SweepState, u64)> {
        LIVE.into_iter().map(|state| (state, self.sweeps.iter().filter(|sweep| sweep.state == state).count() as u64))
    }

    /// Workers by state and kind of device.
    pub fn workers(&self) -> impl Iterator<Item = (WorkerState, &'static str, u64)> {
        let all = STATES.into_iter().flat_map(|state| DEVICES.into_iter().map(move |kind| (state, kind)));
        all.map(|(state, kind)| {
            let such = |worker: &&Worker| worker.state == state && device(&worker.info.device) == kind;
            (state, kind, self.workers.iter().filter(such).count() as u64)
        })
    }
}

fn priority(priority: i32) -> &'static str {
    PRIORITIES[(priority.signum() + 1).unsigned_abs() as usize]
}

fn device(device: &str) -> &'static str {
    let kind = device.split(':').next().unwrap_or_default();
    DEVICES.into_iter().find(|known| *known == kind).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_few_whatever_the_numbers_and_names() {
        assert_eq!([-1000, -1, 0, 1, 1000].map(priority), ["low", "low", "normal", "high", "high"]);
        assert_eq!(["cpu", "cuda:0", "cuda:7", "mps"].map(device), ["cpu", "cuda", "cuda", "other"]);
        let seen = Seen::default();
        assert_eq!((seen.queue().count(), seen.workers().count()), (3, 12));
        assert_eq!(seen.jobs().count(), JobKind::ALL.len() * JobState::ALL.len());
    }
}
