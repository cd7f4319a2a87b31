//! One operation of the graph in libtorch's operators.

use tch::{Kind, Tensor};
use transect_common::model::Op;
use transect_common::run::Precision;

use super::model::{Noise, Norm};
use super::ops::{activate, attention, batch_norm, dropout, max_pool};

/// What an operation's own layer holds.
#[derive(Debug)]
pub(crate) struct Own<'w> {
    /// Its parameters in their shapes; none for an operation without a layer.
    pub(crate) parameters: &'w [Tensor],
    /// Batch norm's running mean and variance.
    pub(crate) running: Option<[Tensor; 2]>,
}

impl Own<'_> {
    fn weight_and_bias(&self) -> (&Tensor, Option<&Tensor>) {
        (self.tensor(), self.parameters.get(1))
    }

    fn tensor(&self) -> &Tensor {
        &self.parameters[0]
    }
}

/// How it is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) norm: Norm,
    /// Of dropout, with the operation's index; none without dropout.
    pub(crate) noise: Option<(Noise, usize)>,
    /// In which numbers layers multiply.
    pub(crate) precision: Precision,
    /// Inputs are in convolution's own layout: see [`super::blocked`].
    pub(crate) is_blocked: bool,
}

impl Manner {
    /// As a network is evaluated, with batch norm's running statistics.
    pub(crate) const EVALUATION: Self =
        Self { norm: Norm::Running, noise: None, precision: Precision::Float32, is_blocked: false };
}

/// What `op` makes of its inputs; of an input, what it is given.
pub(crate) fn apply(op: Op, inputs: &[Tensor], own: &Own, manner: Manner) -> Tensor {
    let Manner { norm, noise, precision, is_blocked } = manner;
    match op {
        Op::Input => inputs[0].shallow_clone(),
        Op::Flatten => inputs[0].flatten(1, -1),
        Op::Linear { .. } => {
            let (weight, bias) = own.weight_and_bias();
            multiplied(precision, [&inputs[0], weight], bias, linear)
        }
        Op::Conv2d { stride, padding, groups, .. } => {
            let (weight, bias) = own.weight_and_bias();
            let [stride, padding, groups] = [stride, padding, groups].map(i64::from);
            if is_blocked {
                inputs[0].mkldnn_convolution(weight, bias, [padding; 2], [stride; 2], [1, 1], groups)
            } else {
                multiplied(precision, [&inputs[0], weight], bias, |x, weight, bias| {
                    x.conv2d(weight, bias, [stride; 2], [padding; 2], [1, 1], groups)
                })
            }
        }
        Op::ZeroPad { rows, columns } => {
            let [[top, bottom], [left, right]] = [rows, columns].map(|sides| sides.map(i64::from));
            inputs[0].constant_pad_nd([left, right, top, bottom])
        }
        Op::BatchNorm2d { eps, momentum, .. } => {
            let (weight, bias) = own.weight_and_bias();
            let running = own.running.as_ref().expect("batch norm has running statistics");
            batch_norm(&inputs[0], weight, bias, running, norm, eps, momentum)
        }
        Op::Activate(activation) => activate(activation, &inputs[0]),
        Op::Dropout { p } => dropout(&inputs[0], p, noise),
        Op::MaxPool2d { kernel, stride, padding } => max_pool(&inputs[0], kernel.into(), stride.into(), padding.into()),
        Op::AdaptiveAvgPool { side } => inputs[0].adaptive_avg_pool2d([i64::from(side), i64::from(side)]),
        Op::GlobalAvgPool => inputs[0].mean_dim([2i64, 3].as_slice(), false, None),
        Op::SubsampleAndPad { pad } => {
            let [before, after] = pad.map(i64::from);
            let every_second = inputs[0].slice(2, None, None, 2).slice(3, None, None, 2);
            every_second.constant_pad_nd([0, 0, 0, 0, before, after])
        }
        Op::Add => &inputs[0] + &inputs[1],
        Op::AddScalar { .. } | Op::AddEmbedding { .. } => &inputs[0] + own.tensor(),
        Op::MulScalar { .. } => &inputs[0] * own.tensor(),
        Op::Tokens => inputs[0].flatten(2, 3).transpose(1, 2),
        Op::PrependToken { .. } => {
            let token = own.tensor().expand([inputs[0].size()[0], -1, -1], false);
            Tensor::cat(&[&token, &inputs[0]], 1)
        }
        Op::LayerNorm { eps, .. } => {
            let (weight, bias) = own.weight_and_bias();
            inputs[0].layer_norm(weight.size(), Some(weight), bias, eps, true)
        }
        Op::Attention { heads } => attention(&inputs[0], heads.into()),
        Op::FirstToken => inputs[0].select(1, 0),
    }
}

fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    x.linear(weight, bias)
}

/// What `product` makes of an input, a weight and a bias, all taken in a precision; f32.
///
/// Not by libtorch's autocast: its binding knows that of CUDA alone, and its mode survives a panic.
fn multiplied(
    precision: Precision,
    [x, weight]: [&Tensor; 2],
    bias: Option<&Tensor>,
    product: impl Fn(&Tensor, &Tensor, Option<&Tensor>) -> Tensor,
) -> Tensor {
    match precision {
        Precision::Float32 => product(x, weight, bias),
        Precision::Bfloat16 => {
            let short = |tensor: &Tensor| tensor.to_kind(Kind::BFloat16);
            product(&short(x), &short(weight), bias.map(short).as_ref()).to_kind(Kind::Float)
        }
    }
}
