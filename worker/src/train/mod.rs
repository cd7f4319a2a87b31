//! Training: from a run's description to its checkpoints.
//!
//! Invariants: a run is a pure function of its description, its data and its sources on one kind of device, libtorch
//! build and thread count. Every random number comes from [`crate::random`], so the same run gives the same bytes twice.
//! Nothing here knows of jobs or networks: what happens is handed to `emit` as it happens, and whatever leaves as a loss
//! or a checkpoint is finite.
//!
//! The order of reading: [`start`] makes the state before training, [`train_from`] is the loop, [`Learner`] is one step of it,
//! [`Optimizer`] holds the formulas.

mod ahead;
mod augment;
mod dense;
mod event;
mod fused;
mod init;
mod learner;
mod meter;
mod named;
mod optimizer;
mod order;
mod orthogonal;
mod parts;
mod report;
mod schedule;
mod snapshot;
mod start;
mod state;

use transect_common::data::Split;
use transect_common::run::{Origin, RunSpec, StopRule, Tag, TrainSpec};

use crate::Stop;
use crate::data::Data;
use crate::nn::Model;
use crate::sources::Sources;
use ahead::{Batches, Plan};
use meter::{Meter, NotFinite};
use report::{Place, Reporter};

pub use event::{EpochScore, TrainError, TrainEvent};
pub use init::initial;
pub use learner::{Learner, Passed};
pub use optimizer::Optimizer;
pub use order::epoch_order;
pub use schedule::factor;
pub use snapshot::{Ask, Course, Made, Snapshot, SnapshotError};
pub use start::{Misfit, StartError, start};
pub use state::State;

/// Receives what happens in training; answers with [`Stop`] to end it.
pub type Emit<'e> = &'e mut dyn FnMut(TrainEvent) -> Result<(), Stop>;

/// Trains a run on the model's device, from its initialisation to its last epoch.
///
/// # Errors
/// When it diverges, is asked to stop, or cannot begin.
pub fn train(model: &Model, run: &RunSpec, data: &Data, sources: &Sources, emit: Emit) -> Result<(), TrainError> {
    train_from(Course { from: None, ask: &mut || Ask::GoOn }, model, run, data, sources, emit)
}

/// Trains a run from its beginning, or on from a snapshot of it: what was said before the snapshot is not said again.
///
/// # Errors
/// Those of [`train`].
pub fn train_from(
    Course { from, ask }: Course,
    model: &Model,
    run: &RunSpec,
    data: &Data,
    sources: &Sources,
    emit: Emit,
) -> Result<(), TrainError> {
    let Origin::Trained { init, train } = &run.origin else { return Err(TrainError::Imported) };
    let (images, batch_size) = (data.len(Split::Train), train.batch_size as usize);
    let steps_per_epoch = images.div_ceil(batch_size) as u64;
    check(model, train, data, steps_per_epoch)?;
    let mut learner = Learner::new(model, train)?;
    let mut report =
        Reporter::new(train, steps_per_epoch, ask, emit).after(from.as_ref().map_or(0.0, Snapshot::seconds));
    let (mut state, mut place, mut meter) = if let Some(snapshot) = from {
        snapshot.restore(model, &mut learner)
    } else {
        let start = start(model.description(), init, train.seed.init, sources)?;
        (State::new(&start, model.device()), Place::START, Meter::new(1, model.device()))
    };
    if place.step == 0 {
        report.test_score(place, model, &state, data)?;
        report.keep_init(&state)?;
    }

    let first = place.epoch.max(1);
    let done = |place: Place, epoch| place.step - u64::from(epoch - 1) * steps_per_epoch;
    let plan = Plan { seeds: train.seed, augment: run.data.augment, images, batch_size };
    let mut batches = Batches::begin(data, plan, first, done(place, first) as usize);
    for epoch in first..=train.epochs {
        for _ in done(place, epoch)..steps_per_epoch {
            let (x, labels) = batches.next();
            let factor = factor(train, place.step, steps_per_epoch);
            let passed = learner.step(&mut state, &x, &labels, epoch, factor);
            place = Place { epoch, step: place.step + 1, learning_rate: train.optimizer.lr() * factor };
            meter.add(&passed.loss, &passed.logits, &labels).map_err(|bad| diverged(bad, epoch))?;
            report.step(place, &state)?;
            report.snapshot(place, &state, &learner, &mut meter)?;
        }
        let (loss, accuracy) = meter.finish().map_err(|bad| diverged(bad, epoch))?;
        meter = Meter::new(place.step + 1, model.device());
        report.train_score(place, loss, accuracy)?;
        report.test_score(place, model, &state, data)?;
        let is_last = epoch == train.epochs || train.stop.is_some_and(|rule| reached(rule, loss, accuracy));
        report.keep_epoch(place, &state, is_last)?;
        if is_last {
            break;
        }
    }
    Ok(())
}

/// True when an epoch's training loss and accuracy reach all that the rule says (and it says something).
fn reached(rule: StopRule, loss: f64, accuracy: f64) -> bool {
    let by_accuracy = rule.accuracy.map(|least| accuracy >= least);
    let by_loss = rule.loss.map(|most| loss <= most);
    matches!((by_accuracy, by_loss), (Some(true), None | Some(true)) | (None, Some(true)))
}

fn check(model: &Model, train: &TrainSpec, data: &Data, steps_per_epoch: u64) -> Result<(), TrainError> {
    let (epochs, steps) = (train.epochs, u64::from(train.epochs) * steps_per_epoch);
    let is_a_moment = |tag: &Tag| {
        *tag == Tag::init()
            || *tag == Tag::last()
            || tag.as_epoch().is_some_and(|n| (1..=epochs).contains(&n))
            || tag.as_step().is_some_and(|n| (1..=steps).contains(&n))
    };
    if let Some(tag) = train.keep.iter().find(|tag| !is_a_moment(tag)) {
        return Err(TrainError::NoSuchMoment { tag: tag.clone(), epochs, steps });
    }
    let (model, data) = (model.description().input, data.input());
    if model == data { Ok(()) } else { Err(TrainError::Shape { model, data }) }
}

fn diverged(bad: NotFinite, epoch: u32) -> TrainError {
    TrainError::Diverged { step: bad.step, epoch, what: format!("the training loss is {}", bad.loss) }
}
