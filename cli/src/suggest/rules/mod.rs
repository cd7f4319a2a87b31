//! Rules: from what the lines say of each layer to how the layer is to be trained. One file each, pure.

mod criticality_lr;
mod freeze_least;
mod half_drop_decay;

use super::base::Base;
use super::facts::Layer;

/// How one layer differs from the base recipe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Override {
    /// Its learning rate.
    Lr(f64),
    /// Its weight decay.
    WeightDecay(f64),
    /// It stays at its start.
    Frozen,
}

impl Override {
    /// As a table of the sweep file.
    pub fn text(self) -> String {
        match self {
            Self::Lr(lr) => format!("{{ lr = {} }}", short(lr)),
            Self::WeightDecay(decay) => format!("{{ weight_decay = {} }}", short(decay)),
            Self::Frozen => "{ frozen = true }".to_owned(),
        }
    }
}

/// What a rule answers: an override for each layer, in their order, none where the base recipe stays. Or why it has
/// nothing to say here.
pub type Answer = Result<Vec<Option<Override>>, &'static str>;

/// A rule.
pub struct Rule {
    /// Label of its case.
    pub name: &'static str,
    /// For the file: what it does and why, in lines.
    pub why: &'static str,
    /// The rule.
    pub apply: fn(&[Layer], &Base) -> Answer,
}

/// Every rule, in the order of the file.
pub const RULES: [Rule; 3] = [criticality_lr::RULE, freeze_least::RULE, half_drop_decay::RULE];

/// Four significant digits, which is finer than any rule is sure of.
fn short(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// `values` moved and scaled so that the least is 0 and the greatest 1. None when all are equal.
fn between_0_and_1(values: &[f64]) -> Option<Vec<f64>> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (low < high).then(|| values.iter().map(|value| (value - low) / (high - low)).collect())
}

/// `raw` scaled so that its mean is 1.
fn with_mean_1(raw: &[f64]) -> Vec<f64> {
    let mean = raw.iter().sum::<f64>() / raw.len() as f64;
    raw.iter().map(|value| value / mean).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn layer(name: &str, set_back: f64, half_drop: Option<f64>) -> Layer {
        Layer { name: name.to_owned(), set_back, half_drop }
    }

    pub fn base(lr: f64, weight_decay: f64) -> Base {
        Base { lr, weight_decay, ..Base::default() }
    }

    #[test]
    fn overrides_are_short_toml() {
        assert_eq!(Override::Lr(0.1 / 3.0).text(), "{ lr = 0.03333 }");
        assert_eq!(Override::WeightDecay(5e-4 * 1.23456).text(), "{ weight_decay = 0.0006173 }");
        assert_eq!(Override::Frozen.text(), "{ frozen = true }");
        assert_eq!(with_mean_1(&[1.0, 3.0]), [0.5, 1.5]);
    }
}
