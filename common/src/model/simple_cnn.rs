//! `simple-cnn`: three 3 x 3 convolutions with 16, 32 and 32 channels, each with an activation and 2 x 2 pooling, then a
//! linear layer (Fort & Jastrzebski 2019, section 4): conv1, conv2, conv3, fc.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{Builder, Conv};
use super::description::{Description, Op};

/// Options of `simple-cnn`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimpleCnn {
    /// After each convolution.
    pub activation: Activation,
    /// Share of the numbers before the linear layer that are dropped while training.
    pub dropout: f64,
}

impl Default for SimpleCnn {
    fn default() -> Self {
        Self { activation: Activation::Tanh, dropout: 0.0 }
    }
}

pub(super) fn describe(options: &SimpleCnn, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let [channels, height, width] = input;
    if height < 8 || width < 8 {
        let reason = "it halves the image three times, so it needs at least 8x8 pixels".to_owned();
        return Err(ShapeError { architecture: "simple-cnn", input, reason });
    }
    let mut b = Builder::new("simple-cnn", input, classes);
    let mut x = 0;
    let mut planes = channels;
    for (name, out) in [("conv1", 16), ("conv2", 32), ("conv3", 32)] {
        x = b.conv2d(name, x, Conv::new(planes, out, 3).padding(1).bias(true));
        x = b.activate(options.activation, x);
        x = b.max_pool(2, x);
        planes = out;
    }
    x = b.op(Op::Flatten, &[x]);
    x = b.dropout(options.dropout, x);
    b.linear("fc", x, planes * (height / 8) * (width / 8), classes);
    b.group("stem", |layer| layer == "conv1");
    b.group("head", |layer| layer == "fc");
    Ok(b.finish())
}
