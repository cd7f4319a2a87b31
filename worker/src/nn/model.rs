//! The interpreter of a model's graph.

use tch::{Device, Tensor};
use transect_common::model::{Description, Layer, Op};

/// Added to a variance before its root is taken, as in `PyTorch`.
pub const BATCH_NORM_EPS: f64 = 1e-5;

/// Weight of a training batch's statistics in the running ones, as in `PyTorch`.
pub const BATCH_NORM_MOMENTUM: f64 = 0.1;

/// Where batch norm takes its mean and variance from. The same for models without batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// From the buffers.
    Running,
    /// From the batch; the buffers are not read or written.
    Batch,
    /// From the batch, which also moves the buffers in place: `0.9 * old + 0.1 * batch`, with the batch's unbiased
    /// variance.
    Train,
    /// From the batch, which also enters the buffers, in place, as one more term of a plain mean: with `seen` batches
    /// there before, `(seen * old + batch) / (seen + 1)`, with unbiased variances (`PyTorch`'s `momentum=None`).
    Average {
        /// Batches already in the buffers; with 0 their old values do not matter.
        seen: u32,
    },
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
        let weights = self.parameters(theta);
        let nodes = &self.description.nodes;
        let mut values: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let inputs: Vec<Tensor> = node.inputs.iter().map(|&input| alive(&values, input).shallow_clone()).collect();
            for &input in node.inputs.iter().filter(|&&input| self.last_use[input] == index) {
                values[input] = None;
            }
            let value = match node.op {
                Op::Input => x.shallow_clone(),
                Op::Flatten => inputs[0].flatten(1, -1),
                Op::Linear { layer } => {
                    let (weight, bias) = self.weight_and_bias(layer, &weights);
                    inputs[0].linear(weight, bias)
                }
                Op::Conv2d { layer, stride, padding } => {
                    let (weight, bias) = self.weight_and_bias(layer, &weights);
                    let (stride, padding) = (i64::from(stride), i64::from(padding));
                    inputs[0].conv2d(weight, bias, [stride, stride], [padding, padding], [1, 1], 1)
                }
                Op::BatchNorm2d { layer } => {
                    let (weight, bias) = self.weight_and_bias(layer, &weights);
                    batch_norm(&inputs[0], weight, bias, &self.running(layer, buffers), norm)
                }
                Op::Relu => inputs[0].relu(),
                Op::MaxPool2d { kernel } => max_pool(&inputs[0], i64::from(kernel)),
                Op::GlobalAvgPool => inputs[0].mean_dim([2i64, 3].as_slice(), false, None),
                Op::SubsampleAndPad { pad } => {
                    let pad = i64::from(pad);
                    let every_second = inputs[0].slice(2, None, None, 2).slice(3, None, None, 2);
                    every_second.constant_pad_nd([0, 0, 0, 0, pad, pad])
                }
                Op::Add => &inputs[0] + &inputs[1],
            };
            values.push(Some(value));
        }
        values.pop().flatten().expect("a description has nodes, and nothing reads the last")
    }

    /// Theta's parameters in their shapes: views, and one `cat` in the backward.
    fn parameters(&self, theta: &Tensor) -> Vec<Tensor> {
        let parts = theta.split_with_sizes(&self.lens, 0);
        parts.iter().zip(&self.shapes).map(|(part, shape)| part.view(shape.as_slice())).collect()
    }

    fn weight_and_bias<'w>(&self, layer: usize, weights: &'w [Tensor]) -> (&'w Tensor, Option<&'w Tensor>) {
        let mut own = weights[self.layer(layer).parameters.clone()].iter();
        (own.next().expect("a layer begins with its weight"), own.next())
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

/// Maximum over windows of `kernel` x `kernel` at the same stride; rows and columns that fill no window are left out.
///
/// Without gradients it is taken over shifted strided views, first of rows and then of columns: the same values, and on
/// a CPU ten times faster than libtorch's operator, which also finds where each maximum is.
fn max_pool(x: &Tensor, kernel: i64) -> Tensor {
    if x.requires_grad() {
        return x.max_pool2d([kernel, kernel], [kernel, kernel], [0, 0], [1, 1], false);
    }
    let over = |x: &Tensor, dim: i64| {
        let end = x.size()[dim as usize] / kernel * kernel;
        let shifted = |i| x.slice(dim, i, end, kernel);
        (1..kernel).fold(shifted(0), |max, i| max.maximum(&shifted(i)))
    };
    over(&over(x, 2), 3)
}

fn batch_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, running: &[Tensor; 2], norm: Norm) -> Tensor {
    let [mean, var] = running;
    let apply = |running: Option<(&Tensor, &Tensor)>, from_batch: bool, momentum: f64| {
        let (mean, var) = (running.map(|r| r.0), running.map(|r| r.1));
        x.batch_norm(Some(weight), bias, mean, var, from_batch, momentum, BATCH_NORM_EPS, true)
    };
    match norm {
        Norm::Running => apply(Some((mean, var)), false, 0.0),
        Norm::Batch => apply(None, true, 0.0),
        Norm::Train => apply(Some((mean, var)), true, BATCH_NORM_MOMENTUM),
        Norm::Average { seen } => apply(Some((mean, var)), true, 1.0 / (f64::from(seen) + 1.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pooling_without_gradients_gives_the_values_of_pooling_with_them() {
        for (height, width, kernel) in [(4, 4, 2), (5, 7, 2), (7, 6, 3), (3, 3, 1)] {
            let x = Tensor::randn([2, 3, height, width], (tch::Kind::Float, Device::Cpu));
            let with = max_pool(&x.copy().set_requires_grad(true), kernel);
            assert_eq!(max_pool(&x, kernel), with, "{height}x{width} by {kernel}");
        }
        let nan = Tensor::from_slice(&[1.0f32, f32::NAN, 2.0, 3.0]).view([1, 1, 2, 2]);
        assert!(max_pool(&nan, 2).double_value(&[0, 0, 0, 0]).is_nan(), "a NaN is not lost");
    }
}
