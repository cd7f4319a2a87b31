//! The straight line between two states of a model: the state at any alpha.

use std::ops::Range;

use tch::{Device, Kind, Tensor};
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec, Normalize};
use transect_common::mask::Mask;
use transect_common::model::Description;
use transect_common::run::Tag;

use super::{Ends, LineTask, MeasureName, Measured, ProbeError, Subject};
use crate::data::Data;
use crate::host::numbers;
use crate::kernel::apart;
use crate::openmp::for_each;

/// Numbers of a vector that are added up by themselves, whatever the number of threads.
const PIECE: usize = 1 << 20;

/// A line on a device.
#[derive(Debug)]
pub struct Line {
    theta: Moving,
    buffers: Moving,
    apart: Vec<Measured>,
}

/// A vector of which some ranges move from one end to the other while the rest is held.
#[derive(Debug)]
struct Moving {
    from: Tensor,
    to: Tensor,
    held: Tensor,
    ranges: Vec<Range<usize>>,
}

/// Resolves the lines of a group.
///
/// # Errors
/// When one of them does not fit the model, the checkpoints or the data.
pub(super) fn resolve(subject: &Subject, lines: &[LineTask]) -> Result<Vec<Line>, ProbeError> {
    let ends = Ends::new(subject, lines)?;
    let one = |task: &LineTask| {
        no_split_is_empty(&task.spec, subject.data)?;
        Line::new(&task.spec, subject.model.description(), &ends)
    };
    lines.iter().map(one).collect()
}

/// Every split that is evaluated, and the training images that statistics are estimated on, must have images.
fn no_split_is_empty(spec: &LineSpec, data: &Data) -> Result<(), ProbeError> {
    let statistics = (spec.batch_norm == BatchNorm::Recalibrate).then_some(Split::Train);
    match spec.splits.iter().copied().chain(statistics).find(|&split| data.len(split) == 0) {
        Some(empty) => Err(ProbeError::NoImages(empty)),
        None => Ok(()),
    }
}

impl Line {
    /// Resolves the line's mask and ends.
    ///
    /// # Errors
    /// When the line does not fit the model or the checkpoints.
    pub fn new(spec: &LineSpec, model: &Description, ends: &Ends) -> Result<Self, ProbeError> {
        check(spec, model)?;
        let mask = Mask::resolve(&spec.mask, model)?;
        let (from, to) = (ends.from(spec)?, ends.to(spec)?);
        let held = if spec.holds_to() { to } else { from };
        let moving = |i: usize, ranges| {
            let [from, to, held] = [from, to, held].map(|end| end[i].shallow_clone());
            Moving { from, to, held, ranges }
        };
        let mut theta = moving(0, mask.theta_ranges(model));
        let mut buffers = moving(1, mask.buffer_ranges(model));
        let apart = theta.apart();
        if spec.normalize == Normalize::Filter {
            theta.to = filter_normalised(model, &theta.from, &theta.to);
            buffers.to = buffers.from.shallow_clone();
        }
        Ok(Self { theta, buffers, apart })
    }

    /// The parameter vector [P] at `alpha`, a new tensor; at 0 and 1 the moving part is exactly that of the ends.
    pub fn theta(&self, alpha: f64) -> Tensor {
        self.theta.at(alpha)
    }

    /// The buffer vector [B] at `alpha`, likewise: batch-norm statistics move where their whole layer moves. On a line
    /// that is normalised by filters they rest at `from` there, as all of batch norm does.
    pub fn buffers(&self, alpha: f64) -> Tensor {
        self.buffers.at(alpha)
    }

    /// Its ends, and the state at which the rest is held: theta [P] and buffers [B] of each.
    pub(super) fn states(&self) -> [[&Tensor; 2]; 3] {
        let Self { theta, buffers, .. } = self;
        [[&theta.from, &buffers.from], [&theta.to, &buffers.to], [&theta.held, &buffers.held]]
    }

    /// For each parameter of `model` whether it moves, and for each layer whether its running statistics do.
    pub(super) fn moving(&self, model: &Description) -> (Vec<bool>, Vec<bool>) {
        let within = |ranges: &[Range<usize>], place: usize| ranges.iter().any(|range| range.contains(&place));
        let parameters = model.parameters.iter().map(|p| within(&self.theta.ranges, p.offset)).collect();
        let statistics = model.layers.iter().map(|layer| {
            let first = layer.buffers.clone().next();
            first.is_some_and(|first| within(&self.buffers.ranges, model.buffers[first].offset))
        });
        (parameters, statistics.collect())
    }

    /// How far its ends lie apart, before the direction is normalised: `distance`, and `distance-relative` and `cosine`
    /// where no end is 0.
    pub fn apart(&self) -> &[Measured] {
        &self.apart
    }
}

impl Moving {
    /// The held vector, with (1 - alpha) * from + alpha * to where it moves.
    fn at(&self, alpha: f64) -> Tensor {
        let vector = self.held.copy();
        for range in &self.ranges {
            // libtorch's lerp works from the nearer end, so alpha = 0 and alpha = 1 give the ends' very numbers.
            part(&vector, range).copy_(&part(&self.from, range).lerp(&part(&self.to, range), alpha));
        }
        vector
    }

    /// In one pass: ends may be large, and in f64 twice that.
    fn apart(&self) -> Vec<Measured> {
        let mut sums = [0.0; 4];
        for range in &self.ranges {
            let [from, to] = [&self.from, &self.to].map(|end| part(end, range).to_device(Device::Cpu).contiguous());
            let (from, to) = (numbers(&from).chunks(PIECE), numbers(&to).chunks(PIECE));
            let mut pieces: Vec<[f64; 4]> = vec![[0.0; 4]; from.len()];
            for_each(pieces.iter_mut().zip(from.zip(to)), |(sums, (from, to))| apart(from, to, sums));
            for piece in pieces {
                sums.iter_mut().zip(piece).for_each(|(sum, more)| *sum += more);
            }
        }
        let [distance, from_norm, to_norm, dot] = sums;
        let (distance, from_norm, to_norm) = (distance.sqrt(), from_norm.sqrt(), to_norm.sqrt());
        [
            (MeasureName::Distance, distance),
            (MeasureName::DistanceRelative, distance / from_norm),
            (MeasureName::Cosine, dot / (from_norm * to_norm)),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_finite())
        .map(|(name, value)| Measured { name, split: None, value })
        .collect()
    }
}

fn part(vector: &Tensor, range: &Range<usize>) -> Tensor {
    vector.narrow(0, range.start as i64, range.len() as i64)
}

/// Where a line from `from` [P] toward `to` [P] is at alpha = 1 when each filter of its direction is given the norm of the
/// same filter of `from` (Li et al. 2018, arXiv 1712.09913, section 4): d_i |from_i| / |d_i|, in f64. A filter is a row by
/// the first axis. Filters that are 0 at `from` or do not change, and parameters of one axis, do not move.
fn filter_normalised(model: &Description, from: &Tensor, to: &Tensor) -> Tensor {
    let end = from.copy();
    for parameter in model.parameters.iter().filter(|parameter| parameter.shape.len() > 1) {
        let range = parameter.offset..parameter.offset + parameter.len;
        let filters = |vector| part(vector, &range).to_kind(Kind::Double).view([i64::from(parameter.shape[0]), -1]);
        let (start, direction) = (filters(from), filters(to) - filters(from));
        let norm = |rows: &Tensor| rows.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Double).sqrt();
        let scale = (norm(&start) / norm(&direction)).nan_to_num(0.0, 0.0, 0.0);
        part(&end, &range).copy_(&(start + direction * scale).flatten(0, -1));
    }
    end
}

fn check(spec: &LineSpec, model: &Description) -> Result<(), ProbeError> {
    let line = || spec.mask.clone();
    let ends = match spec.elsewhere {
        Some(_) => ["from", "to"].map(|word| word.parse::<Tag>().expect("a word")),
        None => [spec.from.clone(), spec.to.clone()],
    };
    if !ends.contains(&spec.hold) {
        let [from, to] = ends;
        return Err(ProbeError::Hold { line: line(), hold: spec.hold.clone(), from, to });
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
