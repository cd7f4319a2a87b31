//! The evaluators against the plain one: the same points of any network, masks, grids and modes.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proptest::prelude::*;
use tch::Device;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec, Measure, Normalize};
use transect_common::model::{Description, ModelSpec};
use transect_common::run::Tag;
use transect_worker::Stop;
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::probe::{Evaluator, Finding, LineTask, Point, ProbeError, Subject, stacked};
use truth::lines::{findings_of, points, subject};
use truth::{formula, use_one_thread};

/// A model with three formula checkpoints and a few images.
struct World {
    model: Model,
    data: Data,
    ends: BTreeMap<Tag, Checkpoint>,
}

impl World {
    fn new(model: &str, input: [u32; 3], seed: u32, images: usize) -> Self {
        use_one_thread();
        let spec: ModelSpec = serde_json::from_str(model).unwrap();
        let description = spec.describe(input, 4).unwrap();
        let end = |s| formula::checkpoint(&description, s);
        let ends = [("init", seed), ("epoch-1", seed + 1), ("final", seed + 2)];
        let ends = ends.into_iter().map(|(tag, seed)| (tag.parse().unwrap(), end(seed))).collect();
        let size = input.iter().product::<u32>() as usize;
        let some = |seed, count: usize| Images {
            pixels: formula::bytes(seed, count * size),
            labels: formula::labels(seed + 1, count, 4),
            shape: input,
        };
        let channels = input[0] as usize;
        let (mean, std) = (vec![0.4; channels], vec![0.3; channels]);
        let data = Data::new(&some(seed + 3, images + 4), &some(seed + 5, images), &mean, &std, Device::Cpu);
        Self { model: Model::new(description, Device::Cpu), data, ends }
    }

    fn subject(&self) -> Subject<'_> {
        subject(&self.model, &self.data, &self.ends)
    }

    fn description(&self) -> &Description {
        self.model.description()
    }

    fn findings(&self, evaluator: Evaluator, tasks: &[LineTask]) -> Vec<Finding> {
        findings_of(evaluator, &self.subject(), tasks)
    }

    /// What the stacked evaluator finds with so many bytes for its stacks.
    fn within(&self, budget: usize, tasks: &[LineTask]) -> Vec<Finding> {
        let mut all = vec![];
        stacked::measure_within(budget, &self.subject(), tasks, &mut |finding| {
            all.push(finding);
            Ok(())
        })
        .unwrap();
        all
    }

    /// Every evaluator's findings of `tasks` must be those of the plain one, but for rounding and order.
    fn compare(&self, tasks: &[LineTask]) -> Result<(), String> {
        let plain = self.findings(Evaluator::Plain, tasks);
        for evaluator in [Evaluator::Group, Evaluator::Stacked] {
            let ours = self.findings(evaluator, tasks);
            self.same(tasks, &ours, &plain).map_err(|error| format!("{}: {error}", evaluator.name()))?;
        }
        Ok(())
    }

    fn same(&self, tasks: &[LineTask], ours: &[Finding], plain: &[Finding]) -> Result<(), String> {
        if ours.len() != plain.len() {
            return Err(format!("{} findings for {}", ours.len(), plain.len()));
        }
        let by_name: HashMap<_, _> =
            points(ours.to_vec()).into_iter().map(|p| ((p.line, p.split, p.index), p)).collect();
        for truth in points(plain.to_vec()) {
            let what = format!("{} {:?} {truth:?}", self.description().architecture, tasks[truth.line].spec);
            let ours = by_name.get(&(truth.line, truth.split, truth.index)).ok_or(format!("missing: {what}"))?;
            same(ours, &truth).map_err(|error| format!("{error}: {ours:?} for {what}"))?;
        }
        for (line, task) in tasks.iter().enumerate() {
            let [ours, truth] = [ours, plain].map(|findings| truth::lines::measures(findings, line));
            for (ours, truth) in ours.iter().zip(&truth) {
                let is_near = (ours.value - truth.value).abs() <= 1e-4 * truth.value.abs().max(0.1);
                if (ours.name, ours.split) != (truth.name, truth.split) || !is_near {
                    return Err(format!("{ours:?} for {truth:?} of {:?}", task.spec));
                }
            }
            if ours.len() != truth.len() {
                return Err(format!("{ours:?} for {truth:?}"));
            }
        }
        Ok(())
    }
}

fn same(ours: &Point, truth: &Point) -> Result<(), String> {
    if ours.alpha.to_bits() != truth.alpha.to_bits() || ours.count != truth.count {
        return Err("another point".into());
    }
    // Networks that are far off everything have losses that say little about their logits' last digits.
    let error = (ours.loss - truth.loss).abs() / truth.loss.abs().max(1.0);
    let is_same = ours.loss.is_nan() && truth.loss.is_nan() || ours.loss == truth.loss || error <= 1e-5;
    let images_apart = (ours.accuracy - truth.accuracy).abs() * truth.count as f64;
    // Two logits that are equal to rounding may change places in an image or two.
    if is_same && images_apart < 2.5 { Ok(()) } else { Err(format!("apart by {error:.1e} and {images_apart} images")) }
}

fn task(mask: &str, alphas: &[f64], batch_norm: BatchNorm) -> LineTask {
    let spec =
        LineSpec { batch_norm, batch_size: 7, ..LineSpec::new(mask, alphas.to_vec(), vec![Split::Train, Split::Test]) };
    LineTask::new(spec)
}

/// One line for every layer, several for groups, blocks, biases and all.
fn every_line(model: &Description, alphas: &[f64], batch_norm: BatchNorm) -> Vec<LineTask> {
    let layers = model.layers.iter().map(|layer| layer.name.as_str());
    let others = ["all", "*.bias", "last:1"].into_iter().chain(model.blocks.iter().map(String::as_str));
    layers.chain(others).map(|mask| task(mask, alphas, batch_norm)).collect()
}

/// Each of its 54 blocks reads what is below it twice.
#[test]
fn the_deepest_network_is_planned_unit_by_unit() {
    let world = World::new(r#"{"architecture": "resnet110"}"#, [3, 8, 8], 11, 2);
    for batch_norm in MODES {
        world.compare(&[task("all", &[0.0, 0.5], batch_norm), task("head", &[0.5], batch_norm)]).unwrap();
    }
}

const MODES: [BatchNorm; 3] = [BatchNorm::Interpolate, BatchNorm::Recalibrate, BatchNorm::Batch];

const ARCHITECTURES: [(&str, [u32; 3]); 17] = [
    (r#"{"architecture": "mlp", "widths": [20, 9]}"#, [1, 6, 5]),
    (r#"{"architecture": "mlp", "widths": [33], "activation": "tanh"}"#, [3, 4, 4]),
    (r#"{"architecture": "mlp", "widths": [12, 40], "batch_norm": true}"#, [1, 6, 5]),
    (r#"{"architecture": "lenet5"}"#, [1, 28, 28]),
    (r#"{"architecture": "lenet5", "activation": "gelu"}"#, [3, 32, 32]),
    (r#"{"architecture": "simple-cnn"}"#, [3, 16, 16]),
    (r#"{"architecture": "resnet20", "width": 4}"#, [3, 12, 12]),
    (r#"{"architecture": "resnet20", "width": 16}"#, [3, 9, 11]),
    (r#"{"architecture": "resnet20", "width": 4, "norm": "fixup"}"#, [3, 8, 8]),
    (r#"{"architecture": "resnet20", "width": 4, "norm": "scale", "activation": "leaky-relu"}"#, [3, 8, 8]),
    (r#"{"architecture": "resnet18", "width": 8, "stem": "cifar"}"#, [3, 16, 16]),
    (r#"{"architecture": "resnet18", "width": 4}"#, [3, 40, 40]),
    (r#"{"architecture": "resnet50", "width": 4, "stem": "cifar", "norm": "none"}"#, [3, 8, 8]),
    (r#"{"architecture": "vgg11", "width": 4, "units": 32}"#, [3, 32, 32]),
    // Large enough that batch norm's deepest statistics are of more than one value an image.
    (r#"{"architecture": "efficientnet-lite0"}"#, [3, 64, 64]),
    (r#"{"architecture": "vit"}"#, [3, 32, 32]),
    (r#"{"architecture": "mlp", "widths": []}"#, [1, 3, 3]),
];

#[test]
fn every_architecture_and_every_mode_gives_the_plain_evaluators_points() {
    let mut wrong = vec![];
    for (number, (model, input)) in ARCHITECTURES.iter().enumerate() {
        let world = World::new(model, *input, 10 * number as u32 + 1, 9);
        for batch_norm in MODES {
            if batch_norm != BatchNorm::Interpolate && !world.description().has_batch_norm() {
                continue;
            }
            // Of deep ones fewer points and lines: the plain evaluator is slow.
            let is_deep = world.description().layers.len() > 30;
            let alphas = if is_deep { &[-0.25, 0.4, 1.0][..] } else { &[-0.25, 0.0, 0.4, 1.0, 1.5] };
            let tasks = every_line(world.description(), alphas, batch_norm);
            let step = 1 + tasks.len() / if is_deep { 5 } else { 12 };
            let tasks: Vec<LineTask> = tasks.into_iter().step_by(step).collect();
            let outcome = world.compare(&tasks);
            wrong.extend(outcome.err().map(|error| format!("{model} {batch_norm:?}: {error}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is found of `tasks` in the order in which it is found, without numbers.
fn order(findings: &[Finding]) -> Vec<String> {
    let name = |finding: &Finding| match finding {
        Finding::Point(point) => format!("{} {} {}", point.line, point.index, point.split),
        Finding::Measure { line, measured } => format!("{line} {:?} {:?}", measured.name, measured.split),
        Finding::End { line } => format!("{line} end"),
    };
    findings.iter().map(name).collect()
}

#[test]
fn stacks_as_small_as_memory_demands_give_the_same_points() {
    for (model, input) in [ARCHITECTURES[3], ARCHITECTURES[6], ARCHITECTURES[15]] {
        let world = World::new(model, input, 5, 9);
        let tasks = every_line(world.description(), &[0.0, 0.3, 0.5, 0.7, 1.0, 1.2], BatchNorm::Interpolate);
        let tasks: Vec<LineTask> = tasks.into_iter().rev().step_by(5).collect();
        let whole = world.within(usize::MAX, &tasks);
        for budget in [0, 100_000, 1_000_000] {
            let outcome = world.same(&tasks, &world.within(budget, &tasks), &whole);
            assert!(outcome.is_ok(), "{model} within {budget} bytes: {outcome:?}");
        }
    }
}

#[test]
fn lines_that_are_not_stacked_stand_among_those_that_are_in_the_plain_order() {
    let world = World::new(r#"{"architecture": "resnet20", "width": 4}"#, [3, 8, 8], 3, 9);
    let grid = [-0.5, 0.0, 0.5, 1.0];
    let mut tasks: Vec<LineTask> = MODES.iter().map(|&mode| task("layer1.0.conv1", &grid, mode)).collect();
    let mut partly = task("linear", &grid, BatchNorm::Interpolate);
    partly.done = HashSet::from([(Split::Train, 1), (Split::Train, 2), (Split::Test, 2), (Split::Test, 4)]);
    partly.further = vec![0.25, 0.75];
    let mut whole = task("all", &grid, BatchNorm::Interpolate);
    whole.spec.measures = BTreeSet::from([Measure::GaussLength, Measure::Ensemble]);
    let mut backwards = task("all", &grid, BatchNorm::Interpolate);
    backwards.spec.splits.reverse();
    backwards.spec.subset = Some(5);
    let done = {
        let mut done = task("linear", &grid, BatchNorm::Interpolate);
        done.done = (0..4).flat_map(|index| Split::ALL.map(|split| (split, index))).collect();
        done
    };
    tasks.extend([partly, whole, backwards, done]);
    let [stacked, plain] = [Evaluator::Stacked, Evaluator::Plain].map(|one| world.findings(one, &tasks));
    assert_eq!(order(&stacked), order(&plain));
    world.same(&tasks, &stacked, &plain).unwrap();
}

#[test]
fn the_stacked_evaluator_stops_when_asked_to() {
    let world = World::new(ARCHITECTURES[3].0, ARCHITECTURES[3].1, 3, 9);
    let tasks = every_line(world.description(), &[0.0, 0.5, 1.0], BatchNorm::Interpolate);
    let mut seen = 0;
    let outcome = stacked::measure(&world.subject(), &tasks, &mut |_| {
        seen += 1;
        if seen < 9 { Ok(()) } else { Err(Stop) }
    });
    assert_eq!((outcome, seen), (Err(ProbeError::Stopped(Stop)), 9));
}

/// Bits of every loss and accuracy, by line, split and index.
fn bits(points: &[Point]) -> BTreeMap<(usize, &'static str, u32), [u64; 2]> {
    points.iter().map(|p| ((p.line, p.split.name(), p.index), [p.loss.to_bits(), p.accuracy.to_bits()])).collect()
}

#[test]
fn bytes_depend_neither_on_threads_nor_on_what_else_is_measured() {
    for (model, input) in [ARCHITECTURES[2], ARCHITECTURES[3], ARCHITECTURES[6]] {
        let world = World::new(model, input, 77, 40);
        for batch_norm in MODES {
            let tasks = every_line(world.description(), &[-0.5, 0.0, 0.25, 0.75, 1.0], batch_norm);
            let all = bits(&points(world.findings(Evaluator::Group, &tasks)));
            tch::set_num_threads(3);
            assert_eq!(
                bits(&points(world.findings(Evaluator::Group, &tasks))),
                all,
                "{model} {batch_norm:?}: three threads"
            );
            use_one_thread();
            for (number, task) in tasks.iter().enumerate() {
                let alone = points(world.findings(Evaluator::Group, std::slice::from_ref(task)));
                for ((_, split, index), own) in bits(&alone) {
                    assert_eq!(all[&(number, split, index)], own, "{model} {:?} {split} {index}", task.spec.mask);
                }
            }
            let mut resumed = tasks.clone();
            for (number, task) in resumed.iter_mut().enumerate() {
                task.done =
                    (0..5).filter(|i| !(i + number as u32).is_multiple_of(3)).map(|i| (Split::Test, i)).collect();
            }
            let rest = points(world.findings(Evaluator::Group, &resumed));
            assert!(rest.iter().all(|p| !resumed[p.line].done.contains(&(p.split, p.index))));
            assert_eq!(rest.len(), resumed.iter().map(|task| 10 - task.done.len()).sum::<usize>());
            for (place, own) in bits(&rest) {
                assert_eq!(all[&place], own, "{model} {batch_norm:?} {place:?}: resumed");
            }
        }
    }
}

#[test]
fn every_line_comes_to_its_end_once_with_its_measures_before() {
    let world = World::new(ARCHITECTURES[0].0, ARCHITECTURES[0].1, 5, 10);
    let mut tasks = every_line(world.description(), &[0.0, 0.5, 1.0], BatchNorm::Interpolate);
    tasks[1].spec.measures = [Measure::GaussLength, Measure::Ensemble].into();
    tasks[2].done = [Split::Train, Split::Test].into_iter().flat_map(|s| (0..3).map(move |i| (s, i))).collect();
    let findings = world.findings(Evaluator::Group, &tasks);
    for line in 0..tasks.len() {
        let own = |finding: &Finding| match finding {
            Finding::Point(point) => point.line == line,
            Finding::Measure { line: number, .. } | Finding::End { line: number } => *number == line,
        };
        let own: Vec<&Finding> = findings.iter().filter(|finding| own(finding)).collect();
        let ends = own.iter().filter(|finding| matches!(finding, Finding::End { .. })).count();
        assert_eq!((ends, matches!(own.last(), Some(Finding::End { .. }))), (1, true), "line {line}");
        let is_measure = |finding: &&&Finding| matches!(finding, Finding::Measure { .. });
        assert_eq!(own.iter().filter(is_measure).count() > 8, line == 1, "line {line}");
    }
    world.compare(&tasks).unwrap();
}

/// What a random group is made of.
fn any_group() -> impl Strategy<Value = (String, [u32; 3], Vec<LineTask>, u32)> {
    let act = prop::sample::select(vec!["relu", "tanh", "leaky-relu", "relu6", "silu"]);
    let mlp = (prop::collection::vec(1u32..30, 0..4), act.clone(), any::<bool>()).prop_map(|(widths, act, norm)| {
        (
            format!(r#"{{"architecture": "mlp", "widths": {widths:?}, "activation": "{act}", "batch_norm": {norm}}}"#),
            [1, 5, 4],
        )
    });
    let cnn = act
        .clone()
        .prop_map(|act| (format!(r#"{{"architecture": "simple-cnn", "activation": "{act}"}}"#), [3, 16, 16]));
    let lenet = act.prop_map(|act| (format!(r#"{{"architecture": "lenet5", "activation": "{act}"}}"#), [1, 28, 28]));
    let norm = prop::sample::select(vec!["batch", "none", "scale"]);
    let resnet = (norm, 1u32..9).prop_map(|(norm, width)| {
        (format!(r#"{{"architecture": "resnet20", "width": {width}, "norm": "{norm}"}}"#), [3, 8, 7])
    });
    let model = prop_oneof![4 => mlp, 1 => cnn, 1 => lenet, 2 => resnet];
    let line = (
        prop::collection::btree_set(-4i32..=12, 2..6),
        prop::sample::select(vec![BatchNorm::Interpolate, BatchNorm::Recalibrate, BatchNorm::Batch]),
        prop::sample::select(vec![vec![Split::Test], vec![Split::Train], vec![Split::Test, Split::Train]]),
        (any::<prop::sample::Index>(), any::<bool>(), any::<bool>()),
        prop::option::of(4u32..30),
    );
    (model, prop::collection::vec(line, 1..6), 1u32..1000).prop_map(|((model, input), lines, seed)| {
        let spec: ModelSpec = serde_json::from_str(&model).unwrap();
        let description = spec.describe(input, 4).unwrap();
        let task = |(alphas, batch_norm, splits, (mask, held, filter), subset): (
            _,
            _,
            _,
            (prop::sample::Index, bool, bool),
            _,
        )| {
            let alphas: BTreeSet<i32> = alphas;
            let names = description.layers.iter().map(|layer| layer.name.clone());
            let parameters = description.parameters.iter().map(|parameter| parameter.name.clone());
            let masks: Vec<String> = ["all".to_owned()].into_iter().chain(names).chain(parameters).collect();
            let alphas: Vec<f64> = alphas.into_iter().map(|step| f64::from(step) / 8.0).collect();
            let mut line = LineSpec::new(&masks[mask.index(masks.len())], alphas, splits);
            line.hold = if held { Tag::last() } else { Tag::init() };
            line.normalize = if filter { Normalize::Filter } else { Normalize::None };
            (line.batch_norm, line.batch_size, line.subset) = (batch_norm, 6, subset);
            LineTask::new(line)
        };
        let tasks = lines.into_iter().map(task).collect();
        (model, input, tasks, seed)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_groups_have_the_plain_evaluators_points((model, input, tasks, seed) in any_group()) {
        let world = World::new(&model, input, seed, 12);
        let outcome = world.compare(&tasks);
        prop_assert!(outcome.is_ok(), "{}: {:?}", model, outcome);
    }
}
