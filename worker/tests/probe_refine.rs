//! What holds of lines whose grids are refined: rounds above an evaluator, interrupted anywhere.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]
#![expect(clippy::float_cmp, reason = "the same computation gives the same numbers")]

mod truth;

use std::collections::{BTreeMap, BTreeSet};

use tch::Device;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec, Measure};
use transect_common::model::ModelSpec;
use transect_common::refine::Refine;
use transect_common::run::Tag;
use transect_worker::Stop;
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::probe::refine::{self, Known};
use transect_worker::probe::{Finding, LineTask, Measured, Point, ProbeError, measure};
use truth::lines::{findings, measures, points, subject};
use truth::{formula, use_one_thread};

const GRID: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
const SPLITS: [Split; 2] = [Split::Train, Split::Test];

/// An evaluator without a network: the loss at alpha is `loss(line's mask, split, alpha)`, points come as from the plain one.
fn formula_evaluator(
    loss: impl Fn(&str, Split, f64) -> f64,
) -> impl FnMut(&[LineTask], refine::Emit) -> Result<(), ProbeError> {
    move |lines, emit| {
        for (line, task) in lines.iter().enumerate() {
            for (index, alpha) in (0..).zip(task.alphas()) {
                for split in task.spec.splits.iter().copied().filter(|split| !task.done.contains(&(*split, index))) {
                    let loss = loss(&task.spec.mask, split, alpha);
                    emit(Finding::Point(Point { line, split, index, alpha, loss, accuracy: 0.5, count: 7 }))?;
                }
            }
            emit(Finding::End { line })?;
        }
        Ok(())
    }
}

fn cliff(mask: &str, split: Split, alpha: f64) -> f64 {
    let place = if mask == "fc1" { 0.3 } else { 0.8 };
    let height = if split == Split::Train { 2.0 } else { 2.5 };
    height / (1.0 + (40.0 * (alpha - place)).exp())
}

fn line(mask: &str, refine: Option<Refine>) -> LineTask {
    let spec = LineSpec { batch_norm: BatchNorm::None, refine, ..LineSpec::new(mask, GRID.to_vec(), SPLITS.to_vec()) };
    LineTask::new(spec)
}

#[allow(clippy::unnecessary_wraps, reason = "as a line's specification has it")]
const fn within(budget: u32, tolerance: f64) -> Option<Refine> {
    Some(Refine { budget, tolerance })
}

/// What came of lines, some attempts long: the bits of every point, and everything that is no point.
#[derive(Debug, Default, PartialEq)]
struct Found {
    points: BTreeMap<(usize, Split, u32), [u64; 4]>,
    losses: Vec<Known>,
    rest: Vec<(usize, Option<Measured>)>,
}

impl Found {
    /// Goes on from what is found, for at most `most` points more; true when that was enough.
    fn attempt(&mut self, evaluate: refine::Evaluate, lines: &[LineTask], most: usize) -> bool {
        self.losses.resize(lines.len(), Known::new());
        let known = self.losses.clone();
        let done =
            |(task, known): (&LineTask, &Known)| LineTask { done: known.keys().copied().collect(), ..task.clone() };
        let tasks: Vec<LineTask> = lines.iter().zip(&known).map(done).collect();
        // What a line reports besides points is reported again by the attempt that ends it.
        self.rest.clear();
        let mut left = most;
        let ended = refine::measure(evaluate, &tasks, &known, &mut |finding| {
            match finding {
                Finding::Point(_) if left == 0 => return Err(Stop),
                Finding::Point(Point { line, split, index, alpha, loss, accuracy, count }) => {
                    left -= 1;
                    let bits = [alpha.to_bits(), loss.to_bits(), accuracy.to_bits(), count];
                    assert_eq!(self.points.insert((line, split, index), bits), None, "no point is measured twice");
                    self.losses[line].insert((split, index), (alpha, loss));
                }
                Finding::Measure { line, measured } => self.rest.push((line, Some(measured))),
                Finding::End { line } => self.rest.push((line, None)),
            }
            Ok(())
        });
        assert!(matches!(ended, Ok(()) | Err(ProbeError::Stopped(_))), "{ended:?}");
        ended.is_ok()
    }

    /// Alphas of a line on a split by index.
    fn alphas(&self, line: usize, split: Split) -> Vec<f64> {
        let all = self.losses[line].iter().filter(|((on, _), _)| *on == split);
        let (indices, alphas): (Vec<u32>, Vec<f64>) = all.map(|((_, index), (alpha, _))| (*index, *alpha)).unzip();
        assert!(indices.iter().copied().eq(0..indices.len() as u32), "without a gap");
        alphas
    }

    fn number(&self, line: usize, name: &str) -> Option<f64> {
        let own = self.rest.iter().filter(|(of, _)| *of == line).filter_map(|(_, measured)| *measured);
        own.filter(|measured| measured.name.name() == name).map(|measured| measured.value).next()
    }
}

fn whole(evaluate: refine::Evaluate, lines: &[LineTask]) -> Found {
    let mut found = Found::default();
    assert!(found.attempt(evaluate, lines, usize::MAX));
    found
}

#[test]
fn further_alphas_gather_where_the_curve_bends_on_every_split_alike() {
    let lines = [line("fc1", within(10, 0.02)), line("all", None), line("fc2", within(200, 0.02))];
    let found = whole(&mut formula_evaluator(cliff), &lines);
    assert_eq!(found.alphas(1, Split::Train), GRID, "a line that asks for no more");
    for (number, place) in [(0, 0.3), (2, 0.8)] {
        let alphas = found.alphas(number, Split::Train);
        assert_eq!(alphas[..5], GRID, "the grid comes first");
        assert_eq!(alphas, found.alphas(number, Split::Test));
        let near = alphas[5..].iter().filter(|alpha| (*alpha - place).abs() < 0.2).count();
        assert!(near * 3 > (alphas.len() - 5) * 2, "{alphas:?}");
        assert_eq!(found.number(number, "refine-points"), Some(alphas.len() as f64));
        let uniform = found.number(number, "refine-uniform").unwrap();
        assert!(uniform > 1.5 * alphas.len() as f64, "{} alphas instead of {uniform}", alphas.len());
        assert_eq!(found.rest.iter().rfind(|(line, _)| *line == number), Some(&(number, None)), "the end is last");
    }
    assert_eq!(found.alphas(0, Split::Test).len(), 15, "the budget is used up");
    assert!(found.number(2, "refine-error").unwrap() <= 0.02);
    assert_eq!(found.number(1, "refine-points"), None);
}

#[test]
fn a_line_interrupted_after_any_number_of_points_ends_in_the_same_bytes() {
    let lines = [line("fc1", within(9, 0.02)), line("all", None), line("fc2", within(12, 0.1))];
    let undisturbed = whole(&mut formula_evaluator(cliff), &lines);
    for most in 1..=undisturbed.points.len() {
        let mut found = Found::default();
        while !found.attempt(&mut formula_evaluator(cliff), &lines, most) {}
        assert_eq!(found.points, undisturbed.points, "{most} points an attempt");
        let of_line =
            |found: &Found, number| found.rest.iter().filter(|(line, _)| *line == number).copied().collect::<Vec<_>>();
        for number in [0, 2] {
            assert_eq!(of_line(&found, number), of_line(&undisturbed, number));
        }
    }
}

#[test]
fn what_another_version_chose_is_kept_and_gone_on_from() {
    let lines = [line("fc1", within(6, 0.02))];
    let mut found = Found::default();
    assert!(!found.attempt(&mut formula_evaluator(cliff), &lines, 10), "the grid");
    // Two alphas that this rule would not choose, the second half measured.
    for (split, index, alpha) in [(Split::Train, 5, 0.9), (Split::Test, 5, 0.9), (Split::Train, 6, 0.95)] {
        found.losses[0].insert((split, index), (alpha, cliff("fc1", split, alpha)));
    }
    assert!(found.attempt(&mut formula_evaluator(cliff), &lines, usize::MAX));
    let alphas = found.alphas(0, Split::Test);
    assert_eq!((alphas[5], alphas[6], alphas.len()), (0.9, 0.95, 11));
    assert_eq!(alphas, found.alphas(0, Split::Train));
    assert_eq!(alphas.iter().map(|alpha| alpha.to_bits()).collect::<BTreeSet<_>>().len(), 11, "each once");
}

#[test]
fn losses_that_are_no_numbers_end_the_line_all_the_same() {
    let lines = [line("fc1", within(30, 0.01)), line("fc2", within(30, 0.01))];
    let wild = |mask: &str, split, alpha| match mask {
        "fc2" => f64::NAN,
        _ if alpha > 0.6 => f64::INFINITY,
        _ => cliff(mask, split, alpha),
    };
    let found = whole(&mut formula_evaluator(wild), &lines);
    assert!(found.alphas(0, Split::Test)[5..].iter().all(|alpha| *alpha < 0.5));
    assert_eq!(found.number(1, "refine-points"), Some(5.0));
    assert_eq!((found.number(1, "refine-error"), found.number(1, "refine-uniform")), (None, None));
}

/// A network with its data and the line between two of its states.
fn network() -> (Model, Data, BTreeMap<Tag, Checkpoint>) {
    use_one_thread();
    let description = ModelSpec::mlp([6]).describe([1, 5, 5], 4).unwrap();
    let ends = BTreeMap::from([
        (Tag::init(), formula::checkpoint(&description, 1)),
        (Tag::last(), formula::checkpoint(&description, 2)),
    ]);
    let images = |seed, count: usize| Images {
        pixels: formula::bytes(seed, count * 25),
        labels: formula::labels(seed + 1, count, 4),
        shape: [1, 5, 5],
    };
    let data = Data::new(&images(3, 7), &images(5, 5), &[0.4], &[0.3], Device::Cpu);
    (Model::new(description, Device::Cpu), data, ends)
}

#[test]
fn with_a_network_a_further_alpha_is_a_point_like_any_other() {
    let (model, data, ends) = network();
    let subject = subject(&model, &data, &ends);
    let mut plain = |lines: &[LineTask], emit: refine::Emit| measure(&subject, lines, emit);
    let mut refined = line("all", within(6, 1e-6));
    refined.spec.measures = [Measure::GaussLength, Measure::Ensemble].into();
    let found = whole(&mut plain, std::slice::from_ref(&refined));
    let alphas = found.alphas(0, Split::Test);
    assert_eq!(alphas.len(), 11);
    let mut sorted = alphas.clone();
    sorted.sort_by(f64::total_cmp);
    let fine = LineTask::new(LineSpec { alphas: sorted, ..line("all", None).spec });
    for point in points(findings(&subject, &[fine])) {
        let index = alphas.iter().position(|alpha| *alpha == point.alpha).unwrap() as u32;
        assert_eq!(found.losses[0][&(point.split, index)].1, point.loss);
    }
    // What is measured of the whole line is measured of its grid, once.
    let grid = LineTask::new(LineSpec { refine: None, ..refined.spec.clone() });
    let of_grid = measures(&findings(&subject, &[grid]), 0);
    let of_refined: Vec<Measured> = found.rest.iter().filter_map(|(_, measured)| *measured).collect();
    assert_eq!(of_refined[..of_grid.len()], of_grid);
    assert_eq!(of_refined.len(), of_grid.len() + 3);
    // And resumed anywhere.
    for most in 1..=10 {
        let mut again = Found::default();
        while !again.attempt(&mut plain, std::slice::from_ref(&refined), most) {}
        assert_eq!(again, found, "{most} points an attempt");
    }
}
