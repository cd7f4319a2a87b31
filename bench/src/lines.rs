//! How long the lines of a run take.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value, json};
use tch::Tensor;
use transect_common::checkpoint::{self, Checkpoint};
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::mask::Mask;
use transect_common::model::Description;
use transect_common::run::{InitSpec, Tag};
use transect_worker::data::Data;
use transect_worker::nn::Model;
use transect_worker::probe::{Evaluator, Finding, LineTask, Subject as Probed};
use transect_worker::sources::Sources;
use transect_worker::train::initial;

use crate::subject::{Subject, named};

/// Measures lines between two checkpoints on one split, all of them together, some times over.
#[derive(Debug, Args)]
pub struct Lines {
    #[command(flatten)]
    subject: Subject,
    /// Masks, by comma: all, a layer, a group, a glob; `each` for every layer with weights of its own
    #[arg(long, default_value = "each")]
    masks: String,
    /// Points of each line, from 0 to 1
    #[arg(long, default_value_t = 11)]
    alphas: u32,
    /// interpolate, recalibrate or batch
    #[arg(long, default_value = "interpolate")]
    batch_norm: String,
    /// Images at a time, where batch norm normalises by batches and for the plain evaluator
    #[arg(long, default_value_t = 500)]
    batch_size: u32,
    /// group (on a GPU the same as stacked), stacked or plain
    #[arg(long, default_value = "group")]
    evaluator: Evaluator,
    /// train or test
    #[arg(long, default_value = "test", value_parser = split)]
    split: Split,
    /// Times that are measured, after one that is not
    #[arg(long, default_value_t = 3)]
    repeat: u32,
    /// Checkpoint at alpha = 0; a random initialisation without this
    #[arg(long, value_name = "FILE.safetensors")]
    from: Option<PathBuf>,
    /// Checkpoint at alpha = 1; another random initialisation without this
    #[arg(long, value_name = "FILE.safetensors")]
    to: Option<PathBuf>,
    /// Also writes images (x, y) and both states (from., to.), and what moves on each line into FILE.json beside it
    #[arg(long, value_name = "FILE.safetensors")]
    write: Option<PathBuf>,
}

impl Lines {
    /// Seconds of each repetition, and the points.
    pub fn measure(&self) -> anyhow::Result<Value> {
        let device = self.subject.device()?;
        let spec = self.subject.data_spec()?;
        let data = self.subject.load(&spec, device)?;
        let model = self.subject.model(&spec, device)?;
        let state = |path: &Option<PathBuf>, seed| match path {
            Some(path) => read(model.description(), path),
            None => Ok(initial(model.description(), &InitSpec::default(), seed)),
        };
        let checkpoints = BTreeMap::from([(Tag::init(), state(&self.from, 1)?), (Tag::last(), state(&self.to, 2)?)]);
        let tasks = self.tasks(model.description())?;
        if let Some(path) = &self.write {
            write(&model, (&data, self.split), &checkpoints, &tasks, path)?;
        }
        let (init, sources) = (InitSpec::default(), Sources::default());
        let subject = Probed { model: &model, data: &data, init: &init, checkpoints: &checkpoints, sources: &sources };
        let (mut seconds, mut points) = (vec![], vec![]);
        for _ in 0..=self.repeat {
            points.clear();
            let began = Instant::now();
            self.evaluator.measure(&subject, &tasks, &mut |finding| {
                if let Finding::Point(point) = finding {
                    points.push(json!([point.line, point.index, point.loss, point.accuracy]));
                }
                Ok(())
            })?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        let operations = transect_worker::probe::group::operations(&subject, &tasks)?;
        Ok(json!({ "seconds": seconds[1..], "points": points, "operations": operations, "lines": tasks.len() }))
    }

    fn tasks(&self, model: &Description) -> anyhow::Result<Vec<LineTask>> {
        let alphas: Vec<f64> = (0..self.alphas).map(|i| f64::from(i) / f64::from(self.alphas - 1)).collect();
        let batch_norm = match self.batch_norm.as_str() {
            "interpolate" => BatchNorm::Interpolate,
            "recalibrate" => BatchNorm::Recalibrate,
            "batch" => BatchNorm::Batch,
            other => bail!("--batch-norm {other}: use interpolate, recalibrate or batch"),
        };
        // Layers with a matrix of weights: batch norms and scalars have one axis.
        let has_matrix = |layer: &&transect_common::model::Layer| {
            model.parameters[layer.parameters.clone()].iter().any(|parameter| parameter.shape.len() > 1)
        };
        let masks: Vec<String> = match self.masks.as_str() {
            "each" => model.layers.iter().filter(has_matrix).map(|layer| layer.name.clone()).collect(),
            masks => masks.split(',').map(str::to_owned).collect(),
        };
        let task = |mask: String| {
            Mask::resolve(&mask, model)?;
            let (batch_size, line) = (self.batch_size, LineSpec::new(&mask, alphas.clone(), vec![self.split]));
            Ok(LineTask::new(LineSpec { batch_norm, batch_size, ..line }))
        };
        masks.into_iter().map(task).collect()
    }
}

fn split(name: &str) -> Result<Split, String> {
    Split::from_name(name).ok_or_else(|| format!("`{name}` is no split: use train or test"))
}

fn read(model: &Description, path: &Path) -> anyhow::Result<Checkpoint> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    checkpoint::decode(model, &bytes).with_context(|| format!("{} is no checkpoint of this model", path.display()))
}

/// Everything a peer needs to measure the same lines.
fn write(
    model: &Model,
    (data, split): (&Data, Split),
    checkpoints: &BTreeMap<Tag, Checkpoint>,
    tasks: &[LineTask],
    path: &Path,
) -> anyhow::Result<()> {
    let description = model.description();
    let (x, y) = data.batch(split, 0..data.len(split));
    let mut tensors = vec![("x".to_owned(), x), ("y".to_owned(), y)];
    for (name, tag) in [("from", Tag::init()), ("to", Tag::last())] {
        let [theta, buffers] = [&checkpoints[&tag].theta, &checkpoints[&tag].buffers].map(|v| Tensor::from_slice(v));
        let state = named(description, &theta, &buffers);
        tensors.extend(state.into_iter().map(|(parameter, tensor)| (format!("{name}.{parameter}"), tensor)));
    }
    Tensor::write_safetensors(&tensors, path)?;
    let moving = |task: &LineTask| -> anyhow::Result<Value> {
        let mask = Mask::resolve(&task.spec.mask, description)?;
        let parameters = mask.parameters.iter().map(|&p| description.parameters[p].name.as_str());
        let ranges = mask.buffer_ranges(description);
        let buffers = description.buffers.iter().filter(|b| ranges.iter().any(|range| range.contains(&b.offset)));
        Ok(json!({
            "mask": task.spec.mask,
            "moving": parameters.chain(buffers.map(|b| b.name.as_str())).collect::<Vec<_>>(),
            "alphas": task.spec.alphas,
        }))
    };
    let lines: Vec<Value> = tasks.iter().map(moving).collect::<Result<_, _>>()?;
    std::fs::write(path.with_extension("json"), serde_json::to_vec(&lines)?)?;
    Ok(())
}
