//! Functions of each number between layers.

use serde::{Deserialize, Serialize};

/// What a network computes of each number between its layers, as `PyTorch` defines it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-x)).
    Sigmoid,
    /// x times the normal distribution function of x.
    Gelu,
    /// x / (1 + exp(-x)).
    Silu,
    /// x above 0, else exp(x) - 1.
    Elu,
    /// x above 0, else 0.01 x.
    LeakyRelu,
    /// ln(1 + exp(x)).
    Softplus,
    /// min(max(x, 0), 6).
    Relu6,
    /// x: a network of linear layers.
    Identity,
}

impl Activation {
    /// Names of all, as a sweep file writes them.
    pub const NAMES: [&'static str; 10] =
        ["relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky-relu", "softplus", "relu6", "identity"];
}
