//! The networks along a line as one ensemble, and the best of them alone.

use tch::{Kind, Tensor};

use super::MeasureName;
use crate::nn::Score;

/// Adds up the predicted probabilities of every example, in f64.
#[derive(Debug, Default)]
pub(super) struct Ensemble {
    /// [N, classes] and labels [N].
    sums: Option<(Tensor, Tensor)>,
    count: u32,
    /// Alpha and score.
    best: Option<(f64, Score)>,
}

impl Ensemble {
    /// Takes the `logits` [N, classes] at the next alpha, and the score that they have.
    pub fn add(&mut self, alpha: f64, score: &Score, logits: &Tensor, labels: &Tensor) {
        let probabilities = logits.softmax(1, Kind::Double);
        self.sums = Some(match self.sums.take() {
            None => (probabilities, labels.shallow_clone()),
            Some((sum, labels)) => (sum + probabilities, labels),
        });
        self.count += 1;
        let is_better =
            |best: &Score| score.accuracy > best.accuracy || score.accuracy == best.accuracy && score.loss < best.loss;
        if self.best.as_ref().is_none_or(|(_, best)| is_better(best)) {
            self.best = Some((alpha, *score));
        }
    }

    /// Loss and accuracy of the mean, and the best alpha and its accuracy; nothing before the first alpha.
    pub fn measured(&self) -> Vec<(MeasureName, f64)> {
        let (Some((sum, labels)), Some((alpha, best))) = (&self.sums, &self.best) else { return vec![] };
        let mean = sum / f64::from(self.count);
        let loss = -mean.gather(1, &labels.unsqueeze(1), false).log().mean(Kind::Double);
        let accuracy = mean.argmax(1, false).eq_tensor(labels).to_kind(Kind::Double).mean(Kind::Double);
        vec![
            (MeasureName::EnsembleLoss, loss.double_value(&[])),
            (MeasureName::EnsembleAccuracy, accuracy.double_value(&[])),
            (MeasureName::BestAlpha, *alpha),
            (MeasureName::BestAccuracy, best.accuracy),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_networks_that_err_differently_are_right_together() {
        let labels = Tensor::from_slice(&[0i64, 1]);
        let logits = |p: [f64; 4]| Tensor::from_slice(&p.map(f64::ln)).view([2, 2]);
        let score = |loss, accuracy| Score { loss, accuracy, count: 2 };
        let mut ensemble = Ensemble::default();
        assert_eq!(ensemble.measured(), []);
        ensemble.add(0.0, &score(0.9, 0.5), &logits([0.9, 0.1, 0.6, 0.4]), &labels);
        ensemble.add(0.5, &score(0.8, 0.5), &logits([0.4, 0.6, 0.1, 0.9]), &labels);
        ensemble.add(1.0, &score(0.8, 0.5), &logits([0.4, 0.6, 0.1, 0.9]), &labels);
        let [(_, loss), (_, accuracy), (_, alpha), (_, best)] = ensemble.measured()[..] else { panic!() };
        let expected = -(f64::ln(1.7 / 3.0) + f64::ln(2.2 / 3.0)) / 2.0;
        assert!((loss - expected).abs() < 1e-12);
        assert_eq!((accuracy, alpha, best), (1.0, 0.5, 0.5), "of equals the first");
    }
}
