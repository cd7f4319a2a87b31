//! The group evaluator against the plain one: the same points of any network, masks, grids and modes.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

mod truth;

use std::collections::{BTreeMap, HashMap};

use tch::Device;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::{Description, ModelSpec};
use transect_common::run::Tag;
use transect_worker::data::{Data, Images};
use transect_worker::nn::Model;
use transect_worker::probe::{Finding, LineTask, Point, Subject, group, plain};
use truth::lines::{points, subject};
use truth::{formula, use_one_thread};

/// A model with three formula checkpoints and a few images.
struct World {
    model: Model,
    data: Data,
    ends: BTreeMap<Tag, Checkpoint>,
}

impl World {
    fn new(model: &str, input: [u32; 3], seed: u32, images: usize) -> Self {
        use_one_thread();
        let spec: ModelSpec = serde_json::from_str(model).unwrap();
        let description = spec.describe(input, 4).unwrap();
        let end = |s| formula::checkpoint(&description, s);
        let ends = [("init", seed), ("epoch-1", seed + 1), ("final", seed + 2)];
        let ends = ends.into_iter().map(|(tag, seed)| (tag.parse().unwrap(), end(seed))).collect();
        let size = input.iter().product::<u32>() as usize;
        let some = |seed, count: usize| Images {
            pixels: formula::bytes(seed, count * size),
            labels: formula::labels(seed + 1, count, 4),
            shape: input,
        };
        let channels = input[0] as usize;
        let (mean, std) = (vec![0.4; channels], vec![0.3; channels]);
        let data = Data::new(&some(seed + 3, images + 4), &some(seed + 5, images), &mean, &std, Device::Cpu);
        Self { model: Model::new(description, Device::Cpu), data, ends }
    }

    fn subject(&self) -> Subject<'_> {
        subject(&self.model, &self.data, &self.ends)
    }

    fn description(&self) -> &Description {
        self.model.description()
    }

    fn group(&self, tasks: &[LineTask]) -> Vec<Finding> {
        let mut all = vec![];
        group::measure(&self.subject(), tasks, &mut |finding| Ok(all.push(finding))).unwrap();
        all
    }

    fn plain(&self, tasks: &[LineTask]) -> Vec<Finding> {
        let mut all = vec![];
        plain::measure(&self.subject(), tasks, &mut |finding| Ok(all.push(finding))).unwrap();
        all
    }

    /// Both evaluators' findings of `tasks` must be the same, but for rounding and order.
    fn compare(&self, tasks: &[LineTask]) -> Result<(), String> {
        let (ours, plain) = (self.group(tasks), self.plain(tasks));
        if ours.len() != plain.len() {
            return Err(format!("{} findings for {}", ours.len(), plain.len()));
        }
        let by_name: HashMap<_, _> =
            points(ours.clone()).into_iter().map(|p| ((p.line, p.split, p.index), p)).collect();
        for truth in points(plain.clone()) {
            let what = format!("{} {:?} {truth:?}", self.description().architecture, tasks[truth.line].spec);
            let ours = by_name.get(&(truth.line, truth.split, truth.index)).ok_or(format!("missing: {what}"))?;
            same(ours, &truth).map_err(|error| format!("{error}: {ours:?} for {what}"))?;
        }
        for line in 0..tasks.len() {
            let [ours, truth] = [&ours, &plain].map(|findings| truth::lines::measures(findings, line));
            for (ours, truth) in ours.iter().zip(&truth) {
                let is_near = (ours.value - truth.value).abs() <= 1e-4 * truth.value.abs().max(0.1);
                if (ours.name, ours.split) != (truth.name, truth.split) || !is_near {
                    return Err(format!("{ours:?} for {truth:?} of {:?}", tasks[line].spec));
                }
            }
            if ours.len() != truth.len() {
                return Err(format!("{ours:?} for {truth:?}"));
            }
        }
        Ok(())
    }
}

fn same(ours: &Point, truth: &Point) -> Result<(), String> {
    if ours.alpha.to_bits() != truth.alpha.to_bits() || ours.count != truth.count {
        return Err("another point".into());
    }
    // Networks that are far off everything have losses that say little about their logits' last digits.
    let error = (ours.loss - truth.loss).abs() / truth.loss.abs().max(1.0);
    let is_same = ours.loss.is_nan() && truth.loss.is_nan() || ours.loss == truth.loss || error <= 1e-5;
    let images_apart = (ours.accuracy - truth.accuracy).abs() * truth.count as f64;
    // Two logits that are equal to rounding may change places in an image or two.
    if is_same && images_apart < 2.5 { Ok(()) } else { Err(format!("apart by {error:.1e} and {images_apart} images")) }
}

fn task(mask: &str, alphas: &[f64], batch_norm: BatchNorm) -> LineTask {
    let spec =
        LineSpec { batch_norm, batch_size: 7, ..LineSpec::new(mask, alphas.to_vec(), vec![Split::Train, Split::Test]) };
    LineTask::new(spec)
}

/// One line for every layer, several for groups, blocks, biases and all.
fn every_line(model: &Description, alphas: &[f64], batch_norm: BatchNorm) -> Vec<LineTask> {
    let layers = model.layers.iter().map(|layer| layer.name.as_str());
    let others = ["all", "*.bias", "last:1"].into_iter().chain(model.blocks.iter().map(String::as_str));
    layers.chain(others).map(|mask| task(mask, alphas, batch_norm)).collect()
}

const MODES: [BatchNorm; 3] = [BatchNorm::Interpolate, BatchNorm::Recalibrate, BatchNorm::Batch];

const ARCHITECTURES: [(&str, [u32; 3]); 17] = [
    (r#"{"architecture": "mlp", "widths": [20, 9]}"#, [1, 6, 5]),
    (r#"{"architecture": "mlp", "widths": [33], "activation": "tanh"}"#, [3, 4, 4]),
    (r#"{"architecture": "mlp", "widths": [12, 40], "batch_norm": true}"#, [1, 6, 5]),
    (r#"{"architecture": "lenet5"}"#, [1, 28, 28]),
    (r#"{"architecture": "lenet5", "activation": "gelu"}"#, [3, 32, 32]),
    (r#"{"architecture": "simple-cnn"}"#, [3, 16, 16]),
    (r#"{"architecture": "resnet20", "width": 4}"#, [3, 12, 12]),
    (r#"{"architecture": "resnet20", "width": 16}"#, [3, 9, 11]),
    (r#"{"architecture": "resnet20", "width": 4, "norm": "fixup"}"#, [3, 8, 8]),
    (r#"{"architecture": "resnet20", "width": 4, "norm": "scale", "activation": "leaky-relu"}"#, [3, 8, 8]),
    (r#"{"architecture": "resnet18", "width": 8, "stem": "cifar"}"#, [3, 16, 16]),
    (r#"{"architecture": "resnet18", "width": 4}"#, [3, 40, 40]),
    (r#"{"architecture": "resnet50", "width": 4, "stem": "cifar", "norm": "none"}"#, [3, 8, 8]),
    (r#"{"architecture": "vgg11", "width": 4, "units": 32}"#, [3, 32, 32]),
    (r#"{"architecture": "efficientnet-lite0"}"#, [3, 32, 32]),
    (r#"{"architecture": "vit"}"#, [3, 32, 32]),
    (r#"{"architecture": "mlp", "widths": []}"#, [1, 3, 3]),
];

#[test]
fn every_architecture_and_every_mode_gives_the_plain_evaluators_points() {
    let mut wrong = vec![];
    for (number, (model, input)) in ARCHITECTURES.iter().enumerate() {
        let world = World::new(model, *input, 10 * number as u32 + 1, 9);
        for batch_norm in MODES {
            if batch_norm != BatchNorm::Interpolate && !world.description().has_batch_norm() {
                continue;
            }
            let tasks = every_line(world.description(), &[-0.25, 0.0, 0.4, 1.0, 1.5], batch_norm);
            // Of the deep ones each third line: the plain evaluator is slow.
            let step = 1 + tasks.len() / 12;
            let tasks: Vec<LineTask> = tasks.into_iter().step_by(step).collect();
            let began = std::time::Instant::now();
            let outcome = world.compare(&tasks);
            eprintln!(
                "{model} {batch_norm:?} {} lines {:?} {:.1?}",
                tasks.len(),
                outcome.as_ref().err(),
                began.elapsed()
            );
            wrong.extend(outcome.err().map(|error| format!("{model} {batch_norm:?}: {error}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
