//! `mlp`: fc1 - relu - ... - fcN.

use super::description::{Builder, Description, Op};

pub(super) fn default_widths() -> Vec<u32> {
    vec![300, 100]
}

pub(super) fn describe(widths: &[u32], input: [u32; 3], classes: u32) -> Description {
    let mut b = Builder::new("mlp", input, classes);
    let mut x = b.op(Op::Flatten, &[0]);
    let mut fan_in = input.iter().product();
    for (i, &width) in widths.iter().enumerate() {
        x = b.linear(&format!("fc{}", i + 1), x, fan_in, width);
        x = b.op(Op::Relu, &[x]);
        fan_in = width;
    }
    let head = format!("fc{}", widths.len() + 1);
    b.linear(&head, x, fan_in, classes);
    b.group("head", |layer| layer == head);
    b.finish()
}
