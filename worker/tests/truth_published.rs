//! A published ResNet-20 and ResNet-56 on true CIFAR-10 images: their known losses and accuracies, and the first one's
//! lines as `PyTorch` draws them; and EfficientNet-lite0's ImageNet weights.
//!
//! The weights and images are not part of the project; the tests say so and pass where they are absent.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::Device;
use transect_common::checkpoint::{self, Checkpoint};
use transect_common::data::{DataSet, DataSpec, Split};
use transect_common::model::ModelSpec;
use transect_common::run::Tag;
use transect_worker::data::Data;
use transect_worker::nn::{Model, Norm, Tally};
use truth::lines::{Lines, subject};
use truth::{assert_near, described, fixture, formula, use_one_thread, values};

#[derive(Deserialize)]
struct Published {
    final_on_1000_test_images: Final,
    resnet56_on_1000_test_images: Final,
    efficientnet_lite0: Logits,
    subset: u32,
    #[serde(flatten)]
    lines: Lines,
}

#[derive(Deserialize)]
struct Final {
    loss: f64,
    accuracy: f64,
    count: u64,
}

/// Of the logits of two formula images.
#[derive(Deserialize)]
struct Logits {
    first: Vec<Vec<f64>>,
    norm: Vec<f64>,
}

fn published() -> Published {
    serde_json::from_str(&std::fs::read_to_string(fixture("published.json")).unwrap()).unwrap()
}

/// `../shared/data` beside the checkout.
fn shared() -> Option<PathBuf> {
    use_one_thread();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    if folder.join("resnet-cifar10").is_dir() && folder.join("cifar10-part").is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the published ResNet-20 and CIFAR-10 images are not in {}", folder.display());
    None
}

fn ends(folder: &Path, model: &Model) -> BTreeMap<Tag, Checkpoint> {
    let read = |tag: Tag| {
        let path = folder.join(format!("resnet-cifar10/resnet20-{tag}.safetensors"));
        let checkpoint = checkpoint::decode(model.description(), &std::fs::read(path).unwrap()).unwrap();
        (tag, checkpoint)
    };
    BTreeMap::from([read(Tag::init()), read(Tag::last())])
}

/// The images under the names that a data folder has.
fn data(folder: &Path) -> Data {
    let home = tempfile::tempdir().unwrap();
    let set = home.path().join("cifar10");
    std::os::unix::fs::symlink(folder.canonicalize().unwrap().join("cifar10-part"), set).unwrap();
    let spec = DataSpec {
        partial: true,
        mean: Some(vec![0.485, 0.456, 0.406]),
        std: Some(vec![0.229, 0.224, 0.225]),
        ..DataSpec::new(DataSet::Cifar10)
    };
    Data::load(&spec, home.path(), None, Device::Cpu).unwrap()
}

/// Measures a checkpoint on the test images and compares it with `PyTorch`'s measurement.
fn check(folder: &Path, model: &Model, trained: &Checkpoint, truth: &Final, rounded: &str) {
    let data = data(folder);
    let _no_grad = tch::no_grad_guard();
    let [theta, buffers] = [&trained.theta, &trained.buffers].map(|v| tch::Tensor::from_slice(v));
    let mut tally = Tally::new(Device::Cpu);
    for start in (0..data.len(Split::Test)).step_by(250) {
        let (x, labels) = data.batch(Split::Test, start..start + 250);
        tally.add(&model.forward(&theta, &buffers, &x, Norm::Running), &labels);
    }
    let score = tally.score();
    assert_eq!(score.count, truth.count);
    assert_near(&[score.loss], &[truth.loss], 1e-4, "loss");
    assert_eq!(format!("{:.4} {:.4}", score.loss, score.accuracy), rounded);
    assert!((score.accuracy - truth.accuracy).abs() < 1e-12);
}

#[test]
fn the_published_resnet20_has_its_known_loss_and_accuracy() {
    let Some(folder) = shared() else { return };
    let model = Model::new(described("resnet20"), Device::Cpu);
    let trained = &ends(&folder, &model)[&Tag::last()];
    check(&folder, &model, trained, &published().final_on_1000_test_images, "0.3842 0.9150");
}

#[test]
fn the_published_resnet56_loads_by_name_and_has_its_known_loss_and_accuracy() {
    let Some(folder) = shared() else { return };
    let model = Model::new(described("resnet56"), Device::Cpu);
    let bytes = std::fs::read(folder.join("resnet-cifar10/resnet56-final.safetensors")).unwrap();
    let trained = checkpoint::decode(model.description(), &bytes).unwrap();
    check(&folder, &model, &trained, &published().resnet56_on_1000_test_images, "0.3596 0.9260");
}

#[test]
fn the_published_efficientnet_lite0_loads_by_name_and_gives_its_packages_logits() {
    use_one_thread();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/weights/efficientnet-lite0.safetensors");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not there; scripts/weights.sh efficientnet-lite0 fetches it", path.display());
        return;
    };
    let spec = ModelSpec::from_name("efficientnet-lite0").unwrap();
    let model = Model::new(spec.describe([3, 224, 224], 1000).unwrap(), Device::Cpu);
    let trained = checkpoint::decode(model.description(), &bytes).unwrap();
    let [theta, buffers] = [&trained.theta, &trained.buffers].map(|v| tch::Tensor::from_slice(v));
    let x = tch::Tensor::from_slice(&formula::floats(11, 2 * 3 * 224 * 224)).view([2, 3, 224, 224]);
    let _no_grad = tch::no_grad_guard();
    let logits = model.forward(&theta, &buffers, &x, Norm::Running);
    let truth = published().efficientnet_lite0;
    for (i, (first, norm)) in truth.first.iter().zip(truth.norm).enumerate() {
        let ours = values(&logits.get(i as i64));
        assert_near(&ours[..first.len()], first, 1e-4, "logits");
        assert_near(&[ours.iter().map(|v| v * v).sum::<f64>().sqrt()], &[norm], 1e-4, "norm of the logits");
    }
}

#[test]
fn lines_of_the_published_resnet20_are_pytorchs_in_every_batch_norm_mode() {
    let Some(folder) = shared() else { return };
    let model = Model::new(described("resnet20"), Device::Cpu);
    let truth = published();
    let (data, ends) = (data(&folder), ends(&folder, &model));
    truth.lines.check(Some(truth.subset), &subject(&model, &data, &ends), 1e-4);
}
