//! What sweep files mean: axes, runs, lines and their digests.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use transect_common::data::{DataSet, DataSpec, Split};
use transect_common::digest::ArtifactDigest;
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::ModelSpec;
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, Schedule, TrainSpec};
use transect_common::sweep::{ExpandedRun, Expansion, Import, NeededData, SweepFile};

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
    assert_eq!(sweep.runs[0].lines[0].alphas[11..14], [11.0 / 24.0, 0.5, 13.0 / 24.0]);
}

/// Settings of every run as text.
fn settings(sweep: &Expansion) -> Vec<String> {
    sweep.runs.iter().map(|run| serde_json::to_string(&run.settings).unwrap()).collect()
}

fn masks(run: &ExpandedRun) -> Vec<&str> {
    run.lines.iter().map(|line| line.mask.as_str()).collect()
}

fn train(run: &ExpandedRun) -> &TrainSpec {
    match &run.spec.origin {
        Origin::Trained { train, .. } => train,
        Origin::Imported { .. } => panic!("a trained run is expected"),
    }
}

const BASE: &str = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\n";

#[test]
fn a_file_without_lists_is_one_run_at_its_defaults() {
    let sweep = expand(&format!("{BASE}train.optimizer = \"sgd\"\n[[probe]]\nkind = \"line\""));
    assert_eq!((sweep.axes.len(), sweep.runs.len()), (0, 1));
    let run = &sweep.runs[0];
    assert!(run.settings.is_empty());
    let model = ModelSpec::from_name("mlp").unwrap();
    let origin = Origin::Trained { init: InitSpec::default(), train: TrainSpec::new(0, Optimizer::sgd()) };
    assert_eq!(run.spec, RunSpec { data: DataSpec::new(DataSet::Mnist), model, origin });
    assert_eq!(run.digest, run.spec.digest());
    let line = LineSpec {
        batch_norm: BatchNorm::None,
        ..LineSpec::new("all", (0..25).map(|i| f64::from(i) / 24.0).collect(), vec![Split::Train, Split::Test])
    };
    assert_eq!(*run.lines, [line]);
}

#[test]
fn a_sweep_may_only_train() {
    let sweep = expand(&format!("{BASE}train.optimizer = \"sgd\"\ntrain.seed = \"0..3\""));
    assert_eq!(sweep.runs.len(), 3);
    assert!(sweep.runs.iter().all(|run| run.lines.is_empty()));
}

#[test]
fn the_last_axis_of_the_file_moves_fastest() {
    let sweep = expand(&format!("{BASE}train.seed = [5, 3]\ntrain.optimizer = {{ name = \"sgd\", lr = [1, 0.5] }}"));
    assert_eq!(
        settings(&sweep),
        [
            r#"{"train.seed":5,"train.optimizer.lr":1.0}"#,
            r#"{"train.seed":5,"train.optimizer.lr":0.5}"#,
            r#"{"train.seed":3,"train.optimizer.lr":1.0}"#,
            r#"{"train.seed":3,"train.optimizer.lr":0.5}"#,
        ]
    );
}

#[test]
fn ranges_and_grids_are_axes() {
    let sweep = expand(&format!(
        "{BASE}train.optimizer.name = \"sgd\"\ntrain.optimizer.lr = {{ start = 0.1, stop = 0.3, count = 3 }}\n\
         train.epochs = {{ start = 2, stop = 6, count = 3 }}\ntrain.seed = [\"0..2\", 9]"
    ));
    let values: Vec<String> = sweep.axes.iter().map(|axis| serde_json::to_string(&axis.values).unwrap()).collect();
    assert_eq!(values, ["[0.1,0.2,0.3]", "[2,4,6]", "[0,1,9]"]);
    assert_eq!(sweep.runs.len(), 27);
}

#[test]
fn lists_by_nature_are_one_value_and_lists_of_them_an_axis() {
    let one = expand(&format!("{BASE}model.mlp.widths = [10, 20]\ntrain.optimizer = \"sgd\""));
    assert_eq!(one.runs[0].spec.model, ModelSpec::mlp([10, 20]));
    let two = expand(&format!("{BASE}model.mlp.widths = [[10, 20], []]\ntrain.optimizer = \"sgd\""));
    assert_eq!(settings(&two), [r#"{"model.mlp.widths":[10,20]}"#, r#"{"model.mlp.widths":[]}"#]);
    assert_eq!(two.runs[1].spec.model, ModelSpec::mlp([]));
    let keeps =
        expand(&format!("{BASE}train.optimizer = \"sgd\"\ntrain.keep = [[\"final\", \"init\"], [\"epoch-2\"]]"));
    assert_eq!(settings(&keeps), [r#"{"train.keep":["init","final"]}"#, r#"{"train.keep":["epoch-2"]}"#]);
}

#[test]
fn options_multiply_only_their_architecture() {
    let sweep = expand(
        "name = \"x\"\ndata.set = \"mnist\"\ntrain.optimizer = \"sgd\"\n[model]\narchitecture = [\"lenet5\", \"mlp\"]\n\
         [model.mlp]\nwidths = [[7], [8]]\n[[probe]]\nkind = \"line\"\nlayers = [\"each\"]",
    );
    assert_eq!(
        settings(&sweep),
        [
            r#"{"model.architecture":"lenet5"}"#,
            r#"{"model.architecture":"mlp","model.mlp.widths":[7]}"#,
            r#"{"model.architecture":"mlp","model.mlp.widths":[8]}"#,
        ]
    );
    assert_eq!(masks(&sweep.runs[0]), ["conv1", "conv2", "fc1", "fc2", "fc3"]);
    assert_eq!(masks(&sweep.runs[1]), ["fc1", "fc2"]);
}

#[test]
fn tables_are_axes_and_so_are_lists_inside_them() {
    let sweep = expand(&format!(
        "{BASE}train.optimizer = [{{ name = \"sgd\", lr = [0.5, 0.25] }}, \"adamw\"]\n\
         train.schedule = [\"constant\", {{ name = \"step\", every = 3 }}]"
    ));
    let axes: Vec<_> = sweep.axes.iter().map(|axis| axis.setting.as_str()).collect();
    assert_eq!(axes, ["train.optimizer", "train.optimizer.lr", "train.schedule"]);
    let found = settings(&sweep);
    assert_eq!(found.len(), 6);
    let sgd = r#"{"train.optimizer":{"name":"sgd"},"train.optimizer.lr":0.25,"train.schedule":{"name":"constant"}}"#;
    assert_eq!(found[2], sgd);
    let adamw = r#"{"train.optimizer":{"name":"adamw"},"train.schedule":{"every":3,"name":"step"}}"#;
    assert_eq!(found[5].replace(r#""name":"step","every":3"#, r#""every":3,"name":"step""#), adamw);
    let sgd = Optimizer::Sgd { lr: 0.25, momentum: 0.0, weight_decay: 0.0, nesterov: false };
    assert_eq!(train(&sweep.runs[2]).optimizer, sgd);
    assert_eq!(train(&sweep.runs[5]).optimizer, Optimizer::from_name("adamw").unwrap());
    assert_eq!(train(&sweep.runs[5]).schedule, Schedule::Step { every: 3, factor: 0.1 });
}

#[test]
fn a_run_that_two_values_make_is_there_once_with_the_settings_of_the_first() {
    let sweep = expand(&format!(
        "{BASE}train.optimizer = [{{ name = \"sgd\" }}, {{ name = \"sgd\", momentum = 0 }}, {{ name = \"sgd\", lr = 0.1 }}]"
    ));
    assert_eq!(settings(&sweep), [r#"{"train.optimizer":{"name":"sgd"}}"#]);
    assert_eq!(sweep.axes[0].values.len(), 3);
}

#[test]
fn runs_are_shared_between_sweeps_and_lines_between_probes() {
    let small = expand(&format!("{BASE}train.optimizer = \"sgd\""));
    let large = expand(&format!(
        "{BASE}train.optimizer = \"sgd\"\ntrain.seed = [1, 0]\ndata.train_size = [600, 60000]\n\
         [[probe]]\nkind = \"line\"\nlayers = [\"all\", \"fc1\"]\n[[probe]]\nkind = \"line\"\nlayers = [\"each\"]\n\
         [[probe]]\nkind = \"line\"\nlayers = [\"fc1\"]\nsplits = [\"test\"]"
    ));
    assert_eq!(large.runs[3].digest, small.runs[0].digest);
    assert_eq!(masks(&large.runs[3]), ["all", "fc1", "fc2", "fc3", "fc1"]);
}

#[test]
fn a_probe_with_lists_is_a_product_of_lines() {
    let sweep = expand(
        "name = \"x\"\ndata.set = \"cifar10\"\nmodel.architecture = [\"resnet20\", \"mlp\"]\ntrain.optimizer = \"sgd\"\n\
         train.keep = [\"init\", \"epoch-1\", \"final\"]\n[[probe]]\nkind = \"line\"\nfrom = [\"init\", \"epoch-1\"]\n\
         batch_norm = [\"interpolate\", \"batch\"]\nsubset = [100, 50000]\nbatch_size = [10, 20]",
    );
    let axes: Vec<_> = sweep.axes.iter().map(|axis| axis.setting.as_str()).collect();
    assert_eq!(axes, ["model.architecture"]);
    assert_eq!(sweep.runs[0].lines.len(), 2 * 2 * 2 * 2);
    // Without batch norm, its modes are one.
    assert_eq!(sweep.runs[1].lines.len(), 2 * 2 * 2);
    assert!(sweep.runs[1].lines.iter().all(|line| line.batch_norm == BatchNorm::None));
    let subsets: Vec<_> = sweep.runs[1].lines.iter().map(|line| line.subset).collect();
    assert!(
        subsets.contains(&Some(100)) && subsets.contains(&None),
        "a subset of everything is everything: {subsets:?}"
    );
}

#[test]
fn hold_follows_to_unless_it_is_given() {
    let sweep = expand(&format!(
        "{BASE}train.optimizer = \"sgd\"\ntrain.keep = [\"init\", \"epoch-1\", \"final\"]\n[[probe]]\nkind = \"line\"\n\
         to = [\"final\", \"epoch-1\"]\n[[probe]]\nkind = \"line\"\nhold = [\"init\", \"final\"]\nlayers = [\"fc1\"]"
    ));
    let ends: Vec<String> =
        sweep.runs[0].lines.iter().map(|line| format!("{} {} {}", line.from, line.to, line.hold)).collect();
    assert_eq!(ends, ["init final final", "init epoch-1 epoch-1", "init final init", "init final final"]);
}

const WALK: &str = "name = \"w\"\n[data]\nset = \"cifar10\"\nmean = [[0.5, 0.5, 0.5], [0.4, 0.4, 0.4]]\n[imported]\n\
                    runs = [\"a\", \"b\"]\n[[probe]]\nkind = \"line\"\nlayers = [\"all\", \"stage:1\"]\n";

fn import(tags: &[&str]) -> Import {
    let checkpoint = |tag: &&str| (tag.parse().unwrap(), ArtifactDigest::of(tag.as_bytes()));
    let checkpoints = tags.iter().map(checkpoint).collect();
    Import { model: ModelSpec::resnet20(), input: [3, 32, 32], classes: 10, checkpoints }
}

#[test]
fn imported_runs_are_walked_on_the_data_of_the_file() {
    let file = SweepFile::parse(WALK).unwrap();
    assert_eq!(file.imported(), ["a", "b"]);
    let imports = BTreeMap::from([
        ("a".to_owned(), import(&["init", "final"])),
        ("b".to_owned(), import(&["init", "final", "swa"])),
    ]);
    let sweep = file.expand(&imports).unwrap();
    let axes: Vec<_> = sweep.axes.iter().map(|axis| axis.setting.as_str()).collect();
    assert_eq!(axes, ["data.mean", "imported"]);
    assert_eq!(settings(&sweep)[1], r#"{"data.mean":[0.5,0.5,0.5],"imported":"b"}"#);
    assert_eq!(sweep.runs.len(), 4);
    assert_eq!(masks(&sweep.runs[0]), ["all", "stage:1"]);
    let Origin::Imported { checkpoints } = &sweep.runs[1].spec.origin else { panic!("an imported run is expected") };
    assert_eq!(checkpoints, &imports["b"].checkpoints);
    assert_eq!(sweep.runs[0].spec.data.mean, Some(vec![0.5; 3]));
}

#[test]
fn imports_that_do_not_fit_are_answered_at_their_place() {
    let mistakes = |text: &str, imports: &[(&str, Import)]| -> Vec<String> {
        let imports = imports.iter().map(|(name, import)| ((*name).to_owned(), import.clone())).collect();
        let errors = SweepFile::parse(text).unwrap().expand(&imports).unwrap_err();
        errors.0.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        mistakes(WALK, &[("a", import(&["final", "swa"]))]),
        [
            "6:14: imported.runs: nothing is imported as `b`; import it first: transect import b --model MODEL init=A.safetensors final=B.safetensors",
            "7:1: probe.from: `a` has no checkpoint `init`; it has: final, swa. Import it again with init=FILE, or walk between others",
        ]
    );
    let both = [("a", import(&["init", "final"])), ("b", import(&["init", "final"]))];
    let grey = WALK.replace("cifar10", "mnist").replace("mean", "#");
    assert_eq!(
        mistakes(&grey, &both),
        [
            "3:7: data.set: mnist has images of 1x28x28 in 10 classes, but `a` was imported for images of 3x32x32 in 10 classes",
            "3:7: data.set: mnist has images of 1x28x28 in 10 classes, but `b` was imported for images of 3x32x32 in 10 classes",
        ]
    );
    let found = mistakes(&WALK.replace("stage:1", "fc*"), &both);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with(
            "9:18: probe.layers: `fc*` matches no layer of resnet20. Its layers: conv1, bn1, layer1.0.conv1"
        )
    );
}

#[test]
fn the_sweeps_of_the_repository_are_right() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sweeps");
    let files = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    for file in files.filter(|file| file.extension().is_some_and(|e| e == "toml")) {
        let sweep = SweepFile::parse_bytes(&std::fs::read(&file).unwrap());
        assert!(sweep.is_ok(), "{}: {}", file.display(), sweep.unwrap_err());
    }
}

#[test]
fn augmentation_and_corruption_are_axes_of_tables() {
    let text = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n\
                data.augment = [{ flip = true, crop = 4 }, {}]\n\
                data.corruption = [{ name = \"none\" }, { name = \"blur\", sigma = [1, 2] }]\n";
    let all = SweepFile::parse(text).unwrap().expand(&BTreeMap::new()).unwrap();
    let data: Vec<String> =
        all.runs.iter().map(|run| run.spec.canonical().split(",\"model\"").next().unwrap().to_owned()).collect();
    let augment = r#""augment":{"crop":4,"flip":true},"#;
    let blur = |sigma| format!(r#""corruption":{{"name":"blur","sigma":{sigma}}},"#);
    let expected = [augment, ""].map(|augment| {
        [String::new(), blur("1.0"), blur("2.0")]
            .map(|corruption| format!(r#"{{"data":{{{augment}{corruption}"set":"mnist"}}"#))
    });
    assert_eq!(data, expected.concat());
    // The plain one is the run that a file without these settings makes.
    let plain = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n";
    let plain = SweepFile::parse(plain).unwrap().expand(&BTreeMap::new()).unwrap();
    assert_eq!(plain.runs[0].digest, all.runs[3].digest);
}

#[test]
fn a_sweep_says_which_data_it_reads() {
    let needed = |data: &str| {
        let text = format!("name = \"x\"\nmodel.architecture = \"mlp\"\ntrain.optimizer = \"sgd\"\n[data]\n{data}\n");
        SweepFile::parse(&text).unwrap().data_sets()
    };
    let of = |set, partial| NeededData { set, partial, folder: None };
    assert_eq!(needed("set = \"mnist\""), [of(DataSet::Mnist, false)]);
    assert_eq!(needed("set = \"mnist\"\npartial = true"), [of(DataSet::Mnist, true)]);
    assert_eq!(needed("set = \"mnist\"\npartial = [true, false]"), [of(DataSet::Mnist, false)]);
    let both = [of(DataSet::Cifar100, true), of(DataSet::Spirals, true)];
    assert_eq!(needed("set = [\"cifar100\", \"spirals\"]\npartial = true"), both);
    let folders = needed("set = \"image-folder\"\nfolder = [\"a\", \"b/c\"]\nshape = [1, 8, 8]\nclasses = 2");
    let of = |folder: &str| NeededData { set: DataSet::ImageFolder, partial: false, folder: Some(folder.into()) };
    assert_eq!(folders, [of("a"), of("b/c")]);
}

#[test]
fn models_take_the_shape_and_classes_of_their_data() {
    let theta = |data: &str| {
        let text = format!(
            "name = \"x\"\nmodel.architecture = \"mlp\"\nmodel.mlp.widths = []\ntrain.optimizer = \"sgd\"\n[data]\n{data}\n"
        );
        let run = SweepFile::parse(&text).unwrap().expand(&BTreeMap::new()).unwrap().runs.remove(0).spec;
        run.model.describe(run.data.input(), run.data.classes()).unwrap().theta_len()
    };
    assert_eq!(theta("set = \"cifar100\""), (3072 + 1) * 100);
    assert_eq!(theta("set = \"spirals\""), (2 + 1) * 2);
    assert_eq!(theta("set = \"spirals\"\nspirals.classes = 5"), (2 + 1) * 5);
    assert_eq!(theta("set = \"image-folder\"\nfolder = \"a\"\nshape = [1, 4, 6]\nclasses = 7"), (24 + 1) * 7);
}
