//! The evaluator for GPUs: line by line, the alphas of a line stacked into the batch.
//!
//! The idea: a GPU is kept busy by few large operations. Below the lowest layer that moves a line has one value for all of
//! its alphas; a layer that moves there is linear in its weights, so its results at the ends give those at all alphas as
//! blends; above, every operation works on all alphas at once ([`course`]). As many alphas are stacked as a budget of memory
//! allows, and fewer where memory turns out to be short ([`memory`]). Scores stay on the device until a line's split is done.
//!
//! All is done in libtorch's operators, each launched by itself: CUDA graphs, which would launch them together, are not to
//! be had through its Rust bindings. Lines whose batch norm takes its statistics anew at each alpha, and lines that are
//! looked at as a whole, are left to [`super::plain`].
//!
//! Invariants: the points are those of [`super::plain`], to rounding, on any device; findings are emitted in its order.

mod course;
mod memory;

use std::ops::Range;

use tch::{Device, Kind, Reduction, Tensor};
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::Description;

use self::course::{Alphas, Course};
use self::memory::{Footprint, in_stacks};
use super::line::resolve;
use super::{Finding, Line, LineTask, Point, ProbeError, Subject, plain};
use crate::Stop;
use crate::nn::Score;

/// Bytes that the values of stacked alphas may take: with batches of hundreds of images more keep no GPU busier.
pub const BUDGET: usize = 2 << 30;

/// Measures the points of `lines` that are not done: one line after another, its points together when all of them are
/// measured, then what is measured of the whole line, and its end.
///
/// # Errors
/// As [`plain::measure`].
pub fn measure(
    subject: &Subject,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    measure_within(BUDGET, subject, lines, emit)
}

/// The same with stacks whose values are estimated to take no more than `budget` bytes; one alpha at a time where one takes
/// more. What is computed once for all alphas, and libtorch's own workspaces, come on top.
///
/// # Errors
/// As [`plain::measure`].
pub fn measure_within(
    budget: usize,
    subject: &Subject,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    // Restores the mode when dropped, also by a panic.
    let _no_grad = tch::no_grad_guard();
    let mut budget = budget;
    let resolved = resolve(subject, lines)?;
    for (number, (task, line)) in lines.iter().zip(&resolved).enumerate() {
        if !can_be_stacked(&task.spec, subject.model.description()) {
            plain::measure_line(subject, number, task, line, emit)?;
            continue;
        }
        for point in points(subject, number, task, line, &mut budget) {
            emit(Finding::Point(point))?;
        }
        for &measured in line.apart() {
            emit(Finding::Measure { line: number, measured })?;
        }
        emit(Finding::End { line: number })?;
    }
    Ok(())
}

/// True when nothing is asked of the line but points, and no statistics are taken anew at each.
fn can_be_stacked(spec: &LineSpec, model: &Description) -> bool {
    let by_buffers = matches!(spec.batch_norm, BatchNorm::None | BatchNorm::Interpolate) || !model.has_batch_norm();
    by_buffers && spec.measures.is_empty()
}

/// The points of a line that are not done, by alpha, at an alpha by split.
fn points(subject: &Subject, number: usize, task: &LineTask, line: &Line, budget: &mut usize) -> Vec<Point> {
    let spec = &task.spec;
    let course = Course::new(subject.model, line);
    let mut points = vec![];
    for &split in &spec.splits {
        let places = (0u32..).zip(task.alphas());
        let missing: Vec<(u32, f64)> = places.filter(|(index, _)| !task.done.contains(&(split, *index))).collect();
        let alphas: Vec<f64> = missing.iter().map(|(_, alpha)| *alpha).collect();
        let scores = scores(subject, spec, split, &course, &alphas, budget);
        points.extend(missing.into_iter().zip(scores).map(|((index, alpha), score)| {
            let Score { loss, accuracy, count } = score;
            Point { line: number, split, index, alpha, loss, accuracy, count }
        }));
    }
    points.sort_by_key(|point| point.index);
    points
}

/// Scores at `alphas`. Where memory turned out to be short, `budget` is afterwards what was enough.
fn scores(
    subject: &Subject,
    spec: &LineSpec,
    split: Split,
    course: &Course,
    alphas: &[f64],
    budget: &mut usize,
) -> Vec<Score> {
    if alphas.is_empty() {
        return vec![];
    }
    let footprint = Footprint::new(course);
    let mut sums = Sums::new(alphas.len(), subject.model.device());
    for range in plain::batches(subject.data, spec, split) {
        let (x, labels) = subject.data.batch(split, range.clone());
        let shared = course.shared(&x);
        let bytes = footprint.bytes(range.len());
        let estimated = (*budget / bytes).max(1);
        let mut most = estimated;
        let compute = |stack: Range<usize>| {
            let logits = course.logits(&shared, &Alphas::new(&alphas[stack], subject.model.device()));
            sums_of(&logits, &labels)
        };
        in_stacks(alphas.len(), &mut most, compute, |stack, (loss, right)| {
            let part = |sums: &Tensor| sums.narrow(0, stack.start as i64, stack.len() as i64);
            let _ = part(&sums.loss).g_add_(&loss);
            let _ = part(&sums.right).g_add_(&right);
        });
        sums.count += range.len() as u64;
        if most < estimated {
            *budget = most * bytes;
        }
    }
    sums.scores()
}

/// Cross-entropies in nats and right answers at each alpha, over all images, on the device.
struct Sums {
    /// f64 [A].
    loss: Tensor,
    /// i64 [A].
    right: Tensor,
    count: u64,
}

impl Sums {
    fn new(alphas: usize, device: Device) -> Self {
        let zeros = |kind| Tensor::zeros([alphas as i64], (kind, device));
        Self { loss: zeros(Kind::Double), right: zeros(Kind::Int64), count: 0 }
    }

    /// The means: the one place that waits for the device.
    fn scores(&self) -> Vec<Score> {
        let numbers = |sums: &Tensor| Vec::<f64>::try_from(sums.to_kind(Kind::Double)).expect("a vector of f64");
        let (count, all) = (self.count, self.count as f64);
        let score = |(loss, right): (f64, f64)| Score { loss: loss / all, accuracy: right / all, count };
        numbers(&self.loss).into_iter().zip(numbers(&self.right)).map(score).collect()
    }
}

/// Sums over a batch of cross-entropies, f64 [A], and right answers, i64 [A], of `logits` [A, N, classes] and `labels` [N];
/// in f64 as [`crate::nn::Tally`].
fn sums_of(logits: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
    let alphas = logits.size()[0];
    let logits = logits.flatten(0, 1).to_kind(Kind::Double);
    let labels = labels.repeat([alphas]);
    let loss = logits.cross_entropy_loss(&labels, None::<&Tensor>, Reduction::None, -100, 0.0);
    let right = logits.argmax(1, false).eq_tensor(&labels);
    let sum = |values: Tensor, kind| values.view([alphas, -1]).sum_dim_intlist([1i64].as_slice(), false, kind);
    (sum(loss, Kind::Double), sum(right, Kind::Int64))
}
