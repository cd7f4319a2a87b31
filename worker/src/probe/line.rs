//! The straight line between two checkpoints: the state at any alpha.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{Device, Tensor};
use transect_common::checkpoint::Checkpoint;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::mask::Mask;
use transect_common::model::Description;
use transect_common::run::Tag;

use super::ProbeError;

/// Checkpoints on a device, which the lines of a group share.
#[derive(Debug)]
pub struct Ends(BTreeMap<Tag, [Tensor; 2]>);

impl Ends {
    /// Brings `checkpoints` of `model` to `device`.
    ///
    /// # Errors
    /// When one of them does not have the model's size.
    pub fn new(
        checkpoints: &BTreeMap<Tag, Checkpoint>,
        model: &Description,
        device: Device,
    ) -> Result<Self, ProbeError> {
        let to_device = |(tag, checkpoint): (&Tag, &Checkpoint)| {
            let (theta, buffers) = (checkpoint.theta.len(), checkpoint.buffers.len());
            if (theta, buffers) != (model.theta_len(), model.buffers_len()) {
                return Err(ProbeError::Size { tag: tag.clone(), theta, buffers, architecture: model.architecture });
            }
            let vectors = [&checkpoint.theta, &checkpoint.buffers];
            Ok((tag.clone(), vectors.map(|vector| Tensor::from_slice(vector).to_device(device))))
        };
        Ok(Self(checkpoints.iter().map(to_device).collect::<Result<_, _>>()?))
    }

    /// Theta and buffers at `tag`, an end of the line that `mask` names.
    fn get(&self, tag: &Tag, mask: &str) -> Result<&[Tensor; 2], ProbeError> {
        self.0.get(tag).ok_or_else(|| ProbeError::Checkpoint {
            line: mask.to_owned(),
            tag: tag.clone(),
            known: self.0.keys().map(ToString::to_string).collect(),
        })
    }
}

/// A line on a device.
#[derive(Debug)]
pub struct Line {
    theta: Moving,
    buffers: Moving,
}

/// A vector of which some ranges move from one end to the other while the rest is held.
#[derive(Debug)]
struct Moving {
    from: Tensor,
    to: Tensor,
    held: Tensor,
    ranges: Vec<Range<usize>>,
}

impl Line {
    /// Resolves the line's mask and ends.
    ///
    /// # Errors
    /// When the line does not fit the model or the checkpoints.
    pub fn new(spec: &LineSpec, model: &Description, ends: &Ends) -> Result<Self, ProbeError> {
        check(spec, model)?;
        let mask = Mask::resolve(&spec.mask, model)?;
        let (from, to) = (ends.get(&spec.from, &spec.mask)?, ends.get(&spec.to, &spec.mask)?);
        let held = if spec.hold == spec.to { to } else { from };
        let moving = |i: usize, ranges| {
            let [from, to, held] = [from, to, held].map(|end| end[i].shallow_clone());
            Moving { from, to, held, ranges }
        };
        Ok(Self { theta: moving(0, mask.theta_ranges(model)), buffers: moving(1, mask.buffer_ranges(model)) })
    }

    /// The parameter vector [P] at `alpha`, a new tensor; at 0 and 1 the moving part is exactly that of the ends.
    pub fn theta(&self, alpha: f64) -> Tensor {
        self.theta.at(alpha)
    }

    /// The buffer vector [B] at `alpha`, likewise: batch-norm statistics move where their whole layer moves.
    pub fn buffers(&self, alpha: f64) -> Tensor {
        self.buffers.at(alpha)
    }
}

impl Moving {
    /// The held vector, with (1 - alpha) * from + alpha * to where it moves.
    fn at(&self, alpha: f64) -> Tensor {
        let vector = self.held.copy();
        for range in &self.ranges {
            let part = |whole: &Tensor| whole.narrow(0, range.start as i64, range.len() as i64);
            // libtorch's lerp works from the nearer end, so alpha = 0 and alpha = 1 give the ends' very numbers.
            part(&vector).copy_(&part(&self.from).lerp(&part(&self.to), alpha));
        }
        vector
    }
}

fn check(spec: &LineSpec, model: &Description) -> Result<(), ProbeError> {
    let line = || spec.mask.clone();
    if spec.hold != spec.from && spec.hold != spec.to {
        let (hold, from, to) = (spec.hold.clone(), spec.from.clone(), spec.to.clone());
        return Err(ProbeError::Hold { line: line(), hold, from, to });
    }
    if spec.batch_norm == BatchNorm::None && model.has_batch_norm() {
        return Err(ProbeError::BatchNorm { line: line(), architecture: model.architecture });
    }
    if spec.batch_size == 0 {
        return Err(ProbeError::Zero { line: line(), what: "batch_size" });
    }
    if spec.subset == Some(0) {
        return Err(ProbeError::Zero { line: line(), what: "subset" });
    }
    Ok(())
}
