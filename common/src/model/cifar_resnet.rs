//! `resnet20` to `resnet110`: residual networks for small images (He et al. 2016, section 4.2), three stages of as many
//! blocks with 16, 32 and 64 channels and option-A shortcuts, with the names of the published CIFAR-10 implementation:
//! conv1, bn1, layer1.0.conv1, ..., linear.
//!
//! The scalars of `scale` and `fixup` are layers of their own, named as in Fixup's published implementation:
//! `layer1.0.scale`, `layer1.0.bias1a`, `bias1`. As `PyTorch` does, they come before the other parameters of their block.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{BatchNorm, Builder, Conv};
use super::description::{Description, LayerKind, Op, Start, ValueId};

/// Options of `resnet20` to `resnet110`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CifarResnet {
    /// Channels of the first stage; the others have two and four times as many.
    pub width: u32,
    /// What stands in for normalisation.
    pub norm: CifarNorm,
    /// The last batch norm of each block begins with factor 0, so that each block begins as its shortcut.
    pub zero_gamma: bool,
    /// Between layers.
    pub activation: Activation,
}

impl Default for CifarResnet {
    fn default() -> Self {
        Self { width: 16, norm: CifarNorm::Batch, zero_gamma: false, activation: Activation::Relu }
    }
}

/// What a CIFAR residual network normalises with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CifarNorm {
    /// Batch norm after each convolution.
    Batch,
    /// Nothing; the convolutions have biases.
    None,
    /// Nothing but a learned factor on each block's branch, at first 0 (`SkipInit`: De & Smith 2020, section 4); the
    /// convolutions have biases.
    Scale,
    /// Scalar biases and a factor in each block; branches begin at 0 with their first convolution scaled by L^(-1/2) for
    /// L blocks, and the head at 0 (Fixup: Zhang et al. 2019, section 3).
    Fixup,
}

pub(super) fn describe(
    name: &'static str,
    blocks: u32,
    options: &CifarResnet,
    input: [u32; 3],
    classes: u32,
) -> Result<Description, ShapeError> {
    let [channels, height, width] = input;
    if height < 4 || width < 4 {
        let reason = "it halves the image twice, so it needs at least 4x4 pixels".to_owned();
        return Err(ShapeError { architecture: name, input, reason });
    }
    let fixup = options.norm == CifarNorm::Fixup;
    let mut b = Builder::new(name, input, classes);
    let model_scalars = fixup.then(|| ["bias1", "bias2"].map(|bias| scalar(&mut b, bias, 0.0)));
    let mut planes = options.width;
    let stem = Conv::new(channels, planes, 3).padding(1).bias(options.convolutions_have_biases());
    let mut x = b.conv2d("conv1", 0, stem);
    if options.norm == CifarNorm::Batch {
        x = b.batch_norm("bn1", x, BatchNorm::new(planes));
    }
    if let Some([layer, _]) = model_scalars {
        x = b.op(Op::AddScalar { layer }, &[x]);
    }
    x = b.activate(options.activation, x);
    for (stage, out) in [(1, planes), (2, 2 * planes), (3, 4 * planes)] {
        for block in 0..blocks {
            let name = format!("layer{stage}.{block}");
            x = match options.norm {
                CifarNorm::Fixup => fixup_block(&mut b, options, &name, x, [planes, out], 3 * blocks),
                _ => block_of(&mut b, options, &name, x, [planes, out]),
            };
            planes = out;
        }
    }
    x = b.op(Op::GlobalAvgPool, &[x]);
    if let Some([_, layer]) = model_scalars {
        x = b.op(Op::AddScalar { layer }, &[x]);
    }
    let head = if fixup { Start::Constant(0.0) } else { Start::SCHEME };
    b.linear_from("linear", x, [planes, classes], head);
    b.stages(&["conv1", "bn1", "bias1"], 3, &["linear", "bias2"]);
    Ok(b.finish())
}

impl CifarResnet {
    fn convolutions_have_biases(&self) -> bool {
        matches!(self.norm, CifarNorm::None | CifarNorm::Scale)
    }
}

/// conv - bn - relu - conv - bn, plus the shortcut, then relu. A block that widens also halves height and width.
fn block_of(b: &mut Builder, options: &CifarResnet, name: &str, x: ValueId, [planes, out]: [u32; 2]) -> ValueId {
    let has_norm = options.norm == CifarNorm::Batch;
    let bias = options.convolutions_have_biases();
    let scale = (options.norm == CifarNorm::Scale).then(|| scalar(b, &format!("{name}.scale"), 0.0));
    let stride = if planes == out { 1 } else { 2 };
    let mut y = b.conv2d(&format!("{name}.conv1"), x, Conv::new(planes, out, 3).stride(stride).padding(1).bias(bias));
    if has_norm {
        y = b.batch_norm(&format!("{name}.bn1"), y, BatchNorm::new(out));
    }
    y = b.activate(options.activation, y);
    y = b.conv2d(&format!("{name}.conv2"), y, Conv::new(out, out, 3).padding(1).bias(bias));
    if has_norm {
        let gamma = if options.zero_gamma { 0.0 } else { 1.0 };
        y = b.batch_norm(&format!("{name}.bn2"), y, BatchNorm::new(out).gamma(gamma));
    }
    if let Some(layer) = scale {
        y = b.op(Op::MulScalar { layer }, &[y]);
    }
    let shortcut = shortcut(b, x, [planes, out]);
    y = b.op(Op::Add, &[y, shortcut]);
    b.activate(options.activation, y)
}

/// The same without norms: a bias before each convolution and activation, a factor and a bias at the branch's end.
fn fixup_block(
    b: &mut Builder,
    options: &CifarResnet,
    name: &str,
    x: ValueId,
    [planes, out]: [u32; 2],
    blocks: u32,
) -> ValueId {
    let mut own = |part: &str, value| scalar(b, &format!("{name}.{part}"), value);
    let shifts = ["bias1a", "bias1b", "bias2a"].map(|bias| own(bias, 0.0));
    let (scale, last_shift) = (own("scale", 1.0), own("bias2b", 0.0));
    let stride = if planes == out { 1 } else { 2 };
    let shifted = b.op(Op::AddScalar { layer: shifts[0] }, &[x]);
    let first = Conv::new(planes, out, 3).stride(stride).padding(1);
    // A branch of m = 2 layers: L^(-1 / (2 m - 2)).
    let first = first.start(Start::Scheme { factor: 1.0 / f64::from(blocks).sqrt() });
    let mut y = b.conv2d(&format!("{name}.conv1"), shifted, first);
    y = b.op(Op::AddScalar { layer: shifts[1] }, &[y]);
    y = b.activate(options.activation, y);
    y = b.op(Op::AddScalar { layer: shifts[2] }, &[y]);
    y = b.conv2d(&format!("{name}.conv2"), y, Conv::new(out, out, 3).padding(1).start(Start::Constant(0.0)));
    y = b.op(Op::MulScalar { layer: scale }, &[y]);
    y = b.op(Op::AddScalar { layer: last_shift }, &[y]);
    // Where the shortcut computes something, it sees the shifted input.
    let shortcut = if planes == out { x } else { shortcut(b, shifted, [planes, out]) };
    y = b.op(Op::Add, &[y, shortcut]);
    b.activate(options.activation, y)
}

fn shortcut(b: &mut Builder, x: ValueId, [planes, out]: [u32; 2]) -> ValueId {
    let more = out - planes;
    if more == 0 { x } else { b.op(Op::SubsampleAndPad { pad: [more / 2, more - more / 2] }, &[x]) }
}

fn scalar(b: &mut Builder, name: &str, value: f32) -> usize {
    b.tensor(name, LayerKind::Scalar, &[1], Start::Constant(value))
}
