//! A training step's pass through a chain of linear layers, by the kernels that measure lines.
//!
//! By libtorch's operations a small network's step is half products and half what lies between them, for which all threads but
//! one wait. Here values are [F, N], features outermost: so the weights [out, in] are the rows of forward products as they lie in
//! theta. Gradients of values are [N, F], and turned around once for the products that give the gradients of weights.
//!
//! Invariant: numbers depend neither on the threads nor on the instruction set. [`super::Learner`]'s pass with autograd is the
//! specification, and takes all other networks.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use transect_common::model::{Description, Op, Role};

use super::learner::Passed;
use crate::host::{numbers, numbers_mut};
use crate::kernel::{Act, Epilogue, Rows, Shape, Weights, add_up, product};
use crate::openmp::for_each;

/// Numbers in a line of the cache.
const LINE: usize = 16;

/// A chain of linear layers, and room for a batch in it.
#[derive(Debug)]
pub(super) struct Dense {
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    /// Its weight [outputs, inputs] in theta.
    weight: Range<usize>,
    /// Its bias [outputs] there.
    bias: Option<Range<usize>>,
    /// After it.
    act: Act,
    /// What it reads, [inputs, N].
    input: Weights,
    /// The same, [N, inputs].
    input_by_image: Weights,
    /// What it gives, [outputs, N].
    output: Vec<f32>,
    /// The gradient of the loss in that, before the activation, [N, outputs].
    gradient: Vec<f32>,
    /// Packed for the gradient of what it reads.
    packed: Weights,
}

impl Dense {
    /// None for a network that is no such chain.
    pub(super) fn of(model: &Description) -> Option<Self> {
        let is_chain = (1..).zip(&model.nodes[1..]).all(|(index, node)| node.inputs == [index - 1]);
        let mut nodes = model.nodes.iter().map(|node| node.op);
        if !is_chain || nodes.next() != Some(Op::Input) || nodes.next() != Some(Op::Flatten) {
            return None;
        }
        let mut layers: Vec<Layer> = vec![];
        let mut inputs = model.input.iter().map(|&size| size as usize).product();
        let mut is_activated = true;
        for op in nodes {
            match op {
                Op::Linear { layer } => {
                    let own = &model.parameters[model.layers[layer].parameters.clone()];
                    let of = |role| own.iter().find(move |parameter| parameter.role == role);
                    let range = |role| of(role).map(|parameter| parameter.offset..parameter.offset + parameter.len);
                    let outputs = of(Role::Weight)?.shape[0] as usize;
                    layers.push(Layer::new([inputs, outputs], range(Role::Weight)?, range(Role::Bias)));
                    (inputs, is_activated) = (outputs, false);
                }
                Op::Activate(activation) if !is_activated => {
                    layers.last_mut()?.act = Act::of_network(activation)?;
                    is_activated = true;
                }
                _ => return None,
            }
        }
        (layers.last()?.act == Act::None).then_some(Self { layers })
    }

    /// A batch `x` [N, C, H, W] with `labels` [N] under `theta` [P], and the gradient of each parameter in its shape.
    pub(super) fn pass(
        &mut self,
        theta: &Tensor,
        x: &Tensor,
        labels: &Tensor,
        smoothing: f64,
    ) -> (Passed, Vec<Tensor>) {
        let (theta, images) = (numbers::<f32>(theta), x.size()[0] as usize);
        let (x, classes) = (x.contiguous(), self.layers.last().map_or(0, |layer| layer.outputs));
        self.forward(theta, numbers(&x), images);
        let last = self.layers.last_mut().expect("a chain has layers");
        let logits = Tensor::from_slice(&transposed(&last.output, images)).view([images as i64, classes as i64]);
        let (loss, gradient) = cross_entropy(numbers(&logits), numbers(labels), smoothing);
        last.gradient = gradient;
        (Passed { loss: Tensor::from(loss), logits }, self.backward(theta, images))
    }

    fn forward(&mut self, theta: &[f32], x: &[f32], images: usize) {
        let mut done: &mut [Layer] = &mut [];
        let mut left = &mut self.layers[..];
        while let Some((layer, later)) = left.split_first_mut() {
            layer.read(done.last().map_or(Value::Images(x), |below| Value::Output(&below.output)), images);
            layer.forward(theta, images);
            (done, left) = (std::slice::from_mut(layer), later);
        }
    }

    fn backward(&mut self, theta: &[f32], images: usize) -> Vec<Tensor> {
        let mut pieces = vec![];
        let mut left = &mut self.layers[..];
        while let Some((layer, below)) = left.split_last_mut() {
            let by_unit = transposed(&layer.gradient, layer.outputs);
            pieces.extend(layer.bias.is_some().then(|| layer.bias_gradient()));
            pieces.push(layer.weight_gradient(&by_unit));
            if let Some(below) = below.last_mut() {
                layer.input_gradient(theta, images, below);
            }
            left = below;
        }
        pieces.reverse();
        pieces
    }
}

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
enum Value<'v> {
    /// [N, F]
    Images(&'v [f32]),
    /// [F, N]
    Output(&'v [f32]),
}

impl Layer {
    fn new([inputs, outputs]: [usize; 2], weight: Range<usize>, bias: Option<Range<usize>>) -> Self {
        let [input, input_by_image, packed] = [(); 3].map(|()| Weights::room());
        let (output, gradient) = (vec![], vec![]);
        Self { inputs, outputs, weight, bias, act: Act::None, input, input_by_image, output, gradient, packed }
    }

    fn read(&mut self, value: Value, images: usize) {
        let panels = self.input.panels_mut(self.inputs, images).map(|panel| (panel, false));
        let by_image = self.input_by_image.panels_mut(images, self.inputs).map(|panel| (panel, true));
        for_each(panels.chain(by_image), |(panel, is_by_image)| match (value, is_by_image) {
            (Value::Images(x), true) | (Value::Output(x), false) => panel.take(x),
            (Value::Images(x), false) | (Value::Output(x), true) => panel.take_transposed(x),
        });
    }

    /// output = act(weight input + bias).
    fn forward(&mut self, theta: &[f32], images: usize) {
        self.output.resize(self.outputs * images, 0.0);
        let (weight, bias) = (&theta[self.weight.clone()], self.bias.clone().map(|bias| &theta[bias]));
        let (act, input) = (self.act, &self.input);
        multiply(weight, self.inputs, input, &mut self.output, |first, output| {
            for (row, output) in (first..).zip(output.chunks_exact_mut(images)) {
                let bias = bias.map_or(0.0, |bias| bias[row]);
                for y in output {
                    *y = act.of(*y + bias);
                }
            }
        });
    }

    /// The gradient [outputs, inputs]: that of the output [outputs, N] times what was read.
    fn weight_gradient(&self, of_output: &[f32]) -> Tensor {
        let mut weight = empty(&[self.outputs, self.inputs]);
        let images = of_output.len() / self.outputs;
        multiply(of_output, images, &self.input_by_image, numbers_mut(&mut weight), |_, _| {});
        weight
    }

    /// The gradient [outputs]: that of the output over all images, in f64.
    fn bias_gradient(&self) -> Tensor {
        let mut sums = vec![0.0; self.outputs];
        add_up(&self.gradient, None, &mut sums);
        Tensor::from_slice(&sums).to_kind(Kind::Float)
    }

    /// Gives `below`, whose output this layer reads, its gradient: that of this layer's output times the weight.
    fn input_gradient(&mut self, theta: &[f32], images: usize, below: &mut Self) {
        let (weight, width) = (&theta[self.weight.clone()], self.inputs);
        for_each(self.packed.panels_mut(self.outputs, width), |panel| panel.take(weight));
        below.gradient.resize(images * width, 0.0);
        let (act, output) = (below.act, &below.output);
        multiply(&self.gradient, self.outputs, &self.packed, &mut below.gradient, |first, gradient| {
            // As many features at a time as come with one line of the cache.
            for feature in (0..width).step_by(LINE) {
                for (image, row) in (first..).zip(gradient.chunks_exact_mut(width)) {
                    for (feature, g) in (feature..).zip(row[feature..].iter_mut().take(LINE)) {
                        *g *= act.slope(output[feature * images + image]);
                    }
                }
            }
        });
    }
}

/// Mean loss in nats of `logits` [N, classes] over the images, and its gradient in them: of targets that put `smoothing` on all
/// classes alike and the rest on the label (Szegedy et al. 2016, section 7).
fn cross_entropy(logits: &[f32], labels: &[i64], smoothing: f64) -> (f64, Vec<f32>) {
    let (images, classes) = (labels.len(), logits.len() / labels.len());
    let everywhere = smoothing / classes as f64;
    let (mut loss, mut gradient) = (0.0, Vec::with_capacity(logits.len()));
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let max = row.iter().fold(f64::NEG_INFINITY, |max, &logit| max.max(f64::from(logit)));
        let log_sum = max + row.iter().map(|&logit| (f64::from(logit) - max).exp()).sum::<f64>().ln();
        for (class, &logit) in (0..).zip(row) {
            let target = everywhere + if class == label { 1.0 - smoothing } else { 0.0 };
            let log_probability = f64::from(logit) - log_sum;
            // Where nothing is expected, an impossible class costs nothing.
            loss -= if target == 0.0 { 0.0 } else { target * log_probability };
            gradient.push(((log_probability.exp() - target) / images as f64) as f32);
        }
    }
    (loss / images as f64, gradient)
}

/// Writes `left` [M, K] times `right` [K, N] to `out` [M, N], of which each thread takes some rows and hands them to `then` with
/// the number of the first.
fn multiply(left: &[f32], depth: usize, right: &Weights, out: &mut [f32], then: impl Fn(usize, &mut [f32]) + Sync) {
    let (count, threads) = (left.len() / depth, tch::get_num_threads().max(1) as usize);
    let (some, width) = (count.div_ceil(threads), out.len() / count);
    let rows = Rows::pixels(Shape { h: 1, w: 1, c: depth });
    let shares = left.chunks(some * depth).zip(out.chunks_mut(some * width)).enumerate();
    for_each(shares, |(share, (left, out))| {
        product(left, &rows, right, &Epilogue::NONE, out);
        then(share * some, out);
    });
}

/// The transpose of a matrix whose rows have `width` numbers.
fn transposed(matrix: &[f32], width: usize) -> Vec<f32> {
    let height = matrix.len() / width;
    let mut columns = vec![0.0; matrix.len()];
    // As many columns at a time as come with one line of the cache.
    let shares = columns.chunks_mut(LINE * height).enumerate();
    for_each(shares, |(share, columns)| {
        for (row, numbers) in matrix.chunks_exact(width).enumerate() {
            for (column, &number) in columns.chunks_exact_mut(height).zip(&numbers[share * LINE..]) {
                column[row] = number;
            }
        }
    });
    columns
}

fn empty(shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    Tensor::empty(shape.as_slice(), (Kind::Float, Device::Cpu))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use tch::IndexOp;
    use transect_common::model::ModelSpec;
    use transect_common::run::{Optimizer, TrainSpec};

    use crate::nn::Model;
    use crate::train::Learner;

    fn description(spec: &serde_json::Value, input: [u32; 3]) -> Description {
        let spec: ModelSpec = serde_json::from_value(spec.clone()).unwrap();
        spec.describe(input, 10).unwrap()
    }

    fn mlp(widths: &[u32], activation: &str, input: [u32; 3]) -> Description {
        description(&json!({"architecture": "mlp", "widths": widths, "activation": activation}), input)
    }

    /// Multiples of 1/8 from -1 to 1: products and sums of some of them are exact, so that both ways of computing them agree on
    /// which side of a corner a number lies.
    fn coarse(shape: &[i64]) -> Tensor {
        Tensor::randint(17, shape, (Kind::Float, Device::Cpu)) / 8.0 - 1.0
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_pass_is_the_one_that_autograd_makes(
            seed: u32, activation in prop::sample::select(vec!["relu", "relu6", "identity"]),
            widths in prop::collection::vec(1..70_u32, 0..3), images in 1..40_i64, side in 1..6_u32, smoothing in 0..2_u8,
            threads in 1..4_i32,
        ) {
            check(seed, &mlp(&widths, activation, [2, side, side]), images, f64::from(smoothing) / 8.0, threads)?;
        }

        /// Numbers below 0 become inexact, so that only the first layer's side of the corner is certain.
        #[test]
        fn so_it_is_with_a_leaky_layer(seed: u32, width in 1..70_u32, images in 1..40_i64) {
            check(seed, &mlp(&[width], "leaky-relu", [1, 4, 3]), images, 0.0, 2)?;
        }
    }

    fn check(seed: u32, model: &Description, images: i64, smoothing: f64, threads: i32) -> Result<(), TestCaseError> {
        tch::manual_seed(seed.into());
        tch::set_num_threads(threads);
        let model = Model::new(model.clone(), Device::Cpu);
        let sgd = Optimizer::Sgd { lr: 0.1, momentum: 0.0, weight_decay: 0.0, nesterov: false };
        let train = TrainSpec { label_smoothing: smoothing, ..TrainSpec::new(1, sgd) };
        let learner = Learner::new(&model, &train).unwrap();
        let [channels, height, width] = model.description().input.map(i64::from);
        let (theta, x) =
            (coarse(&[model.description().theta_len() as i64]), coarse(&[images, channels, height, width]));
        let (labels, buffers) =
            (Tensor::randint(10, [images], (Kind::Int64, Device::Cpu)), Tensor::zeros([0], (Kind::Float, Device::Cpu)));
        let (fast, fast_gradient) = Dense::of(model.description()).unwrap().pass(&theta, &x, &labels, smoothing);
        let (plain, plain_gradient) = learner.pass_with_autograd(&theta, &buffers, &x, &labels);
        let close = |ours: &Tensor, theirs: &Tensor| {
            let bound = 1e-5 * theirs.abs().max().double_value(&[]).max(1e-6);
            ours.size() == theirs.size() && (ours - theirs).abs().max().double_value(&[]) <= bound
        };
        prop_assert!(close(&fast.loss.to_kind(Kind::Float), &plain.loss), "{:?} is not {:?}", fast.loss, plain.loss);
        prop_assert!(close(&fast.logits, &plain.logits));
        prop_assert_eq!(fast_gradient.len(), plain_gradient.len());
        for (i, (ours, theirs)) in fast_gradient.iter().zip(&plain_gradient).enumerate() {
            prop_assert!(close(ours, theirs), "the gradient of parameter {} differs: {} {}", i, ours, theirs);
        }
        Ok(())
    }

    /// A network, its theta, and a batch of 33 images with their labels.
    fn drawn() -> (Description, [Tensor; 3]) {
        let model = mlp(&[30, 20], "relu", [1, 9, 9]);
        let theta = Tensor::randn([model.theta_len() as i64], (Kind::Float, Device::Cpu));
        let x = Tensor::randn([33, 1, 9, 9], (Kind::Float, Device::Cpu));
        let labels = Tensor::randint(10, [33], (Kind::Int64, Device::Cpu));
        (model, [theta, x, labels])
    }

    #[test]
    fn bytes_do_not_depend_on_threads() {
        let (model, [theta, x, labels]) = drawn();
        let pass = |threads| {
            tch::set_num_threads(threads);
            let (passed, gradient) = Dense::of(&model).unwrap().pass(&theta, &x, &labels, 0.1);
            (passed.loss, passed.logits, gradient)
        };
        let alone = pass(1);
        assert!((2..=5).all(|threads| pass(threads) == alone));
    }

    #[test]
    fn room_of_a_larger_batch_does_for_a_smaller_one() {
        let (model, [theta, x, labels]) = drawn();
        let mut used = Dense::of(&model).unwrap();
        used.pass(&theta, &x, &labels, 0.0);
        let (few, few_labels) = (x.i(..7), labels.i(..7));
        let pass = |dense: &mut Dense| dense.pass(&theta, &few, &few_labels, 0.0).1;
        let (again, anew) = (pass(&mut used), pass(&mut Dense::of(&model).unwrap()));
        assert_eq!(again, anew);
    }

    #[test]
    fn other_networks_are_left_to_autograd() {
        let is_dense = |spec| Dense::of(&description(&spec, [1, 28, 28])).is_some();
        assert!(is_dense(json!({"architecture": "mlp"})));
        assert!(!is_dense(json!({"architecture": "mlp", "activation": "tanh"})));
        assert!(!is_dense(json!({"architecture": "mlp", "batch_norm": true})));
        assert!(!is_dense(json!({"architecture": "mlp", "dropout": 0.5})));
        assert!(!is_dense(json!({"architecture": "lenet5"})));
    }

    #[test]
    fn what_is_not_a_number_shows_in_the_loss() {
        let model = mlp(&[3], "relu", [1, 2, 2]);
        let theta = Tensor::full([model.theta_len() as i64], f64::NAN, (Kind::Float, Device::Cpu));
        let (x, labels) = (Tensor::ones([2, 1, 2, 2], (Kind::Float, Device::Cpu)), Tensor::from_slice(&[0_i64, 1]));
        let (passed, _) = Dense::of(&model).unwrap().pass(&theta, &x, &labels, 0.0);
        assert!(passed.loss.double_value(&[]).is_nan());
    }
}
