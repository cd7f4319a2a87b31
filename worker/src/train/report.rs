//! What a run says while it trains: scores, checkpoints and signs of life, each handed on as it comes.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use transect_common::data::Split;
use transect_common::run::{Tag, TrainSpec};

use super::meter::Meter;
use super::{Ask, Emit, EpochScore, Learner, Snapshot, State, TrainError, TrainEvent, diverged, order};
use crate::Stop;
use crate::data::Data;
use crate::nn::{Model, Norm, Score, Tally};

/// Images of one forward pass when the test split is scored: small enough for the processor's caches. LeNet-5 is twice as
/// fast with 100 as with 1,000 on one core.
const TEST_BATCH: usize = 100;

/// Time between two signs of life.
const PROGRESS: Duration = Duration::from_millis(250);

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// From 1; 0 is before training.
    pub(super) epoch: u32,
    /// Steps taken.
    pub(super) step: u64,
    /// That of the last step; 0 before the first.
    pub(super) learning_rate: f64,
}

impl Place {
    /// Before training.
    pub(super) const START: Self = Self { epoch: 0, step: 0, learning_rate: 0.0 };

    fn diverged(self, what: String) -> TrainError {
        TrainError::Diverged { step: self.step, epoch: self.epoch, what }
    }
}

/// Hands on what happens.
pub(super) struct Reporter<'r> {
    train: &'r TrainSpec,
    steps: u64,
    emit: Emit<'r>,
    ask: &'r mut dyn FnMut() -> Ask,
    began: Instant,
    /// Seconds of training before that.
    before: f64,
    last_sign: Instant,
}

impl<'r> Reporter<'r> {
    /// For a run of `steps_per_epoch` that begins, or goes on, now.
    pub(super) fn new(
        train: &'r TrainSpec,
        steps_per_epoch: u64,
        ask: &'r mut dyn FnMut() -> Ask,
        emit: Emit<'r>,
    ) -> Self {
        let (steps, now) = (u64::from(train.epochs) * steps_per_epoch, Instant::now());
        Self { train, steps, emit, ask, began: now, before: 0.0, last_sign: now }
    }

    /// Counts the seconds of training before an interruption.
    pub(super) fn after(self, before: f64) -> Self {
        Self { before, ..self }
    }

    fn seconds(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }

    /// An epoch's mean over its training steps.
    pub(super) fn train_score(&mut self, place: Place, loss: f64, accuracy: f64) -> Result<(), TrainError> {
        self.score(place, Split::Train, loss, accuracy)
    }

    /// Scores the test split with batch norm's running statistics.
    pub(super) fn test_score(
        &mut self,
        place: Place,
        model: &Model,
        state: &State,
        data: &Data,
    ) -> Result<(), TrainError> {
        let Score { loss, accuracy, .. } = on_test_split(model, state, data);
        if !loss.is_finite() {
            return Err(place.diverged(format!("the test loss is {loss}")));
        }
        self.score(place, Split::Test, loss, accuracy)
    }

    fn score(&mut self, place: Place, split: Split, loss: f64, accuracy: f64) -> Result<(), TrainError> {
        let (epoch, learning_rate) = (place.epoch, place.learning_rate);
        let seconds = self.seconds();
        Ok((self.emit)(TrainEvent::Epoch(EpochScore { epoch, split, loss, accuracy, learning_rate, seconds }))?)
    }

    /// After a step: the checkpoint of that step, if it is kept, and a sign of life now and then.
    pub(super) fn step(&mut self, place: Place, state: &State) -> Result<(), TrainError> {
        self.keep(place, state, |tag| tag.as_step() == Some(place.step))?;
        if self.last_sign.elapsed() >= PROGRESS {
            self.last_sign = Instant::now();
            let text = format!("epoch {} of {}", place.epoch, self.train.epochs);
            (self.emit)(TrainEvent::Progress { fraction: place.step as f64 / self.steps as f64, text })?;
        }
        Ok(())
    }

    /// After a step and what was said of it: a snapshot, if one is asked for.
    pub(super) fn snapshot(
        &mut self,
        place: Place,
        state: &State,
        learner: &Learner,
        meter: &mut Meter,
    ) -> Result<(), TrainError> {
        let ask = (self.ask)();
        if ask != Ask::GoOn {
            let sums = meter.sums().map_err(|bad| diverged(bad, place.epoch))?;
            let snapshot = Snapshot::take(place, self.seconds(), sums, state, learner);
            (self.emit)(TrainEvent::Snapshot(Box::new(snapshot)))?;
        }
        if ask == Ask::SnapshotAndStop { Err(Stop.into()) } else { Ok(()) }
    }

    /// Checkpoints that are kept of the state before training.
    pub(super) fn keep_init(&mut self, state: &State) -> Result<(), TrainError> {
        self.keep(Place::START, state, |tag| *tag == Tag::init())
    }

    /// Those of an epoch's end.
    pub(super) fn keep_epoch(&mut self, place: Place, state: &State, is_last: bool) -> Result<(), TrainError> {
        self.keep(place, state, |tag| tag.as_epoch() == Some(place.epoch) || is_last && *tag == Tag::last())
    }

    fn keep(&mut self, place: Place, state: &State, is_now: impl Fn(&Tag) -> bool) -> Result<(), TrainError> {
        for tag in self.train.keep.iter().filter(|tag| is_now(tag)) {
            let checkpoint = state.checkpoint();
            if checkpoint.theta.iter().chain(&checkpoint.buffers).any(|value| !value.is_finite()) {
                return Err(place.diverged("a parameter is not finite".to_owned()));
            }
            (self.emit)(TrainEvent::Checkpoint { tag: tag.clone(), checkpoint })?;
        }
        Ok(())
    }
}

fn on_test_split(model: &Model, state: &State, data: &Data) -> Score {
    let _guard = tch::no_grad_guard();
    let mut tally = Tally::new(model.device());
    for range in order::batches(data.len(Split::Test), TEST_BATCH) {
        let (x, labels) = data.batch(Split::Test, range);
        tally.add(&model.forward(&state.theta, &state.buffers, &x, Norm::Running), &labels);
    }
    tally.score()
}
