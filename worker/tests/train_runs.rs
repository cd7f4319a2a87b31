//! Whole training runs: what they emit, that they repeat themselves to the byte, and how they end.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]
#![expect(clippy::float_cmp, reason = "the same run gives the same bytes")]

use std::path::Path;

use tch::Device;
use transect_common::checkpoint::{Checkpoint, encode};
use transect_common::data::{Augment, DataSet, DataSpec, Split};
use transect_common::model::ModelSpec;
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, Schedule, Tag, TrainSpec};
use transect_worker::Stop;
use transect_worker::data::{Data, DataError, Images};
use transect_worker::nn::Model;
use transect_worker::random::{Purpose, Stream};
use transect_worker::train::{EpochScore, TrainError, TrainEvent, initial, train};

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
    Model::new(run.model.describe([1, 28, 28], 10).unwrap(), Device::Cpu)
}

fn events(run: &RunSpec, data: &Data) -> (Vec<TrainEvent>, Result<(), TrainError>) {
    let mut events = Vec::new();
    let result = train(&model(run), run, data, &mut |event| {
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
        let mut run = run(name, TrainSpec { schedule, warmup_epochs: 0.5, ..recipe(0.02, 2) });
        run.data.augment = augment;
        let first = bytes(&run, &events(&run, &data).0);
        let mut unrelated = Stream::new(1, Purpose::Order, 1);
        for _ in 0..1000 {
            unrelated.normal();
        }
        let _ = tch::Tensor::rand([1000], (tch::Kind::Float, Device::Cpu));
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
    let other_seed = run("mlp", TrainSpec { seed: 2, ..recipe(0.02, 1) });
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
    let optimizer = Optimizer::adamw();
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
    let result = train(&model(&run), &run, &square_data(), &mut |_| {
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
    assert_eq!(events(&late, &data), (vec![], Err(TrainError::NoSuchMoment { tag: Tag::epoch(2), epochs: 1 })));
    let run = run("mlp", recipe(0.02, 1));
    let other = Model::new(run.model.describe([3, 32, 32], 10).unwrap(), Device::Cpu);
    let result = train(&other, &run, &data, &mut |_| panic!("nothing happens"));
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
