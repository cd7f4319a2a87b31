//! Whole training runs: what they emit, that they repeat themselves to the byte, and how they end.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]
#![expect(clippy::float_cmp, reason = "the same run gives the same bytes")]

use std::path::Path;

use tch::{Device, Tensor};
use transect_common::checkpoint::{Checkpoint, encode};
use transect_common::data::{Augment, DataSet, DataSpec, Split};
use transect_common::mask::Mask;
use transect_common::model::ModelSpec;
use transect_common::run::{
    InitSpec, LayerRecipe, LayerStart, Optimizer, Origin, Precision, RunSpec, Schedule, Seeds, Source, StopRule, Tag,
    TrainSpec,
};
use transect_worker::Stop;
use transect_worker::data::{Data, DataError, Images};
use transect_worker::nn::{Model, Noise, Norm, Pass};
use transect_worker::random::{Purpose, Stream};
use transect_worker::sources::Sources;
use transect_worker::train::{self, EpochScore, TrainError, TrainEvent, initial, train};

/// Images that a network can learn: class k is a bright square at its own place, under noise.
fn squares(count: usize, seed: u64) -> Images {
    let mut images = Images { pixels: vec![], labels: vec![], shape: [1, 28, 28] };
    let mut stream = Stream::new(seed, Purpose::Init, 0);
    for _ in 0..count {
        let class = stream.below(10) as usize;
        let (top, left) = (4 + class / 5 * 12, 1 + class % 5 * 5);
        images.labels.push(class as u8);
        images.pixels.extend((0..784).map(|i| {
            let inside = (top..top + 6).contains(&(i / 28)) && (left..left + 5).contains(&(i % 28));
            (stream.below(120) + if inside { 100 } else { 0 }) as u8
        }));
    }
    images
}

fn square_data() -> Data {
    Data::new(&squares(600, 1), &squares(200, 2), &[0.25], &[0.2], Device::Cpu)
}

/// Enough for a few steps of a large network.
fn few_squares() -> Data {
    Data::new(&squares(80, 1), &squares(20, 2), &[0.25], &[0.2], Device::Cpu)
}

fn run(model: &str, train: TrainSpec) -> RunSpec {
    RunSpec {
        data: DataSpec::new(DataSet::Mnist),
        model: ModelSpec::from_name(model).unwrap(),
        origin: Origin::Trained { init: InitSpec::default(), train },
    }
}

fn recipe(lr: f64, epochs: u32) -> TrainSpec {
    let optimizer = Optimizer::Sgd { lr, momentum: 0.9, weight_decay: 5e-4, nesterov: false };
    TrainSpec { epochs, batch_size: 32, ..TrainSpec::new(1, optimizer) }
}

fn model(run: &RunSpec) -> Model {
    // Tests run side by side: libtorch's threads wait by spinning, and more of them than processors make this ten times
    // slower.
    tch::set_num_threads(1);
    Model::new(run.model.describe([1, 28, 28], 10).unwrap(), Device::Cpu)
}

fn events(run: &RunSpec, data: &Data) -> (Vec<TrainEvent>, Result<(), TrainError>) {
    let mut events = Vec::new();
    let result = train(&model(run), run, data, &Sources::default(), &mut |event| {
        events.push(event);
        Ok(())
    });
    (events, result)
}

fn scores(events: &[TrainEvent]) -> Vec<EpochScore> {
    events.iter().filter_map(|event| if let TrainEvent::Epoch(score) = event { Some(*score) } else { None }).collect()
}

fn checkpoints(events: &[TrainEvent]) -> Vec<(Tag, Checkpoint)> {
    let of = |event: &TrainEvent| match event {
        TrainEvent::Checkpoint { tag, checkpoint } => Some((tag.clone(), checkpoint.clone())),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn bytes(run: &RunSpec, events: &[TrainEvent]) -> Vec<Vec<u8>> {
    let model = model(run);
    checkpoints(events).iter().map(|(_, checkpoint)| encode(model.description(), checkpoint)).collect()
}

#[test]
fn networks_learn_squares() {
    let data = square_data();
    for name in ["mlp", "lenet5"] {
        let (events, result) = events(&run(name, recipe(0.02, 3)), &data);
        assert_eq!(result, Ok(()));
        let scores = scores(&events);
        let moments: Vec<(u32, Split)> = scores.iter().map(|score| (score.epoch, score.split)).collect();
        let (train, test) = (Split::Train, Split::Test);
        assert_eq!(moments, [(0, test), (1, train), (1, test), (2, train), (2, test), (3, train), (3, test)]);
        let (first, last) = (scores[0], scores[6]);
        assert!(first.accuracy < 0.4 && (2.0..3.0).contains(&first.loss), "{name}: {first:?}");
        assert!(last.accuracy > 0.9 && last.loss < 0.5, "{name}: {last:?}");
        assert!(scores.windows(2).all(|pair| pair[0].seconds <= pair[1].seconds));
        assert_eq!((first.learning_rate, last.learning_rate), (0.0, 0.02));
    }
}

#[test]
fn kept_moments_are_emitted_once_in_their_order() {
    let keep = ["init", "epoch-1", "epoch-3", "final"].map(|tag| tag.parse().unwrap()).into();
    let run = run("mlp", TrainSpec { keep, ..recipe(0.02, 3) });
    let (events, result) = events(&run, &square_data());
    assert_eq!(result, Ok(()));
    let checkpoints = checkpoints(&events);
    let tags: Vec<&str> = checkpoints.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["init", "epoch-1", "epoch-3", "final"]);
    assert_eq!(checkpoints[0].1, initial(model(&run).description(), &InitSpec::default(), 1));
    assert_ne!(checkpoints[1].1, checkpoints[2].1);
    assert_eq!(checkpoints[2].1, checkpoints[3].1);
}

#[test]
fn the_same_run_gives_the_same_bytes_whatever_else_was_drawn() {
    let augment = Augment { flip: true, crop: 2 };
    let schedule = Schedule::Cosine { floor: 0.0 };
    for name in ["mlp", "lenet5", "resnet20"] {
        let data = if name == "resnet20" { few_squares() } else { square_data() };
        let mut run = run(name, TrainSpec { schedule: schedule.clone(), warmup_epochs: 0.5, ..recipe(0.02, 2) });
        run.data.augment = augment;
        let first = bytes(&run, &events(&run, &data).0);
        let mut unrelated = Stream::new(1, Purpose::Order, 1);
        for _ in 0..1000 {
            unrelated.normal();
        }
        let _ = Tensor::rand([1000], (tch::Kind::Float, Device::Cpu));
        let second = bytes(&run, &events(&run, &data).0);
        assert_eq!(first.len(), 2);
        assert!(first == second, "{name} differs from itself");
    }
}

#[test]
fn seed_and_augmentation_change_the_run() {
    let data = square_data();
    let plain = run("mlp", recipe(0.02, 1));
    let finals = |run: &RunSpec| checkpoints(&events(run, &data).0).pop().unwrap().1.theta;
    let mut flipped = plain.clone();
    flipped.data.augment.flip = true;
    let other_seed = run("mlp", TrainSpec { seed: 2.into(), ..recipe(0.02, 1) });
    assert_ne!(finals(&plain), finals(&flipped));
    assert_ne!(finals(&plain), finals(&other_seed));
}

#[test]
fn batch_norm_buffers_are_trained_too() {
    let data = few_squares();
    let run = run("resnet20", recipe(0.02, 1));
    let (events, result) = events(&run, &data);
    assert_eq!(result, Ok(()));
    let checkpoints = checkpoints(&events);
    let (start, end) = (&checkpoints[0].1.buffers, &checkpoints[1].1.buffers);
    assert!(start.iter().zip(end).all(|(start, end)| start != end));
}

#[test]
fn adamw_learns_too() {
    let optimizer = Optimizer::from_name("adamw").unwrap();
    let (events, result) =
        events(&run("mlp", TrainSpec { epochs: 2, batch_size: 32, ..TrainSpec::new(1, optimizer) }), &square_data());
    assert_eq!(result, Ok(()));
    assert!(scores(&events).last().unwrap().accuracy > 0.9);
}

#[test]
fn a_run_that_diverges_says_at_which_step() {
    let data = square_data();
    // 19 steps an epoch; 10^30 overflows f32 within a few steps.
    let (events, result) = events(&run("mlp", recipe(1e30, 3)), &data);
    let Err(TrainError::Diverged { step, epoch: 1, what }) = result else { panic!("{result:?}") };
    assert!((2..=5).contains(&step), "{step}");
    assert!(what.starts_with("the training loss is "), "{what}");
    assert_eq!(checkpoints(&events).len(), 1, "only `init` is kept");
    assert!(scores(&events).iter().all(|score| score.loss.is_finite()));
    let said = TrainError::Diverged { step: 412, epoch: 2, what: "the training loss is NaN".into() }.to_string();
    assert!(said.starts_with("diverged at step 412 (epoch 2): the training loss is NaN; try a lower"), "{said}");
}

#[test]
fn the_step_that_diverges_does_not_depend_on_when_losses_are_fetched() {
    // One step an epoch: the loss is fetched after each; otherwise after 50.
    let images = squares(32, 1);
    let one_step = Data::new(&images, &images, &[0.25], &[0.2], Device::Cpu);
    let mut many = images.clone();
    for _ in 0..9 {
        many.pixels.extend(&images.pixels);
        many.labels.extend(&images.labels);
    }
    let many_steps = Data::new(&many, &images, &[0.25], &[0.2], Device::Cpu);
    let step_of = |data: &Data| match events(&run("mlp", recipe(1e30, 40)), data).1 {
        Err(TrainError::Diverged { step, .. }) => step,
        other => panic!("{other:?}"),
    };
    // With one step an epoch, the test loss may show it one step before the next training loss does.
    assert!(step_of(&one_step).abs_diff(step_of(&many_steps)) <= 1);
}

#[test]
fn an_initialisation_beyond_all_numbers_is_told_before_the_first_step() {
    let mut run = run("mlp", recipe(0.1, 1));
    run.origin = Origin::Trained { init: InitSpec { scale: 1e30, ..InitSpec::default() }, train: recipe(0.1, 1) };
    let (_, result) = events(&run, &square_data());
    assert!(matches!(result, Err(TrainError::Diverged { step: 0, epoch: 0, .. })), "{result:?}");
}

#[test]
fn training_stops_when_it_is_asked_to() {
    let run = run("mlp", recipe(0.02, 3));
    let mut seen = 0;
    let result = train(&model(&run), &run, &square_data(), &Sources::default(), &mut |_| {
        seen += 1;
        if seen == 4 { Err(Stop) } else { Ok(()) }
    });
    assert_eq!(result, Err(TrainError::Stopped(Stop)));
    assert_eq!(seen, 4);
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_emitted() {
    let data = square_data();
    let mut imported = run("mlp", recipe(0.02, 1));
    imported.origin = Origin::Imported { checkpoints: [].into() };
    assert_eq!(events(&imported, &data), (vec![], Err(TrainError::Imported)));
    let keep = [Tag::epoch(2)].into();
    let late = run("mlp", TrainSpec { keep, ..recipe(0.02, 1) });
    assert_eq!(
        events(&late, &data),
        (vec![], Err(TrainError::NoSuchMoment { tag: Tag::epoch(2), epochs: 1, steps: 19 }))
    );
    let run = run("mlp", recipe(0.02, 1));
    let other = Model::new(run.model.describe([3, 32, 32], 10).unwrap(), Device::Cpu);
    let result = train(&other, &run, &data, &Sources::default(), &mut |_| panic!("nothing happens"));
    assert_eq!(result, Err(TrainError::Shape { model: [3, 32, 32], data: [1, 28, 28] }));
}

#[test]
fn lenet5_learns_fashion_mnist() {
    let spec = DataSpec { train_size: Some(12_000), ..DataSpec::new(DataSet::FashionMnist) };
    let data = match Data::load(&spec, Path::new("nowhere"), Some(1), Device::Cpu) {
        Ok(data) => data,
        Err(error @ DataError::Absent { .. }) => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let mut run = run("lenet5", recipe(0.02, 3));
    run.data = spec;
    let (events, result) = events(&run, &data);
    assert_eq!(result, Ok(()));
    let last = *scores(&events).last().unwrap();
    assert!(last.accuracy > 0.8, "{last:?}");
}

fn with_rules(rules: &str, train: TrainSpec) -> TrainSpec {
    let layers: Vec<LayerRecipe> = serde_json::from_str(rules).unwrap();
    TrainSpec { layers, ..train }
}

/// A network of a few thousand parameters.
fn tiny(train: TrainSpec) -> RunSpec {
    RunSpec {
        model: serde_json::from_str(r#"{"architecture": "mlp", "widths": [8, 6]}"#).unwrap(),
        ..run("mlp", train)
    }
}

/// `init` and `final` of a run.
fn ends(run: &RunSpec, data: &Data) -> [Checkpoint; 2] {
    let (events, result) = events(run, data);
    assert_eq!(result, Ok(()));
    let kept = checkpoints(&events).into_iter().map(|(_, checkpoint)| checkpoint);
    kept.collect::<Vec<_>>().try_into().unwrap()
}

/// Theta of a layer's parameters.
fn layer<'c>(run: &RunSpec, checkpoint: &'c Checkpoint, name: &str) -> &'c [f32] {
    let model = model(run);
    let [range] = &Mask::resolve(name, model.description()).unwrap().theta_ranges(model.description())[..] else {
        panic!("{name} is not in one piece");
    };
    &checkpoint.theta[range.clone()]
}

#[test]
fn a_plain_run_takes_the_plain_steps() {
    let data = square_data();
    let optimizers = [
        Optimizer::Sgd { lr: 0.02, momentum: 0.9, weight_decay: 5e-4, nesterov: true },
        Optimizer::from_name("adamw").unwrap(),
    ];
    for optimizer in optimizers {
        let run = run("lenet5", TrainSpec { epochs: 1, batch_size: 32, ..TrainSpec::new(1, optimizer) });
        let [init, trained] = ends(&run, &data);
        let (model, order) = (model(&run), Stream::new(1, Purpose::Order, 1).permutation(600));
        let mut theta = Tensor::from_slice(&init.theta).set_requires_grad(true);
        let mut plain = train::Optimizer::new(&optimizer, init.theta.len(), Device::Cpu);
        for batch in order.chunks(32) {
            let indices: Vec<i64> = batch.iter().map(|&index| index.into()).collect();
            let (x, labels) = data.select(Split::Train, &Tensor::from_slice(&indices));
            let logits = model.forward(&theta, &Tensor::from_slice(&init.buffers), &x, Norm::Train);
            let loss = logits.cross_entropy_loss(&labels, None::<&Tensor>, tch::Reduction::Mean, -100, 0.0);
            let gradient = Tensor::run_backward(&[&loss], &[&theta], false, false).remove(0);
            plain.step(&mut theta, &gradient, optimizer.lr());
        }
        assert!(Vec::<f32>::try_from(theta.detach()).unwrap() == trained.theta, "{optimizer:?}");
    }
}

#[test]
fn every_optimizer_learns_and_repeats_itself_to_the_byte() {
    let data = square_data();
    for name in ["sgd", "adam", "adamw", "rmsprop", "sam"] {
        let optimizer = Optimizer::from_name(name).unwrap();
        let run = tiny(TrainSpec { epochs: 3, batch_size: 32, ..TrainSpec::new(1, optimizer) });
        let (first, result) = events(&run, &data);
        assert_eq!(result, Ok(()));
        let (before, after) = (scores(&first)[0], *scores(&first).last().unwrap());
        assert!(after.loss < 0.9 * before.loss, "{name}: {before:?}, {after:?}");
        assert!(bytes(&run, &first) == bytes(&run, &events(&run, &data).0), "{name} differs from itself");
    }
}

#[test]
fn each_seed_changes_what_it_is_for_and_nothing_else() {
    let data = square_data();
    let seed = Seeds::from(1);
    let with = |seed, flip| {
        let mut run = tiny(TrainSpec { seed, ..recipe(0.02, 1) });
        run.data.augment.flip = flip;
        ends(&run, &data)
    };
    for flip in [false, true] {
        let [init, last] = with(seed, flip);
        let [other_init, other_last] = with(Seeds { init: 2, ..seed }, flip);
        assert!(other_init != init && other_last != last);
        let [other_init, other_last] = with(Seeds { order: 2, ..seed }, flip);
        assert!(other_init == init && other_last != last);
        let [other_init, other_last] = with(Seeds { augment: 2, ..seed }, flip);
        assert!(other_init == init && (other_last != last) == flip, "without augmentation its seed changes nothing");
        assert!(with(Seeds { labels: 2, ..seed }, flip) == [init, last], "labels are noisy before training sees them");
    }
}

#[test]
fn dropout_repeats_itself_in_both_passes_of_every_step() {
    let data = square_data();
    for name in ["sgd", "sam"] {
        let recipe = TrainSpec { batch_size: 32, epochs: 1, ..TrainSpec::new(1, Optimizer::from_name(name).unwrap()) };
        let plain = tiny(recipe);
        let mut dropping = plain.clone();
        dropping.model = serde_json::from_str(r#"{"architecture": "mlp", "widths": [8, 6], "dropout": 0.5}"#).unwrap();
        let [init, last] = ends(&dropping, &data);
        assert!(ends(&dropping, &data) == [init.clone(), last.clone()], "{name} differs from itself");
        let [plain_init, plain_last] = ends(&plain, &data);
        assert!(init == plain_init && last != plain_last);
    }
}

#[test]
fn every_setting_of_the_recipe_changes_the_run_and_none_its_start() {
    let data = square_data();
    let plain = || recipe(0.02, 2);
    let [init, last] = ends(&tiny(plain()), &data);
    let changed = [
        TrainSpec { label_smoothing: 0.1, ..plain() },
        TrainSpec { clip_norm: Some(0.1), ..plain() },
        TrainSpec { stop: Some(StopRule { accuracy: Some(0.0), loss: None }), ..plain() },
        with_rules(r#"[{"mask": "fc2", "lr": 0.001}]"#, plain()),
        with_rules(r#"[{"mask": "fc2", "weight_decay": 0.1}]"#, plain()),
        with_rules(r#"[{"mask": "fc2", "momentum": 0.1}]"#, plain()),
        with_rules(r#"[{"mask": "fc2", "frozen": true}]"#, plain()),
        with_rules(r#"[{"mask": "fc2", "frozen_until": 1}]"#, plain()),
        with_rules(r#"[{"mask": "fc2", "optimizer": {"name": "rmsprop"}}]"#, plain()),
        TrainSpec { schedule: Schedule::Milestones { epochs: vec![1], factor: 0.1 }, ..plain() },
        TrainSpec { schedule: Schedule::Cyclic { period: 1.0, floor: 0.1 }, ..plain() },
    ];
    for train in changed {
        let [other_init, other_last] = ends(&tiny(train.clone()), &data);
        assert!(other_init == init && other_last != last, "{train:?}");
    }
    let unchanged = [
        TrainSpec { clip_norm: Some(1e6), ..plain() },
        TrainSpec { stop: Some(StopRule { accuracy: Some(1.1), loss: Some(10.0) }), ..plain() },
        with_rules(r#"[{"mask": "fc2", "frozen_until": 0}, {"mask": "all", "lr": 0.02}]"#, plain()),
    ];
    for train in unchanged {
        assert!(ends(&tiny(train.clone()), &data) == [init.clone(), last.clone()], "{train:?}");
    }
}

#[test]
fn frozen_layers_keep_their_very_bytes_and_only_they() {
    let data = square_data();
    let run = tiny(with_rules(r#"[{"mask": "fc2", "frozen": true}]"#, recipe(0.02, 2)));
    let [init, last] = ends(&run, &data);
    assert!(layer(&run, &init, "fc2") == layer(&run, &last, "fc2"));
    for name in ["fc1", "fc3"] {
        assert!(layer(&run, &init, name) != layer(&run, &last, name), "{name}");
    }
    let keep = [Tag::epoch(1), Tag::epoch(2)].into();
    let thaws = with_rules(r#"[{"mask": "fc2", "frozen_until": 1}]"#, recipe(0.02, 2));
    let run = tiny(TrainSpec { keep, ..thaws });
    let [first, second] = ends(&run, &data);
    assert!(layer(&run, &init, "fc2") == layer(&run, &first, "fc2"));
    assert!(layer(&run, &init, "fc2") != layer(&run, &second, "fc2"));
}

#[test]
fn running_statistics_of_frozen_layers_follow_the_data() {
    let run = run("resnet20", with_rules(r#"[{"mask": "all", "frozen": true}]"#, recipe(0.02, 1)));
    let [init, last] = ends(&run, &few_squares());
    assert!(init.theta == last.theta);
    assert!(init.buffers.iter().zip(&last.buffers).all(|(init, last)| init != last));
}

#[test]
fn training_stops_after_the_first_epoch_that_reaches_its_aim() {
    let data = square_data();
    let keep: std::collections::BTreeSet<Tag> =
        ["init", "epoch-1", "epoch-2", "epoch-9", "final"].map(|tag| tag.parse().unwrap()).into();
    let long = run("mlp", TrainSpec { keep: keep.clone(), ..recipe(0.02, 9) });
    let curve: Vec<EpochScore> =
        scores(&events(&long, &data).0).into_iter().filter(|score| score.split == Split::Train).collect();
    let aim = curve[1];
    assert!(curve[0].accuracy < aim.accuracy && curve[0].loss > aim.loss, "{curve:?}");
    let rules = [(Some(aim.accuracy), None), (None, Some(aim.loss)), (Some(aim.accuracy), Some(aim.loss))];
    for (accuracy, loss) in rules {
        let stop = Some(StopRule { accuracy, loss });
        let (events, result) = events(&run("mlp", TrainSpec { stop, keep: keep.clone(), ..recipe(0.02, 9) }), &data);
        assert_eq!(result, Ok(()));
        assert_eq!(scores(&events).last().unwrap().epoch, 2);
        let kept = checkpoints(&events);
        let tags: Vec<&str> = kept.iter().map(|(tag, _)| tag.as_str()).collect();
        assert_eq!(tags, ["init", "epoch-1", "epoch-2", "final"]);
        assert_eq!(kept[2].1, kept[3].1);
    }
}

#[test]
fn checkpoints_are_kept_of_single_steps() {
    // 19 steps an epoch.
    let keep = ["init", "step-1", "step-19", "epoch-1", "step-20"].map(|tag| tag.parse().unwrap()).into();
    let (events, result) = events(&tiny(TrainSpec { keep, ..recipe(0.02, 2) }), &square_data());
    assert_eq!(result, Ok(()));
    let kept = checkpoints(&events);
    let tags: Vec<&str> = kept.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["init", "step-1", "step-19", "epoch-1", "step-20"]);
    assert_eq!(kept[2].1, kept[3].1);
    assert!(kept[0].1 != kept[1].1 && kept[1].1 != kept[2].1 && kept[3].1 != kept[4].1);
    let late = tiny(TrainSpec { keep: [Tag::step(39)].into(), ..recipe(0.02, 2) });
    let (_, result) = self::events(&late, &square_data());
    assert_eq!(result, Err(TrainError::NoSuchMoment { tag: Tag::step(39), epochs: 2, steps: 38 }));
}

#[test]
fn smoothed_losses_are_reported_of_training_and_plain_ones_of_the_test() {
    let data = square_data();
    let all = |label_smoothing| {
        scores(&events(&tiny(TrainSpec { label_smoothing, ..recipe(1e-9, 1) }), &data).0)
            .iter()
            .map(|s| s.loss)
            .collect()
    };
    // At a learning rate of nothing the network stays, so only the targets differ.
    let (plain, smoothed): (Vec<f64>, Vec<f64>) = (all(0.0), all(0.5));
    assert!((plain[0] - smoothed[0]).abs() < 1e-6 && (plain[2] - smoothed[2]).abs() < 1e-6);
    assert!((plain[1] - smoothed[1]).abs() > 1e-3, "{plain:?}, {smoothed:?}");
}

#[test]
fn a_run_starts_where_its_sources_say_and_is_refused_without_them() {
    let data = square_data();
    let teacher = tiny(recipe(0.02, 1));
    let [_, taught] = ends(&teacher, &data);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("final");
    std::fs::write(&path, encode(model(&teacher).description(), &taught)).unwrap();
    let source = Source::Checkpoint { run: teacher.digest(), tag: Tag::last() };
    let layers = vec![LayerStart { mask: "fc1".into(), source }];
    let mut run = tiny(recipe(0.02, 1));
    run.origin = Origin::Trained { init: InitSpec { layers, ..InitSpec::default() }, train: recipe(0.02, 1) };
    let (none, result) = events(&run, &data);
    assert!(none.is_empty() && matches!(result, Err(TrainError::Source(_))), "{result:?}");
    let sources = Sources { checkpoints: [((teacher.digest(), Tag::last()), path)].into(), ..Sources::default() };
    let mut kept = Vec::new();
    let result = train(&model(&run), &run, &data, &sources, &mut |event| {
        kept.push(event);
        Ok(())
    });
    assert_eq!(result, Ok(()));
    let init = &checkpoints(&kept)[0].1;
    assert!(layer(&run, init, "fc1") == layer(&teacher, &taught, "fc1"));
    let plain = initial(model(&run).description(), &InitSpec::default(), 1);
    assert!(layer(&run, init, "fc2+fc3") == layer(&run, &plain, "fc2+fc3"));
}

#[test]
fn bfloat16_is_asked_for_and_trains_nearly_as_well() {
    let data = square_data();
    for name in ["mlp", "lenet5"] {
        let full = run(name, recipe(0.02, 3));
        let short = run(name, TrainSpec { precision: Precision::Bfloat16, ..recipe(0.02, 3) });
        assert_ne!(full.digest(), short.digest());
        let [(full, _), (short, result)] = [&full, &short].map(|run| events(run, &data));
        assert_eq!(result, Ok(()));
        let [full, short] = [scores(&full), scores(&short)];
        // The start is measured in f32 either way; the first epoch's products are not.
        assert_eq!(full[0].loss, short[0].loss, "{name}");
        assert_ne!(full[1].loss, short[1].loss, "{name}");
        assert!(short[6].accuracy > 0.9, "{name}: {:?}", short[6]);
    }
}

/// Convolutions keep their own layout in training; a model that reads gradients of plain operations does not.
#[test]
fn gradients_are_those_of_plain_operations() {
    tch::set_num_threads(1);
    for (name, input) in [("lenet5", [1, 28, 28]), ("resnet20", [3, 32, 32]), ("simple-cnn", [3, 32, 32])] {
        let description = ModelSpec::from_name(name).unwrap().describe(input, 10).unwrap();
        let start = initial(&description, &InitSpec::default(), 1);
        let model = Model::new(description, Device::Cpu);
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let [channels, height, width] = input.map(i64::from);
        let pixels: Vec<f32> = (0..8 * channels * height * width).map(|_| stream.normal() as f32).collect();
        let x = Tensor::from_slice(&pixels).view([8, channels, height, width]);
        let labels = Tensor::from_slice(&[0_i64, 1, 2, 3, 4, 5, 6, 7]);
        let theta = Tensor::from_slice(&start.theta).set_requires_grad(true);
        let gradient = |logits: Tensor, of: &[Tensor]| {
            let loss = logits.cross_entropy_for_logits(&labels);
            (loss.double_value(&[]), Tensor::run_backward(&[loss], of, false, false))
        };
        let buffers = || Tensor::from_slice(&start.buffers);
        let (plain_buffers, own_buffers) = (buffers(), buffers());
        let logits = model.forward(&theta, &plain_buffers, &x, Norm::Train);
        let (plain_loss, plain) = gradient(logits, &[theta.shallow_clone()]);
        let leaves: Vec<Tensor> =
            model.parameters(&theta.detach()).into_iter().map(|leaf| leaf.set_requires_grad(true)).collect();
        let pass = Pass { noise: Noise { seed: 1, step: 0 }, precision: Precision::Float32 };
        let (loss, own) = gradient(model.forward_training(&leaves, &own_buffers, &x, pass), &leaves);
        assert!((loss - plain_loss).abs() < 1e-5 * plain_loss, "{name}: {loss} for {plain_loss}");
        let far = |a: &Tensor, b: &Tensor| (a - b).norm().double_value(&[]) / b.norm().double_value(&[]).max(1e-9);
        let own = Tensor::cat(&own.iter().map(|piece| piece.reshape(-1)).collect::<Vec<_>>(), 0);
        assert!(far(&own, &plain[0]) < 1e-3, "{name}: {}", far(&own, &plain[0]));
        if !start.buffers.is_empty() {
            assert!(far(&own_buffers, &plain_buffers) < 1e-5, "{name}: running statistics");
        }
    }
}
