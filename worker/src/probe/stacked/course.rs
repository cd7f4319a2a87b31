//! A line's network at many alphas at once.
//!
//! Values have the axis of alphas first: [A, N, ...], or [1, N, ...] where all alphas share them, which libtorch broadcasts.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};
use transect_common::model::{Description, Layer, Op};

use crate::nn::{Manner, Model, Own, apply};
use crate::probe::Line;

/// The model along a line.
#[derive(Debug)]
pub(super) struct Course<'c> {
    model: &'c Model,
    from: End,
    to: End,
    held: End,
    /// For each parameter whether it moves; for each layer whether its running statistics do, and whether anything does.
    parameters: Vec<bool>,
    statistics: Vec<bool>,
    layers: Vec<bool>,
    /// For each node.
    roles: Vec<Role>,
    /// For each node whether a stacked one reads it.
    is_kept: Vec<bool>,
}

/// A state of the model.
#[derive(Debug)]
struct End {
    /// Parameters in their shapes.
    parameters: Vec<Tensor>,
    /// The buffer vector [B].
    buffers: Tensor,
}

/// How a node's value comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the same at all alphas.
    Shared,
    /// A blend of its two values at the ends, which are shared: a linear map that moves and reads what is shared.
    Blend,
    /// Computed for all alphas of a stack together.
    Stacked,
}

/// What all alphas share of a batch.
#[derive(Debug)]
pub(super) struct Shared {
    /// [1, N, ...] of those nodes that stacked ones read, and of the last.
    values: Vec<Option<Tensor>>,
    /// [N, ...] of each blend at both ends.
    ends: BTreeMap<usize, [Tensor; 2]>,
}

/// Alphas of a stack.
#[derive(Debug)]
pub(super) struct Alphas<'a> {
    values: &'a [f64],
    /// f32 [A].
    tensor: Tensor,
}

impl<'a> Alphas<'a> {
    /// At least one, on the model's device.
    pub(super) fn new(values: &'a [f64], device: Device) -> Self {
        Self { values, tensor: Tensor::from_slice(values).to_kind(Kind::Float).to_device(device) }
    }

    fn len(&self) -> i64 {
        self.values.len() as i64
    }

    /// Between `from` [...] and `to` [...]: [A, ...].
    fn blend(&self, [from, to]: [&Tensor; 2]) -> Tensor {
        let shape: Vec<i64> = std::iter::once(self.len()).chain(from.size().iter().map(|_| 1)).collect();
        let blend = from.unsqueeze(0).lerp_tensor(&to.unsqueeze(0), &self.tensor.view(shape.as_slice()));
        // An end is its own numbers, also where the other's are infinite.
        for (place, &alpha) in (0i64..).zip(self.values) {
            match alpha {
                0.0 => blend.select(0, place).copy_(from),
                1.0 => blend.select(0, place).copy_(to),
                _ => {}
            }
        }
        blend
    }
}

impl<'c> Course<'c> {
    /// Of a line that was resolved for `model`.
    pub(super) fn new(model: &'c Model, line: &Line) -> Self {
        let description = model.description();
        let end = |[theta, buffers]: [&Tensor; 2]| End {
            parameters: model.parameters(theta),
            buffers: buffers.shallow_clone(),
        };
        let [from, to, held] = line.states().map(end);
        let (parameters, statistics) = line.moving(description);
        let moves = |(layer, &statistics): (&Layer, &bool)| {
            statistics || layer.parameters.clone().any(|parameter| parameters[parameter])
        };
        let layers: Vec<bool> = description.layers.iter().zip(&statistics).map(moves).collect();
        let roles = roles(description, &layers);
        let mut is_kept = vec![false; roles.len()];
        for (node, _) in description.nodes.iter().zip(&roles).filter(|(_, role)| **role == Role::Stacked) {
            node.inputs.iter().for_each(|&input| is_kept[input] = true);
        }
        Self { model, from, to, held, parameters, statistics, layers, roles, is_kept }
    }

    pub(super) fn model(&self) -> &Model {
        self.model
    }

    /// How each node's value comes about.
    pub(super) fn roles(&self) -> &[Role] {
        &self.roles
    }

    /// Whether anything of `layer` moves.
    pub(super) fn moves(&self, layer: usize) -> bool {
        self.layers[layer]
    }

    /// What all alphas share of the images `x` [N, C, H, W].
    pub(super) fn shared(&self, x: &Tensor) -> Shared {
        let nodes = &self.model.description().nodes;
        let mut values: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        let mut ends = BTreeMap::new();
        for (index, node) in nodes.iter().enumerate().filter(|(index, _)| self.roles[*index] != Role::Stacked) {
            if node.op == Op::Input {
                values[index] = Some(x.unsqueeze(0));
                continue;
            }
            let inputs: Vec<Tensor> = node.inputs.iter().map(|&input| alive(&values, input).squeeze_dim(0)).collect();
            match (self.roles[index], node.op.layer()) {
                (Role::Blend, Some(layer)) => {
                    let at =
                        |end: &End| apply(node.op, &inputs, &own(&self.parameters_at(layer, end)), Manner::EVALUATION);
                    ends.insert(index, [at(&self.from), at(&self.to)]);
                }
                _ => values[index] = Some(self.resting(node.op, &inputs).unsqueeze(0)),
            }
            for &input in node.inputs.iter().filter(|&&input| self.model.last_use()[input] == index) {
                if !self.is_kept[input] {
                    values[input] = None;
                }
            }
        }
        Shared { values, ends }
    }

    /// The logits [A, N, classes] at `alphas`.
    pub(super) fn logits(&self, shared: &Shared, alphas: &Alphas) -> Tensor {
        let nodes = &self.model.description().nodes;
        let mut values: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        for (index, node) in nodes.iter().enumerate() {
            match self.roles[index] {
                Role::Shared => values[index] = shared.values[index].as_ref().map(Tensor::shallow_clone),
                Role::Blend => values[index] = Some(alphas.blend(shared.ends[&index].each_ref())),
                Role::Stacked => {
                    let input = |&input: &usize| alive(&values, input).shallow_clone();
                    let inputs: Vec<Tensor> = node.inputs.iter().map(input).collect();
                    for &input in node.inputs.iter().filter(|&&input| self.model.last_use()[input] == index) {
                        values[input] = None;
                    }
                    values[index] = Some(self.stacked(node.op, &inputs, alphas));
                }
            }
        }
        let logits = values.pop().flatten().expect("the last node's value is kept");
        logits.expand([alphas.len(), -1, -1], false)
    }

    /// What `op` makes of inputs of which at least one is stacked, or with a layer that moves.
    fn stacked(&self, op: Op, inputs: &[Tensor], alphas: &Alphas) -> Tensor {
        let x = &inputs[0];
        let Some(layer) = op.layer().filter(|&layer| self.moves(layer)) else {
            return match op {
                Op::Add => x + &inputs[1],
                // The only input: alphas become more images.
                _ => self.resting(op, &[x.flatten(0, 1)]).unflatten(0, [x.size()[0], -1]),
            };
        };
        let own = self.parameters_along(layer, alphas);
        match op {
            Op::Linear { .. } => linear(x, &own[0], own.get(1)),
            Op::BatchNorm2d { eps, .. } => {
                let [mean, var] = self.statistics_along(layer, alphas);
                let scale = &own[0] / (var + eps).sqrt();
                let shift = &own[1] - mean * &scale;
                // Channels come third.
                let over = |vector: &Tensor| {
                    let mut shape = vec![1; x.dim()];
                    (shape[0], shape[2]) = (vector.size()[0], vector.size()[1]);
                    vector.view(shape.as_slice())
                };
                over(&shift).addcmul(x, &over(&scale))
            }
            Op::AddScalar { .. } | Op::AddEmbedding { .. } => x + over_images(&own[0], x),
            Op::MulScalar { .. } => x * over_images(&own[0], x),
            _ => one_by_one(op, x, &own, alphas.len()),
        }
    }

    /// What `op` makes of `inputs` [N, ...] as the line holds it.
    fn resting(&self, op: Op, inputs: &[Tensor]) -> Tensor {
        let layer = |layer: usize| &self.model.description().layers[layer];
        let parameters = op.layer().map_or(&[][..], |index| &self.held.parameters[layer(index).parameters.clone()]);
        let running = match op {
            Op::BatchNorm2d { layer, .. } => Some(self.model.running(layer, &self.held.buffers)),
            _ => None,
        };
        apply(op, inputs, &Own { parameters, running }, Manner::EVALUATION)
    }

    /// The parameters of `layer` where those that move are at `end`.
    fn parameters_at(&self, layer: usize, end: &End) -> Vec<Tensor> {
        let own = self.model.description().layers[layer].parameters.clone();
        let at = |parameter: usize| if self.parameters[parameter] { end } else { &self.held };
        own.map(|parameter| at(parameter).parameters[parameter].shallow_clone()).collect()
    }

    /// The parameters of `layer` at `alphas`: [A, ...], and [1, ...] of those that rest.
    fn parameters_along(&self, layer: usize, alphas: &Alphas) -> Vec<Tensor> {
        let own = self.model.description().layers[layer].parameters.clone();
        own.map(|parameter| {
            let [from, to, held] = [&self.from, &self.to, &self.held].map(|end| &end.parameters[parameter]);
            if self.parameters[parameter] { alphas.blend([from, to]) } else { held.unsqueeze(0) }
        })
        .collect()
    }

    /// Running mean and variance of `layer` likewise.
    fn statistics_along(&self, layer: usize, alphas: &Alphas) -> [Tensor; 2] {
        let [from, to, held] = [&self.from, &self.to, &self.held].map(|end| self.model.running(layer, &end.buffers));
        [0, 1].map(|i| if self.statistics[layer] { alphas.blend([&from[i], &to[i]]) } else { held[i].unsqueeze(0) })
    }
}

fn roles(model: &Description, moves: &[bool]) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::with_capacity(model.nodes.len());
    for node in &model.nodes {
        let is_shared = node.inputs.iter().all(|&input| roles[input] == Role::Shared);
        let is_linear = matches!(node.op, Op::Linear { .. } | Op::Conv2d { .. });
        roles.push(match (is_shared, node.op.layer().is_some_and(|layer| moves[layer])) {
            (true, false) => Role::Shared,
            (true, true) if is_linear => Role::Blend,
            _ => Role::Stacked,
        });
    }
    roles
}

fn own(parameters: &[Tensor]) -> Own<'_> {
    Own { parameters, running: None }
}

/// `x` [A, N, ..., F], `weight` [A, O, F] and `bias` [A, O], of which parameters that rest have A = 1: [A, N, ..., O], by one
/// product for all alphas.
fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let product = x.flatten(1, -2).matmul(&weight.transpose(1, 2));
    let product = match bias {
        Some(bias) => product + bias.unsqueeze(1),
        None => product,
    };
    let mut shape = x.size();
    shape.pop();
    shape.push(-1);
    product.view(shape.as_slice())
}

/// A parameter [A, ...] beside `x` [A, N, ...], so that it is broadcast over images as without alphas.
fn over_images(parameter: &Tensor, x: &Tensor) -> Tensor {
    let own = parameter.size();
    let missing = std::iter::repeat_n(1, x.dim() - own.len());
    let shape: Vec<i64> = own[..1].iter().copied().chain(missing).chain(own[1..].iter().copied()).collect();
    parameter.view(shape.as_slice())
}

/// An operation with parameters [A, ...], alpha by alpha: what has no batched form, and convolutions, which on a batch of
/// images are large enough by themselves.
fn one_by_one(op: Op, x: &Tensor, parameters: &[Tensor], alphas: i64) -> Tensor {
    let at = |alpha: i64| move |stack: &Tensor| stack.select(0, alpha.min(stack.size()[0] - 1));
    let one = |alpha| {
        let parameters: Vec<Tensor> = parameters.iter().map(at(alpha)).collect();
        apply(op, &[at(alpha)(x)], &own(&parameters), Manner::EVALUATION)
    };
    Tensor::stack(&(0..alphas).map(one).collect::<Vec<_>>(), 0)
}

fn alive(values: &[Option<Tensor>], value: usize) -> &Tensor {
    values[value].as_ref().expect("a value lives until its last reader")
}
