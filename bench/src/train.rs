//! How long an epoch of training takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tch::Tensor;
use transect_common::data::Split;
use transect_common::model::Description;
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, TrainSpec};
use transect_worker::data::Data;
use transect_worker::nn::Model;
use transect_worker::probe::group::products;
use transect_worker::sources::Sources;
use transect_worker::train::{TrainEvent, epoch_order, initial, train};

use crate::subject::{Subject, named};

const SEED: u64 = 1;

/// Trains with SGD and measures each epoch but the first: steps and their scores, without the scoring of the test split.
#[derive(Debug, Args)]
pub struct Train {
    #[command(flatten)]
    subject: Subject,
    /// Images a step
    #[arg(long, default_value_t = 128)]
    batch_size: u32,
    /// Epochs that are measured, after one that is not
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    #[arg(long, default_value_t = 0.05)]
    lr: f64,
    #[arg(long, default_value_t = 0.9)]
    momentum: f64,
    #[arg(long, default_value_t = 5e-4)]
    weight_decay: f64,
    /// Also writes images (x, y), the order of each epoch (orders) and the initial state, for a peer to do the same with
    #[arg(long, value_name = "FILE.safetensors")]
    write: Option<PathBuf>,
}

impl Train {
    /// {"seconds": [...], "loss": [...], "accuracy": [...], "operations": n}: of each measured epoch the seconds, of all epochs
    /// the means, and multiplications and additions of an epoch.
    pub fn measure(&self) -> anyhow::Result<Value> {
        let device = self.subject.device()?;
        let spec = self.subject.data_spec()?;
        let data = self.subject.load(&spec, device)?;
        let model = self.subject.model(&spec, device)?;
        let optimizer =
            Optimizer::Sgd { lr: self.lr, momentum: self.momentum, weight_decay: self.weight_decay, nesterov: false };
        let recipe = TrainSpec {
            epochs: self.repeat + 1,
            batch_size: self.batch_size,
            keep: [].into(),
            ..TrainSpec::new(SEED, optimizer)
        };
        let origin = Origin::Trained { init: InitSpec::default(), train: recipe };
        let run = RunSpec { data: spec, model: self.subject.model_spec()?, origin };
        if let Some(path) = &self.write {
            self.write(&model, &data, path)?;
        }
        let (mut seconds, mut losses, mut accuracies) = (vec![], vec![], vec![]);
        let mut began = Instant::now();
        train(&model, &run, &data, &Sources::default(), &mut |event| {
            match event {
                // An epoch begins when the test split has been scored, and ends with its own score.
                TrainEvent::Epoch(score) if score.split == Split::Test => began = Instant::now(),
                TrainEvent::Epoch(score) => {
                    seconds.push(began.elapsed().as_secs_f64());
                    losses.push(score.loss);
                    accuracies.push(score.accuracy);
                }
                _ => {}
            }
            Ok(())
        })?;
        let operations = operations(model.description()) * data.len(Split::Train) as f64;
        Ok(json!({ "seconds": seconds[1..], "loss": losses, "accuracy": accuracies, "operations": operations }))
    }

    fn write(&self, model: &Model, data: &Data, path: &Path) -> anyhow::Result<()> {
        let (x, y) = data.batch(Split::Train, 0..data.len(Split::Train));
        let orders =
            (1..=self.repeat + 1).map(|epoch| Tensor::from_slice(&epoch_order(SEED, epoch, x.size()[0] as usize)));
        let start = initial(model.description(), &InitSpec::default(), SEED);
        let (theta, buffers) = (Tensor::from_slice(&start.theta), Tensor::from_slice(&start.buffers));
        let mut tensors = named(model.description(), &theta, &buffers);
        tensors.push(("orders".into(), Tensor::stack(&orders.collect::<Vec<_>>(), 0)));
        tensors.extend([("x".into(), x), ("y".into(), y)]);
        Tensor::write_safetensors(&tensors, path)?;
        Ok(())
    }
}

/// Multiplications and additions of one image's step in layers' products: forward, and backward as many again for the weights
/// and for what each layer reads, but for the first, which reads images.
fn operations(model: &Description) -> f64 {
    let forward = products(model);
    3.0 * forward.iter().sum::<f64>() - forward.first().unwrap_or(&0.0)
}
