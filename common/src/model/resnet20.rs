//! `resnet20`: three stages of three blocks with 16, 32 and 64 channels (He et al. 2016, section 4.2), with the names
//! of the published CIFAR-10 implementation: conv1, bn1, layer1.0.conv1, ..., linear.

use super::ShapeError;
use super::description::{Builder, Description, Op, ValueId};

pub(super) fn describe(input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let [channels, height, width] = input;
    if height < 4 || width < 4 {
        let reason = "it halves the image twice, so it needs at least 4x4 pixels".to_owned();
        return Err(ShapeError { architecture: "resnet20", input, reason });
    }
    let mut b = Builder::new("resnet20", input, classes);
    let mut x = b.conv2d("conv1", 0, [16, channels, 3], 1, 1, false);
    x = b.batch_norm("bn1", x, 16);
    x = b.op(Op::Relu, &[x]);
    let mut planes = 16;
    for (stage, out) in [(1, 16), (2, 32), (3, 64)] {
        for block in 0..3 {
            x = basic_block(&mut b, &format!("layer{stage}.{block}"), x, planes, out);
            planes = out;
        }
    }
    x = b.op(Op::GlobalAvgPool, &[x]);
    b.linear("linear", x, 64, classes);
    b.group("stem", |layer| layer == "conv1" || layer == "bn1");
    for stage in 1..=3 {
        let prefix = format!("layer{stage}.");
        b.group(&format!("stage:{stage}"), |layer| layer.starts_with(&prefix));
    }
    b.group("head", |layer| layer == "linear");
    b.blocks(["stem", "stage:1", "stage:2", "stage:3", "head"].map(str::to_owned));
    Ok(b.finish())
}

/// conv - bn - relu - conv - bn, plus the shortcut, then relu. A block that widens also halves height and width.
fn basic_block(b: &mut Builder, name: &str, x: ValueId, planes: u32, out: u32) -> ValueId {
    let widens = planes != out;
    let stride = if widens { 2 } else { 1 };
    let mut y = b.conv2d(&format!("{name}.conv1"), x, [out, planes, 3], stride, 1, false);
    y = b.batch_norm(&format!("{name}.bn1"), y, out);
    y = b.op(Op::Relu, &[y]);
    y = b.conv2d(&format!("{name}.conv2"), y, [out, out, 3], 1, 1, false);
    y = b.batch_norm(&format!("{name}.bn2"), y, out);
    let shortcut = if widens { b.op(Op::SubsampleAndPad { pad: (out - planes) / 2 }, &[x]) } else { x };
    y = b.op(Op::Add, &[y, shortcut]);
    b.op(Op::Relu, &[y])
}
