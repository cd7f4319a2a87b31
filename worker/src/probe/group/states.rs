//! Which numbers each parameter has at each state: a point of a line.

use std::borrow::Cow;
use std::ops::Range;

use tch::Tensor;
use transect_common::model::Description;

use super::network::{Network, Unit};
use crate::host::numbers;
use crate::kernel::lerp;
use crate::probe::Line;

/// Names the numbers of a parameter, or of a layer's running statistics. Equal names, equal numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Version {
    /// Those of an end.
    End(usize),
    /// Those between two ends.
    Between {
        /// The end at alpha = 0.
        from: usize,
        /// The end at alpha = 1.
        to: usize,
        /// Bits of alpha, which is neither 0 nor 1.
        alpha: u64,
    },
    /// Statistics that were estimated: index among those.
    Estimated(usize),
}

/// A point of a line, whatever the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Which of the group's lines.
    pub(super) line: usize,
    /// Index in the line's grid.
    pub(super) index: u32,
    /// Bits of alpha.
    alpha: u64,
}

impl State {
    /// The point of `line` at `alpha`, the grid's `index`.
    pub(super) fn new(line: usize, index: u32, alpha: f64) -> Self {
        // One name for 0.
        Self { line, index, alpha: (alpha + 0.0).to_bits() }
    }

    /// Where on the line.
    pub(super) fn alpha(self) -> f64 {
        f64::from_bits(self.alpha)
    }
}

/// Theta and buffers at an end.
#[derive(Debug)]
struct End<'m> {
    theta: &'m [f32],
    buffers: &'m [f32],
}

/// What of a model moves along a line.
#[derive(Debug)]
pub(super) struct Course {
    from: usize,
    to: usize,
    held: usize,
    /// For each parameter.
    parameters: Vec<bool>,
    /// For each layer, its running statistics.
    statistics: Vec<bool>,
}

fn layers_of(unit: &Unit) -> impl Iterator<Item = usize> + use<> {
    unit.layer().into_iter().chain(unit.norm.map(|norm| norm.layer))
}

/// The lines of a group over the ends that they share.
#[derive(Debug)]
pub(super) struct Courses<'m> {
    pub(super) model: &'m Description,
    ends: Vec<End<'m>>,
    lines: Vec<Course>,
}

impl<'m> Courses<'m> {
    /// Of lines that were resolved, on a CPU.
    pub(super) fn new(model: &'m Description, lines: &'m [Line]) -> Self {
        let (mut ends, mut names) = (vec![], vec![]);
        let mut end = |state: [&'m Tensor; 2]| {
            // Lines share the tensors of the ends that they share.
            let name = state.map(Tensor::data_ptr);
            names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                let [theta, buffers] = state.map(numbers);
                ends.push(End { theta, buffers });
                ends.len() - 1
            })
        };
        let lines = lines.iter().map(|line| {
            let [from, to, held] = line.states().map(&mut end);
            let (parameters, statistics) = line.moving(model);
            Course { from, to, held, parameters, statistics }
        });
        let lines = lines.collect();
        Self { model, ends, lines }
    }

    /// For each unit of `network`, whether anything that moves along `line` lies below it, or within it.
    pub(super) fn moving(&self, line: usize, network: &Network) -> Vec<Moving> {
        let mut all: Vec<Moving> = Vec::with_capacity(network.units.len());
        for unit in &network.units {
            let input = unit.inputs.iter().any(|&input| all[input].result());
            let residual = unit.residual.is_some_and(|residual| all[residual].result());
            let own = layers_of(unit).any(|layer| self.moves(line, layer));
            all.push(Moving { input, residual, own });
        }
        all
    }

    fn moves(&self, line: usize, layer: usize) -> bool {
        let course = &self.lines[line];
        let own = &self.model.layers[layer];
        course.statistics[layer] || own.parameters.clone().any(|parameter| course.parameters[parameter])
    }

    /// True where `state` is the end at which its line is held.
    pub(super) fn is_held(&self, state: State) -> bool {
        let Course { from, to, held, .. } = self.lines[state.line];
        state.alpha() == 0.0 && from == held || state.alpha() == 1.0 && to == held
    }

    /// The numbers of `parameter` at `state`.
    pub(super) fn parameter(&self, state: State, parameter: usize) -> Version {
        self.version(state, |course| course.parameters[parameter])
    }

    /// The running statistics of `layer` at `state`, blended like its weights.
    pub(super) fn statistics(&self, state: State, layer: usize) -> Version {
        self.version(state, |course| course.statistics[layer])
    }

    fn version(&self, state: State, moves: impl Fn(&Course) -> bool) -> Version {
        let course = &self.lines[state.line];
        let Course { from, to, held, .. } = *course;
        match (moves(course), state.alpha()) {
            (false, _) => Version::End(held),
            (true, 0.0) => Version::End(from),
            (true, 1.0) => Version::End(to),
            (true, alpha) => Version::Between { from, to, alpha: alpha.to_bits() },
        }
    }

    /// The numbers that `version` names of the parameter vector's `range`.
    pub(super) fn theta(&self, version: Version, range: Range<usize>) -> Cow<'m, [f32]> {
        self.numbers(version, range, |end| end.theta)
    }

    /// Likewise of the buffer vector's.
    pub(super) fn buffers(&self, version: Version, range: Range<usize>) -> Cow<'m, [f32]> {
        self.numbers(version, range, |end| end.buffers)
    }

    fn numbers(&self, version: Version, range: Range<usize>, of: impl Fn(&End<'m>) -> &'m [f32]) -> Cow<'m, [f32]> {
        let at = |end: usize| &of(&self.ends[end])[range.clone()];
        match version {
            Version::End(end) => Cow::Borrowed(at(end)),
            Version::Between { from, to, alpha } => {
                let mut numbers = at(from).to_vec();
                lerp(&mut numbers, at(to), f64::from_bits(alpha) as f32);
                Cow::Owned(numbers)
            }
            Version::Estimated(_) => unreachable!("estimated statistics are no part of a checkpoint"),
        }
    }
}

/// What may differ from point to point of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moving {
    /// What the unit reads.
    pub(super) input: bool,
    /// What it adds.
    pub(super) residual: bool,
    /// Its own parameters.
    pub(super) own: bool,
}

impl Moving {
    fn result(self) -> bool {
        self.input || self.residual || self.own
    }
}
