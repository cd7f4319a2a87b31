//! `vgg11` and `vgg16` (Simonyan & Zisserman 2015, table 1, columns A and D) with torchvision's names: features.0, ...,
//! classifier.0, classifier.3, classifier.6.

use serde::{Deserialize, Serialize};

use super::ShapeError;
use super::activation::Activation;
use super::builder::{BatchNorm, Builder, Conv};
use super::description::{Description, Op};

/// Options of `vgg11` and `vgg16`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vgg {
    /// Channels of the first stage; later ones have 2, 4, 8 and 8 times as many.
    pub width: u32,
    /// Units of the classifier's two hidden layers.
    pub units: u32,
    /// Height and width to which the features are averaged before the classifier.
    pub pool: u32,
    /// Batch norm after each convolution.
    pub batch_norm: bool,
    /// Share of the numbers after the classifier's hidden layers that are dropped while training.
    pub dropout: f64,
    /// After each layer but the last.
    pub activation: Activation,
}

impl Default for Vgg {
    fn default() -> Self {
        Self { width: 64, units: 4096, pool: 7, batch_norm: false, dropout: 0.5, activation: Activation::Relu }
    }
}

/// Convolutions in the five stages, each of which ends in pooling.
pub(super) const VGG11: (&str, [u32; 5]) = ("vgg11", [1, 1, 2, 2, 2]);
pub(super) const VGG16: (&str, [u32; 5]) = ("vgg16", [2, 2, 3, 3, 3]);

pub(super) fn describe(
    (name, stages): (&'static str, [u32; 5]),
    options: &Vgg,
    input: [u32; 3],
    classes: u32,
) -> Result<Description, ShapeError> {
    let [mut planes, height, width] = input;
    if height < 32 || width < 32 {
        let reason = "it halves the image five times, so it needs at least 32x32 pixels".to_owned();
        return Err(ShapeError { architecture: name, input, reason });
    }
    let mut b = Builder::new(name, input, classes);
    let mut x = 0;
    // torchvision numbers every module: convolutions, batch norms, activations and pools.
    let mut module = 0;
    let mut starts = vec![];
    for (stage, convolutions) in stages.into_iter().enumerate() {
        starts.push(module);
        let out = options.width * [1, 2, 4, 8, 8][stage];
        for _ in 0..convolutions {
            x = b.conv2d(&format!("features.{module}"), x, Conv::new(planes, out, 3).padding(1).bias(true));
            if options.batch_norm {
                module += 1;
                x = b.batch_norm(&format!("features.{module}"), x, BatchNorm::new(out));
            }
            x = b.activate(options.activation, x);
            module += 2;
            planes = out;
        }
        x = b.max_pool(2, x);
        module += 1;
    }
    x = b.op(Op::AdaptiveAvgPool { side: options.pool }, &[x]);
    x = b.op(Op::Flatten, &[x]);
    let features = planes * options.pool * options.pool;
    for (name, fan_in) in [("classifier.0", features), ("classifier.3", options.units)] {
        x = b.linear(name, x, fan_in, options.units);
        x = b.activate(options.activation, x);
        x = b.dropout(options.dropout, x);
    }
    b.linear("classifier.6", x, options.units, classes);
    let stage_of = |layer: &str| {
        let module: u32 = layer.strip_prefix("features.")?.parse().ok()?;
        Some(starts.iter().filter(|&&start| start <= module).count())
    };
    for stage in 1..=stages.len() {
        b.group(&format!("stage:{stage}"), |layer| stage_of(layer) == Some(stage));
    }
    b.group("head", |layer| layer == "classifier.6");
    let blocks = (1..=stages.len()).map(|stage| format!("stage:{stage}"));
    b.blocks(blocks.chain(["classifier.0", "classifier.3", "head"].map(str::to_owned)));
    Ok(b.finish())
}
