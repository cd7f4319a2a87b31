//! The parts of theta that are trained alike: what `train.layers` says of each parameter, as stretches of the vector.
//!
//! Invariant: the parts cover theta in its order, without gaps. A recipe without rules is one part.

use std::ops::Range;

use transect_common::mask::Mask;
use transect_common::model::Description;
use transect_common::run::{LayerRecipe, Optimizer, TrainSpec};

use super::TrainError;

/// The number of epochs that a part is frozen which never moves.
const FOREVER: u32 = u32::MAX;

/// A stretch of theta.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    /// Where it lies in theta.
    pub(super) range: Range<usize>,
    /// How it is trained.
    pub(super) manner: Manner,
}

/// How a parameter is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Manner {
    /// The run's optimiser, or the parameter's own, with the parameter's settings.
    pub(super) optimizer: Optimizer,
    /// It moves only after this many epochs.
    frozen_until: u32,
}

impl Manner {
    /// True if the parameter moves in `epoch` (from 1).
    pub(super) fn moves_in(self, epoch: u32) -> bool {
        self.moves_ever() && epoch > self.frozen_until
    }

    /// False for a parameter that stays frozen.
    pub(super) fn moves_ever(self) -> bool {
        self.frozen_until != FOREVER
    }

    /// The same, otherwise where `rule` says so. An optimiser of the rule's own comes first, with all its settings.
    fn under(self, rule: &LayerRecipe) -> Result<Self, TrainError> {
        let mut manner = self;
        manner.optimizer = rule.optimizer.unwrap_or(manner.optimizer);
        if let Some(value) = rule.lr {
            *lr_of(&mut manner.optimizer) = value;
        }
        if let Some(value) = rule.weight_decay {
            *weight_decay_of(&mut manner.optimizer) = value;
        }
        if let Some(value) = rule.momentum {
            let optimizer = manner.optimizer.name();
            let no_momentum = || TrainError::NoMomentum { mask: rule.mask.clone(), optimizer };
            *momentum_of(&mut manner.optimizer).ok_or_else(no_momentum)? = value;
        }
        manner.frozen_until = rule.frozen_until.unwrap_or(manner.frozen_until);
        if rule.frozen {
            manner.frozen_until = FOREVER;
        }
        Ok(manner)
    }
}

/// The parts of `model`'s theta under a recipe: one rule after another, the later's word counts.
///
/// # Errors
/// When a rule's mask names nothing, or a rule gives a momentum to an optimiser that has none.
pub(super) fn parts(model: &Description, train: &TrainSpec) -> Result<Vec<Part>, TrainError> {
    let plain = Manner { optimizer: train.optimizer, frozen_until: 0 };
    let mut manners = vec![plain; model.parameters.len()];
    for rule in &train.layers {
        let mask = Mask::resolve(&rule.mask, model).map_err(|error| TrainError::mask("train.layers", error))?;
        for &index in &mask.parameters {
            manners[index] = manners[index].under(rule)?;
        }
    }
    let mut parts: Vec<Part> = vec![];
    for (parameter, manner) in model.parameters.iter().zip(manners) {
        match parts.last_mut() {
            Some(last) if last.manner == manner => last.range.end += parameter.len,
            _ => parts.push(Part { range: parameter.offset..parameter.offset + parameter.len, manner }),
        }
    }
    Ok(parts)
}

fn lr_of(optimizer: &mut Optimizer) -> &mut f64 {
    match optimizer {
        Optimizer::Sgd { lr, .. }
        | Optimizer::Adam { lr, .. }
        | Optimizer::Adamw { lr, .. }
        | Optimizer::Rmsprop { lr, .. }
        | Optimizer::Sam { lr, .. } => lr,
    }
}

fn weight_decay_of(optimizer: &mut Optimizer) -> &mut f64 {
    match optimizer {
        Optimizer::Sgd { weight_decay, .. }
        | Optimizer::Adam { weight_decay, .. }
        | Optimizer::Adamw { weight_decay, .. }
        | Optimizer::Rmsprop { weight_decay, .. }
        | Optimizer::Sam { weight_decay, .. } => weight_decay,
    }
}

fn momentum_of(optimizer: &mut Optimizer) -> Option<&mut f64> {
    match optimizer {
        Optimizer::Sgd { momentum, .. } | Optimizer::Rmsprop { momentum, .. } | Optimizer::Sam { momentum, .. } => {
            Some(momentum)
        }
        Optimizer::Adam { .. } | Optimizer::Adamw { .. } => None,
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "one range is what is meant")]
mod tests {
    use transect_common::model::ModelSpec;

    use super::*;

    fn lenet() -> Description {
        ModelSpec::from_name("lenet5").unwrap().describe([1, 28, 28], 10).unwrap()
    }

    fn rule(json: &str) -> LayerRecipe {
        serde_json::from_str(json).unwrap()
    }

    fn parts_of(rules: &[&str]) -> Result<Vec<Part>, TrainError> {
        let optimizer = Optimizer::Sgd { lr: 0.1, momentum: 0.9, weight_decay: 5e-4, nesterov: true };
        let layers = rules.iter().map(|json| rule(json)).collect();
        parts(&lenet(), &TrainSpec { layers, ..TrainSpec::new(0, optimizer) })
    }

    fn ranges(parts: &[Part]) -> Vec<Range<usize>> {
        parts.iter().map(|part| part.range.clone()).collect()
    }

    #[test]
    fn without_rules_theta_is_one_part() {
        assert_eq!(ranges(&parts_of(&[]).unwrap()), [0..61_706]);
        // A rule that says what holds anyway parts nothing.
        assert_eq!(ranges(&parts_of(&[r#"{"mask": "fc1", "lr": 0.1}"#]).unwrap()), [0..61_706]);
    }

    #[test]
    fn rules_part_theta_where_they_differ() {
        let parts = parts_of(&[r#"{"mask": "conv*", "lr": 0.01, "momentum": 0.5, "weight_decay": 0}"#]).unwrap();
        assert_eq!(ranges(&parts), [0..2572, 2572..61_706]);
        let expected = Optimizer::Sgd { lr: 0.01, momentum: 0.5, weight_decay: 0.0, nesterov: true };
        assert_eq!(parts[0].manner.optimizer, expected);
    }

    #[test]
    fn of_two_rules_the_later_counts_setting_by_setting() {
        let first = r#"{"mask": "all", "lr": 0.01, "weight_decay": 0.1, "frozen": true}"#;
        let second = r#"{"mask": "fc3", "lr": 0.02, "frozen_until": 2}"#;
        let parts = parts_of(&[first, second]).unwrap();
        assert_eq!(parts.len(), 2);
        let expected = Optimizer::Sgd { lr: 0.02, momentum: 0.9, weight_decay: 0.1, nesterov: true };
        assert_eq!(parts[1].manner, Manner { optimizer: expected, frozen_until: 2 });
        assert!(!parts[0].manner.moves_ever() && !parts[0].manner.moves_in(u32::MAX));
        assert_eq!([1, 2, 3].map(|epoch| parts[1].manner.moves_in(epoch)), [false, false, true]);
    }

    #[test]
    fn an_own_optimizer_brings_its_own_settings() {
        let parts = parts_of(&[
            r#"{"mask": "fc3", "lr": 0.5}"#,
            r#"{"mask": "fc3", "optimizer": {"name": "adam"}, "weight_decay": 0.3}"#,
        ]);
        let last = parts.unwrap()[1].manner.optimizer;
        assert_eq!(last, Optimizer::Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.3 });
    }

    #[test]
    fn rules_that_cannot_be_followed_are_told() {
        let error = parts_of(&[r#"{"mask": "fc9", "lr": 0.5}"#]).unwrap_err().to_string();
        assert!(error.starts_with("train.layers: `fc9` matches no layer of lenet5. Its layers: conv1"), "{error}");
        let error = parts_of(&[r#"{"mask": "fc3", "optimizer": {"name": "adam"}, "momentum": 0.5}"#]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "train.layers: `fc3` is given a momentum, which adam does not have: set beta1 there"
        );
    }
}
