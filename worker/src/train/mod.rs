//! Training: from a run's description to its checkpoints.
//!
//! Invariants: a run is a pure function of its description and data on one kind of device, libtorch build and thread
//! count. Every random number comes from [`crate::random`], so the same run gives the same bytes twice. Nothing here
//! knows of jobs or networks: what happens is handed to `emit` as it happens, and whatever leaves as a loss or a
//! checkpoint is finite.

mod augment;
mod event;
mod init;
mod meter;
mod optimizer;
mod order;
mod schedule;

use std::time::{Duration, Instant};

use tch::{Reduction, Tensor};
use transect_common::checkpoint::Checkpoint;
use transect_common::data::{Augment, Split};
use transect_common::run::{Origin, RunSpec, Tag, TrainSpec};

use crate::Stop;
use crate::data::Data;
use crate::nn::{Model, Noise, Norm, Tally};
use crate::sources::Sources;
use meter::{Meter, NotFinite};

pub use event::{EpochScore, TrainError, TrainEvent};
pub use init::initial;
pub use optimizer::Optimizer;
pub use schedule::factor;

/// Receives what happens in training; answers with [`Stop`] to end it.
pub type Emit<'e> = &'e mut dyn FnMut(TrainEvent) -> Result<(), Stop>;

/// Images of one forward pass when the test split is scored: small enough for the processor's caches. LeNet-5 is twice as
/// fast with 100 as with 1,000 on one core.
const TEST_BATCH: usize = 100;

/// Time between two signs of life.
const PROGRESS: Duration = Duration::from_millis(250);

/// Trains a run on the model's device, from its initialisation to its last epoch.
///
/// # Errors
/// When it diverges, is asked to stop, or cannot begin.
pub fn train(model: &Model, run: &RunSpec, data: &Data, sources: &Sources, emit: Emit) -> Result<(), TrainError> {
    let Origin::Trained { init, train } = &run.origin else { return Err(TrainError::Imported) };
    check(model, train, data)?;
    let (seed, images) = (train.seed, data.len(Split::Train));
    let steps_per_epoch = images.div_ceil(train.batch_size as usize) as u64;
    let began = Instant::now();
    let mut signs = Signs::new(train.epochs, steps_per_epoch);

    let start = initial(model.description(), init, seed.init);
    let _ = sources;
    let mut theta = Tensor::from_slice(&start.theta).to_device(model.device()).set_requires_grad(true);
    let buffers = Tensor::from_slice(&start.buffers).to_device(model.device());
    let mut optimizer = Optimizer::new(&train.optimizer, start.theta.len(), model.device());
    let mut step = 0;
    let mut learning_rate = 0.0;
    emit(TrainEvent::Epoch(test_score(model, &theta, &buffers, data, (0, step), learning_rate, began)?))?;
    keep(train, 0, (&theta, &buffers), step, emit)?;

    for epoch in 1..=train.epochs {
        let order = order::epoch_order(seed.order, epoch, images);
        let mut meter = Meter::new(step + 1, model.device());
        for range in order::batches(images, train.batch_size as usize) {
            let indices = &order[range];
            let (x, labels) = data.select(Split::Train, &Tensor::from_slice(indices).to_device(data.device()));
            let x = augmented(x, run.data.augment, (seed.augment, epoch), indices);
            let logits = model.forward_training(&theta, &buffers, &x, Noise { seed: seed.order, step });
            let loss = logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::Mean, -100, 0.0);
            let grad = Tensor::run_backward(&[&loss], &[&theta], false, false).remove(0);
            learning_rate = train.optimizer.lr() * factor(train, step, steps_per_epoch);
            optimizer.step(&mut theta, &grad, learning_rate);
            step += 1;
            meter.add(&loss, &logits, &labels).map_err(|bad| diverged(bad, epoch))?;
            signs.give(step, epoch, emit)?;
        }
        let (loss, accuracy) = meter.finish().map_err(|bad| diverged(bad, epoch))?;
        let seconds = began.elapsed().as_secs_f64();
        let split = Split::Train;
        emit(TrainEvent::Epoch(EpochScore { epoch, split, loss, accuracy, learning_rate, seconds }))?;
        emit(TrainEvent::Epoch(test_score(model, &theta, &buffers, data, (epoch, step), learning_rate, began)?))?;
        keep(train, epoch, (&theta, &buffers), step, emit)?;
    }
    Ok(())
}

fn check(model: &Model, train: &TrainSpec, data: &Data) -> Result<(), TrainError> {
    let is_a_moment = |tag: &Tag| {
        *tag == Tag::init() || *tag == Tag::last() || tag.as_epoch().is_some_and(|n| (1..=train.epochs).contains(&n))
    };
    if let Some(tag) = train.keep.iter().find(|tag| !is_a_moment(tag)) {
        return Err(TrainError::NoSuchMoment { tag: tag.clone(), epochs: train.epochs });
    }
    let (model, data) = (model.description().input, data.input());
    if model == data { Ok(()) } else { Err(TrainError::Shape { model, data }) }
}

/// A batch as the network sees it. `indices` are the images' places in the training split.
fn augmented(x: Tensor, augment: Augment, (seed, epoch): (u64, u32), indices: &[i64]) -> Tensor {
    if augment == Augment::default() {
        return x;
    }
    let changes: Vec<_> = indices.iter().map(|&index| augment::change(augment, seed, epoch, index as u32)).collect();
    augment::apply(&x, &changes, augment.crop)
}

/// Scores the test split with batch norm's running statistics.
fn test_score(
    model: &Model,
    theta: &Tensor,
    buffers: &Tensor,
    data: &Data,
    (epoch, step): (u32, u64),
    learning_rate: f64,
    began: Instant,
) -> Result<EpochScore, TrainError> {
    let _guard = tch::no_grad_guard();
    let mut tally = Tally::new(model.device());
    for range in order::batches(data.len(Split::Test), TEST_BATCH) {
        let (x, labels) = data.batch(Split::Test, range);
        tally.add(&model.forward(theta, buffers, &x, Norm::Running), &labels);
    }
    let score = tally.score();
    if !score.loss.is_finite() {
        let what = format!("the test loss is {}", score.loss);
        return Err(TrainError::Diverged { step, epoch, what });
    }
    let seconds = began.elapsed().as_secs_f64();
    let (loss, accuracy) = (score.loss, score.accuracy);
    Ok(EpochScore { epoch, split: Split::Test, loss, accuracy, learning_rate, seconds })
}

/// Emits the checkpoints that are kept of the end of `epoch` (0 is before training).
fn keep(
    train: &TrainSpec,
    epoch: u32,
    (theta, buffers): (&Tensor, &Tensor),
    step: u64,
    emit: Emit,
) -> Result<(), TrainError> {
    let is_now = |tag: &Tag| match tag.as_epoch() {
        Some(n) => n == epoch,
        None => epoch == if *tag == Tag::init() { 0 } else { train.epochs },
    };
    for tag in train.keep.iter().filter(|tag| is_now(tag)) {
        let checkpoint = Checkpoint { theta: values(theta), buffers: values(buffers) };
        if checkpoint.theta.iter().chain(&checkpoint.buffers).any(|value| !value.is_finite()) {
            let what = "a parameter is not finite".to_owned();
            return Err(TrainError::Diverged { step, epoch, what });
        }
        emit(TrainEvent::Checkpoint { tag: tag.clone(), checkpoint })?;
    }
    Ok(())
}

fn values(vector: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; vector.numel()];
    vector.detach().copy_data(&mut values, vector.numel());
    values
}

fn diverged(bad: NotFinite, epoch: u32) -> TrainError {
    TrainError::Diverged { step: bad.step, epoch, what: format!("the training loss is {}", bad.loss) }
}

/// Signs of life at a bearable pace.
struct Signs {
    epochs: u32,
    steps: u64,
    last: Instant,
}

impl Signs {
    fn new(epochs: u32, steps_per_epoch: u64) -> Self {
        Self { epochs, steps: u64::from(epochs) * steps_per_epoch, last: Instant::now() }
    }

    fn give(&mut self, step: u64, epoch: u32, emit: Emit) -> Result<(), Stop> {
        if self.last.elapsed() < PROGRESS {
            return Ok(());
        }
        self.last = Instant::now();
        let text = format!("epoch {epoch} of {}", self.epochs);
        emit(TrainEvent::Progress { fraction: step as f64 / self.steps as f64, text })
    }
}
