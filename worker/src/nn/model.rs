//! The interpreter of a model's graph.

use tch::{Device, Tensor};
use transect_common::model::{Description, Layer, Op};

use super::apply::{Own, apply};

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
        Self { description, device, lens, shapes, last_use }
    }

    /// What is computed.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Where it is computed.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The logits [N, classes] of `x` [N, C, H, W] under `theta` [P] and `buffers` [B], all f32.
    ///
    /// Differentiable in `theta` (and `x`) unless gradients are off; `buffers` must not require gradients.
    ///
    /// # Panics
    /// When a shape or a device does not fit, or libtorch fails (out of memory, say).
    pub fn forward(&self, theta: &Tensor, buffers: &Tensor, x: &Tensor, norm: Norm) -> Tensor {
        self.compute(theta, buffers, x, norm, None)
    }

    /// The same with [`Norm::Train`] and with dropout, as a training step has it. Two calls with the same `noise` and
    /// batch size drop the same numbers; nothing is drawn for a model without dropout.
    ///
    /// # Panics
    /// As [`Model::forward`] does.
    pub fn forward_training(&self, theta: &Tensor, buffers: &Tensor, x: &Tensor, noise: Noise) -> Tensor {
        self.compute(theta, buffers, x, Norm::Train, Some(noise))
    }

    fn compute(&self, theta: &Tensor, buffers: &Tensor, x: &Tensor, norm: Norm, noise: Option<Noise>) -> Tensor {
        let weights = self.parameters(theta);
        let nodes = &self.description.nodes;
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let inputs: Vec<Tensor> = node.inputs.iter().map(|&input| alive(&values, input).shallow_clone()).collect();
            for &input in node.inputs.iter().filter(|&&input| self.last_use[input] == index) {
                values[input] = None;
            }
            if node.op == Op::Input {
                values.push(Some(x.shallow_clone()));
                continue;
            }
            let layer = node.op.layer();
            let parameters = layer.map_or(&[][..], |layer| &weights[self.layer(layer).parameters.clone()]);
            let running = match node.op {
                Op::BatchNorm2d { layer, .. } => Some(self.running(layer, buffers)),
                _ => None,
            };
            let noise = noise.map(|noise| (noise, index));
            let value = apply(node.op, &inputs, Own { parameters, running }, norm, noise);
            values.push(Some(value));
        }
        values.pop().flatten().expect("a description has nodes, and nothing reads the last")
    }

    /// Theta's parameters in their shapes: views, and one `cat` in the backward.
    fn parameters(&self, theta: &Tensor) -> Vec<Tensor> {
        let parts = theta.split_with_sizes(&self.lens, 0);
        parts.iter().zip(&self.shapes).map(|(part, shape)| part.view(shape.as_slice())).collect()
    }

    /// Views of a batch-norm layer's running mean and variance.
    fn running(&self, layer: usize, buffers: &Tensor) -> [Tensor; 2] {
        let own = &self.description.buffers[self.layer(layer).buffers.clone()];
        // Not `split_with_sizes`: libtorch refuses to write to one of several views made at once.
        [0, 1].map(|i| buffers.narrow(0, own[i].offset as i64, own[i].len as i64))
    }

    fn layer(&self, index: usize) -> &Layer {
        &self.description.layers[index]
    }
}

fn alive(values: &[Option<Tensor>], value: usize) -> &Tensor {
    values[value].as_ref().expect("a value lives until its last reader")
}
