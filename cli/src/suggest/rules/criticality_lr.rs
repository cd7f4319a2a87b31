//! Learning rate by criticality.
//!
//! A layer's criticality is 1 less how far it can be set back to its start ([`Layer::set_back`]). A layer that can go
//! far back for nothing has learnt little that the network needs, so the least critical layer is given a quarter of the
//! rate of the most critical one, and those between in proportion: rate x (1/4 + 3/4 c), with c the criticality scaled
//! to run from 0 (least) to 1 (most) over the layers. Then all rates are scaled so that their mean over layers is the
//! base rate, because otherwise the rule would mostly ask whether a lower rate is better.
//!
//! After the finding of Vlaar & Frankle 2022 (arXiv 2106.16004) that the lines of layers differ and can guide custom
//! training, and the module criticality of Neyshabur, Sedghi & Zhang 2020 (arXiv 2008.11687). The formula is ours.

use super::{Answer, Override, Rule, between_0_and_1, with_mean_1};
use crate::suggest::base::Base;
use crate::suggest::facts::Layer;

/// Rate of the least critical layer over that of the most critical.
const LEAST: f64 = 0.25;

pub const RULE: Rule = Rule {
    name: "criticality-lr",
    why: "Learning rate by criticality (1 - set-back): the least critical layer learns at a quarter of\n\
          the rate of the most critical one, those between in proportion, and the mean over layers is\n\
          the base rate.",
    apply,
};

fn apply(layers: &[Layer], base: &Base) -> Answer {
    let set_backs: Vec<f64> = layers.iter().map(|layer| layer.set_back).collect();
    let Some(places) = between_0_and_1(&set_backs) else {
        return Err("all layers are equally critical");
    };
    let raw: Vec<f64> = places.iter().map(|place| LEAST + (1.0 - LEAST) * (1.0 - place)).collect();
    Ok(with_mean_1(&raw).into_iter().map(|factor| Some(Override::Lr(base.lr * factor))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::rules::tests::{base, layer};

    #[test]
    fn critical_layers_learn_faster_and_the_mean_rate_stays() {
        let layers = [layer("a", 0.6, None), layer("b", 0.2, None), layer("c", 0.4, None)];
        let rates: Vec<f64> = apply(&layers, &base(0.1, 0.0))
            .unwrap()
            .into_iter()
            .map(|o| if let Some(Override::Lr(lr)) = o { lr } else { panic!("{o:?}") })
            .collect();
        assert!((rates[1] / rates[0] - 4.0).abs() < 1e-12 && rates[0] < rates[2] && rates[2] < rates[1]);
        assert!((rates.iter().sum::<f64>() / 3.0 - 0.1).abs() < 1e-12);
    }

    #[test]
    fn layers_that_are_alike_get_no_rates_of_their_own() {
        assert!(apply(&[layer("a", 0.4, None), layer("b", 0.4, None)], &base(0.1, 0.0)).is_err());
    }
}
