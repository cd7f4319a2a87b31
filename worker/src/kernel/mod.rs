//! The evaluator's arithmetic on a CPU: products with packed weights, convolutions, blends along a line, pooling, attention.
//!
//! Plain Rust over slices, compiled once for each instruction set ([`isa`]) and vectorised by the compiler. Values are f32
//! [N, H, W, C], channels innermost; a vector [N, F] is [N, 1, 1, F], tokens [N, S, F] are [N, S, 1, F].
//!
//! Invariant: every number is computed by the same operations in the same order (fused multiply-adds in the order of the
//! weights) whatever the instruction set, the number of images at a time, the number of threads and the place in a batch.
//! So results do not depend on how work was cut up. Each kernel is tested against libtorch's operator.

#![allow(clippy::inline_always, reason = "what is not inlined is compiled for the baseline's vectors alone")]

mod blend;
mod depthwise;
mod isa;
mod pool;
mod product;
mod reshape;
#[cfg(test)]
mod tests;
mod tokens;
mod winograd;

use transect_common::model::Activation;

pub use blend::{Blend, add_up, apart, blend, blend_and_pool, lerp, moments};
pub use depthwise::depthwise;
pub use isa::Isa;
pub use pool::{max_pool, mean_over_pixels};
pub use product::{Epilogue, Rows, Weights, product};
pub use reshape::{pad, subsample_and_pad};
pub use tokens::{attention, gelu, layer_norm};
pub use winograd::{Tiles, WinogradWeights, winograd};

/// Number of images, height, width and channels of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
    /// Channels.
    pub c: usize,
}

impl Shape {
    /// Numbers in one image.
    pub fn len(self) -> usize {
        self.h * self.w * self.c
    }

    /// Pixels in one image.
    pub fn pixels(self) -> usize {
        self.h * self.w
    }
}

/// A function of each number that a kernel applies as it writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Act {
    /// x.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// min(max(x, 0), 6).
    Relu6,
    /// x above 0, else 0.01 x.
    LeakyRelu,
}

impl Act {
    /// That of a network's activation; nothing for those that libtorch computes.
    pub fn of_network(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Relu => Some(Self::Relu),
            Activation::Relu6 => Some(Self::Relu6),
            Activation::LeakyRelu => Some(Self::LeakyRelu),
            Activation::Identity => Some(Self::None),
            _ => None,
        }
    }

    /// What a gradient is multiplied by where the function gave `y`: its slope, and at its corners libtorch's choice of one.
    pub fn slope(self, y: f32) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => choose(y > 0.0, 1.0, 0.0),
            Self::Relu6 => choose(y > 0.0 && y < 6.0, 1.0, 0.0),
            Self::LeakyRelu => choose(y > 0.0, 1.0, 0.01),
        }
    }

    /// Of one number. NaN stays NaN.
    #[inline(always)]
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::None => x,
            Self::Relu => choose(x < 0.0, 0.0, x),
            Self::Relu6 => choose(x > 6.0, 6.0, choose(x < 0.0, 0.0, x)),
            Self::LeakyRelu => x * choose(x < 0.0, 0.01, 1.0),
        }
    }
}

/// The larger of two numbers; NaN if one is.
#[inline(always)]
fn larger(max: f32, x: f32) -> f32 {
    choose(x > max || x.is_nan(), x, max)
}

/// `yes` or `no`. What it gives must not be written over what it was read from: of that the compiler makes masked stores,
/// which take several times as long.
#[inline(always)]
fn choose(condition: bool, yes: f32, no: f32) -> f32 {
    if condition { yes } else { no }
}
