//! Losses along lines agree with plain `PyTorch`: whole and partial masks, both held ends, beyond the ends, and batch norm
//! in its three modes; to another run, aligned, and along normalised directions; and what is measured of whole lines.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::BTreeMap;

use tch::Device;
use transect_common::checkpoint;
use transect_common::data::DataSet;
use transect_common::model::Description;
use transect_common::run::Tag;
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::probe::Subject;
use transect_worker::sources::Sources;
use truth::lines::{Lines, other_run, subject};
use truth::{described, fixture, formula, small_mlp, use_one_thread};

fn check(file: &str, name: &str, description: Description, set: DataSet, tolerance: f64) {
    use_one_thread();
    let text = std::fs::read_to_string(fixture(file)).unwrap();
    let mut all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let lines: Lines = serde_json::from_value(all.remove(name).unwrap()).unwrap();
    let ends = BTreeMap::from(
        [(Tag::init(), 1), (Tag::last(), 2)].map(|(tag, s)| (tag, formula::checkpoint(&description, s))),
    );
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::write(&other, checkpoint::encode(&description, &formula::checkpoint(&description, 3))).unwrap();
    let checkpoints = BTreeMap::from([((other_run(), Tag::last()), other)]);
    let sources = Sources { checkpoints, ..Sources::default() };
    let images = |pixels, labels, count: usize| {
        let size = description.input.iter().product::<u32>() as usize;
        Images {
            pixels: formula::bytes(pixels, count * size),
            labels: formula::labels(labels, count, description.classes),
            shape: description.input,
        }
    };
    let info = set.info();
    let data = Data::new(&images(21, 22, 24), &images(23, 24, 16), info.mean, info.std, Device::Cpu);
    let model = Model::new(description, Device::Cpu);
    lines.check(None, &Subject { sources: &sources, ..subject(&model, &data, &ends) }, tolerance);
}

#[test]
fn lines_of_lenet5_are_pytorchs() {
    check("lines.json", "lenet5", described("lenet5"), DataSet::Mnist, 1e-5);
}

#[test]
fn lines_of_resnet20_are_pytorchs_in_every_batch_norm_mode() {
    check("lines.json", "resnet20", described("resnet20"), DataSet::Cifar10, 1e-4);
}

#[test]
fn lines_to_other_runs_aligned_and_normalised_are_pytorchs() {
    check("elsewhere.json", "mlp", small_mlp(), DataSet::Mnist, 1e-5);
}

#[test]
fn they_are_so_for_resnet20_in_every_batch_norm_mode() {
    check("elsewhere.json", "resnet20", described("resnet20"), DataSet::Cifar10, 1e-4);
}
