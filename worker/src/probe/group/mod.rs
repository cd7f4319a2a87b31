//! The group evaluator: all lines of a run together, each thing computed once.
//!
//! The idea: a point is a state of the model, a state gives each parameter a version (that of an end, or one between two),
//! and a value is named by its operation, the values that it reads and the versions of its parameters ([`plan`]). Values of
//! one name are computed once for all points of all lines. A layer is linear in its weights, so where it moves and what it
//! reads does not, its result between the ends is a blend of its results at the ends. All else is arithmetic
//! ([`crate::kernel`]) and cutting the images into batches ([`pass`]).
//!
//! Invariants: the points are those of [`super::plain`], to rounding. A point's bytes depend on its line, its alpha, its
//! split and the batch size where batch norm normalises by batches; not on the other points, the number of threads, or the
//! processor's vectors.

mod compute;
pub(super) mod network;
mod pass;
mod plan;
mod prepared;
mod progress;
mod score;
mod states;

use std::collections::{BTreeSet, HashMap};

use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::Description;

use self::network::Network;
pub use self::network::products;
use self::pass::{Images, Size, pass};
use self::plan::{BatchStatistics, Estimates, Form, Plan, Planner, ValueId, packed_bytes};
use self::progress::Progress;
use self::score::{Scores, Sums};
use self::states::{Courses, State};
use super::line::resolve;
use super::{Finding, LineTask, ProbeError, Subject};
use crate::Stop;
use crate::kernel;

/// Bytes that the packed weights of a set of states may take, where two networks' take less.
const WEIGHTS: usize = 512 << 20;
/// Operations that a set may take, so that points are handed out: some ten seconds' worth on two cores.
const WORK: f64 = 1.5e12;

/// Measures the points of `lines` that are not done: all lines together, in sets of points that are emitted as they are
/// done; what is measured of a whole line, and its end, follow its last point.
///
/// # Errors
/// As [`super::plain::measure`].
pub fn measure(
    subject: &Subject,
    lines: &[LineTask],
    emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
) -> Result<(), ProbeError> {
    // Restores the mode when dropped, also by a panic.
    let _no_grad = tch::no_grad_guard();
    let resolved = resolve(subject, lines)?;
    let courses = Courses::new(subject.model.description(), &resolved);
    let threads = tch::get_num_threads().max(1) as usize;
    let mut progress = Progress::new(lines, &resolved);
    progress.end_lines(emit)?;
    let families: BTreeSet<Family> = lines.iter().map(|line| Family::of(&line.spec, courses.model)).collect();
    for family in families {
        let evaluator = Evaluator::new(subject, &courses, family, threads);
        for states in evaluator.sets(&progress) {
            evaluator.measure(&states, &mut progress, emit)?;
        }
    }
    Ok(())
}

/// Multiplications and additions that measuring all points of `lines` takes, for all images of their splits together; for
/// benchmarks. Estimates of batch norm's statistics are left out.
///
/// # Errors
/// As [`measure`].
pub fn operations(subject: &Subject, lines: &[LineTask]) -> Result<f64, ProbeError> {
    let resolved = resolve(subject, lines)?;
    let courses = Courses::new(subject.model.description(), &resolved);
    let progress = Progress::new(lines, &resolved);
    let families: BTreeSet<Family> = lines.iter().map(|line| Family::of(&line.spec, courses.model)).collect();
    let mut all = 0.0;
    for family in families {
        let evaluator = Evaluator::new(subject, &courses, family, 1);
        for states in evaluator.sets(&progress) {
            for split in Split::ALL {
                let mut planner = evaluator.planner(BatchStatistics::Buffers);
                states.iter().filter(|state| progress.needs(**state, split)).for_each(|state| {
                    planner.logits(*state);
                });
                all += planner.operations() * evaluator.images(split).count as f64;
            }
        }
    }
    Ok(all)
}

/// What lines must have in common to be measured in one pass over the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Family {
    /// The first so many images of each split; all for none.
    subset: Option<u32>,
    mode: Mode,
    /// Where batch norm normalises by batches; 0 elsewhere.
    batch_size: u32,
}

/// What is done about batch norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Mode {
    /// Its statistics are those of the line's buffers, or there is none.
    Buffers,
    Batch,
    Recalibrate,
}

impl Family {
    fn of(spec: &LineSpec, model: &Description) -> Self {
        let mode = match spec.batch_norm {
            BatchNorm::Batch if model.has_batch_norm() => Mode::Batch,
            BatchNorm::Recalibrate if model.has_batch_norm() => Mode::Recalibrate,
            _ => Mode::Buffers,
        };
        let batch_size = if mode == Mode::Buffers { 0 } else { spec.batch_size };
        Self { subset: spec.subset, mode, batch_size }
    }
}

/// Measures the lines of a family.
struct Evaluator<'e> {
    subject: &'e Subject<'e>,
    courses: &'e Courses<'e>,
    family: Family,
    /// With batch norm folded into the units before it, and with batch norm by itself.
    folded: Network,
    apart: Network,
    threads: usize,
}

impl<'e> Evaluator<'e> {
    fn new(subject: &'e Subject<'e>, courses: &'e Courses<'e>, family: Family, threads: usize) -> Self {
        let [folded, apart] = [true, false].map(|fold| Network::new(courses.model, fold));
        Self { subject, courses, family, folded, apart, threads }
    }

    /// The states that are left of `lines`, in sets that are measured together.
    ///
    /// In a set come first those whose lowest moving unit is the lowest: then of the held network only what later lines
    /// need has to be kept. The held network itself comes last.
    fn sets(&self, progress: &Progress) -> Vec<Vec<State>> {
        let network = self.network();
        let mut states = progress.states(|spec| Family::of(spec, self.courses.model) == self.family);
        let lowest = |state: &State| {
            let moving = self.courses.moving(state.line, network);
            let own = moving.iter().position(|moving| moving.own);
            // Where whole lines are looked at, lines must come to their end.
            let line = if progress.looks_at_whole(state.line) { (0, state.line) } else { (1, 0) };
            let is_held = line.0 == 1 && self.courses.is_held(*state);
            (line, own.filter(|_| !is_held).unwrap_or(usize::MAX), state.line, state.index)
        };
        states.sort_by_cached_key(lowest);
        let images: usize = Split::ALL.iter().map(|&split| self.images(split).count).sum();
        // The held network and each layer's other end stay within two networks, two points of a whole line do not.
        let most = WEIGHTS.max(2 * network.units.iter().map(|unit| packed_bytes(unit, Form::Whole)).sum::<usize>());
        let mut sets = vec![];
        let mut planner = self.planner(BatchStatistics::Buffers);
        let mut set: Vec<State> = vec![];
        for state in states {
            planner.logits(state);
            let is_full = planner.weight_bytes() >= most || planner.operations() * images as f64 > WORK;
            let is_apart = set.last().is_some_and(|last| {
                last.line != state.line && (progress.looks_at_whole(last.line) || progress.looks_at_whole(state.line))
            });
            if !set.is_empty() && (is_full || is_apart) {
                sets.push(std::mem::take(&mut set));
                planner = self.planner(BatchStatistics::Buffers);
                planner.logits(state);
            }
            set.push(state);
        }
        sets.extend(Some(set).filter(|set| !set.is_empty()));
        sets
    }

    fn network(&self) -> &Network {
        if self.family.mode == Mode::Batch { &self.apart } else { &self.folded }
    }

    fn planner<'p>(&'p self, statistics: BatchStatistics<'p>) -> Planner<'p> {
        let network = if matches!(statistics, BatchStatistics::Batch) { &self.apart } else { self.network() };
        Planner::new(self.courses, network, statistics)
    }

    fn images(&self, split: Split) -> Images<'e> {
        let data = self.subject.data;
        let count = self.family.subset.map_or(data.len(split), |subset| data.len(split).min(subset as usize));
        Images { data, split, count }
    }

    /// Measures a set of states on every split where they are not measured yet.
    fn measure(
        &self,
        states: &[State],
        progress: &mut Progress,
        emit: &mut dyn FnMut(Finding) -> Result<(), Stop>,
    ) -> Result<(), ProbeError> {
        let estimates = match self.family.mode {
            Mode::Recalibrate => self.estimates(states),
            Mode::Buffers | Mode::Batch => Estimates::default(),
        };
        let (statistics, size) = match self.family.mode {
            Mode::Buffers => (BatchStatistics::Buffers, Size::Free),
            Mode::Recalibrate => (BatchStatistics::Estimated(&estimates), Size::Free),
            Mode::Batch => (BatchStatistics::Batch, Size::Fixed(self.family.batch_size as usize)),
        };
        let mut planned: Option<(Vec<State>, Plan)> = None;
        for split in Split::ALL {
            let states: Vec<State> = states.iter().copied().filter(|&state| progress.needs(state, split)).collect();
            if states.is_empty() {
                continue;
            }
            // Both splits nearly always need the same.
            let (_, plan) = match planned.take().filter(|(known, _)| *known == states) {
                Some(known) => planned.insert(known),
                None => planned.insert((states.clone(), self.plan(&states, statistics))),
            };
            let images = self.images(split);
            let keep: Vec<bool> = states.iter().map(|state| progress.looks_at_whole(state.line)).collect();
            let mut sums: Vec<Sums> = states.iter().map(|_| Sums::default()).collect();
            let reduce = |root: usize, logits: &[f32], labels: &[i64]| Scores::new(logits, labels, keep[root]);
            pass(plan, images, size, self.threads, reduce, |scores| {
                sums.iter_mut().zip(scores).for_each(|(sum, scores)| sum.add(scores));
            });
            let labels = images.data.labels(split, 0..images.count);
            for (state, sums) in states.iter().zip(sums) {
                progress.measured(*state, split, sums, &labels, emit)?;
            }
        }
        progress.end_lines(emit)
    }

    fn plan<'p>(&'p self, states: &[State], statistics: BatchStatistics<'p>) -> Plan<'p> {
        let mut planner = self.planner(statistics);
        let roots: Vec<ValueId> = states.iter().map(|&state| planner.logits(state)).collect();
        planner.plan(&roots)
    }

    /// Batch norm's statistics at each state: the mean over batches of the training images of each batch's mean and
    /// unbiased variance.
    fn estimates(&self, states: &[State]) -> Estimates {
        let mut planner = self.planner(BatchStatistics::Batch);
        let mut estimates = Estimates::default();
        let (mut roots, mut channels, mut known) = (vec![], vec![], HashMap::new());
        for &state in states {
            for (layer, value) in planner.normalised(state) {
                let place = *known.entry((layer, value)).or_insert_with(|| {
                    roots.push(value);
                    channels.push(self.courses.model.buffers[self.courses.model.layers[layer].buffers.start].len);
                    roots.len() - 1
                });
                estimates.places.insert((state, layer), place);
            }
        }
        let plan = planner.plan(&roots);
        let reduce = |root: usize, x: &[f32], _: &[i64]| {
            let (mean, mut var) = kernel::moments(x, channels[root]);
            let count = (x.len() / channels[root]) as f64;
            for var in &mut var {
                *var *= count / (count - 1.0);
            }
            (mean, var)
        };
        estimates.statistics = channels.iter().map(|&c| (vec![0.0; c], vec![0.0; c])).collect();
        let mut batches = 0.0;
        let images = self.images(Split::Train);
        pass(&plan, images, Size::Fixed(self.family.batch_size as usize), self.threads, reduce, |moments| {
            batches += 1.0;
            for ((mean, var), (more_mean, more_var)) in estimates.statistics.iter_mut().zip(moments) {
                mean.iter_mut().zip(more_mean).for_each(|(sum, more)| *sum += more);
                var.iter_mut().zip(more_var).for_each(|(sum, more)| *sum += more);
            }
        });
        for (mean, var) in &mut estimates.statistics {
            mean.iter_mut().chain(var).for_each(|sum| *sum /= batches);
        }
        estimates
    }
}
