//! Freeze the least critical third.
//!
//! A layer that can be set back far towards its start, rest trained, is one that training hardly needed to move. So the
//! third of the layers (rounded down) with the greatest set-back stay at their start; the others have to do without.
//! Equals are frozen from the input on.
//!
//! After Vlaar & Frankle 2022 (arXiv 2106.16004; their second finding: custom per-layer training can be read off the
//! layers' lines) and Neyshabur, Sedghi & Zhang 2020 (arXiv 2008.11687; modules differ in criticality).

use super::{Answer, Override, Rule};
use crate::suggest::base::Base;
use crate::suggest::facts::Layer;

pub const RULE: Rule = Rule {
    name: "freeze-least",
    why: "The third of the layers with the greatest set-back stays at its start: training moved\n\
          them, but the trained network hardly needs it.",
    apply,
};

fn apply(layers: &[Layer], _: &Base) -> Answer {
    let count = layers.len() / 3;
    if count == 0 {
        return Err("fewer than three layers have lines");
    }
    let mut order: Vec<usize> = (0..layers.len()).collect();
    // Stable: equals stay in the order from input to output.
    order.sort_by(|&a, &b| layers[b].set_back.total_cmp(&layers[a].set_back));
    let frozen = &order[..count];
    Ok((0..layers.len()).map(|layer| frozen.contains(&layer).then_some(Override::Frozen)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::rules::tests::{base, layer};

    #[test]
    fn a_third_is_frozen_the_least_critical_first() {
        let layers = [0.2, 0.9, 0.1, 1.0, 0.9, 0.3, 0.0].map(|s| layer("x", s, None));
        let frozen: Vec<bool> = apply(&layers, &base(0.1, 0.0)).unwrap().iter().map(Option::is_some).collect();
        assert_eq!(frozen, [false, true, false, true, false, false, false]);
        assert!(apply(&layers[..2], &base(0.1, 0.0)).is_err());
    }
}
