//! Losses along lines agree with plain `PyTorch`: whole and partial masks, both held ends, beyond the ends, and batch norm
//! in its three modes.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::BTreeMap;

use tch::Device;
use transect_common::data::DataSet;
use transect_common::run::Tag;
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use truth::lines::Lines;
use truth::{described, fixture, formula, use_one_thread};

fn check(name: &str, set: DataSet, tolerance: f64) {
    use_one_thread();
    let text = std::fs::read_to_string(fixture("lines.json")).unwrap();
    let mut all: BTreeMap<String, serde_json::Value> = serde_json::from_str(&text).unwrap();
    let lines: Lines = serde_json::from_value(all.remove(name).unwrap()).unwrap();
    let description = described(name);
    let ends = BTreeMap::from(
        [(Tag::init(), 1), (Tag::last(), 2)].map(|(tag, s)| (tag, formula::checkpoint(&description, s))),
    );
    let images = |pixels, labels, count: usize| {
        let size = description.input.iter().product::<u32>() as usize;
        Images {
            pixels: formula::bytes(pixels, count * size),
            labels: formula::labels(labels, count, 10),
            shape: description.input,
        }
    };
    let info = set.info();
    let data = Data::new(&images(21, 22, 24), &images(23, 24, 16), info.mean, info.std, Device::Cpu);
    lines.check(None, &Model::new(description, Device::Cpu), &data, &ends, tolerance);
}

#[test]
fn lines_of_lenet5_are_pytorchs() {
    check("lenet5", DataSet::Mnist, 1e-5);
}

#[test]
fn lines_of_resnet20_are_pytorchs_in_every_batch_norm_mode() {
    check("resnet20", DataSet::Cifar10, 1e-4);
}
