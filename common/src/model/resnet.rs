//! `resnet18`, `resnet34` and `resnet50` (He et al. 2016, table 1) with torchvision's names and its place of the stride, the
//! 3 x 3 convolution of a bottleneck: conv1, bn1, layer1.0.conv1, ..., layer4.1.bn2, fc.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::builder::{BatchNorm, Builder, Conv};
use super::description::{Description, Op, ValueId};

/// Options of `resnet18`, `resnet34` and `resnet50`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resnet {
    /// How the image comes in.
    pub stem: Stem,
    /// Channels of the first stage (before a bottleneck's fourfold); each later stage has twice as many.
    pub width: u32,
    /// What normalises.
    pub norm: ResnetNorm,
    /// The last batch norm of each block begins with factor 0, so that each block begins as its shortcut.
    pub zero_gamma: bool,
    /// Between layers.
    pub activation: Activation,
}

impl Default for Resnet {
    fn default() -> Self {
        Self {
            stem: Stem::Imagenet,
            width: 64,
            norm: ResnetNorm::Batch,
            zero_gamma: false,
            activation: Activation::Relu,
        }
    }
}

/// How the image comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7 x 7 at stride 2, then maximum over 3 x 3 at stride 2.
    Imagenet,
    /// 3 x 3 at stride 1.
    Cifar,
}

/// What a residual network normalises with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResnetNorm {
    /// Batch norm after each convolution.
    Batch,
    /// Nothing; the convolutions have biases.
    None,
}

/// What differs between the three.
pub(super) struct Shape {
    pub name: &'static str,
    /// Blocks of the four stages.
    pub blocks: [u32; 4],
    /// Blocks of 1 x 1, 3 x 3 and 1 x 1 convolutions with fourfold outputs, in place of two of 3 x 3.
    pub bottleneck: bool,
}

pub(super) const RESNET18: Shape = Shape { name: "resnet18", blocks: [2, 2, 2, 2], bottleneck: false };
pub(super) const RESNET34: Shape = Shape { name: "resnet34", blocks: [3, 4, 6, 3], bottleneck: false };
pub(super) const RESNET50: Shape = Shape { name: "resnet50", blocks: [3, 4, 6, 3], bottleneck: true };

pub(super) fn describe(shape: &Shape, options: &Resnet, input: [u32; 3], classes: u32) -> Description {
    let mut b = Builder::new(shape.name, input, classes);
    let mut parts = Parts { b: &mut b, options };
    let width = options.width;
    let stem = match options.stem {
        Stem::Imagenet => Conv::new(input[0], width, 7).stride(2).padding(3),
        Stem::Cifar => Conv::new(input[0], width, 3).padding(1),
    };
    let mut x = parts.convolution("conv1", 0, stem);
    x = parts.norm("bn1", x, width, false);
    x = parts.b.activate(options.activation, x);
    if options.stem == Stem::Imagenet {
        x = parts.b.op(Op::MaxPool2d { kernel: 3, stride: 2, padding: 1 }, &[x]);
    }
    let expansion = if shape.bottleneck { 4 } else { 1 };
    let mut planes = width;
    for (stage, &blocks) in shape.blocks.iter().enumerate() {
        let inner = width << stage;
        for block in 0..blocks {
            let stride = if block == 0 && stage > 0 { 2 } else { 1 };
            let name = format!("layer{}.{block}", stage + 1);
            x = parts.block(&name, x, [planes, inner, inner * expansion], stride, shape.bottleneck);
            planes = inner * expansion;
        }
    }
    x = b.op(Op::GlobalAvgPool, &[x]);
    b.linear("fc", x, planes, classes);
    b.stages(&["conv1", "bn1"], 4, &["fc"]);
    b.finish()
}

/// Layers as the options have them.
struct Parts<'b> {
    b: &'b mut Builder,
    options: &'b Resnet,
}

impl Parts<'_> {
    fn convolution(&mut self, name: &str, x: ValueId, conv: Conv) -> ValueId {
        self.b.conv2d(name, x, conv.bias(self.options.norm == ResnetNorm::None))
    }

    fn norm(&mut self, name: &str, x: ValueId, channels: u32, is_last: bool) -> ValueId {
        if self.options.norm == ResnetNorm::None {
            return x;
        }
        let gamma = if is_last && self.options.zero_gamma { 0.0 } else { 1.0 };
        self.b.batch_norm(name, x, BatchNorm::new(channels).gamma(gamma))
    }

    /// The block's branch, plus its shortcut, then the activation.
    fn block(&mut self, name: &str, x: ValueId, channels: [u32; 3], stride: u32, bottleneck: bool) -> ValueId {
        let [planes, inner, out] = channels;
        let convs = if bottleneck {
            vec![
                Conv::new(planes, inner, 1),
                Conv::new(inner, inner, 3).stride(stride).padding(1),
                Conv::new(inner, out, 1),
            ]
        } else {
            vec![Conv::new(planes, out, 3).stride(stride).padding(1), Conv::new(out, out, 3).padding(1)]
        };
        let last = convs.len();
        let mut y = x;
        for (i, conv) in (1..).zip(convs) {
            y = self.convolution(&format!("{name}.conv{i}"), y, conv);
            y = self.norm(&format!("{name}.bn{i}"), y, if i == last { out } else { inner }, i == last);
            if i < last {
                y = self.b.activate(self.options.activation, y);
            }
        }
        let mut shortcut = x;
        if stride != 1 || planes != out {
            shortcut = self.convolution(&format!("{name}.downsample.0"), x, Conv::new(planes, out, 1).stride(stride));
            shortcut = self.norm(&format!("{name}.downsample.1"), shortcut, out, false);
        }
        y = self.b.op(Op::Add, &[y, shortcut]);
        self.b.activate(self.options.activation, y)
    }
}
