//! Loss and accuracy over batches.

use tch::{Device, Kind, Reduction, Tensor};

/// What was measured on a set of images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// Mean cross-entropy in nats; NaN or infinite where the network's outputs are.
    pub loss: f64,
    /// Share of images whose largest logit is their label's, 0 to 1.
    pub accuracy: f64,
    /// Number of images.
    pub count: u64,
}

/// Sums cross-entropies and right answers, on the device, until they are asked for.
///
/// Cross-entropies are computed in f64 from the f32 logits: in f32 those of a sure network vanish
/// (`log(1 + 1e-8) = 0`), and the sum over a data set loses digits. The logits are a small part of the work.
#[derive(Debug)]
pub struct Tally {
    loss: Tensor,
    right: Tensor,
    count: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(device: Device) -> Self {
        Self {
            loss: Tensor::zeros([], (Kind::Double, device)),
            right: Tensor::zeros([], (Kind::Int64, device)),
            count: 0,
        }
    }

    /// Adds a batch: `logits` [N, classes] and `labels` [N] (i64, 0 to classes - 1). Call it with gradients off.
    pub fn add(&mut self, logits: &Tensor, labels: &Tensor) {
        let logits = logits.to_kind(Kind::Double);
        self.loss += logits.cross_entropy_loss(labels, None::<&Tensor>, Reduction::Sum, -100, 0.0);
        self.right += logits.argmax(1, false).eq_tensor(labels).sum(Kind::Int64);
        self.count += labels.size()[0] as u64;
    }

    /// The means; NaN over no images.
    pub fn score(&self) -> Score {
        let count = self.count as f64;
        let right = self.right.int64_value(&[]) as f64;
        Score { loss: self.loss.double_value(&[]) / count, accuracy: right / count, count: self.count }
    }
}
