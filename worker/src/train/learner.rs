//! One step of training: the gradient of a batch, and the move it leads to.

use std::ops::Range;

use tch::{Device, Kind, Reduction, Tensor};
use transect_common::run::{self, Precision, TrainSpec};

use super::dense::Dense;
use super::optimizer::{Memory, Optimizer};
use super::parts::{Manner, Part, parts};
use super::{State, TrainError};
use crate::kernel::Isa;
use crate::nn::{Model, Noise, Pass};

/// A model, the recipe's way of moving its parameters, and all that this remembers from step to step.
#[derive(Debug)]
pub struct Learner<'m> {
    model: &'m Model,
    parts: Vec<(Manner, Range<usize>, Optimizer)>,
    label_smoothing: f64,
    clip_norm: Option<f64>,
    precision: Precision,
    /// Computes the passes of a network that is a chain of linear layers.
    dense: Option<Dense>,
    /// Names dropout's random numbers of the next step.
    noise: Noise,
}

/// A batch in its forward pass, before the move.
#[derive(Debug)]
pub struct Passed {
    /// Mean loss over the batch in nats, of smoothed targets where the recipe has them; on the device.
    pub loss: Tensor,
    /// Logits [N, classes].
    pub logits: Tensor,
}

impl<'m> Learner<'m> {
    /// Before the first step.
    ///
    /// # Errors
    /// When a rule of `train.layers` does not fit the model.
    pub fn new(model: &'m Model, train: &TrainSpec) -> Result<Self, TrainError> {
        let with_state = |Part { range, manner }: Part| {
            let optimizer = Optimizer::new(&manner.optimizer, range.len(), model.device());
            (manner, range, optimizer)
        };
        let suits =
            model.device() == Device::Cpu && train.precision == Precision::Float32 && Isa::best() != Isa::Baseline;
        let dense = suits.then(|| Dense::of(model.description())).flatten();
        let parts = parts(model.description(), train)?.into_iter().map(with_state).collect();
        Ok(Self {
            model,
            parts,
            label_smoothing: train.label_smoothing,
            clip_norm: train.clip_norm,
            precision: train.precision,
            dense,
            noise: Noise { seed: train.seed.order, step: 0 },
        })
    }

    /// What it remembers of each part.
    pub(super) fn memory(&self) -> Vec<Memory> {
        self.parts.iter().map(|(.., optimizer)| optimizer.memory()).collect()
    }

    /// Remembers `parts` of another of the same recipe that took `steps` steps.
    pub(super) fn recall(&mut self, parts: &[Memory], steps: u64) {
        for ((.., optimizer), memory) in self.parts.iter_mut().zip(parts) {
            optimizer.recall(memory, self.model.device());
        }
        self.noise.step = steps;
    }

    /// Moves `state` by one step on the batch `x` [N, C, H, W] with `labels` [N] in `epoch` (from 1), with every learning
    /// rate multiplied by `factor`.
    pub fn step(&mut self, state: &mut State, x: &Tensor, labels: &Tensor, epoch: u32, factor: f64) -> Passed {
        let (passed, mut pieces) = self.pass(&state.theta, &state.buffers, x, labels);
        let ascent = self.ascent(epoch);
        if !ascent.is_empty() || self.clip_norm.is_some() {
            let mut grad = joined(&pieces);
            if !ascent.is_empty() {
                let (theta, buffers) = (climbed(&state.theta, &grad, &ascent), state.buffers.copy());
                // Into copies of the buffers: running statistics follow the first pass only.
                let above = joined(&self.pass(&theta, &buffers, x, labels).1);
                for (range, _) in ascent {
                    narrowed(&grad, &range).copy_(&narrowed(&above, &range));
                }
            }
            if let Some(max_norm) = self.clip_norm {
                self.clip(&mut grad, max_norm);
            }
            pieces = self.model.parameters(&grad);
        }
        for (manner, range, optimizer) in self.parts.iter_mut().filter(|(manner, ..)| manner.moves_in(epoch)) {
            let lr = manner.optimizer.lr() * factor;
            let own = self.model.parameters_in(range);
            optimizer.step_by(&mut narrowed(&state.theta, range), &pieces[own], lr);
        }
        self.noise.step += 1;
        passed
    }

    /// A batch under `theta`, with the same units dropped at every pass of a step, and the gradient of each parameter.
    fn pass(&mut self, theta: &Tensor, buffers: &Tensor, x: &Tensor, labels: &Tensor) -> (Passed, Vec<Tensor>) {
        match &mut self.dense {
            Some(dense) => dense.pass(theta, x, labels, self.label_smoothing),
            None => self.pass_with_autograd(theta, buffers, x, labels),
        }
    }

    /// The same by libtorch: the specification.
    pub(super) fn pass_with_autograd(
        &self,
        theta: &Tensor,
        buffers: &Tensor,
        x: &Tensor,
        labels: &Tensor,
    ) -> (Passed, Vec<Tensor>) {
        let leaves: Vec<Tensor> =
            self.model.parameters(&theta.detach()).into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
        let pass = Pass { noise: self.noise, precision: self.precision };
        let logits = self.model.forward_training(&leaves, buffers, x, pass);
        let loss = logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Mean, -100, self.label_smoothing);
        let gradient = Tensor::run_backward(&[&loss], &leaves, false, false);
        (Passed { loss: loss.detach(), logits: logits.detach() }, gradient)
    }

    /// Where sharpness-aware minimisation looks around in `epoch`, with its radius: only what it moves. Other parts take
    /// their gradient at theta.
    fn ascent(&self, epoch: u32) -> Vec<(Range<usize>, f64)> {
        let radius = |(manner, range, _): &(Manner, Range<usize>, Optimizer)| match manner.optimizer {
            run::Optimizer::Sam { rho, .. } if manner.moves_in(epoch) => Some((range.clone(), rho)),
            _ => None,
        };
        self.parts.iter().filter_map(radius).collect()
    }

    /// Scales the gradient of what ever moves to at most `max_norm`, all of it by the same factor
    /// `max_norm / (norm + 1e-6)`, as `PyTorch` does.
    fn clip(&self, grad: &mut Tensor, max_norm: f64) {
        let moving = self.parts.iter().filter(|(manner, ..)| manner.moves_ever());
        let norm = norm_over(grad, moving.map(|(_, range, _)| range));
        let scale = ((norm + 1e-6).reciprocal() * max_norm).clamp_max(1.0);
        let _ = grad.multiply_(&scale.to_kind(Kind::Float));
    }
}

/// The gradient of every parameter as one vector.
fn joined(pieces: &[Tensor]) -> Tensor {
    Tensor::cat(&pieces.iter().map(|piece| piece.reshape(-1)).collect::<Vec<_>>(), 0)
}

/// A view of a range of a vector, through which it can be changed.
fn narrowed(vector: &Tensor, range: &Range<usize>) -> Tensor {
    vector.detach().narrow(0, range.start as i64, range.len() as i64)
}

/// Euclidean norm over some ranges of a vector, in f64.
fn norm_over<'r>(vector: &Tensor, ranges: impl Iterator<Item = &'r Range<usize>>) -> Tensor {
    let square = |range| narrowed(vector, range).norm_scalaropt_dtype(2.0, Kind::Double).square();
    ranges.map(square).fold(Tensor::zeros([], (Kind::Double, vector.device())), |sum, square| sum + square).sqrt()
}

/// Theta + rho g / |g| where sharpness-aware minimisation looks around, |g| over all of there; theta elsewhere.
/// (Foret et al. 2021, eq. 2, for p = 2. With 1e-12 added to |g|, so that a gradient of 0 leads nowhere.)
fn climbed(theta: &Tensor, grad: &Tensor, ascent: &[(Range<usize>, f64)]) -> Tensor {
    let norm = norm_over(grad, ascent.iter().map(|(range, _)| range)) + 1e-12;
    let climbed = theta.detach().copy();
    for (range, rho) in ascent {
        let scale = (norm.reciprocal() * *rho).to_kind(Kind::Float);
        let _ = narrowed(&climbed, range).addcmul_(&narrowed(grad, range), &scale);
    }
    climbed
}
