//! `efficientnet-lite0`: inverted residual blocks without squeeze-and-excitation, with `relu6` (Tan & Le 2019, table 1, as
//! simplified in TensorFlow's `efficientnet_lite_builder`), with the names of the `PyPI` package
//! `efficientnet_lite_pytorch`: _conv_stem, _bn0, _blocks.0._depthwise_conv, ..., _conv_head, _bn1, _fc.
//!
//! Images are padded as TensorFlow's `SAME` does: an odd row or column of zeros goes below and right. Blocks are never
//! dropped at random.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::builder::{BatchNorm, Builder, Conv};
use super::description::{Description, Op, ValueId};

/// Options of `efficientnet-lite0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EfficientnetLite {
    /// Share of the numbers before the linear layer that are dropped while training.
    pub dropout: f64,
}

impl Default for EfficientnetLite {
    fn default() -> Self {
        Self { dropout: 0.2 }
    }
}

/// A stage: blocks, kernel, stride of the first block, expansion, channels.
const STAGES: [[u32; 5]; 7] = [
    [1, 3, 1, 1, 16],
    [2, 3, 2, 6, 24],
    [2, 5, 2, 6, 40],
    [3, 3, 2, 6, 80],
    [3, 5, 1, 6, 112],
    [4, 5, 2, 6, 192],
    [1, 3, 1, 6, 320],
];

pub(super) fn describe(options: &EfficientnetLite, input: [u32; 3], classes: u32) -> Description {
    let mut b = Builder::new("efficientnet-lite0", input, classes);
    let mut parts = Parts { b: &mut b, size: [input[1], input[2]] };
    let mut x = parts.same("_conv_stem", 0, Conv::new(input[0], 32, 3), 3, 2);
    x = parts.norm("_bn0", x, 32, true);
    let (mut planes, mut index) = (32, 0);
    let mut stages = vec![];
    for [blocks, kernel, first_stride, expansion, out] in STAGES {
        let first = index;
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            x = parts.block(&format!("_blocks.{index}"), x, [planes, planes * expansion, out], kernel, stride);
            planes = out;
            index += 1;
        }
        stages.push(first..index);
    }
    x = b.conv2d("_conv_head", x, Conv::new(planes, 1280, 1));
    x = Parts { b: &mut b, size: [0; 2] }.norm("_bn1", x, 1280, true);
    x = b.op(Op::GlobalAvgPool, &[x]);
    x = b.dropout(options.dropout, x);
    b.linear("_fc", x, 1280, classes);
    b.group("stem", |layer| ["_conv_stem", "_bn0"].contains(&layer));
    for (stage, blocks) in (1..).zip(stages) {
        let block_of = |layer: &str| layer.strip_prefix("_blocks.")?.split('.').next()?.parse::<u32>().ok();
        b.group(&format!("stage:{stage}"), |layer| block_of(layer).is_some_and(|block| blocks.contains(&block)));
    }
    b.group("head", |layer| ["_conv_head", "_bn1", "_fc"].contains(&layer));
    b.part_by_groups();
    b.finish()
}

/// Layers on an image whose height and width shrink on the way.
struct Parts<'b> {
    b: &'b mut Builder,
    size: [u32; 2],
}

impl Parts<'_> {
    /// A convolution whose result has 1 / `stride` of the image's height and width, rounded up.
    fn same(&mut self, name: &str, x: ValueId, conv: Conv, kernel: u32, stride: u32) -> ValueId {
        let padding = self.size.map(|size| {
            let outputs = size.div_ceil(stride);
            let more = ((outputs - 1) * stride + kernel).saturating_sub(size);
            [more / 2, more - more / 2]
        });
        self.size = self.size.map(|size| size.div_ceil(stride));
        let [rows, columns] = padding;
        let conv = conv.stride(stride);
        if rows == columns && rows[0] == rows[1] {
            return self.b.conv2d(name, x, conv.padding(rows[0]));
        }
        let padded = self.b.op(Op::ZeroPad { rows, columns }, &[x]);
        self.b.conv2d(name, padded, conv)
    }

    fn norm(&mut self, name: &str, x: ValueId, channels: u32, then_activate: bool) -> ValueId {
        let x = self.b.batch_norm(name, x, BatchNorm::new(channels).constants(1e-3, 0.01));
        if then_activate { self.b.activate(Activation::Relu6, x) } else { x }
    }

    /// Expansion, depthwise convolution, projection; plus the input where the shapes agree.
    fn block(&mut self, name: &str, x: ValueId, channels: [u32; 3], kernel: u32, stride: u32) -> ValueId {
        let [planes, inner, out] = channels;
        let mut y = x;
        if inner != planes {
            y = self.b.conv2d(&format!("{name}._expand_conv"), y, Conv::new(planes, inner, 1));
            y = self.norm(&format!("{name}._bn0"), y, inner, true);
        }
        let depthwise = Conv::new(inner, inner, kernel).depthwise();
        y = self.same(&format!("{name}._depthwise_conv"), y, depthwise, kernel, stride);
        y = self.norm(&format!("{name}._bn1"), y, inner, true);
        y = self.b.conv2d(&format!("{name}._project_conv"), y, Conv::new(inner, out, 1));
        y = self.norm(&format!("{name}._bn2"), y, out, false);
        if stride == 1 && planes == out { self.b.op(Op::Add, &[y, x]) } else { y }
    }
}
