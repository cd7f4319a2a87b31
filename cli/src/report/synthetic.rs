//! A made-up sweep that is complete: its file, its runs with their true digests, and results from simple formulas.

use std::collections::BTreeMap;

use transect_common::pb;
use transect_common::sweep::SweepFile;

use super::gather::Gathered;

/// Two weight decays, six seeds, an MLP: the whole line and one line for each layer.
pub const FILE: &str = r#"
name = "made-up"
[data]
set = "fashion-mnist"
train_size = 2000
[model]
architecture = "mlp"
[train]
seed = "0..6"
optimizer = { name = "sgd", lr = 0.1, weight_decay = [0.0, 5e-4] }
epochs = 2
[[probe]]
kind = "line"
layers = ["all", "each"]
alphas = { start = 0.0, stop = 1.0, count = 11 }
splits = ["train", "test"]
"#;

/// Final test accuracy of a run.
pub fn accuracy(seed: u64, decayed: bool) -> f64 {
    // Not in the seeds' order, so that ranks are not trivial.
    0.80 + 0.01 * ((seed * 5) % 7) as f64 + if decayed { 0.02 } else { 0.0 }
}

/// Height of the whole line's bump in nats.
pub fn bump(seed: u64, decayed: bool) -> f64 {
    if decayed { 0.0 } else { 0.1 * (seed + 1) as f64 }
}

/// What the store would say of the sweep.
pub fn gathered() -> Gathered {
    let expansion = SweepFile::parse(FILE).unwrap().expand(&BTreeMap::new()).unwrap();
    let mut all = Gathered { file: FILE.to_owned(), ..Gathered::default() };
    all.sweep = pb::Sweep {
        sweep_id: "s-1".to_owned(),
        name: expansion.name.clone(),
        state: "done".to_owned(),
        runs: expansion.runs.len() as u64,
        ..pb::Sweep::default()
    };
    for run in &expansion.runs {
        let seed = run.spec.seed().unwrap();
        let settings = serde_json::to_string(&run.settings).unwrap();
        let decayed = run.settings["train.optimizer.weight_decay"] != 0.0;
        for epoch in 0..=2 {
            for (split, extra) in [("test", 0.0), ("train", 0.05)] {
                let accuracy = (accuracy(seed, decayed) + extra) * f64::from(epoch) / 2.0;
                all.curves.push(pb::CurvePoint {
                    run: run.digest.to_string(),
                    model: "mlp".to_owned(),
                    seed: Some(seed),
                    settings: settings.clone(),
                    epoch,
                    split: split.to_owned(),
                    loss: 2.3 - 2.0 * accuracy,
                    accuracy,
                    ..pb::CurvePoint::default()
                });
            }
        }
        for line in run.lines.iter() {
            for split in &line.splits {
                for &alpha in &line.alphas {
                    let loss = match line.mask.as_str() {
                        "all" if alpha == 0.5 => 2.0 + bump(seed, decayed),
                        "all" => {
                            if alpha < 1.0 {
                                2.0
                            } else {
                                0.5
                            }
                        }
                        // The first layer is critical, the last can go all the way back.
                        "fc1" => 3.0 - 2.5 * alpha,
                        "fc2" => 0.5 + 0.4 * (1.0 - alpha),
                        _ => 0.55,
                    };
                    all.points.push(pb::LinePoint {
                        run: run.digest.to_string(),
                        model: "mlp".to_owned(),
                        seed: Some(seed),
                        settings: settings.clone(),
                        from_tag: "init".to_owned(),
                        to_tag: "final".to_owned(),
                        mask: line.mask.clone(),
                        hold: "final".to_owned(),
                        batch_norm: "none".to_owned(),
                        split: split.name().to_owned(),
                        alpha,
                        loss,
                        accuracy: accuracy(seed, decayed) * alpha,
                        count: 2000,
                        ..pb::LinePoint::default()
                    });
                }
            }
        }
    }
    all
}
