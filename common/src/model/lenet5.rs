//! `lenet5`: conv1 - relu - pool - conv2 - relu - pool - fc1 - relu - fc2 - relu - fc3.
//!
//! 28 x 28 images are padded to the 32 x 32 of LeCun et al. 1998 by conv1; 32 x 32 images are taken as they are.

use super::ShapeError;
use super::description::{Builder, Description, Op};

pub(super) fn describe(input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let [channels, height, width] = input;
    let padding = match (height, width) {
        (28, 28) => 2,
        (32, 32) => 0,
        _ => {
            let reason = "it needs 28x28 or 32x32 pixels".to_owned();
            return Err(ShapeError { architecture: "lenet5", input, reason });
        }
    };
    let pool = Op::MaxPool2d { kernel: 2 };
    let mut b = Builder::new("lenet5", input, classes);
    let mut x = b.conv2d("conv1", 0, [6, channels, 5], 1, padding, true);
    x = b.op(Op::Relu, &[x]);
    x = b.op(pool, &[x]);
    x = b.conv2d("conv2", x, [16, 6, 5], 1, 0, true);
    x = b.op(Op::Relu, &[x]);
    x = b.op(pool, &[x]);
    x = b.op(Op::Flatten, &[x]);
    x = b.linear("fc1", x, 16 * 5 * 5, 120);
    x = b.op(Op::Relu, &[x]);
    x = b.linear("fc2", x, 120, 84);
    x = b.op(Op::Relu, &[x]);
    b.linear("fc3", x, 84, classes);
    b.group("stem", |layer| layer == "conv1");
    b.group("head", |layer| layer == "fc3");
    Ok(b.finish())
}
