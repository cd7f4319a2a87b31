//! Learning rate by criticality.
//!
//! A layer's criticality is 1 less how far it can be set back to its start ([`Layer::set_back`]). A layer that can go
//! all the way back for nothing has learnt nothing that the network needs, so it is given a quarter of the rate of one
//! that cannot go back at all: rate x (1/4 + 3/4 criticality). Then all rates are scaled so that their mean over layers
//! is the base rate, because otherwise the rule would mostly ask whether a lower rate is better.
//!
//! After the finding of Vlaar & Frankle 2022 (arXiv 2106.16004) that the lines of layers differ and can guide custom
//! training, and the module criticality of Neyshabur, Sedghi & Zhang 2020 (arXiv 2008.11687). The formula is ours.

use super::{Answer, Override, Rule, with_mean_1};
use crate::suggest::base::Base;
use crate::suggest::facts::Layer;

/// Rate of a layer that can go all the way back, over that of one that cannot go back at all.
const LEAST: f64 = 0.25;

pub const RULE: Rule = Rule {
    name: "criticality-lr",
    why: "Learning rate by criticality (1 - set-back): lr x (1/4 + 3/4 criticality), scaled so that\n\
          the mean over layers is the base rate. Layers that the trained network could do without\n\
          learn more slowly, critical ones faster.",
    apply,
};

fn apply(layers: &[Layer], base: &Base) -> Answer {
    let raw: Vec<f64> = layers.iter().map(|layer| LEAST + (1.0 - LEAST) * (1.0 - layer.set_back)).collect();
    if raw.iter().all(|factor| *factor == raw[0]) {
        return Err("all layers are equally critical");
    }
    Ok(with_mean_1(&raw).into_iter().map(|factor| Some(Override::Lr(base.lr * factor))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suggest::rules::tests::{base, layer};

    #[test]
    fn critical_layers_learn_faster_and_the_mean_rate_stays() {
        let layers = [layer("a", 1.0, None), layer("b", 0.0, None), layer("c", 0.5, None)];
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
