//! Losses and right answers of a batch, and their sums.

use crate::nn::Score;

/// What a batch's logits give.
#[derive(Debug)]
pub(super) struct Scores {
    /// Cross-entropy of each image in nats.
    losses: Vec<f64>,
    right: u64,
    /// The logits [n, classes] themselves, where they are needed.
    logits: Vec<f32>,
}

impl Scores {
    /// Of `logits` [n, classes] and `labels` [n].
    pub(super) fn new(logits: &[f32], labels: &[i64], keep_logits: bool) -> Self {
        let classes = logits.len() / labels.len();
        let (mut losses, mut right) = (Vec::with_capacity(labels.len()), 0);
        for (row, &label) in logits.chunks_exact(classes).zip(labels) {
            losses.push(cross_entropy(row, label as usize));
            right += u64::from(largest(row) == label as usize);
        }
        Self { losses, right, logits: if keep_logits { logits.to_vec() } else { vec![] } }
    }
}

/// -log softmax(logits)[label], in f64.
fn cross_entropy(logits: &[f32], label: usize) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    sum.ln() - (f64::from(logits[label]) - max)
}

/// Index of the first largest logit; a NaN is the largest, as in libtorch.
fn largest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (index, &logit) in logits.iter().enumerate() {
        if logit > logits[best] || logit.is_nan() && !logits[best].is_nan() {
            best = index;
        }
    }
    best
}

/// Sums over batches, image by image.
#[derive(Debug, Default)]
pub(super) struct Sums {
    loss: f64,
    right: u64,
    count: u64,
    /// All logits that were kept, image by image.
    pub(super) logits: Vec<f32>,
}

impl Sums {
    /// Adds the next batch.
    pub(super) fn add(&mut self, scores: Scores) {
        self.count += scores.losses.len() as u64;
        self.right += scores.right;
        self.loss = scores.losses.iter().fold(self.loss, |sum, loss| sum + loss);
        self.logits.extend(scores.logits);
    }

    /// The means.
    pub(super) fn score(&self) -> Score {
        let count = self.count as f64;
        Score { loss: self.loss / count, accuracy: self.right as f64 / count, count: self.count }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Tensor};

    use super::*;
    use crate::nn::Tally;

    #[test]
    fn scores_are_those_of_the_plain_evaluator() {
        let sure: [f32; 6] = [30.0, -30.0, 0.0, 1.0, 1.0, 0.5];
        let nan = [f32::NAN, 1.0, 2.0, 0.0, f32::NAN, 3.0];
        let infinite = [f32::INFINITY, 1.0, 2.0, 0.0, f32::NEG_INFINITY, 3.0];
        for logits in [sure, nan, infinite] {
            for labels in [[0i64, 0], [1, 1], [2, 0]] {
                let mut sums = Sums::default();
                sums.add(Scores::new(&logits, &labels, true));
                let mut tally = Tally::new(Device::Cpu);
                tally.add(&Tensor::from_slice(&logits).view([2, 3]), &Tensor::from_slice(&labels));
                let (ours, plain) = (sums.score(), tally.score());
                let is_equal = |a: f64, b: f64| a.is_nan() && b.is_nan() || a == b || (a - b).abs() < 1e-14 * b.abs();
                assert!(is_equal(ours.loss, plain.loss), "{logits:?} {labels:?}: {ours:?} for {plain:?}");
                assert_eq!((ours.accuracy, ours.count), (plain.accuracy, plain.count), "{logits:?} {labels:?}");
                assert_eq!(sums.logits.len(), 6);
            }
        }
    }
}
