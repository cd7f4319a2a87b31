//! The layout in which oneDNN's convolutions work on a CPU, kept from one operation to the next.
//!
//! Between two ordinary convolutions libtorch brings every value from that layout (channels in blocks of eight) into its
//! own and back. In training that, and pooling with indices, is a quarter of LeNet-5's step. Results are the same to
//! rounding. Operations that do not know the layout get their inputs in libtorch's own.

use tch::Tensor;
use transect_common::model::{Activation, Description, Op};

/// True for a network that gains: one with convolutions, between which nothing leaves the layout but a shortcut.
pub(super) fn suits(description: &Description) -> bool {
    let has_convolution = description.nodes.iter().any(|node| matches!(node.op, Op::Conv2d { .. }));
    let stays = |op: &Op| {
        knows(op)
            || matches!(
                op,
                Op::Input
                    | Op::Flatten
                    | Op::Linear { .. }
                    | Op::GlobalAvgPool
                    | Op::AdaptiveAvgPool { .. }
                    | Op::SubsampleAndPad { .. }
                    | Op::Dropout { .. }
            )
    };
    has_convolution && description.nodes.iter().all(|node| stays(&node.op))
}

/// True for an operation that takes and gives this layout, gradients included.
fn knows(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv2d { .. } | Op::BatchNorm2d { .. } | Op::Activate(Activation::Relu) | Op::MaxPool2d { .. } | Op::Add
    )
}

/// A value as `op` takes it: convolutions and sums in this layout, others that know it as it comes.
pub(super) fn in_layout_for(op: &Op, value: &Tensor) -> Tensor {
    match op {
        Op::Conv2d { .. } | Op::Add if !value.is_mkldnn() => value.to_mkldnn(),
        op if knows(op) || !value.is_mkldnn() => value.shallow_clone(),
        _ => value.to_dense(None, false),
    }
}
