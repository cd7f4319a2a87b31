//! What the `truth_*` tests share: `PyTorch`'s results (`scripts/fixtures/`), the numbers that they were made from, and how
//! near is near enough. Each test file uses its part.
#![allow(dead_code)]

pub mod formula;
pub mod lines;

use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Tensor};
use transect_common::model::{Description, ModelSpec};
use transect_worker::nn::Model;

/// Tests run side by side, so each computes on one thread: libtorch's threads wait by spinning, and more of them than
/// processors make a test ten times slower.
pub fn use_one_thread() {
    tch::set_num_threads(1);
}

/// A fixture file's path.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A safetensors file of numbers.
pub struct Fixture {
    bytes: Vec<u8>,
}

impl Fixture {
    pub fn open(name: &str) -> Self {
        Self { bytes: std::fs::read(fixture(name)).unwrap() }
    }

    /// All numbers of a tensor, in its order.
    pub fn values(&self, name: &str) -> Vec<f64> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|&b| f32::from_le_bytes(b).into()).collect(),
            Dtype::F64 => view.data().as_chunks().0.iter().map(|&b| f64::from_le_bytes(b)).collect(),
            other => panic!("{name} holds {other:?}"),
        }
    }
}

/// The architecture of that name for its usual images.
pub fn described(name: &str) -> Description {
    let spec = ModelSpec::from_name(name).unwrap();
    spec.describe(spec.usual_input(), 10).unwrap()
}

/// The 36-10-7-5 network of the fixtures.
pub fn small_mlp() -> Description {
    ModelSpec::mlp([10, 7]).describe([1, 6, 6], 5).unwrap()
}

/// A model on the CPU with the formula weights of stream 1, and the fixtures' eight images: theta, buffers, x, labels.
pub struct Case {
    pub model: Model,
    pub theta: Tensor,
    pub buffers: Tensor,
    pub x: Tensor,
    pub labels: Tensor,
}

impl Case {
    pub fn new(description: Description) -> Self {
        Self::with(description, 8)
    }

    /// The same with the first `count` images.
    pub fn with(description: Description, count: usize) -> Self {
        use_one_thread();
        let weights = formula::checkpoint(&description, 1);
        let [c, h, w] = description.input.map(i64::from);
        let x = Tensor::from_slice(&formula::floats(11, count * (c * h * w) as usize)).view([count as i64, c, h, w]);
        let labels: Vec<i64> = formula::labels(12, count, description.classes).into_iter().map(i64::from).collect();
        Self {
            theta: Tensor::from_slice(&weights.theta),
            buffers: Tensor::from_slice(&weights.buffers),
            x,
            labels: Tensor::from_slice(&labels),
            model: Model::new(description, Device::Cpu),
        }
    }
}

/// All numbers of a tensor.
pub fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(tch::Kind::Double).flatten(0, -1)).unwrap()
}

/// Every number within `tolerance` of `PyTorch`'s, relative to the largest of the vector.
#[track_caller]
pub fn assert_near(ours: &[f64], truth: &[f64], tolerance: f64, what: &str) {
    assert_eq!(ours.len(), truth.len(), "{what}: lengths");
    let scale = truth.iter().fold(0.0, |max: f64, v| max.max(v.abs()));
    for (i, (a, b)) in ours.iter().zip(truth).enumerate() {
        let error = (a - b).abs() / scale;
        assert!(error <= tolerance, "{what}[{i}]: ours {a}, PyTorch {b}, relative error {error:.1e} > {tolerance:.0e}");
    }
}
