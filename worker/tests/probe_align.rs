//! Networks up to a permutation of their hidden units: what a permutation leaves as it was, and how one is found.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::BTreeMap;

use tch::{Device, Tensor};
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::Description;
use transect_common::permute::classes;
use transect_common::run::Tag;
use transect_worker::data::{Data, Images};
use transect_worker::nn::{Model, Norm};
use transect_worker::probe::{LineTask, MeasureName, align};
use transect_worker::random::{Purpose, Stream};
use truth::lines::{findings, measures, points, subject};
use truth::{assert_near, described, formula, small_mlp, use_one_thread, values};

/// `state` with every class of hidden units permuted at random.
fn permuted(model: &Description, state: &Checkpoint) -> Checkpoint {
    let mut permuted = state.clone();
    for (index, class) in classes(model).iter().enumerate() {
        let order = Stream::new(5, Purpose::Order, index as u64).permutation(class.size as u32);
        let order: Vec<usize> = order.into_iter().map(|unit| unit as usize).collect();
        class.permute(model, &order, &mut permuted);
    }
    permuted
}

fn assert_same_function(description: Description) {
    use_one_thread();
    let _no_grad = tch::no_grad_guard();
    let name = description.architecture;
    let state = formula::checkpoint(&description, 1);
    let other = permuted(&description, &state);
    let has_classes = !classes(&description).is_empty();
    assert_eq!(other.theta != state.theta, has_classes, "{name} is permuted where it has hidden units that can be");
    let [c, h, w] = description.input.map(i64::from);
    let x = Tensor::from_slice(&formula::floats(11, (c * h * w) as usize)).view([1, c, h, w]);
    let model = Model::new(description, Device::Cpu);
    let logits = |state: &Checkpoint| {
        let [theta, buffers] = [&state.theta, &state.buffers].map(|v| Tensor::from_slice(v));
        values(&model.forward(&theta, &buffers, &x, Norm::Running))
    };
    assert_near(&logits(&other), &logits(&state), 1e-3, name);
}

#[test]
fn a_permutation_leaves_the_function_as_it_was() {
    for name in ["mlp", "lenet5", "simple-cnn", "resnet20", "resnet18", "vgg11"] {
        let description = described(name);
        assert!(!classes(&description).is_empty(), "{name}");
        assert_same_function(description);
    }
}

#[test]
fn depthwise_convolutions_and_tokens_are_not_torn_apart() {
    for name in ["efficientnet-lite0", "vit"] {
        assert_same_function(described(name));
    }
}

#[test]
fn a_permuted_copy_is_put_back_exactly() {
    use_one_thread();
    for description in ["lenet5", "simple-cnn", "resnet20"].map(described).into_iter().chain([small_mlp()]) {
        let state = formula::checkpoint(&description, 1);
        let found = align(&description, &state, &permuted(&description, &state));
        assert!(found == state, "{}", description.architecture);
    }
}

#[test]
fn the_line_to_an_aligned_copy_of_oneself_is_flat() {
    use_one_thread();
    let description = small_mlp();
    let state = formula::checkpoint(&description, 1);
    let ends = BTreeMap::from([(Tag::last(), permuted(&description, &state)), (Tag::init(), state)]);
    let images = |seed, count: usize| Images {
        pixels: formula::bytes(seed, count * 36),
        labels: formula::labels(seed + 1, count, 5),
        shape: [1, 6, 6],
    };
    let data = Data::new(&images(1, 9), &images(3, 9), &[0.4], &[0.3], Device::Cpu);
    let model = Model::new(description, Device::Cpu);
    let line = |align| {
        let alphas = vec![-1.0, 0.0, 0.3, 1.0, 2.0];
        let spec = LineSpec { batch_norm: BatchNorm::None, align, ..LineSpec::new("all", alphas, vec![Split::Test]) };
        findings(&subject(&model, &data, &ends), &[LineTask::new(spec)])
    };
    let apart = |align| -> Vec<(MeasureName, f64)> {
        measures(&line(align), 0).iter().map(|m| (m.name, (m.value * 1e9).round() / 1e9)).collect()
    };
    let expected = [(MeasureName::Distance, 0.0), (MeasureName::DistanceRelative, 0.0), (MeasureName::Cosine, 1.0)];
    assert_eq!(apart(true), expected);
    assert!(apart(false)[0].1 > 1.0, "not aligned it is far away: {:?}", apart(false));
    let losses: Vec<f64> = points(line(true)).iter().map(|point| point.loss).collect();
    assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-12), "{losses:?}");
}
