//! What holds of the plain evaluator, the specification, for any small network, mask and grid; and what it does with work it cannot do.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]
#![expect(clippy::float_cmp, reason = "the same computation gives the same numbers")]

mod truth;

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use tch::{Device, Tensor};
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::digest::RunDigest;
use transect_common::line::{BatchNorm, Elsewhere, LineSpec, Measure, Normalize};
use transect_common::mask::Mask;
use transect_common::model::{Description, ModelSpec};
use transect_common::run::{InitScheme, InitSpec, LayerStart, Source, Tag};
use transect_worker::Stop;
use transect_worker::data::{Data, Images};
use transect_worker::nn::{Model, Norm, Score, Tally};
use transect_worker::probe::{Evaluator, Finding, LineTask, MeasureName, Point, ProbeError, Subject, plain::measure};
use transect_worker::train::initial;
use truth::lines::{findings_of, measures, points, subject};
use truth::{described, formula, use_one_thread};

const BATCH: usize = 4;

/// A model on the CPU with two formula checkpoints and 7 training and 5 test images.
struct World {
    model: Model,
    data: Data,
    ends: BTreeMap<Tag, Checkpoint>,
}

impl World {
    fn new(description: Description, seed: u32) -> Self {
        use_one_thread();
        let end = |s| formula::checkpoint(&description, s);
        let ends = BTreeMap::from([(Tag::init(), end(seed)), (Tag::last(), end(seed + 1))]);
        let size = description.input.iter().product::<u32>() as usize;
        let images = |seed, count: usize| Images {
            pixels: formula::bytes(seed, count * size),
            labels: formula::labels(seed + 1, count, description.classes),
            shape: description.input,
        };
        let channels = description.input[0] as usize;
        let (mean, std) = (vec![0.4; channels], vec![0.3; channels]);
        let data = Data::new(&images(seed + 2, 7), &images(seed + 4, 5), &mean, &std, Device::Cpu);
        Self { model: Model::new(description, Device::Cpu), data, ends }
    }

    fn mlp(widths: Vec<u32>, seed: u32) -> Self {
        Self::new(ModelSpec::mlp(widths).describe([1, 5, 5], 4).unwrap(), seed)
    }

    fn subject(&self) -> Subject<'_> {
        subject(&self.model, &self.data, &self.ends)
    }

    fn points(&self, task: LineTask) -> Vec<Point> {
        points(findings_of(Evaluator::Plain, &self.subject(), &[task]))
    }

    fn refusal(&self, task: &LineTask) -> ProbeError {
        let mut nothing = |_| panic!("something was measured");
        measure(&self.subject(), std::slice::from_ref(task), &mut nothing).unwrap_err()
    }

    /// The network evaluated with `checkpoint`'s own vectors.
    fn direct(&self, checkpoint: &Checkpoint, split: Split, images: usize) -> Score {
        let _no_grad = tch::no_grad_guard();
        let [theta, buffers] = [&checkpoint.theta, &checkpoint.buffers].map(|v| Tensor::from_slice(v));
        let mut tally = Tally::new(Device::Cpu);
        for start in (0..images).step_by(BATCH) {
            let (x, labels) = self.data.batch(split, start..images.min(start + BATCH));
            tally.add(&self.model.forward(&theta, &buffers, &x, Norm::Running), &labels);
        }
        tally.score()
    }

    /// The state at `alpha`, value by value.
    fn blended(&self, mask: &str, hold: &Tag, alpha: f64) -> Checkpoint {
        let model = self.model.description();
        let moves = Mask::resolve(mask, model).unwrap().theta_ranges(model);
        let (from, to, rest) = (&self.ends[&Tag::init()], &self.ends[&Tag::last()], &self.ends[hold]);
        let blend = |i: usize| {
            if moves.iter().any(|range| range.contains(&i)) {
                ((1.0 - alpha) * f64::from(from.theta[i]) + alpha * f64::from(to.theta[i])) as f32
            } else {
                rest.theta[i]
            }
        };
        Checkpoint { theta: (0..model.theta_len()).map(blend).collect(), buffers: rest.buffers.clone() }
    }
}

fn task(mask: &str, alphas: &[f64]) -> LineTask {
    let spec = LineSpec {
        batch_norm: BatchNorm::None,
        batch_size: BATCH as u32,
        ..LineSpec::new(mask, alphas.to_vec(), vec![Split::Train, Split::Test])
    };
    LineTask::new(spec)
}

fn masks() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["all", "fc1", "fc2", "fc1.weight", "*.bias", "*.weight", "head", "fc[12].bias"])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_ends_of_a_line_are_the_checkpoints_themselves(
        widths in prop::collection::vec(1u32..9, 1..4), seed in 0u32..1000, mask in masks(), hold_from in any::<bool>(),
    ) {
        let world = World::mlp(widths, seed);
        let hold = if hold_from { Tag::init() } else { Tag::last() };
        let mut task = task(mask, &[0.0, 1.0]);
        task.spec.hold = hold.clone();
        for point in world.points(task) {
            let images = world.data.len(point.split);
            let direct = world.direct(&world.blended(mask, &hold, point.alpha), point.split, images);
            prop_assert_eq!((point.loss, point.accuracy, point.count), (direct.loss, direct.accuracy, direct.count));
        }
    }

    #[test]
    fn a_point_is_the_network_with_the_blended_weights(
        widths in prop::collection::vec(1u32..9, 1..4), seed in 0u32..1000, mask in masks(), hold_from in any::<bool>(),
        alpha in -2.0f64..3.0, subset in prop::option::of(1u32..9),
    ) {
        let world = World::mlp(widths, seed);
        let hold = if hold_from { Tag::init() } else { Tag::last() };
        let mut task = task(mask, &[alpha, 3.0]);
        task.spec.hold = hold.clone();
        task.spec.subset = subset;
        for point in world.points(task).into_iter().filter(|p| p.index == 0) {
            let images = subset.map_or(7, |s| s as usize).min(world.data.len(point.split));
            let direct = world.direct(&world.blended(mask, &hold, alpha), point.split, images);
            prop_assert_eq!(point.count, images as u64);
            prop_assert!((point.loss - direct.loss).abs() <= 1e-5 * direct.loss.max(1.0), "{point:?} {direct:?}");
        }
    }
}

#[test]
fn what_is_held_does_not_move() {
    let world = World::mlp(vec![6], 1);
    let held_to = world.points(task("fc1", &[0.0, 1.0]));
    let mut at_from = task("fc1", &[0.0, 1.0]);
    at_from.spec.hold = Tag::init();
    let held_from = world.points(at_from);
    let score = |tag| world.direct(&world.ends[&tag], Split::Train, 7).loss;
    assert_eq!(held_to[2].loss, score(Tag::last()), "alpha = 1 with the rest at `to` is `to`");
    assert_eq!(held_from[0].loss, score(Tag::init()), "alpha = 0 with the rest at `from` is `from`");
    assert_ne!(held_to[0].loss, held_from[0].loss);
}

#[test]
fn points_come_line_by_line_along_alpha_and_done_ones_are_skipped() {
    let world = World::mlp(vec![6], 1);
    let mut lines = [task("all", &[0.0, 0.5, 1.0]), task("fc1", &[0.0, 1.0])];
    let all = points(findings_of(Evaluator::Plain, &world.subject(), &lines));
    let key = |p: &Point| (p.line, p.index, p.split);
    let expected: Vec<_> = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
        .into_iter()
        .flat_map(|(line, index)| [Split::Train, Split::Test].map(|split| (line, index, split)))
        .collect();
    assert_eq!(all.iter().map(key).collect::<Vec<_>>(), expected);
    lines[0].done = HashSet::from([(Split::Train, 0), (Split::Test, 0), (Split::Train, 1)]);
    let rest = points(findings_of(Evaluator::Plain, &world.subject(), &lines));
    assert_eq!(rest, all[3..], "a line that goes on gives the same points");
}

#[test]
fn a_line_through_infinity_gives_points_and_no_error() {
    let mut world = World::mlp(vec![6], 1);
    world.ends.get_mut(&Tag::last()).unwrap().theta.iter_mut().for_each(|v| *v *= 1e30);
    let points = world.points(task("all", &[0.0, 0.5, 1.0]));
    assert_eq!(points.len(), 6);
    assert!(points[0].loss.is_finite() && !points[5].loss.is_finite(), "{points:?}");
    assert!(points.iter().all(|p| (0.0..=1.0).contains(&p.accuracy)));
}

#[test]
fn being_asked_to_stop_ends_the_group_after_the_point() {
    let world = World::mlp(vec![6], 1);
    let mut seen = 0;
    let stopped = measure(&world.subject(), &[task("all", &[0.0, 1.0])], &mut |_| {
        seen += 1;
        if seen == 2 { Err(Stop) } else { Ok(()) }
    });
    assert_eq!((stopped, seen), (Err(ProbeError::Stopped(Stop)), 2));
}

#[test]
fn batch_statistics_do_not_depend_on_what_was_measured_before() {
    let world = World::new(described("resnet20"), 1);
    for mode in [BatchNorm::Interpolate, BatchNorm::Recalibrate, BatchNorm::Batch] {
        let mut both = task("all", &[0.0, 1.0]);
        both.spec.batch_norm = mode;
        let mut second = both.clone();
        second.done = HashSet::from([(Split::Train, 0), (Split::Test, 0), (Split::Train, 1)]);
        assert_eq!(world.points(second)[..], world.points(both)[3..], "{}", mode.name());
    }
}

#[test]
fn work_that_cannot_be_done_is_refused_before_anything_is_measured() {
    let world = World::mlp(vec![6], 1);
    let with = |change: fn(&mut LineSpec)| {
        let mut task = task("fc1", &[0.0, 1.0]);
        change(&mut task.spec);
        world.refusal(&task).to_string()
    };
    assert_eq!(
        with(|s| s.from = Tag::epoch(3)),
        "line `fc1` needs checkpoint `epoch-3`, and the run has only: init, final"
    );
    assert_eq!(
        with(|s| s.hold = Tag::epoch(3)),
        "line `fc1` is held at `epoch-3`, which is neither of its ends; use `init` or `final`"
    );
    assert!(with(|s| s.mask = "fc9".into()).starts_with("`fc9` matches no layer of mlp"));
    assert_eq!(with(|s| s.batch_size = 0), "line `fc1` has batch_size = 0; use at least 1");
    assert_eq!(with(|s| s.subset = Some(0)), "line `fc1` has subset = 0; use at least 1");

    let resnet = World::new(described("resnet20"), 1);
    assert_eq!(
        resnet.refusal(&task("all", &[0.0, 1.0])).to_string(),
        "line `all` says nothing of batch norm, and resnet20 has it: use interpolate, recalibrate or batch"
    );

    let mut short = World::mlp(vec![6], 1);
    short.ends.get_mut(&Tag::init()).unwrap().theta.pop();
    assert!(matches!(short.refusal(&task("all", &[0.0, 1.0])), ProbeError::Size { .. }));
}

#[test]
fn a_line_can_end_at_what_the_runs_scheme_draws_with_another_seed() {
    let world = World::mlp(vec![6], 1);
    let scheme = InitSpec { scheme: InitScheme::KaimingNormal, ..InitSpec::default() };
    let drawn = initial(world.model.description(), &scheme, 7);
    // What the run itself takes from elsewhere is drawn here.
    let layers = vec![LayerStart { mask: "fc1".into(), source: Source::Random { seed: 9 } }];
    let init = InitSpec { layers, ..scheme };
    let mut task = task("all", &[0.0, 1.0]);
    task.spec.elsewhere = Some(Elsewhere::Init { seed: 7 });
    task.spec.hold = "to".parse().unwrap();
    let points = points(findings_of(Evaluator::Plain, &Subject { init: &init, ..world.subject() }, &[task]));
    assert_eq!(points[1].loss, world.direct(&world.ends[&Tag::init()], Split::Test, 5).loss);
    assert_eq!(points[3].loss, world.direct(&drawn, Split::Test, 5).loss);
}

#[test]
fn another_runs_checkpoint_that_was_not_handed_over_is_asked_for() {
    let world = World::mlp(vec![6], 1);
    let mut task = task("all", &[0.0, 1.0]);
    task.spec.elsewhere = Some(Elsewhere::Run { run: RunDigest::of(b"another") });
    assert_eq!(
        world.refusal(&task).to_string(),
        format!(
            "checkpoint `final` of run {} is needed and was not handed to the worker",
            RunDigest::of(b"another").short()
        )
    );
    task.spec.elsewhere = Some(Elsewhere::Init { seed: 1 });
    let refusal = world.refusal(&task).to_string();
    assert_eq!(refusal, "line `all` is held at `final`, which is neither of its ends; use `from` or `to`");
}

#[test]
fn a_line_that_goes_on_has_the_measures_of_one_that_did_not_stop() {
    let world = World::mlp(vec![6], 1);
    let mut whole = task("all", &[-0.5, 0.0, 0.5, 1.0]);
    whole.spec.measures = [Measure::GaussLength, Measure::Ensemble].into();
    let all = findings_of(Evaluator::Plain, &world.subject(), &[whole.clone()]);
    assert_eq!(measures(&all, 0).len(), 3 + 2 * 5);
    assert_eq!(all.last(), Some(&Finding::End { line: 0 }), "the end comes last");
    let mut rest = whole.clone();
    rest.done = HashSet::from([(Split::Train, 0), (Split::Test, 0), (Split::Train, 1), (Split::Test, 2)]);
    let measured = findings_of(Evaluator::Plain, &world.subject(), &[rest]);
    assert_eq!(measures(&measured, 0), measures(&all, 0));
    assert_eq!(points(measured).len(), 4);
    whole.done = [0, 1, 2, 3].into_iter().flat_map(|i| [(Split::Train, i), (Split::Test, i)]).collect();
    let measured = findings_of(Evaluator::Plain, &world.subject(), &[whole]);
    assert_eq!(measures(&measured, 0), measures(&all, 0), "also when only they are missing");
    assert_eq!(points(measured), []);
}

#[test]
fn a_line_through_infinity_has_no_measures_of_its_logits() {
    let mut world = World::mlp(vec![6], 1);
    world.ends.get_mut(&Tag::last()).unwrap().theta.iter_mut().for_each(|v| *v *= 1e30);
    let mut task = task("all", &[0.0, 0.5, 1.0]);
    task.spec.measures = [Measure::GaussLength, Measure::Ensemble].into();
    let names: Vec<MeasureName> =
        measures(&findings_of(Evaluator::Plain, &world.subject(), &[task]), 0).iter().map(|m| m.name).collect();
    assert_eq!(names, [MeasureName::Distance, MeasureName::DistanceRelative, MeasureName::Cosine]);
}

#[test]
fn biases_do_not_move_along_a_line_that_is_normalised_by_filters() {
    let world = World::mlp(vec![6], 1);
    let mut task = task("*.bias", &[0.0, 1.0]);
    task.spec.normalize = Normalize::Filter;
    let points = world.points(task);
    assert_eq!(points[0].loss, points[2].loss);
}
