//! Computing the values of a plan for one batch.

use std::ops::{Deref, DerefMut};

use tch::Tensor;
use transect_common::model::{Activation, Op};

use super::network::{Core, Meaning, NormLayer, Product, Unit};
use super::plan::{Action, Form, Plan, ValueId};
use super::prepared::{Packed, Rest};
use crate::kernel::{self, Act, Blend, Epilogue, Shape};
use crate::nn::{Manner, Own, apply};

/// Buffers of one thread, used again and again.
#[derive(Debug, Default)]
pub(super) struct Bench {
    free: Vec<Vec<f32>>,
}

/// Numbers at the front of a buffer, which may be longer.
#[derive(Debug, Clone, Default)]
struct Numbers {
    buffer: Vec<f32>,
    len: usize,
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.len]
    }
}

impl Bench {
    /// `len` numbers, whatever they are: the smallest buffer that is large enough, or a new one.
    fn take(&mut self, len: usize) -> Numbers {
        let fitting = (0..self.free.len()).filter(|&i| self.free[i].len() >= len);
        let best = fitting.min_by_key(|&i| self.free[i].len());
        let buffer = best.map_or_else(|| vec![0.0; len], |i| self.free.swap_remove(i));
        Numbers { buffer, len }
    }

    fn give(&mut self, numbers: Numbers) {
        if !numbers.buffer.is_empty() {
            self.free.push(numbers.buffer);
        }
    }

    /// Runs `plan` on `count` images `x` [N, H, W, C] and hands each root's numbers to `root`.
    pub(super) fn run(&mut self, plan: &Plan, count: usize, x: Vec<f32>, mut root: impl FnMut(usize, &[f32])) {
        let mut values: Vec<Option<Numbers>> = vec![None; plan.values.len()];
        let mut x = Some(Numbers { len: x.len(), buffer: x });
        for action in &plan.actions {
            match *action {
                Action::Compute(value) => {
                    let computed = match plan.network.units[plan.values[value].unit].core {
                        Core::Input => x.take().expect("the input is one value"),
                        _ => self.compute(plan, count, value, &values),
                    };
                    values[value] = Some(computed);
                }
                Action::Root(number, value) => root(number, there(&values, value)),
                Action::Free(value) => self.give(values[value].take().unwrap_or_default()),
            }
        }
    }

    fn compute(&mut self, plan: &Plan, count: usize, id: ValueId, values: &[Option<Numbers>]) -> Numbers {
        let value = &plan.values[id];
        let unit = &plan.network.units[value.unit];
        let inputs: Vec<&[f32]> = value.inputs.iter().map(|&input| there(values, input)).collect();
        let residual = value.residual.map(|residual| there(values, residual));
        let rest = plan.prepared.rest(id);
        match (&unit.core, value.form) {
            (Core::Product { how, .. }, Form::Raw) => {
                self.product(unit, how, plan.prepared.weights(id), count, inputs[0], &Epilogue::NONE)
            }
            (Core::Product { how, .. }, Form::Whole) => {
                let Rest::Scale(scale, shift) = rest else { unreachable!("a whole unit has factors and shifts") };
                let epilogue = Epilogue { scale_and_shift: Some((scale, shift)), residual, act: unit.act };
                let out = self.product(unit, how, plan.prepared.weights(id), count, inputs[0], &epilogue);
                self.pooled(unit, count, out)
            }
            (_, Form::Blend) => {
                let Rest::Blend(blend) = rest else { unreachable!("a blend has coefficients") };
                self.blend(unit, count, &inputs, blend, residual)
            }
            (Core::Norm, _) => {
                let Rest::Scale(scale, shift) = rest else { unreachable!("batch norm has factors and shifts") };
                let blend = match unit.norm {
                    Some(norm) if plan.by_batch => normalising(inputs[0], norm, scale, shift),
                    _ => Blend::new(scale, None, shift),
                };
                self.blend(unit, count, &inputs, &blend, residual)
            }
            (Core::Other(op), _) => {
                let Rest::Parameters(parameters) = rest else { unreachable!("other operations have parameters") };
                let mut out = self.take(count * unit.after.len());
                other(*op, unit, count, &inputs, parameters, &mut out);
                out
            }
            (Core::Input, _) => unreachable!("the input is not computed"),
        }
    }

    /// The products of a layer, padded before and finished by `epilogue`.
    fn product(
        &mut self,
        unit: &Unit,
        how: &Product,
        weights: &Packed,
        count: usize,
        x: &[f32],
        epilogue: &Epilogue,
    ) -> Numbers {
        let mut padded = Numbers::default();
        let x = if unit.padded == unit.before {
            x
        } else {
            padded = self.take(count * unit.padded.len());
            kernel::pad(x, unit.before, unit.padded, unit.offset, &mut padded);
            &padded
        };
        let mut out = self.take(count * unit.middle.len());
        match (how, weights) {
            (Product::Rows { rows, .. }, Packed::Rows(weights)) => {
                kernel::product(x, rows, weights, epilogue, &mut out);
            }
            (Product::Winograd(tiles), Packed::Winograd(weights)) => {
                kernel::winograd(x, *tiles, weights, epilogue, &mut out);
            }
            (&Product::Depthwise { side, stride }, Packed::Depthwise(weights)) => {
                kernel::depthwise(x, unit.padded, weights, side, stride, epilogue, &mut out);
            }
            _ => unreachable!("weights are packed for their kernel"),
        }
        self.give(padded);
        out
    }

    fn blend(
        &mut self,
        unit: &Unit,
        count: usize,
        ends: &[&[f32]],
        blend: &Blend,
        residual: Option<&[f32]>,
    ) -> Numbers {
        let second = ends.get(1).copied();
        let mut out = self.take(count * unit.after.len());
        match unit.pool {
            Some(side) => kernel::blend_and_pool(ends[0], second, blend, unit.act, unit.middle, side, &mut out),
            None => kernel::blend(ends[0], second, blend, residual, unit.act, &mut out),
        }
        out
    }

    fn pooled(&mut self, unit: &Unit, count: usize, x: Numbers) -> Numbers {
        let Some(side) = unit.pool else { return x };
        let mut out = self.take(count * unit.after.len());
        let channels = unit.middle.c;
        let same = Blend::new(&vec![1.0; channels], None, &vec![0.0; channels]);
        kernel::blend_and_pool(&x, None, &same, Act::None, unit.middle, side, &mut out);
        self.give(x);
        out
    }
}

fn there(values: &[Option<Numbers>], value: ValueId) -> &[f32] {
    values[value].as_deref().expect("a value lives until its last reader")
}

/// Batch norm by its batch as one factor and one shift of each channel.
fn normalising(x: &[f32], norm: NormLayer, gamma: &[f32], beta: &[f32]) -> Blend {
    let (mean, var) = kernel::moments(x, gamma.len());
    let scale: Vec<f64> = gamma.iter().zip(var).map(|(&g, var)| f64::from(g) / (var + norm.eps).sqrt()).collect();
    let shift: Vec<f32> = (0..scale.len()).map(|c| (-mean[c]).mul_add(scale[c], beta[c].into()) as f32).collect();
    Blend::new(&scale.iter().map(|&s| s as f32).collect::<Vec<_>>(), None, &shift)
}

/// Operations without weights to multiply by.
fn other(op: Op, unit: &Unit, count: usize, inputs: &[&[f32]], parameters: &[(Vec<f32>, Vec<i64>)], out: &mut [f32]) {
    let (x, before) = (inputs[0], unit.before);
    match op {
        Op::ZeroPad { rows, columns } => {
            kernel::pad(x, before, unit.after, (rows[0] as usize, columns[0] as usize), out);
        }
        Op::MaxPool2d { kernel, stride, padding } => {
            kernel::max_pool(x, before, kernel as usize, stride as usize, padding as usize, out);
        }
        Op::GlobalAvgPool => kernel::mean_over_pixels(x, before, out),
        Op::SubsampleAndPad { pad } => kernel::subsample_and_pad(x, before, pad[0] as usize, unit.after.c, out),
        Op::Add => out.iter_mut().zip(x).zip(inputs[1]).for_each(|((out, a), b)| *out = a + b),
        Op::LayerNorm { eps, .. } => kernel::layer_norm(x, &parameters[0].0, &parameters[1].0, eps, out),
        Op::Attention { heads } => kernel::attention(x, before, heads as usize, out),
        Op::Activate(Activation::Gelu) => kernel::gelu(x, out),
        Op::Activate(_) => {
            // Of each number, wherever it lies.
            let own = Own { parameters: &[], running: None };
            apply(op, &[Tensor::from_slice(x)], &own, Manner::EVALUATION).copy_data(out, x.len());
        }
        _ => by_libtorch(op, unit, count, inputs, parameters, out),
    }
}

/// Any operation, by libtorch's operator, in libtorch's layout.
fn by_libtorch(
    op: Op,
    unit: &Unit,
    count: usize,
    inputs: &[&[f32]],
    parameters: &[(Vec<f32>, Vec<i64>)],
    out: &mut [f32],
) {
    let inputs: Vec<Tensor> = inputs.iter().map(|x| to_tensor(x, count, unit.before, unit.reads)).collect();
    let parameters: Vec<Tensor> =
        parameters.iter().map(|(values, shape)| Tensor::from_slice(values).view(shape.as_slice())).collect();
    let own = Own { parameters: &parameters, running: None };
    let result = apply(op, &inputs, &own, Manner::EVALUATION);
    from_tensor(&result, count, unit.after, unit.meaning).copy_data(out, unit.after.len() * count);
}

/// As libtorch's operators want it.
fn to_tensor(x: &[f32], count: usize, shape: Shape, meaning: Meaning) -> Tensor {
    let [images, height, width, channels] = sizes(count, shape);
    let x = Tensor::from_slice(x).view([images, height, width, channels]);
    match meaning {
        Meaning::Image => x.permute([0, 3, 1, 2]).contiguous(),
        Meaning::Vector => x.permute([0, 3, 1, 2]).reshape([images, -1]),
        Meaning::Tokens => x.view([images, height, channels]),
    }
}

/// As the kernels want it.
fn from_tensor(x: &Tensor, count: usize, shape: Shape, meaning: Meaning) -> Tensor {
    match meaning {
        Meaning::Image | Meaning::Vector => {
            let [images, height, width, channels] = sizes(count, shape);
            x.reshape([images, channels, height, width]).permute([0, 2, 3, 1]).contiguous()
        }
        Meaning::Tokens => x.contiguous(),
    }
}

fn sizes(count: usize, shape: Shape) -> [i64; 4] {
    [count, shape.h, shape.w, shape.c].map(|size| size as i64)
}
