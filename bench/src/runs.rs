//! Images, starts and orders of many runs, so that a peer trains the very same.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tch::{Device, Tensor};
use transect_common::data::Split;
use transect_common::run::InitSpec;
use transect_worker::train::{epoch_order, initial};

use crate::subject::Subject;

/// Writes x, y (training images and labels), test_x, test_y, theta [seeds, P], and orders [seeds, epochs, images].
#[derive(Debug, Args)]
pub struct Runs {
    #[command(flatten)]
    subject: Subject,
    /// Runs with the seeds 0, 1, ...
    #[arg(long, default_value_t = 200)]
    seeds: u32,
    #[arg(long, default_value_t = 1)]
    epochs: u32,
    /// Where to
    #[arg(long, value_name = "FILE.safetensors")]
    write: PathBuf,
}

impl Runs {
    /// {"shapes": {name: shape}}: of the parameters that theta holds one after another.
    pub fn write(&self) -> anyhow::Result<Value> {
        let device = self.subject.device()?;
        let spec = self.subject.data_spec()?;
        let data = self.subject.load(&spec, device)?;
        let model = self.subject.model(&spec, device)?;
        let start = |seed| initial(model.description(), &InitSpec::default(), seed).theta;
        let order = |seed, epoch| Tensor::from_slice(&epoch_order(seed, epoch, data.len(Split::Train)));
        let orders = |seed| Tensor::stack(&(1..=self.epochs).map(|epoch| order(seed, epoch)).collect::<Vec<_>>(), 0);
        let seeds = || 0..u64::from(self.seeds);
        let thetas: Vec<Tensor> = seeds().map(|seed| Tensor::from_slice(&start(seed))).collect();
        let orders: Vec<Tensor> = seeds().map(orders).collect();
        let [(x, y), (test_x, test_y)] = [Split::Train, Split::Test].map(|split| data.batch(split, 0..data.len(split)));
        let (thetas, orders) = (Tensor::stack(&thetas, 0), Tensor::stack(&orders, 0));
        let tensors =
            [("x", x), ("y", y), ("test_x", test_x), ("test_y", test_y), ("theta", thetas), ("orders", orders)];
        let tensors = tensors.map(|(name, tensor)| (name, tensor.to_device(Device::Cpu)));
        Tensor::write_safetensors(&tensors, &self.write)?;
        let parameters = model.description().parameters.iter();
        Ok(json!({ "shapes": parameters.map(|p| (p.name.clone(), json!(p.shape))).collect::<serde_json::Map<_, _>>() }))
    }
}
