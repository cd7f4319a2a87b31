//! Made-up results that look like real ones, for tests and for looking at.

use transect_common::model::ModelSpec;
use transect_common::pb;

/// Seeds of every model.
pub const SEEDS: u64 = 3;
const ALPHAS: u32 = 25;

/// Points of the whole line and of one line per layer of `model`, on both splits.
pub fn points(model: &str) -> Vec<pb::LinePoint> {
    let spec = ModelSpec::from_name(model).unwrap();
    let layers = spec.describe(spec.usual_input(), 10).unwrap().layers;
    let masks: Vec<String> = std::iter::once("all".to_owned()).chain(layers.into_iter().map(|l| l.name)).collect();
    let mut points = vec![];
    for seed in 0..SEEDS {
        for (depth, mask) in masks.iter().enumerate() {
            for split in ["test", "train"] {
                for i in 0..ALPHAS {
                    let alpha = f64::from(i) / f64::from(ALPHAS - 1);
                    let loss = loss(model, depth, masks.len(), seed, split, alpha);
                    points.push(pb::LinePoint {
                        run: format!("{model}-{seed}"),
                        model: model.to_owned(),
                        seed: Some(seed),
                        settings: format!(r#"{{"model.architecture":"{model}","train.seed":{seed}}}"#),
                        from_tag: "init".to_owned(),
                        to_tag: "final".to_owned(),
                        mask: mask.clone(),
                        hold: "final".to_owned(),
                        batch_norm: if model == "resnet20" { "interpolate" } else { "none" }.to_owned(),
                        split: split.to_owned(),
                        alpha,
                        loss,
                        accuracy: if loss.is_nan() { 0.1 } else { 0.1 + 0.82 * (-0.9 * loss).exp() },
                        count: if split == "train" { 2000 } else { 10_000 },
                        ..Default::default()
                    });
                }
            }
        }
    }
    points
}

/// A plateau and a fall for the whole line; falls, bumps and, for a deep one, an overflow for layers.
fn loss(model: &str, depth: usize, masks: usize, seed: u64, split: &str, alpha: f64) -> f64 {
    let end = if split == "train" { 0.18 } else { 0.31 };
    let wobble = 0.06 * (7.0 * alpha + 2.1 * seed as f64 + depth as f64).sin() * alpha * (1.0 - alpha) * 4.0;
    let deep = if model == "resnet20" { 3.0 } else { 1.0 };
    if depth == 0 {
        let fall = 1.0 / (1.0 + (14.0 * (alpha - 0.72 - 0.03 * seed as f64)).exp());
        return (end + deep * (0.6 * (-25.0 * alpha).exp()) + (2.3 - end) * fall + wobble).max(0.02);
    }
    let place = (depth - 1) as f64 / (masks - 1) as f64;
    let height = deep * deep * (2.2 - 1.7 * place) * (1.0 + 0.15 * seed as f64);
    let bump =
        height * 0.5 * (-((alpha - 0.3 - 0.3 * place) / 0.12).powi(2)).exp() * f64::from(u8::from(depth % 3 == 2));
    if model == "resnet20" && depth == 7 && (0.2..0.4).contains(&alpha) {
        return f64::NAN;
    }
    (end + height * (1.0 - alpha).powf(1.5 + 4.0 * place) + bump + wobble * 0.4).max(0.02)
}

/// Training curves of `model` over `epochs`.
pub fn curves(model: &str, epochs: u32) -> Vec<pb::CurvePoint> {
    let mut curves = vec![];
    for seed in 0..SEEDS {
        for epoch in 0..=epochs {
            for (split, floor) in [("train", 0.2), ("test", 0.33)] {
                if split == "train" && epoch == 0 {
                    continue;
                }
                let wobble = 0.05 * (3.0 * f64::from(epoch) + seed as f64).sin();
                let loss = floor + 2.0 * (-0.5 * f64::from(epoch)).exp() + wobble * f64::from(u8::from(epoch > 0));
                curves.push(pb::CurvePoint {
                    run: format!("{model}-{seed}"),
                    model: model.to_owned(),
                    seed: Some(seed),
                    settings: format!(r#"{{"model.architecture":"{model}","train.seed":{seed}}}"#),
                    epoch,
                    split: split.to_owned(),
                    loss,
                    accuracy: 0.1 + 0.83 * (-0.6 * loss).exp(),
                    learning_rate: 0.05,
                    seconds: f64::from(epoch),
                });
            }
        }
    }
    curves
}
