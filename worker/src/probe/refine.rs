//! Lines whose grids are refined: rounds of measuring above any evaluator.
//!
//! The first round measures the grid, and whatever is asked of whole lines. After it [`Curves::next`] says which further
//! alphas a line needs; all lines' further alphas are measured together in the next round, until no line needs any. What a
//! line needs follows from its losses alone, so an interrupted one, told what it has, goes on as if it had not been.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::data::Split;
use transect_common::line::LineSpec;
use transect_common::refine::{Curves, Refine};

use super::{Finding, LineTask, MeasureName, Measured, Point, ProbeError};
use crate::Stop;

/// Takes findings as they come.
pub type Emit<'e> = &'e mut dyn FnMut(Finding) -> Result<(), Stop>;

/// An evaluator, [`super::measure`] say, of lines of one subject.
pub type Evaluate<'e> = &'e mut dyn FnMut(&[LineTask], Emit) -> Result<(), ProbeError>;

/// Alpha and loss of the points that a line has, by split and index.
pub type Known = BTreeMap<(Split, u32), (f64, f64)>;

/// Measures `lines` with `evaluate`, refines the grids of those that ask for it, and emits what is found as it is found.
/// `known` holds, for each line, alpha and loss of the points in [`LineTask::done`]; only refined lines need it.
///
/// Of a refined line it then emits [`MeasureName::RefinePoints`] and, where its losses say so much,
/// [`MeasureName::RefineError`] and [`MeasureName::RefineUniform`], before its end.
///
/// # Errors
/// Those of `evaluate`.
pub fn measure(evaluate: Evaluate, lines: &[LineTask], known: &[Known], emit: Emit) -> Result<(), ProbeError> {
    let numbered = lines.iter().zip(known).enumerate();
    let mut refined: Vec<Refined> =
        numbered.filter_map(|(number, (task, known))| Refined::new(number, task, known)).collect();
    evaluate(lines, &mut |finding| {
        match finding {
            Finding::Point(point) => {
                if let Some(line) = refined.iter_mut().find(|line| line.number == point.line) {
                    line.know(&point);
                }
            }
            Finding::End { line } if refined.iter().any(|refined| refined.number == line) => return Ok(()),
            Finding::Measure { .. } | Finding::End { .. } => {}
        }
        emit(finding)
    })?;
    loop {
        let mut open = vec![];
        for mut line in refined {
            if line.extend() {
                open.push(line);
                continue;
            }
            let number = line.number;
            line.measured().try_for_each(|measured| emit(Finding::Measure { line: number, measured }))?;
            emit(Finding::End { line: number })?;
        }
        refined = open;
        let tasks: Vec<LineTask> = refined.iter().map(Refined::task).collect();
        if tasks.is_empty() {
            break;
        }
        evaluate(&tasks, &mut |finding| {
            // Whole lines were measured in the first round, and end when nothing is left to do.
            let Finding::Point(point) = finding else { return Ok(()) };
            let line = &mut refined[point.line];
            line.know(&point);
            emit(Finding::Point(Point { line: line.number, ..point }))
        })?;
    }
    Ok(())
}

/// A line between rounds.
#[derive(Debug)]
struct Refined {
    /// Its place in the group.
    number: usize,
    spec: LineSpec,
    refine: Refine,
    known: Known,
    /// Alphas beyond the grid, in the order in which they were chosen.
    further: Vec<f64>,
    /// Those that an earlier attempt chose and began to measure.
    begun: Vec<f64>,
}

impl Refined {
    fn new(number: usize, task: &LineTask, known: &Known) -> Option<Self> {
        let spec = task.spec.clone();
        let at = |index| spec.splits.iter().find_map(|&split| known.get(&(split, index)).map(|(alpha, _)| *alpha));
        let begun = (spec.alphas.len() as u32..).map_while(at).collect();
        Some(Self { number, refine: spec.refine?, spec, known: known.clone(), further: vec![], begun })
    }

    fn know(&mut self, point: &Point) {
        self.known.insert((point.split, point.index), (point.alpha, point.loss));
    }

    fn curves(&self) -> Curves {
        let alphas = (0u32..).zip(self.spec.alphas.iter().chain(&self.further));
        let losses = |index| -> Option<Vec<f64>> {
            self.spec.splits.iter().map(|&split| Some(self.known.get(&(split, index))?.1)).collect()
        };
        Curves::new(alphas.filter_map(|(index, &alpha)| Some((alpha, losses(index)?))).collect())
    }

    /// Chooses further alphas; false when none are needed.
    fn extend(&mut self) -> bool {
        let left = self.refine.budget.saturating_sub(self.further.len() as u32);
        let mut next = self.curves().next(&self.refine, left);
        let begun = self.begun.get(self.further.len()..).unwrap_or_default();
        // What was begun is kept even where another version of the rule chose it: its points are stored.
        if !begun.is_empty() && (next.is_empty() || begun.iter().zip(&next).any(|(a, b)| a.to_bits() != b.to_bits())) {
            next = begun.to_vec();
        }
        self.further.extend(&next);
        !next.is_empty()
    }

    /// The next round: its points without what is measured of whole lines.
    fn task(&self) -> LineTask {
        let spec = LineSpec { measures: BTreeSet::new(), ..self.spec.clone() };
        LineTask { spec, done: self.known.keys().copied().collect(), further: self.further.clone() }
    }

    /// What refining came to.
    fn measured(&self) -> impl Iterator<Item = Measured> {
        let (curves, count) = (self.curves(), self.spec.alphas.len() + self.further.len());
        let error = curves.error();
        let uniform = error.and_then(|error| curves.uniform(error));
        let all = [
            (MeasureName::RefinePoints, Some(count as f64)),
            (MeasureName::RefineError, error),
            (MeasureName::RefineUniform, uniform.map(f64::from)),
        ];
        all.into_iter().filter_map(|(name, value)| Some(Measured { name, split: None, value: value? }))
    }
}
