//! `lenet5`: conv1 - relu - pool - conv2 - relu - pool - fc1 - relu - fc2 - relu - fc3.
//!
//! 28 x 28 images are padded to the 32 x 32 of LeCun et al. 1998 by conv1; 32 x 32 images are taken as they are.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{Builder, Conv};
use super::description::{Description, Op};

/// Options of `lenet5`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lenet5 {
    /// After each layer but the last.
    pub activation: Activation,
    /// Share of the numbers after fc1 and fc2 that are dropped while training.
    pub dropout: f64,
}

pub(super) fn describe(options: &Lenet5, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let [channels, height, width] = input;
    let padding = match (height, width) {
        (28, 28) => 2,
        (32, 32) => 0,
        _ => {
            let reason = "it needs 28x28 or 32x32 pixels".to_owned();
            return Err(ShapeError { architecture: "lenet5", input, reason });
        }
    };
    let mut b = Builder::new("lenet5", input, classes);
    let mut x = 0;
    for (name, conv) in [("conv1", Conv::new(channels, 6, 5).padding(padding)), ("conv2", Conv::new(6, 16, 5))] {
        x = b.conv2d(name, x, conv.bias(true));
        x = b.activate(options.activation, x);
        x = b.max_pool(2, x);
    }
    x = b.op(Op::Flatten, &[x]);
    for (name, fan_in, fan_out) in [("fc1", 16 * 5 * 5, 120), ("fc2", 120, 84)] {
        x = b.linear(name, x, fan_in, fan_out);
        x = b.activate(options.activation, x);
        x = b.dropout(options.dropout, x);
    }
    b.linear("fc3", x, 84, classes);
    b.group("stem", |layer| layer == "conv1");
    b.group("head", |layer| layer == "fc3");
    Ok(b.finish())
}
