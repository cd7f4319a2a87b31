//! Which points of a group are left, and what is said of those that are done.

use std::collections::{BTreeMap, HashSet};

use tch::Tensor;
use transect_common::data::Split;
use transect_common::line::LineSpec;

use super::score::Sums;
use super::states::State;
use crate::Stop;
use crate::nn::Score;
use crate::probe::measures::{Along, Measured};
use crate::probe::{Finding, Line, LineTask, Point, ProbeError};

/// Hands something out.
type Emit<'e> = &'e mut dyn FnMut(Finding) -> Result<(), Stop>;

/// All lines of a group.
#[derive(Debug)]
pub(super) struct Progress<'g> {
    lines: Vec<Left<'g>>,
}

/// What is left of a line.
#[derive(Debug)]
struct Left<'g> {
    task: &'g LineTask,
    /// What is measured of it without images.
    apart: &'g [Measured],
    /// Points to evaluate: split, and index in the grid.
    points: HashSet<(Split, u32)>,
    /// What is measured of the logits of the whole line.
    whole: Vec<Whole>,
    is_ended: bool,
}

/// The logits along a line on one split, by index in the grid.
#[derive(Debug)]
struct Whole {
    split: Split,
    along: Along,
    labels: Option<Tensor>,
    logits: BTreeMap<u32, (Score, Vec<f32>)>,
}

impl<'g> Progress<'g> {
    /// Of `lines`, which were resolved.
    pub(super) fn new(lines: &'g [LineTask], resolved: &'g [Line]) -> Self {
        let left = |(task, line): (&'g LineTask, &'g Line)| {
            let spec = &task.spec;
            let whole =
                |&split: &Split| Whole { split, along: Along::new(spec, split), labels: None, logits: BTreeMap::new() };
            let whole: Vec<Whole> = spec.splits.iter().map(whole).collect();
            let points = whole.iter().flat_map(|whole| {
                let is_left = |(index, alpha): &(u32, f64)| {
                    !task.done.contains(&(whole.split, *index)) || whole.wants(task, *index, *alpha)
                };
                (0u32..).zip(task.alphas()).filter(is_left).map(|(index, _)| (whole.split, index))
            });
            Left { task, apart: line.apart(), points: points.collect(), whole, is_ended: false }
        };
        Self { lines: lines.iter().zip(resolved).map(left).collect() }
    }

    /// The states that are left of the lines that `choose` takes.
    pub(super) fn states(&self, choose: impl Fn(&LineSpec) -> bool) -> Vec<State> {
        let chosen = self.lines.iter().enumerate().filter(|(_, line)| choose(&line.task.spec));
        let states = chosen.flat_map(|(number, line)| {
            let indices: HashSet<u32> = line.points.iter().map(|(_, index)| *index).collect();
            let wanted = (0u32..).zip(line.task.alphas()).filter(move |(index, _)| indices.contains(index));
            wanted.map(move |(index, alpha)| State::new(number, index, alpha))
        });
        states.collect()
    }

    /// True when `state` is left to evaluate on `split`.
    pub(super) fn needs(&self, state: State, split: Split) -> bool {
        self.lines[state.line].points.contains(&(split, state.index))
    }

    /// True for a line of whose logits something is measured as a whole.
    pub(super) fn looks_at_whole(&self, line: usize) -> bool {
        !self.lines[line].task.spec.measures.is_empty()
    }

    /// Takes what was measured at `state` on `split`, with the labels of all images [N], and emits the point if it was not
    /// done before.
    pub(super) fn measured(
        &mut self,
        state: State,
        split: Split,
        sums: Sums,
        labels: &Tensor,
        emit: Emit,
    ) -> Result<(), ProbeError> {
        let line = &mut self.lines[state.line];
        let (alpha, score) = (state.alpha(), sums.score());
        line.points.remove(&(split, state.index));
        let wants = |whole: &&mut Whole| whole.split == split && whole.wants(line.task, state.index, alpha);
        if let Some(whole) = line.whole.iter_mut().find(wants) {
            whole.labels.get_or_insert_with(|| labels.shallow_clone());
            whole.logits.insert(state.index, (score, sums.logits));
        }
        if line.task.done.contains(&(split, state.index)) {
            return Ok(());
        }
        let Score { loss, accuracy, count } = score;
        let point = Point { line: state.line, split, index: state.index, alpha, loss, accuracy, count };
        Ok(emit(Finding::Point(point))?)
    }

    /// Says of every line that has come to its end what is measured of the whole of it.
    pub(super) fn end_lines(&mut self, emit: Emit) -> Result<(), ProbeError> {
        for (number, line) in self.lines.iter_mut().enumerate() {
            if !line.points.is_empty() || std::mem::replace(&mut line.is_ended, true) {
                continue;
            }
            let of_logits = line.whole.iter_mut().flat_map(|whole| whole.measured(&line.task.spec));
            for measured in line.apart.iter().copied().chain(of_logits) {
                emit(Finding::Measure { line: number, measured })?;
            }
            emit(Finding::End { line: number })?;
        }
        Ok(())
    }
}

impl Whole {
    /// True when the logits at `alpha`, the task's `index`, are needed: what is measured of whole lines is measured of the grid.
    fn wants(&self, task: &LineTask, index: u32, alpha: f64) -> bool {
        (index as usize) < task.spec.alphas.len() && self.along.wants(alpha)
    }

    fn measured(&mut self, spec: &LineSpec) -> Vec<Measured> {
        for (index, (score, logits)) in std::mem::take(&mut self.logits) {
            let labels = self.labels.as_ref().expect("labels come with logits");
            let logits = Tensor::from_slice(&logits).view([score.count as i64, -1]);
            self.along.add(spec.alphas[index as usize], &score, &logits, labels);
        }
        self.along.measured()
    }
}
