//! Mean loss and accuracy over the steps of an epoch, and the first step whose loss is not finite.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

/// What steps leave is looked at in blocks of so many, so that the device need not wait for us at each.
const BLOCK: usize = 50;
/// A block of fewer steps, when their logits are so many numbers.
const LOGITS: usize = 1 << 22;

/// Sums up an epoch's steps.
#[derive(Debug)]
pub(super) struct Meter {
    /// Number of the first step in `waiting`.
    next_step: u64,
    /// Losses, logits and labels of the block's steps, on the device.
    waiting: Vec<(Tensor, Tensor, Tensor)>,
    /// Numbers in the logits that wait.
    logits: usize,
    loss: f64,
    right: Tensor,
    count: usize,
}

/// What the steps so far add up to, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    loss: f64,
    right: i64,
    count: usize,
}

/// The loss of a step is not finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct NotFinite {
    pub(super) step: u64,
    pub(super) loss: f64,
}

impl Meter {
    /// Nothing yet; the first step to come has the number `next_step`.
    pub(super) fn new(next_step: u64, device: Device) -> Self {
        let right = Tensor::zeros([], (Kind::Int64, device));
        Self { next_step, waiting: Vec::with_capacity(BLOCK), logits: 0, loss: 0.0, right, count: 0 }
    }

    /// What the steps before `next_step` add up to.
    pub(super) fn with(sums: Sums, next_step: u64, device: Device) -> Self {
        let right = Tensor::from(sums.right).to_device(device);
        Self { right, loss: sums.loss, count: sums.count, ..Self::new(next_step, device) }
    }

    /// The steps so far. That they are fetched now changes nothing: they are added one by one in any case.
    pub(super) fn sums(&mut self) -> Result<Sums, NotFinite> {
        self.fetch()?;
        Ok(Sums { loss: self.loss, right: self.right.int64_value(&[]), count: self.count })
    }

    /// Adds a step: the mean `loss` of its batch, and the `logits` [n, classes] and `labels` [n] for its accuracy.
    pub(super) fn add(&mut self, loss: &Tensor, logits: &Tensor, labels: &Tensor) -> Result<(), NotFinite> {
        self.logits += logits.numel();
        self.waiting.push((loss.detach(), logits.detach(), labels.shallow_clone()));
        if self.waiting.len() == BLOCK || self.logits >= LOGITS { self.fetch() } else { Ok(()) }
    }

    /// Mean loss and accuracy of all steps.
    pub(super) fn finish(mut self) -> Result<(f64, f64), NotFinite> {
        self.fetch()?;
        let count = self.count as f64;
        Ok((self.loss / count, self.right.int64_value(&[]) as f64 / count))
    }

    fn fetch(&mut self) -> Result<(), NotFinite> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let column = |part: fn(&(Tensor, Tensor, Tensor)) -> &Tensor| self.waiting.iter().map(part).collect::<Vec<_>>();
        let (logits, labels) = (Tensor::cat(&column(|step| &step.1), 0), Tensor::cat(&column(|step| &step.2), 0));
        let losses = Tensor::stack(&column(|step| &step.0), 0).to_device(Device::Cpu).to_kind(Kind::Double);
        self.right += logits.argmax(1, false).eq_tensor(&labels).sum(Kind::Int64);
        self.logits = 0;
        let losses = Vec::<f64>::try_from(&losses).expect("a vector of f64");
        for (loss, (.., labels)) in losses.into_iter().zip(self.waiting.drain(..)) {
            if !loss.is_finite() {
                return Err(NotFinite { step: self.next_step, loss });
            }
            let count = labels.size()[0] as usize;
            self.loss += loss * count as f64;
            self.count += count;
            self.next_step += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(meter: &mut Meter, loss: f32, rights: usize, count: usize) -> Result<(), NotFinite> {
        let labels = Tensor::zeros([count as i64], (Kind::Int64, Device::Cpu));
        let rows: Vec<f32> = (0..count).flat_map(|i| if i < rights { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
        meter.add(&Tensor::from(loss), &Tensor::from_slice(&rows).view([-1, 2]), &labels)
    }

    #[test]
    fn steps_count_by_their_images() {
        let mut meter = Meter::new(1, Device::Cpu);
        add(&mut meter, 1.0, 3, 4).unwrap();
        add(&mut meter, 4.0, 0, 2).unwrap();
        assert_eq!(meter.finish(), Ok((2.0, 0.5)));
    }

    #[test]
    fn the_first_bad_step_is_named_wherever_it_lies_in_a_block() {
        for bad in [1, 30, 50, 51, 120] {
            let mut meter = Meter::new(1, Device::Cpu);
            let mut result = Ok(());
            for step in 1..=120 {
                let loss = if step >= bad { f32::INFINITY } else { 1.0 };
                result = result.and_then(|()| add(&mut meter, loss, 1, 1));
            }
            let error = result.and_then(|()| meter.finish().map(|_| ())).unwrap_err();
            assert_eq!(error, NotFinite { step: bad, loss: f64::INFINITY });
        }
    }
}
