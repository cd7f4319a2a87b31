//! `mlp`: fc1 - relu - ... - fcN; with batch norm bn1 and so on follow the hidden layers, before their activation.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{BatchNorm, Builder};
use super::description::{Description, Op};

/// Options of `mlp`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mlp {
    /// Widths of the hidden layers, each 1 to 65,536; at most 64 of them, none for a linear model.
    pub widths: Vec<u32>,
    /// After each hidden layer.
    pub activation: Activation,
    /// Batch norm between each hidden layer and its activation.
    pub batch_norm: bool,
    /// Share of the numbers after each activation that are dropped while training.
    pub dropout: f64,
}

impl Default for Mlp {
    fn default() -> Self {
        Self { widths: vec![300, 100], activation: Activation::Relu, batch_norm: false, dropout: 0.0 }
    }
}

pub(super) fn describe(options: &Mlp, input: [u32; 3], classes: u32) -> Result<Description, ShapeError> {
    let mut b = Builder::new("mlp", input, classes);
    let mut x = b.op(Op::Flatten, &[0]);
    let pixels = input.iter().try_fold(1, |product: u32, &n| product.checked_mul(n));
    let reason = || "it flattens the image, which is too large".to_owned();
    let mut fan_in = pixels.ok_or_else(|| ShapeError { architecture: "mlp", input, reason: reason() })?;
    for (i, &width) in (1..).zip(&options.widths) {
        x = b.linear(&format!("fc{i}"), x, fan_in, width);
        if options.batch_norm {
            x = b.batch_norm(&format!("bn{i}"), x, BatchNorm::new(width));
        }
        x = b.activate(options.activation, x);
        x = b.dropout(options.dropout, x);
        fan_in = width;
    }
    let depth = options.widths.len();
    let head = format!("fc{}", depth + 1);
    b.linear(&head, x, fan_in, classes);
    if options.batch_norm {
        for i in 1..=depth {
            let own = [format!("fc{i}"), format!("bn{i}")];
            b.group(&format!("block:{i}"), |layer| own.iter().any(|name| name == layer));
        }
    }
    b.group("head", |layer| layer == head);
    if options.batch_norm {
        b.part_by_groups();
    }
    Ok(b.finish())
}
