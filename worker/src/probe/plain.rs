//! The plain evaluator: line by line, alpha by alpha, split by split, batch by batch. The specification that anything
//! faster is held against.

use std::ops::Range;

use tch::Tensor;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};

use super::line::resolve;
use super::{Finding, Line, LineTask, Point, ProbeError, Subject, measures::Along};
use crate::Stop;
use crate::data::Data;
use crate::nn::{Model, Norm, Score, Tally};

/// Measures the points of `lines` that are not done, and emits each as soon as it is measured: one line after another,
/// along a line by alpha, further alphas last, at an alpha by split; then what is measured of the whole line, and its end.
///
/// What is measured of the logits of a whole line needs every point of its grid in [0, 1]: those that are done are then
/// evaluated again, and not emitted.
///
/// # Errors
/// When a line does not fit the model, the checkpoints or the data, before anything is measured; and when `emit` asks to
/// stop.
pub fn measure(
    subject: &Subject,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    // Restores the mode when dropped, also by a panic.
    let _no_grad = tch::no_grad_guard();
    let resolved = resolve(subject, lines)?;
    for (number, (task, line)) in lines.iter().zip(&resolved).enumerate() {
        measure_line(subject, number, task, line, emit)?;
    }
    Ok(())
}

/// Measures line `number` of a group. Call it with gradients off.
pub(super) fn measure_line(
    subject: &Subject,
    number: usize,
    task: &LineTask,
    line: &Line,
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let Subject { model, data, .. } = *subject;
    let spec = &task.spec;
    let mut along: Vec<(Split, Along)> = spec.splits.iter().map(|&split| (split, Along::new(spec, split))).collect();
    for (index, alpha) in (0u32..).zip(task.alphas()) {
        let is_on_grid = (index as usize) < spec.alphas.len();
        let is_missing = |split| !task.done.contains(&(split, index));
        let mut state = None;
        for (split, along) in
            along.iter_mut().filter(|(split, along)| is_missing(*split) || (is_on_grid && along.wants(alpha)))
        {
            let state = state.get_or_insert_with(|| state_at(model, data, spec, line, alpha));
            let (score, logits, labels) = evaluate(model, data, spec, *split, state);
            if is_on_grid && along.wants(alpha) {
                along.add(alpha, &score, &logits, &labels);
            }
            if is_missing(*split) {
                let (split, Score { loss, accuracy, count }) = (*split, score);
                emit(Finding::Point(Point { line: number, split, index, alpha, loss, accuracy, count }))?;
            }
        }
    }
    for measured in line.apart().iter().copied().chain(along.iter().flat_map(|(_, along)| along.measured())) {
        emit(Finding::Measure { line: number, measured })?;
    }
    emit(Finding::End { line: number })
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

/// Score, logits [N, classes] and labels [N] of the line's images of `split`.
fn evaluate(
    model: &Model,
    data: &Data,
    spec: &LineSpec,
    split: Split,
    (theta, buffers, norm): &(Tensor, Tensor, Norm),
) -> (Score, Tensor, Tensor) {
    let mut tally = Tally::new(model.device());
    let (mut all_logits, mut all_labels) = (vec![], vec![]);
    for range in batches(data, spec, split) {
        let (x, labels) = data.batch(split, range);
        let logits = model.forward(theta, buffers, &x, *norm);
        tally.add(&logits, &labels);
        all_logits.push(logits);
        all_labels.push(labels);
    }
    (tally.score(), Tensor::cat(&all_logits, 0), Tensor::cat(&all_labels, 0))
}

/// Number of images of `split` that the line is measured on: the first so many.
fn images(data: &Data, spec: &LineSpec, split: Split) -> usize {
    let all = data.len(split);
    spec.subset.map_or(all, |subset| all.min(subset as usize))
}

/// They in batches of the line's size; the last takes what is left.
pub(super) fn batches(data: &Data, spec: &LineSpec, split: Split) -> impl Iterator<Item = Range<usize>> {
    let (images, size) = (images(data, spec, split), spec.batch_size as usize);
    (0..images).step_by(size).map(move |start| start..images.min(start + size))
}
