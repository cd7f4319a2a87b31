//! Training that is interrupted and taken up again ends in the bytes of training that was not.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

use tch::Device;
use transect_common::data::{Augment, DataSet, DataSpec};
use transect_common::model::ModelSpec;
use transect_common::run::{InitSpec, LayerRecipe, Optimizer, Origin, RunSpec, Schedule, TrainSpec};
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::random::{Purpose, Stream};
use transect_worker::sources::Sources;
use transect_worker::train::{self, Ask, Course, Made, Snapshot, SnapshotError, TrainError, TrainEvent};

/// Noise with a bright row for each class.
fn images(count: usize, seed: u64) -> Images {
    let mut images = Images { pixels: vec![], labels: vec![], shape: [1, 28, 28] };
    let mut stream = Stream::new(seed, Purpose::Init, 0);
    for _ in 0..count {
        let class = stream.below(10) as usize;
        images.labels.push(class as u8);
        images.pixels.extend((0..784).map(|i| (stream.below(120) + if i / 28 == 2 * class { 100 } else { 0 }) as u8));
    }
    images
}

/// Seven steps of 16 an epoch, the last one smaller.
fn data() -> Data {
    Data::new(&images(100, 1), &images(40, 2), &[0.25], &[0.2], Device::Cpu)
}

const STEPS: u64 = 7;

fn run(model: ModelSpec, train: TrainSpec) -> RunSpec {
    let origin = Origin::Trained { init: InitSpec::default(), train };
    RunSpec { data: DataSpec::new(DataSet::Mnist), model, origin }
}

fn recipe(optimizer: Optimizer, epochs: u32) -> TrainSpec {
    let keep = ["init", "step-3", "epoch-1", "final"].map(|tag| tag.parse().unwrap()).into();
    let schedule = Schedule::Cosine { floor: 0.1 };
    TrainSpec { epochs, batch_size: 16, keep, schedule, warmup_epochs: 0.5, ..TrainSpec::new(1, optimizer) }
}

fn tiny() -> ModelSpec {
    serde_json::from_str(r#"{"architecture": "mlp", "widths": [8, 6]}"#).unwrap()
}

fn model(run: &RunSpec) -> Model {
    tch::set_num_threads(1);
    Model::new(run.model.describe([1, 28, 28], 10).unwrap(), Device::Cpu)
}

fn made(run: &RunSpec) -> Made {
    Made { run: run.digest(), images: 100, machine: "cpu, libtorch 2.11.0, AVX2".to_owned() }
}

/// Trains from `from` until a snapshot after `step`, or to the end. Events but for snapshots and signs of life, and the
/// snapshot's file.
fn train_until(
    run: &RunSpec,
    data: &Data,
    from: Option<Snapshot>,
    step: Option<u64>,
) -> (Vec<TrainEvent>, Option<Vec<u8>>) {
    let (mut events, mut file) = (vec![], None);
    let mut now = from.as_ref().map_or(0, Snapshot::step);
    let mut ask = || {
        now += 1;
        if step == Some(now) { Ask::SnapshotAndStop } else { Ask::GoOn }
    };
    let course = Course { from, ask: &mut ask };
    let result = train::train_from(course, &model(run), run, data, &Sources::default(), &mut |event| {
        match event {
            TrainEvent::Snapshot(snapshot) => file = Some(snapshot.encode(&made(run))),
            TrainEvent::Progress { .. } => {}
            event => events.push(event),
        }
        Ok(())
    });
    let is_as_expected = if step.is_some() { matches!(result, Err(TrainError::Stopped(_))) } else { result.is_ok() };
    assert!(is_as_expected, "{result:?}");
    assert_eq!(file.is_some(), step.is_some());
    (events, file)
}

/// Events without their seconds.
fn timeless(events: &[TrainEvent]) -> Vec<TrainEvent> {
    let mut events = events.to_vec();
    for event in &mut events {
        if let TrainEvent::Epoch(score) = event {
            score.seconds = 0.0;
        }
    }
    events
}

/// Interrupts a run after each of `steps` in turn, each time through a file, and demands every event of the undisturbed
/// run once and to the bit.
fn assert_resumes(run: &RunSpec, data: &Data, steps: &[u64]) {
    let (undisturbed, _) = train_until(run, data, None, None);
    let (mut events, mut from) = (vec![], None);
    for step in steps {
        let (more, file) = train_until(run, data, from, Some(*step));
        events.extend(more);
        from = Some(Snapshot::decode(&file.unwrap(), run, model(run).description(), &made(run)).unwrap());
    }
    let (last, _) = train_until(run, data, from, None);
    events.extend(last);
    assert!(timeless(&events) == timeless(&undisturbed), "after {steps:?}: {run:?}");
    let seconds = |event: &TrainEvent| if let TrainEvent::Epoch(score) = event { Some(score.seconds) } else { None };
    let seconds: Vec<f64> = events.iter().filter_map(seconds).collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
}

#[test]
fn every_optimizer_goes_on_at_random_steps() {
    let data = data();
    let mut stream = Stream::new(7, Purpose::Order, 0);
    let (momentum, weight_decay) = (0.9, 5e-4);
    let optimizers = [
        Optimizer::Sgd { lr: 0.02, momentum: 0.0, weight_decay, nesterov: false },
        Optimizer::Sgd { lr: 0.02, momentum, weight_decay, nesterov: false },
        Optimizer::Sgd { lr: 0.02, momentum, weight_decay, nesterov: true },
        Optimizer::Rmsprop { lr: 0.002, alpha: 0.9, eps: 1e-8, momentum, weight_decay },
        Optimizer::from_name("rmsprop").unwrap(),
        Optimizer::from_name("adam").unwrap(),
        Optimizer::from_name("adamw").unwrap(),
        Optimizer::Sam { lr: 0.02, rho: 0.05, momentum, weight_decay },
    ];
    for optimizer in optimizers {
        let mut steps: Vec<u64> = (0..4).map(|_| 1 + stream.below(3 * STEPS)).collect();
        steps.sort_unstable();
        steps.dedup();
        assert_resumes(&run(tiny(), recipe(optimizer, 3)), &data, &steps);
    }
}

#[test]
fn ends_of_epochs_and_the_very_last_step_are_moments_like_others() {
    let (data, run) = (data(), run(tiny(), recipe(Optimizer::from_name("adamw").unwrap(), 2)));
    for steps in [vec![1], vec![STEPS], vec![STEPS + 1], vec![2 * STEPS], (1..=2 * STEPS).collect()] {
        assert_resumes(&run, &data, &steps);
    }
}

#[test]
fn batch_norm_dropout_augmentation_and_clipping_go_on() {
    let data = data();
    let sgd = Optimizer::Sgd { lr: 0.02, momentum: 0.9, weight_decay: 5e-4, nesterov: false };
    let train = TrainSpec { label_smoothing: 0.1, clip_norm: Some(1.0), ..recipe(sgd, 2) };
    let mut small = run(ModelSpec::from_name("resnet20").unwrap(), train.clone());
    small.data.augment = Augment { flip: true, crop: 2 };
    assert_resumes(&small, &data, &[2, 9]);
    let text = r#"{"architecture": "mlp", "widths": [8], "dropout": 0.5, "batch_norm": true}"#;
    assert_resumes(&run(serde_json::from_str(text).unwrap(), train), &data, &[3, 8]);
}

#[test]
fn layers_with_rules_of_their_own_go_on() {
    let rules = r#"[{"mask": "fc1", "frozen_until": 1}, {"mask": "fc2", "optimizer": {"name": "adam"}},
                    {"mask": "fc3.bias", "frozen": true}, {"mask": "fc3.weight", "lr": 0.5, "momentum": 0.0}]"#;
    let layers: Vec<LayerRecipe> = serde_json::from_str(rules).unwrap();
    let sam = Optimizer::Sam { lr: 0.02, rho: 0.05, momentum: 0.9, weight_decay: 0.0 };
    for optimizer in [sam, Optimizer::sgd()] {
        let run = run(tiny(), TrainSpec { layers: layers.clone(), ..recipe(optimizer, 3) });
        assert_resumes(&run, &data(), &[1, 7, 8, 15, 21]);
    }
}

#[test]
fn a_snapshot_that_is_not_asked_to_stop_changes_nothing() {
    let (data, run) = (data(), run(tiny(), recipe(Optimizer::sgd(), 2)));
    let (undisturbed, _) = train_until(&run, &data, None, None);
    let (mut events, mut snapshots) = (vec![], vec![]);
    let course = Course { from: None, ask: &mut || Ask::Snapshot };
    train::train_from(course, &model(&run), &run, &data, &Sources::default(), &mut |event| {
        match event {
            TrainEvent::Snapshot(snapshot) => snapshots.push(snapshot.step()),
            TrainEvent::Progress { .. } => {}
            event => events.push(event),
        }
        Ok(())
    })
    .unwrap();
    assert!(timeless(&events) == timeless(&undisturbed));
    assert_eq!(snapshots, (1..=2 * STEPS).collect::<Vec<_>>());
}

#[test]
fn a_run_that_diverges_does_so_at_the_same_step_after_an_interruption() {
    let wild = Optimizer::Sgd { lr: 1e12, momentum: 0.9, weight_decay: 0.0, nesterov: false };
    let (data, run) = (data(), run(tiny(), TrainSpec { epochs: 2, batch_size: 16, ..TrainSpec::new(1, wild) }));
    let train = |from| {
        let course = Course { from, ask: &mut || Ask::GoOn };
        train::train_from(course, &model(&run), &run, &data, &Sources::default(), &mut |_| Ok(())).unwrap_err()
    };
    let (_, file) = train_until(&run, &data, None, Some(1));
    let from = Snapshot::decode(&file.unwrap(), &run, model(&run).description(), &made(&run)).unwrap();
    assert_eq!(train(Some(from)), train(None));
}

#[test]
fn a_snapshot_of_anything_else_or_with_any_bit_turned_is_refused() {
    let (data, run) = (data(), run(tiny(), recipe(Optimizer::from_name("adam").unwrap(), 1)));
    let (_, file) = train_until(&run, &data, None, Some(3));
    let (file, model, made) = (file.unwrap(), model(&run), made(&run));
    let decode = |bytes: &[u8], made: &Made| Snapshot::decode(bytes, &run, model.description(), made);
    assert_eq!(decode(&file, &made).unwrap().encode(&made), file);

    let other = Made { run: tiny_run_with_seed(9).digest(), ..made.clone() };
    assert!(matches!(decode(&file, &other), Err(SnapshotError::Other { what: "run", .. })));
    let other = Made { machine: "cpu, libtorch 2.11.0, AVX512".to_owned(), ..made.clone() };
    let error = decode(&file, &other).unwrap_err().to_string();
    assert_eq!(error, "it was taken of machine cpu, libtorch 2.11.0, AVX2, and this is cpu, libtorch 2.11.0, AVX512");
    assert!(matches!(decode(&file, &Made { images: 101, ..made.clone() }), Err(SnapshotError::Other { .. })));

    for len in (0..file.len()).step_by(97).chain([file.len() - 1]) {
        assert!(decode(&file[..len], &made).is_err(), "cut at {len}");
    }
    let mut stream = Stream::new(3, Purpose::Order, 0);
    let (whole, mut turned) = (decode(&file, &made).unwrap(), file.clone());
    for _ in 0..300 {
        let (byte, bit) = (stream.below(file.len() as u64) as usize, stream.below(8));
        turned[byte] ^= 1 << bit;
        // A turned bit of white space may say the same; nothing may say something else.
        assert!(decode(&turned, &made).map_or(true, |read| read == whole), "bit {bit} of byte {byte}");
        turned[byte] ^= 1 << bit;
    }
    assert!(decode(b"not a snapshot", &made).is_err());
}

#[test]
fn a_snapshot_of_a_later_format_says_so() {
    let head = r#"{"digest":"","head":{"format":7,"what":"nobody knows"}}"#;
    let metadata = std::collections::HashMap::from([("transect.snapshot".to_owned(), head.to_owned())]);
    let nothing: [(&str, safetensors::tensor::TensorView); 0] = [];
    let file = safetensors::serialize(nothing, Some(metadata)).unwrap();
    let run = tiny_run_with_seed(1);
    let error = Snapshot::decode(&file, &run, model(&run).description(), &made(&run)).unwrap_err();
    assert_eq!(error.to_string(), "it is in format 7, and this worker reads format 1");
}

fn tiny_run_with_seed(seed: u64) -> RunSpec {
    run(tiny(), TrainSpec::new(seed, Optimizer::sgd()))
}
