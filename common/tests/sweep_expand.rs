//! What sweep files mean: axes, runs, lines and their digests.

use std::collections::BTreeMap;

use transect_common::sweep::{Expansion, SweepFile};

/// The example of the design.
const LENET_LAYERS: &str = r#"
name = "lenet-layers"

[data]
set = "mnist"
train_size = [60000, 6000]
label_noise = 0.0

[model]
architecture = ["mlp", "lenet5"]

[init]
scheme = "kaiming-uniform"
scale = 1.0

[train]
seed = "0..5"
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9, weight_decay = 5e-4 }
epochs = 10
batch_size = 128
keep = ["init", "final"]

[[probe]]
kind = "line"
from = "init"
to = "final"
alphas = { start = 0.0, stop = 1.0, count = 25 }
layers = ["all", "each"]
hold = "final"
splits = ["train", "test"]
"#;

fn expand(text: &str) -> Expansion {
    SweepFile::parse(text).unwrap().expand(&BTreeMap::new()).unwrap()
}

#[test]
fn the_example_of_the_design_is_a_product() {
    let sweep = expand(LENET_LAYERS);
    assert_eq!(sweep.name, "lenet-layers");
    let axes: Vec<_> = sweep.axes.iter().map(|axis| (axis.setting.as_str(), axis.values.len())).collect();
    assert_eq!(axes, [("data.train_size", 2), ("model.architecture", 2), ("train.seed", 5)]);
    assert_eq!(sweep.runs.len(), 20);
    let masks: Vec<_> = sweep.runs[0].lines.iter().map(|line| line.mask.as_str()).collect();
    assert_eq!(masks, ["all", "fc1", "fc2", "fc3"]);
    assert_eq!(sweep.runs[5].lines.len(), 6);
    let settings = serde_json::to_string(&sweep.runs[6].settings).unwrap();
    assert_eq!(settings, r#"{"data.train_size":60000,"model.architecture":"lenet5","train.seed":1}"#);
    assert_eq!(sweep.runs[0].lines[0].alphas[12], 0.5);
}
