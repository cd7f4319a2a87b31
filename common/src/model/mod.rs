//! Architectures as descriptions: parameters over one vector, layers, groups, and the graph of operations.
//!
//! A description is plain data. What computes with it lives in the worker; what checks masks and checkpoints against it
//! lives here. One file each for the architectures, with their options; an option's bounds are in the sweep file's schema.

mod activation;
mod builder;
mod cifar_resnet;
mod description;
mod efficientnet;
mod lenet5;
mod mlp;
mod resnet;
mod simple_cnn;
mod vgg;
mod vit;

use serde::{Deserialize, Serialize};

pub use activation::Activation;
pub use builder::{BatchNorm, Builder, Conv};
pub use cifar_resnet::{CifarNorm, CifarResnet};
pub use description::{Buffer, Description, Group, Layer, LayerKind, Node, Op, Parameter, Role, Start, ValueId};
pub use efficientnet::EfficientnetLite;
pub use lenet5::Lenet5;
pub use mlp::Mlp;
pub use resnet::{Resnet, ResnetNorm, Stem};
pub use simple_cnn::SimpleCnn;
pub use vgg::Vgg;
pub use vit::Vit;

/// A model: an architecture and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "kebab-case")]
pub enum ModelSpec {
    /// Fully connected: inputs - widths - classes.
    Mlp(Mlp),
    /// LeNet-5 with max pooling (after LeCun et al. 1998): convolutions of 6 and 16 channels, then 120 - 84 - classes.
    Lenet5(Lenet5),
    /// ResNet-20 for small images with option-A shortcuts (He et al. 2016, section 4.2).
    Resnet20(CifarResnet),
    /// The same with 32 layers.
    Resnet32(CifarResnet),
    /// The same with 44 layers.
    Resnet44(CifarResnet),
    /// The same with 56 layers.
    Resnet56(CifarResnet),
    /// The same with 110 layers.
    Resnet110(CifarResnet),
    /// ResNet-18 (He et al. 2016, table 1).
    Resnet18(Resnet),
    /// ResNet-34 (He et al. 2016, table 1).
    Resnet34(Resnet),
    /// ResNet-50 (He et al. 2016, table 1).
    Resnet50(Resnet),
    /// Three convolutions and a linear layer (Fort & Jastrzebski 2019).
    SimpleCnn(SimpleCnn),
    /// VGG with 11 layers (Simonyan & Zisserman 2015).
    Vgg11(Vgg),
    /// VGG with 16 layers (Simonyan & Zisserman 2015).
    Vgg16(Vgg),
    /// EfficientNet-lite0 (after Tan & Le 2019).
    EfficientnetLite0(EfficientnetLite),
    /// Vision transformer (Dosovitskiy et al. 2021).
    Vit(Vit),
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
    pub const NAMES: [&'static str; 15] = [
        "mlp",
        "lenet5",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "resnet18",
        "resnet34",
        "resnet50",
        "simple-cnn",
        "vgg11",
        "vgg16",
        "efficientnet-lite0",
        "vit",
    ];

    /// The architecture of that name with its options at their defaults.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::json!({ "architecture": name })).ok()
    }

    /// `mlp` with hidden layers of `widths`, its other options at their defaults.
    pub fn mlp(widths: impl Into<Vec<u32>>) -> Self {
        Self::Mlp(Mlp { widths: widths.into(), ..Mlp::default() })
    }

    /// `lenet5` with its options at their defaults.
    pub fn lenet5() -> Self {
        Self::Lenet5(Lenet5::default())
    }

    /// `resnet20` with its options at their defaults.
    pub fn resnet20() -> Self {
        Self::Resnet20(CifarResnet::default())
    }

    /// The architecture's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "mlp",
            Self::Lenet5(_) => "lenet5",
            Self::Resnet20(_) => "resnet20",
            Self::Resnet32(_) => "resnet32",
            Self::Resnet44(_) => "resnet44",
            Self::Resnet56(_) => "resnet56",
            Self::Resnet110(_) => "resnet110",
            Self::Resnet18(_) => "resnet18",
            Self::Resnet34(_) => "resnet34",
            Self::Resnet50(_) => "resnet50",
            Self::SimpleCnn(_) => "simple-cnn",
            Self::Vgg11(_) => "vgg11",
            Self::Vgg16(_) => "vgg16",
            Self::EfficientnetLite0(_) => "efficientnet-lite0",
            Self::Vit(_) => "vit",
        }
    }

    /// One sentence for `transect models`.
    pub fn about(&self) -> &'static str {
        match self {
            Self::Mlp(_) => "fully connected (`widths` of hidden layers, `activation`, `batch_norm`, `dropout`)",
            Self::Lenet5(_) => "LeNet-5 with max pooling, after LeCun et al. 1998 (`activation`, `dropout`)",
            Self::Resnet20(_) => {
                "ResNet-20 for small images, option-A shortcuts, He et al. 2016 (`width`, `norm`, `zero_gamma`, \
                 `activation`)"
            }
            Self::Resnet32(_) => "as resnet20, with 32 layers",
            Self::Resnet44(_) => "as resnet20, with 44 layers",
            Self::Resnet56(_) => "as resnet20, with 56 layers",
            Self::Resnet110(_) => "as resnet20, with 110 layers",
            Self::Resnet18(_) => {
                "torchvision's ResNet-18, He et al. 2016 (`stem`, `width`, `norm`, `zero_gamma`, `activation`)"
            }
            Self::Resnet34(_) => "as resnet18, with 34 layers",
            Self::Resnet50(_) => "as resnet18, with 50 layers in bottlenecks",
            Self::SimpleCnn(_) => {
                "three convolutions and a linear layer, Fort & Jastrzebski 2019 (`activation`, `dropout`)"
            }
            Self::Vgg11(_) => {
                "torchvision's VGG-11, Simonyan & Zisserman 2015 (`width`, `units`, `pool`, `batch_norm`, `dropout`, \
                 `activation`)"
            }
            Self::Vgg16(_) => "as vgg11, with 16 layers",
            Self::EfficientnetLite0(_) => "EfficientNet-lite0, after Tan & Le 2019 (`dropout`)",
            Self::Vit(_) => {
                "vision transformer, Dosovitskiy et al. 2021 (`patch`, `dim`, `depth`, `heads`, `mlp_ratio`, `dropout`)"
            }
        }
    }

    /// Shape of the images it is usually given: channels, height, width.
    pub fn usual_input(&self) -> [u32; 3] {
        match self {
            Self::Mlp(_) | Self::Lenet5(_) => [1, 28, 28],
            _ => [3, 32, 32],
        }
    }

    /// The model for images of `input` (channels, height, width) and `classes` classes.
    pub fn describe(&self, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
        let cifar = |blocks, options| cifar_resnet::describe(self.name(), blocks, options, input, classes);
        match self {
            Self::Mlp(options) => mlp::describe(options, input, classes),
            Self::Lenet5(options) => lenet5::describe(options, input, classes),
            Self::Resnet20(options) => cifar(3, options),
            Self::Resnet32(options) => cifar(5, options),
            Self::Resnet44(options) => cifar(7, options),
            Self::Resnet56(options) => cifar(9, options),
            Self::Resnet110(options) => cifar(18, options),
            Self::Resnet18(options) => Ok(resnet::describe(&resnet::RESNET18, options, input, classes)),
            Self::Resnet34(options) => Ok(resnet::describe(&resnet::RESNET34, options, input, classes)),
            Self::Resnet50(options) => Ok(resnet::describe(&resnet::RESNET50, options, input, classes)),
            Self::SimpleCnn(options) => simple_cnn::describe(options, input, classes),
            Self::Vgg11(options) => vgg::describe(vgg::VGG11, options, input, classes),
            Self::Vgg16(options) => vgg::describe(vgg::VGG16, options, input, classes),
            Self::EfficientnetLite0(options) => Ok(efficientnet::describe(options, input, classes)),
            Self::Vit(options) => vit::describe(options, input, classes),
        }
    }

    pub(crate) fn defaults_like(&self) -> Self {
        Self::from_name(self.name()).expect("every architecture is found by its own name")
    }
}
