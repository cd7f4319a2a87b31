//! Architectures as descriptions: parameters over one vector, layers, groups, and the graph of operations.
//!
//! A description is plain data. What computes with it lives in the worker; what checks masks and checkpoints against it
//! lives here. One file each for the architectures.

mod description;
mod lenet5;
mod mlp;
mod resnet20;

use serde::{Deserialize, Serialize};

pub use description::{Buffer, Builder, Description, Group, Layer, LayerKind, Node, Op, Parameter, Role, ValueId};

/// A model: an architecture and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ModelSpec {
    /// Fully connected with `ReLU` between: inputs - widths - classes.
    Mlp {
        /// Widths of the hidden layers, each 1 to 65,536; at most 64 of them, none for a linear model.
        #[serde(default = "mlp::default_widths")]
        widths: Vec<u32>,
    },
    /// LeNet-5 with `ReLU` and max pooling (after LeCun et al. 1998): convolutions of 6 and 16 channels, then 120 - 84 - classes.
    Lenet5,
    /// ResNet-20 for small images with option-A shortcuts and batch norm (He et al. 2016, section 4.2).
    Resnet20,
}

/// A model cannot take images of this shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{architecture} cannot take images of {}x{}x{}: {reason}", input[0], input[1], input[2])]
pub struct ShapeError {
    /// The architecture.
    pub architecture: &'static str,
    /// Channels, height, width.
    pub input: [u32; 3],
    /// What it needs.
    pub reason: String,
}

impl ModelSpec {
    /// Names of all architectures, in the order in which they are shown.
    pub const NAMES: [&'static str; 3] = ["mlp", "lenet5", "resnet20"];

    /// The architecture of that name with its options at their defaults.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "mlp" => Some(Self::Mlp { widths: mlp::default_widths() }),
            "lenet5" => Some(Self::Lenet5),
            "resnet20" => Some(Self::Resnet20),
            _ => None,
        }
    }

    /// The architecture's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp { .. } => "mlp",
            Self::Lenet5 => "lenet5",
            Self::Resnet20 => "resnet20",
        }
    }

    /// One sentence for `transect models`.
    pub fn about(&self) -> &'static str {
        match self {
            Self::Mlp { .. } => "fully connected with ReLU; option `widths` (hidden layers, default [300, 100])",
            Self::Lenet5 => "LeNet-5 with ReLU and max pooling (after LeCun et al. 1998)",
            Self::Resnet20 => "ResNet-20 with option-A shortcuts and batch norm (He et al. 2016, section 4.2)",
        }
    }

    /// Shape of the images it was made for: channels, height, width.
    pub fn usual_input(&self) -> [u32; 3] {
        match self {
            Self::Mlp { .. } | Self::Lenet5 => [1, 28, 28],
            Self::Resnet20 => [3, 32, 32],
        }
    }

    /// The model for images of `input` (channels, height, width) and `classes` classes.
    pub fn describe(&self, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
        match self {
            Self::Mlp { widths } => Ok(mlp::describe(widths, input, classes)),
            Self::Lenet5 => lenet5::describe(input, classes),
            Self::Resnet20 => resnet20::describe(input, classes),
        }
    }

    pub(crate) fn defaults_like(&self) -> Self {
        Self::from_name(self.name()).expect("every architecture is found by its own name")
    }
}
