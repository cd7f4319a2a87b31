//! The interpreter of a model's graph.

use std::ops::Range;

use tch::{Device, Tensor};
use transect_common::model::{Activation, Description, Layer, Node, Op};
use transect_common::run::Precision;

use super::apply::{Manner, Own, apply};
use super::blocked;

/// Where batch norm takes its mean and variance from. The same for models without batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// From the buffers.
    Running,
    /// From the batch; the buffers are not read or written.
    Batch,
    /// From the batch, which also moves the buffers in place: `(1 - m) * old + m * batch` with the layer's momentum m
    /// (0.1 in most), with the batch's unbiased variance.
    Train,
    /// From the batch, which also enters the buffers, in place, as one more term of a plain mean: with `seen` batches
    /// there before, `(seen * old + batch) / (seen + 1)`, with unbiased variances (`PyTorch`'s `momentum=None`).
    Average {
        /// Batches already in the buffers; with 0 their old values do not matter.
        seen: u32,
    },
}

/// Names the random numbers of one training step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noise {
    /// The run's seed.
    pub seed: u64,
    /// Steps before this one.
    pub step: u64,
}

/// What a training step's passes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Of dropout.
    pub noise: Noise,
    /// In which numbers layers multiply.
    pub precision: Precision,
}

/// A description that can be computed on a device.
#[derive(Debug)]
pub struct Model {
    description: Description,
    device: Device,
    /// For each parameter its length and its shape, as libtorch wants them.
    lens: Vec<i64>,
    shapes: Vec<Vec<i64>>,
    /// For each value the node that reads it last: it is freed there.
    last_use: Vec<usize>,
    /// The description's, with maxima taken before ReLUs, which then have a quarter of the numbers or less: the maximum of ReLUs
    /// is the ReLU of the maximum, gradients included.
    nodes: Vec<Node>,
    /// Training passes convolution's own layout from one operation to the next.
    trains_blocked: bool,
}

impl Model {
    /// The model of `description`, whose vectors and images lie on `device`.
    pub fn new(description: Description, device: Device) -> Self {
        let lens = description.parameters.iter().map(|p| p.len as i64).collect();
        let shapes = description.parameters.iter().map(|p| p.shape.iter().map(|&d| i64::from(d)).collect()).collect();
        let mut last_use = vec![usize::MAX; description.nodes.len()];
        for (index, node) in description.nodes.iter().enumerate() {
            for &input in &node.inputs {
                last_use[input] = index;
            }
        }
        let nodes = maxima_first(&description.nodes, |activation| activation == Activation::Relu);
        let trains_blocked = device == Device::Cpu && blocked::suits(&description);
        Self { description, device, lens, shapes, last_use, nodes, trains_blocked }
    }

    /// What is computed.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Where it is computed.
    pub fn device(&self) -> Device {
        self.device
    }

    /// For each node the node that reads its value last; `usize::MAX` for one that none reads.
    pub(crate) fn last_use(&self) -> &[usize] {
        &self.last_use
    }

    /// The logits [N, classes] of `x` [N, C, H, W] under `theta` [P] and `buffers` [B], all f32.
    ///
    /// Differentiable in `theta` (and `x`) unless gradients are off; `buffers` must not require gradients.
    ///
    /// # Panics
    /// When a shape or a device does not fit, or libtorch fails (out of memory, say).
    pub fn forward(&self, theta: &Tensor, buffers: &Tensor, x: &Tensor, norm: Norm) -> Tensor {
        self.compute(&self.parameters(theta), buffers, x, norm, None)
    }

    /// The same with [`Norm::Train`] and with dropout, as a training step has it, from the parameters in their order. Two
    /// calls with the same noise and batch size drop the same numbers; nothing is drawn for a model without dropout.
    ///
    /// # Panics
    /// As [`Model::forward`] does.
    pub fn forward_training(&self, weights: &[Tensor], buffers: &Tensor, x: &Tensor, pass: Pass) -> Tensor {
        self.compute(weights, buffers, x, Norm::Train, Some(pass))
    }

    fn compute(&self, weights: &[Tensor], buffers: &Tensor, x: &Tensor, norm: Norm, pass: Option<Pass>) -> Tensor {
        let nodes = &self.nodes;
        let noise = pass.map(|pass| pass.noise);
        let precision = pass.map_or_else(Precision::default, |pass| pass.precision);
        let is_blocked = self.trains_blocked && pass.is_some() && precision == Precision::Float32;
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let inputs = node.inputs.iter().map(|&input| alive(&values, input));
            let inputs: Vec<Tensor> = if is_blocked {
                inputs.map(|value| blocked::in_layout_for(&node.op, value)).collect()
            } else {
                inputs.map(Tensor::shallow_clone).collect()
            };
            for &input in node.inputs.iter().filter(|&&input| self.last_use[input] == index) {
                values[input] = None;
            }
            let value = match node.op {
                Op::Input => x.shallow_clone(),
                op => {
                    let parameters = op.layer().map_or(&[][..], |layer| &weights[self.layer(layer).parameters.clone()]);
                    let running = match op {
                        Op::BatchNorm2d { layer, .. } => Some(self.running(layer, buffers)),
                        _ => None,
                    };
                    let noise = noise.map(|noise| (noise, index));
                    let manner = Manner { norm, noise, precision, is_blocked };
                    apply(op, &inputs, &Own { parameters, running }, manner)
                }
            };
            values.push(Some(value));
        }
        values.pop().flatten().expect("a description has nodes, and nothing reads the last")
    }

    /// Theta's parameters in their shapes: views, and one `cat` in the backward.
    pub fn parameters(&self, theta: &Tensor) -> Vec<Tensor> {
        let parts = theta.split_with_sizes(&self.lens, 0);
        parts.iter().zip(&self.shapes).map(|(part, shape)| part.view(shape.as_slice())).collect()
    }

    /// The places of the parameters that lie in a stretch of theta that none of them straddles.
    pub fn parameters_in(&self, range: &Range<usize>) -> Range<usize> {
        let before = |offset| self.description.parameters.partition_point(|parameter| parameter.offset < offset);
        before(range.start)..before(range.end)
    }

    /// Views of a batch-norm layer's running mean and variance.
    pub(crate) fn running(&self, layer: usize, buffers: &Tensor) -> [Tensor; 2] {
        let own = &self.description.buffers[self.layer(layer).buffers.clone()];
        // Not `split_with_sizes`: libtorch refuses to write to one of several views made at once.
        [0, 1].map(|i| buffers.narrow(0, own[i].offset as i64, own[i].len as i64))
    }

    fn layer(&self, index: usize) -> &Layer {
        &self.description.layers[index]
    }
}

/// `nodes` with each maximum taken before the function that it is taken of, where this `may_wait` and nothing else reads it. The
/// same numbers for a function that never falls: the maximum of what it gives is what it gives of the maximum.
pub(crate) fn maxima_first(nodes: &[Node], may_wait: impl Fn(Activation) -> bool) -> Vec<Node> {
    let mut nodes = nodes.to_vec();
    for index in 0..nodes.len() {
        let Op::Activate(activation) = nodes[index].op else { continue };
        let mut readers = (index + 1..nodes.len()).filter(|&reader| nodes[reader].inputs.contains(&index));
        if let (Some(pool), None) = (readers.next(), readers.next())
            && may_wait(activation)
            && matches!(nodes[pool].op, Op::MaxPool2d { .. })
        {
            nodes[index].op = nodes[pool].op;
            nodes[pool].op = Op::Activate(activation);
        }
    }
    nodes
}

fn alive(values: &[Option<Tensor>], value: usize) -> &Tensor {
    values[value].as_ref().expect("a value lives until its last reader")
}
