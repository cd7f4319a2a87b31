//! Weight decay by half-drop.
//!
//! Weight decay lengthens the plateau of the whole line and, up to a point, raises test accuracy (Vlaar & Frankle 2022,
//! arXiv 2106.16004). If what it does to the line and what it does for accuracy have to do with each other layer by
//! layer, then layers whose line falls early (small half-drop) could do with more of it, and those that already have a
//! plateau (half-drop near 1) with less: decay x (3/2 - h), with h the half-drop scaled to run from 0 (earliest) to 1
//! (latest) over the layers, and then all scaled so that the mean over layers is the base decay. A layer whose loss does
//! not fall along its line counts as half-drop 0. The paper's first claim says that the shape of a line does not predict
//! accuracy, so this rule is expected to fail: it is here to be tested.

use super::{Answer, Override, Rule, between_0_and_1, with_mean_1};
use crate::suggest::base::Base;
use crate::suggest::facts::Layer;

pub const RULE: Rule = Rule {
    name: "half-drop-decay",
    why: "Weight decay by half-drop: the layer whose line falls earliest decays three times as much as\n\
          the one that falls latest, those between in proportion, and the mean over layers is the base\n\
          decay. The paper's first claim predicts that this does not help.",
    apply,
};

fn apply(layers: &[Layer], base: &Base) -> Answer {
    if base.weight_decay <= 0.0 {
        return Err("the base recipe has no weight decay to distribute");
    }
    let half_drops: Vec<f64> = layers.iter().map(|layer| layer.half_drop.unwrap_or(0.0)).collect();
    let Some(places) = between_0_and_1(&half_drops) else {
        return Err("the lines of all layers fall alike");
    };
    let raw: Vec<f64> = places.iter().map(|place| 1.5 - place).collect();
    Ok(with_mean_1(&raw).into_iter().map(|factor| Some(Override::WeightDecay(base.weight_decay * factor))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::rules::tests::{base, layer};

    #[test]
    fn layers_that_fall_early_decay_more_and_the_mean_stays() {
        let layers = [layer("a", 0.0, Some(1.0)), layer("b", 0.0, Some(0.5)), layer("c", 0.0, None)];
        let decays: Vec<f64> = apply(&layers, &base(0.1, 3e-4))
            .unwrap()
            .into_iter()
            .map(|o| if let Some(Override::WeightDecay(d)) = o { d } else { panic!("{o:?}") })
            .collect();
        assert!(
            (decays[0] - 1.5e-4).abs() < 1e-15
                && (decays[1] - 3e-4).abs() < 1e-15
                && (decays[2] - 4.5e-4).abs() < 1e-15
        );
        assert!(apply(&layers, &base(0.1, 0.0)).is_err());
    }
}
