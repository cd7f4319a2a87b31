//! A training between two of its steps: all that is needed to go on as if nothing had happened.
//!
//! Invariant: what training carries from step to step is here or is a function of (seed, purpose, epoch or step, index).
//! So a run that goes on from a snapshot ends in the bytes of one that was never interrupted.

mod file;

use serde::{Deserialize, Serialize};
use transect_common::checkpoint::Checkpoint;

use super::meter::{Meter, Sums};
use super::optimizer::Memory;
use super::report::Place;
use super::{Learner, State};
use crate::nn::Model;

pub use file::{Made, SnapshotError};

/// What a training is asked after each of its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Nothing.
    GoOn,
    /// To leave a snapshot and go on.
    Snapshot,
    /// To leave a snapshot and end.
    SnapshotAndStop,
}

/// Where a training begins, and when it leaves snapshots.
pub struct Course<'c> {
    /// Where an earlier one of the same run was interrupted.
    pub from: Option<Snapshot>,
    /// Asked after each step.
    pub ask: &'c mut dyn FnMut() -> Ask,
}

/// A training between two steps. Its numbers may be anything: a run that diverges does so again from here.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub(super) place: Place,
    /// Seconds of training so far.
    pub(super) seconds: f64,
    /// What the epoch's steps add up to.
    sums: Sums,
    state: Checkpoint,
    /// Of each part's optimiser.
    parts: Vec<Memory>,
}

impl Snapshot {
    pub(super) fn take(place: Place, seconds: f64, sums: Sums, state: &State, learner: &Learner) -> Self {
        Self { place, seconds, sums, state: state.checkpoint(), parts: learner.memory() }
    }

    /// Puts everything back, the learner's memory into `learner`.
    pub(super) fn restore(&self, model: &Model, learner: &mut Learner) -> (State, Place, Meter) {
        learner.recall(&self.parts, self.place.step);
        let meter = Meter::with(self.sums, self.place.step + 1, model.device());
        (State::new(&self.state, model.device()), self.place, meter)
    }

    /// Steps done.
    pub fn step(&self) -> u64 {
        self.place.step
    }

    /// Its epoch, from 1, of which some or all steps are done.
    pub fn epoch(&self) -> u32 {
        self.place.epoch
    }

    /// Seconds of training so far.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

/// What a snapshot says of itself beside its vectors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    place: Place,
    seconds: f64,
    sums: Sums,
    /// Steps that each part's optimiser took.
    part_steps: Vec<i32>,
}

impl Snapshot {
    fn numbers(&self) -> Numbers {
        let part_steps = self.parts.iter().map(|part| part.steps).collect();
        Numbers { place: self.place, seconds: self.seconds, sums: self.sums, part_steps }
    }
}
