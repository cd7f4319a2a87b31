//! The plain evaluator: line by line, alpha by alpha, split by split, batch by batch. The specification that anything
//! faster is held against.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::Tensor;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::run::Tag;

use super::{Ends, Line, LineTask, Point, ProbeError};
use crate::Stop;
use crate::data::Data;
use crate::nn::{Model, Norm, Score, Tally};

/// Measures the points of `lines` that are not done, and emits each as soon as it is measured: one line after another,
/// along a line by alpha, at an alpha by split.
///
/// # Errors
/// When a line does not fit the model, the checkpoints or the data, before anything is measured; and when `emit` asks to
/// stop.
pub fn measure(
    model: &Model,
    data: &Data,
    checkpoints: &BTreeMap<Tag, Checkpoint>,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Point) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    // Restores the mode when dropped, also by a panic.
    let _no_grad = tch::no_grad_guard();
    let ends = Ends::new(checkpoints, model.description(), model.device())?;
    let resolve = |task: &LineTask| {
        no_split_is_empty(&task.spec, data)?;
        Line::new(&task.spec, model.description(), &ends)
    };
    let resolved: Vec<Line> = lines.iter().map(resolve).collect::<Result<_, _>>()?;
    for (number, (task, line)) in lines.iter().zip(&resolved).enumerate() {
        let spec = &task.spec;
        for (index, &alpha) in (0u32..).zip(&spec.alphas) {
            let missing: Vec<Split> =
                spec.splits.iter().copied().filter(|&split| !task.done.contains(&(split, index))).collect();
            if missing.is_empty() {
                continue;
            }
            let (theta, buffers, norm) = state_at(model, data, spec, line, alpha);
            for split in missing {
                let Score { loss, accuracy, count } = evaluate(model, data, spec, split, &theta, &buffers, norm);
                emit(Point { line: number, split, index, alpha, loss, accuracy, count })?;
            }
        }
    }
    Ok(())
}

/// Theta, buffers and the use of batch norm at a point.
fn state_at(model: &Model, data: &Data, spec: &LineSpec, line: &Line, alpha: f64) -> (Tensor, Tensor, Norm) {
    let (theta, mut buffers) = (line.theta(alpha), line.buffers(alpha));
    match spec.batch_norm {
        BatchNorm::None | BatchNorm::Interpolate => (theta, buffers, Norm::Running),
        BatchNorm::Batch => (theta, buffers, Norm::Batch),
        BatchNorm::Recalibrate => {
            // The first batch replaces whatever the buffers hold, which must be finite for that.
            let _ = buffers.zero_();
            for (seen, range) in (0u32..).zip(batches(data, spec, Split::Train)) {
                let (x, _) = data.batch(Split::Train, range);
                let _ = model.forward(&theta, &buffers, &x, Norm::Average { seen });
            }
            (theta, buffers, Norm::Running)
        }
    }
}

/// Loss and accuracy over the line's images of `split`.
fn evaluate(
    model: &Model,
    data: &Data,
    spec: &LineSpec,
    split: Split,
    theta: &Tensor,
    buffers: &Tensor,
    norm: Norm,
) -> Score {
    let mut tally = Tally::new(model.device());
    for range in batches(data, spec, split) {
        let (x, labels) = data.batch(split, range);
        tally.add(&model.forward(theta, buffers, &x, norm), &labels);
    }
    tally.score()
}

/// Number of images of `split` that the line is measured on: the first so many.
fn images(data: &Data, spec: &LineSpec, split: Split) -> usize {
    let all = data.len(split);
    spec.subset.map_or(all, |subset| all.min(subset as usize))
}

/// They in batches of the line's size; the last takes what is left.
fn batches(data: &Data, spec: &LineSpec, split: Split) -> impl Iterator<Item = Range<usize>> {
    let (images, size) = (images(data, spec, split), spec.batch_size as usize);
    (0..images).step_by(size).map(move |start| start..images.min(start + size))
}

/// Every split that is evaluated, and the training images that statistics are estimated on, must have images.
fn no_split_is_empty(spec: &LineSpec, data: &Data) -> Result<(), ProbeError> {
    let statistics = (spec.batch_norm == BatchNorm::Recalibrate).then_some(Split::Train);
    match spec.splits.iter().copied().chain(statistics).find(|&split| data.len(split) == 0) {
        Some(empty) => Err(ProbeError::NoImages(empty)),
        None => Ok(()),
    }
}
