//! What is measured: a network, images, and how many threads work on them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use tch::{Device, Tensor};
use transect_common::data::{DataSet, DataSpec, Split};
use transect_common::model::{Description, ModelSpec};
use transect_worker::data::Data;
use transect_worker::nn::{Model, device};

/// Options that all commands share.
#[derive(Debug, Args)]
pub struct Subject {
    /// A name of `transect models`, or a model in JSON: {"architecture": "mlp", "widths": [100]}
    #[arg(long, default_value = "mlp")]
    architecture: String,
    /// fashion-mnist, mnist, cifar10 or cifar100
    #[arg(long, default_value = "fashion-mnist")]
    data: String,
    /// Folder that holds the data set in a folder of its name; where system packages put it without this
    #[arg(long, default_value = ".transect/data")]
    folder: PathBuf,
    /// The first so many training images (and of test images, when there are as many)
    #[arg(long, default_value_t = 10_000)]
    pub images: u32,
    /// cpu or cuda:N
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Threads of libtorch
    #[arg(long, default_value_t = 1)]
    threads: u32,
}

impl Subject {
    /// Sets libtorch's threads and opens the device; the first thing to do.
    pub fn device(&self) -> anyhow::Result<Device> {
        tch::set_num_threads(self.threads as i32);
        Ok(device::open(&self.device)?)
    }

    /// Which images, normalised as the set always is.
    pub fn data_spec(&self) -> anyhow::Result<DataSpec> {
        let is_named = |set: &&DataSet| set.name() == self.data;
        let set = DataSet::ALL.iter().find(is_named).with_context(|| format!("there is no data set {}", self.data))?;
        let whole = DataSpec::new(*set);
        let size = |split| Some(self.images.min(whole.default_size(split)?));
        if size(Split::Train).is_none() {
            bail!("{} is not made of files of a known size", self.data);
        }
        Ok(DataSpec { train_size: size(Split::Train), test_size: size(Split::Test), partial: true, ..whole })
    }

    /// The images, in memory.
    pub fn load(&self, spec: &DataSpec, device: Device) -> anyhow::Result<Data> {
        Ok(Data::load(spec, &self.folder, Some(0), device)?)
    }

    /// The network's settings.
    pub fn model_spec(&self) -> anyhow::Result<ModelSpec> {
        if self.architecture.starts_with('{') {
            return serde_json::from_str(&self.architecture).context("--architecture is not a model");
        }
        ModelSpec::from_name(&self.architecture)
            .with_context(|| format!("there is no architecture {}", self.architecture))
    }

    /// The network for these images.
    pub fn model(&self, spec: &DataSpec, device: Device) -> anyhow::Result<Model> {
        Ok(Model::new(self.model_spec()?.describe(spec.input(), spec.classes())?, device))
    }
}

/// The tensors of a state by their names in `PyTorch`.
pub fn named(description: &Description, theta: &Tensor, buffers: &Tensor) -> Vec<(String, Tensor)> {
    let shaped = |vector: &Tensor, offset: usize, len: usize, shape: &[u32]| {
        let shape: Vec<i64> = shape.iter().map(|&d| d.into()).collect();
        vector.narrow(0, offset as i64, len as i64).reshape(shape)
    };
    let parameters = description.parameters.iter().map(|p| (p.name.clone(), shaped(theta, p.offset, p.len, &p.shape)));
    let buffers = description.buffers.iter().map(|b| (b.name.clone(), shaped(buffers, b.offset, b.len, &b.shape)));
    parameters.chain(buffers).collect()
}
