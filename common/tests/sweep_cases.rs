//! Cases, zips, rules, files that extend others, and runs that start from or lead to other runs.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use transect_common::digest::ArtifactDigest;
use transect_common::line::Elsewhere;
use transect_common::model::ModelSpec;
use transect_common::run::{LayerStart, Origin, RunSpec, Source, Tag, TrainSpec};
use transect_common::sweep::{Expansion, Expectation, Import, SweepFile, with_base};

const BASE: &str = "name = \"x\"\ndata.set = \"mnist\"\nmodel.architecture = \"lenet5\"\n";

fn expand(text: &str) -> Expansion {
    SweepFile::parse(text).unwrap().expand(&BTreeMap::new()).unwrap()
}

fn mistakes(text: &str) -> Vec<String> {
    let errors = match SweepFile::parse(text) {
        Ok(file) => file.expand(&BTreeMap::new()).unwrap_err(),
        Err(errors) => errors,
    };
    errors.0.iter().map(ToString::to_string).collect()
}

fn settings(expansion: &Expansion) -> Vec<String> {
    expansion.runs.iter().map(|run| serde_json::Value::Object(run.settings.clone()).to_string()).collect()
}

fn train(spec: &RunSpec) -> &TrainSpec {
    match &spec.origin {
        Origin::Trained { train, .. } => train,
        Origin::Imported { .. } => panic!("a trained run is expected"),
    }
}

/// The first run whose settings hold `text`.
fn run<'e>(expansion: &'e Expansion, text: &str) -> &'e RunSpec {
    let place = settings(expansion).iter().position(|settings| settings.contains(text));
    &expansion.runs[place.unwrap_or_else(|| panic!("{text} in {:#?}", settings(expansion)))].spec
}

#[test]
fn a_case_lays_its_settings_over_the_others_within_the_product() {
    let sweep = expand(&format!(
        "{BASE}train.seed = \"0..2\"\ntrain.optimizer = {{ name = \"sgd\", lr = 0.1, weight_decay = 5e-4 }}\ndata.augment = {{ flip = true, crop = 4 }}\n\
         [[case]]\nlabel = \"plain\"\n\
         [[case]]\nlabel = \"no-augmentation\"\ndata.augment = {{ flip = false, crop = 0 }}\n\
         [[case]]\nlabel = \"no-decay\"\ntrain.optimizer.weight_decay = 0\n\
         [[case]]\nlabel = \"adam\"\n\"train.optimizer\" = \"adam\"\n"
    ));
    assert_eq!(sweep.runs.len(), 8);
    assert_eq!(settings(&sweep)[2], r#"{"case":"no-augmentation","train.seed":0}"#);
    assert!(!run(&sweep, "no-augmentation").data.augment.flip);
    assert!(run(&sweep, "no-decay").data.augment.flip);
    let optimizer = |case: &str| serde_json::to_value(train(run(&sweep, case)).optimizer).unwrap();
    assert_eq!(
        (optimizer("plain")["weight_decay"].as_f64(), optimizer("no-decay")["weight_decay"].as_f64()),
        (Some(5e-4), Some(0.0))
    );
    assert_eq!((optimizer("no-decay")["lr"].as_f64(), optimizer("adam")["name"].as_str()), (Some(0.1), Some("adam")));
    let axes: Vec<_> = sweep.axes.iter().map(|axis| (axis.setting.as_str(), axis.values.len())).collect();
    assert_eq!(axes, [("case", 4), ("train.seed", 2)]);
}

#[test]
fn zipped_axes_go_along_with_each_other() {
    let sweep = expand(&format!(
        "zip = [\"train.batch_size\", \"train.optimizer.lr\"]\n{BASE}[train]\nseed = \"0..2\"\noptimizer = {{ name = \"sgd\", lr = [0.1, 0.2, 0.4] }}\nbatch_size = [32, 64, 128]\n"
    ));
    assert_eq!(sweep.runs.len(), 6);
    let pairs: BTreeSet<_> = sweep
        .runs
        .iter()
        .map(|run| (train(&run.spec).batch_size, train(&run.spec).optimizer.lr().to_string()))
        .collect();
    assert_eq!(pairs, BTreeSet::from([(32, "0.1".into()), (64, "0.2".into()), (128, "0.4".into())]));
}

#[test]
fn rules_leave_runs_out() {
    let axes = format!("{BASE}[train]\nseed = \"0..2\"\nbatch_size = [32, 64]\nepochs = [1, 2]\n");
    let left = expand(&format!("exclude = [{{ train.batch_size = 32, \"train.epochs\" = 2 }}]\n{axes}"));
    assert_eq!(left.runs.len(), 6);
    let left =
        expand(&format!("include = [{{ train.epochs = 2 }}, {{ train.batch_size = 64, train.seed = [1] }}]\n{axes}"));
    assert_eq!(left.runs.len(), 5);
    let cases = "[[case]]\nlabel = \"a\"\n[[case]]\nlabel = \"b\"\ndata.label_noise = 0.5\n";
    let left = expand(&format!("exclude = [{{ case = \"b\", train.seed = 1 }}]\n{axes}{cases}"));
    assert_eq!(left.runs.len(), 12);
}

#[test]
fn seeds_are_split_by_a_table() {
    let sweep = expand(&format!("{BASE}train.seed = {{ init = \"0..3\", order = 7 }}\n"));
    let seeds: Vec<_> = sweep.runs.iter().map(|run| train(&run.spec).seed).collect();
    assert_eq!(
        seeds.iter().map(|s| (s.init, s.order, s.augment, s.labels)).collect::<Vec<_>>(),
        [(0, 7, 0, 0), (1, 7, 0, 0), (2, 7, 0, 0)]
    );
    assert_eq!(sweep.runs[2].spec.seed(), Some(2));
    let grid = expand(&format!("{BASE}train.seed = {{ start = 0, stop = 4, count = 3 }}\n"));
    assert_eq!(grid.runs.iter().map(|run| run.spec.seed().unwrap()).collect::<Vec<_>>(), [0, 2, 4]);
    let same = expand(&format!("{BASE}train.seed = {{ init = 3, order = 3, augment = 3, labels = 3 }}\n"));
    assert_eq!(same.runs[0].digest, expand(&format!("{BASE}train.seed = 3\n")).runs[0].digest);
}

#[test]
fn words_of_keep_are_written_out_in_the_run() {
    let sweep = expand(&format!(
        "{BASE}data.train_size = 1000\n[train]\nepochs = 4\nbatch_size = 100\nkeep = [\"epochs:2\", \"steps:x3\", \"final\"]\n[[probe]]\nfrom = [\"step-9\", \"epoch-2\"]\n"
    ));
    let keep: Vec<_> = train(&sweep.runs[0].spec).keep.iter().map(Tag::as_str).collect();
    assert_eq!(keep, ["step-1", "step-3", "step-9", "step-27", "epoch-2", "epoch-4", "final"]);
    assert_eq!(sweep.runs[0].lines.len(), 2);
}

#[test]
fn an_adversarial_start_is_a_run_of_its_own_fitted_to_random_labels() {
    let sweep = expand(&format!("{BASE}init.adversarial = [0, 3]\ntrain.seed = \"0..2\"\n[[probe]]\n"));
    assert_eq!(sweep.runs.len(), 6);
    let sources: Vec<_> = sweep.runs.iter().filter(|run| run.settings.contains_key("source of")).collect();
    assert_eq!(sources.len(), 2);
    let source = &sources[0].spec;
    assert_eq!((source.data.label_noise.to_string(), train(source).epochs), ("1".into(), 3));
    assert!(source.starts().is_empty() && sources[0].lines.is_empty());
    let adversarial = run(&sweep, r#""init.adversarial":3"#);
    assert_eq!((adversarial.data.label_noise.to_string(), train(adversarial).epochs), ("0".into(), 10));
    let expected = Source::Checkpoint { run: source.digest(), tag: Tag::last() };
    assert_eq!(adversarial.starts(), [LayerStart { mask: "all".into(), source: expected }]);
    assert_eq!(adversarial.needs(), BTreeSet::from([(source.digest(), Tag::last())]));
    let plain = expand(&format!("{BASE}train.seed = 0\n"));
    assert_eq!(run(&sweep, r#""init.adversarial":0"#).digest(), plain.runs[0].digest);
}

#[test]
fn a_case_starts_from_a_point_on_a_line_of_another_with_the_same_axes() {
    let sweep = expand(&format!(
        "{BASE}train.seed = \"0..2\"\n[[case]]\nlabel = \"first\"\n[[case]]\nlabel = \"again\"\ninit.from = {{ case = \"first\", alpha = 0.4 }}\n"
    ));
    assert_eq!(sweep.runs.len(), 4);
    for seed in 0..2 {
        let of = |case: &str| run(&sweep, &format!(r#"{{"case":"{case}","train.seed":{seed}}}"#));
        let source = Source::Point { run: of("first").digest(), from: Tag::init(), to: Tag::last(), alpha: 0.4 };
        assert_eq!(of("again").starts()[0].source, source);
    }
}

#[test]
fn parts_of_a_network_start_elsewhere() {
    let sweep = expand(&format!(
        "{BASE}train.seed = 0\ninit.from = [{{}}, {{ with = {{}}, layers = \"all-but:conv1\" }}, {{ with = {{}}, skip = [\"conv1\", \"head\"] }}]\n\
         [init.layers]\nfc1 = {{ seed = 7 }}\n"
    ));
    assert_eq!(sweep.runs.len(), 4, "three of the product, and the whole run that two of them start from");
    let masks = |place: usize| -> Vec<&str> {
        sweep.runs[place].spec.starts().iter().map(|start| start.mask.as_str()).collect()
    };
    assert_eq!(
        (masks(0), masks(1), masks(2)),
        (vec!["fc1"], vec!["all-but:conv1", "fc1"], vec!["all-but:conv1+head", "fc1"])
    );
    assert_eq!(sweep.runs[0].spec.starts()[0].source, Source::Random { seed: 7 });
    assert!(sweep.runs[3].spec.starts().is_empty());
    assert!(sweep.runs[3].settings.contains_key("source of"));
}

#[test]
fn each_block_in_turn_is_an_axis_of_starts() {
    let sweep =
        expand(&format!("{BASE}train.seed = 0\ninit.from = {{ with = {{}}, layers = \"all-but:each-block\" }}\n"));
    let masks: Vec<_> = sweep.runs.iter().flat_map(|run| run.spec.starts()).map(|start| start.mask.as_str()).collect();
    assert_eq!(masks, ["all-but:conv1", "all-but:conv2", "all-but:fc1", "all-but:fc2", "all-but:fc3"]);
    assert_eq!(sweep.runs.len(), 6, "and the one that all of them start from");
    let two = BASE.replace("\"lenet5\"", "[\"lenet5\", \"mlp\"]");
    let found = mistakes(&format!("{two}train.seed = 0\ninit.from = {{ with = {{}}, layers = \"each-block\" }}\n"));
    assert!(found[0].contains("each-block needs one architecture"), "{found:#?}");
}

#[test]
fn an_import_starts_what_fits_and_says_what_does_not() {
    let model = ModelSpec::from_name("lenet5").unwrap();
    let artifact = ArtifactDigest::of(b"weights");
    let checkpoints = BTreeMap::from([(Tag::last(), artifact.clone())]);
    let import = |classes| {
        BTreeMap::from([(
            "w".to_owned(),
            Import { model: model.clone(), input: [1, 28, 28], classes, checkpoints: checkpoints.clone() },
        )])
    };
    let file = SweepFile::parse(&format!("{BASE}train.seed = 0\ninit.from = {{ import = \"w\" }}\n")).unwrap();
    assert_eq!(file.imported(), ["w"]);
    assert_eq!(file.expand(&import(10)).unwrap().runs[0].spec.starts()[0].source, Source::Artifact { artifact });
    let wrong = file.expand(&import(100)).unwrap_err().to_string();
    assert_eq!(
        wrong,
        "5:13: init: lenet5 of the source does not fit lenet5 here in layers fc3; leave them to the run's own scheme with skip = [\"fc3\"]"
    );
    assert!(file.expand(&BTreeMap::new()).unwrap_err().to_string().contains("nothing is imported as `w`"));
    assert_eq!(file.suppose(&BTreeMap::new()).unwrap().runs.len(), 1, "a plan takes it to be there");
    let file = SweepFile::parse(&format!("{BASE}train.seed = 0\ninit.from = {{ import = \"w\", skip = [\"fc3\"] }}\n"))
        .unwrap();
    assert_eq!(file.expand(&import(100)).unwrap().runs[0].spec.starts()[0].mask, "all-but:fc3");
}

#[test]
fn lines_lead_to_other_runs() {
    let sweep = expand(&format!(
        "{BASE}train.seed = \"0..2\"\n[[probe]]\nfrom = \"final\"\nto = [{{ seed = 1 }}, {{ seed = 5 }}, {{ init = 9 }}]\nalign = [false, true]\n"
    ));
    // Seed 5 is trained for the lines alone; seed 1 does not lead to itself.
    assert_eq!(sweep.runs.iter().map(|run| run.lines.len()).collect::<Vec<_>>(), [6, 4, 0]);
    let ends: Vec<_> = sweep.runs[0].lines.iter().map(|line| line.elsewhere.clone().unwrap()).collect();
    let to = |place: usize| Elsewhere::Run { run: sweep.runs[place].digest.clone() };
    assert_eq!(ends, [to(1), to(1), to(2), to(2), Elsewhere::Init { seed: 9 }, Elsewhere::Init { seed: 9 }]);
    let line = &sweep.runs[0].lines[4];
    assert_eq!((line.from.as_str(), line.to.as_str(), line.hold.as_str()), ("final", "init", "to"));
    assert_eq!(sweep.runs[2].spec.seed(), Some(5));
}

#[test]
fn words_stand_for_blocks_of_the_network() {
    let masks = |layers: &str| -> Vec<String> {
        let sweep = expand(&format!(
            "name = \"x\"\ndata.set = \"cifar10\"\nmodel.architecture = \"resnet20\"\ntrain.seed = 0\n[[probe]]\nlayers = {layers}\n"
        ));
        sweep.runs[0].lines.iter().map(|line| line.mask.clone()).collect()
    };
    assert_eq!(masks("[\"each-block\"]"), ["stem", "stage:1", "stage:2", "stage:3", "head"]);
    assert_eq!(
        masks("[\"from-bottom\", \"last:1\"]"),
        ["first:1", "first:2", "first:3", "first:4", "first:5", "last:1"]
    );
    assert_eq!(masks("[\"all-but:stem+head\", \"kernel:3\"]"), ["all-but:stem+head", "kernel:3"]);
}

#[test]
fn a_file_extends_others_and_mistakes_are_found_in_theirs() {
    let main = "extends = \"base.toml\"\nname = \"y\"\n[train]\nepochs = 3\n";
    let base = "name = \"x\"\nextends = \"deep/root.toml\"\n[train]\nseed = \"0..2\"\nepochs = 9\n";
    let root = "data.set = \"mnist\"\n[model]\narchitecture = \"lenet5\"\n[train]\nbatch_size = 7\n";
    let bundle = |root: &str| with_base(&with_base(main, "base.toml", base), "deep/root.toml", root);
    let sweep = expand(&bundle(root));
    assert_eq!((sweep.name.as_str(), sweep.runs.len()), ("y", 2));
    assert_eq!((train(&sweep.runs[0].spec).epochs, train(&sweep.runs[0].spec).batch_size), (3, 7));
    assert_eq!(
        mistakes(&bundle(&root.replace("batch_size = 7", "batch_size = 0"))),
        ["deep/root.toml:5:14: train.batch_size: must be from 1 to 65,536, found 0"]
    );
    assert!(
        mistakes(main)[0].starts_with("1:11: extends: `base.toml` does not come with this file"),
        "{:?}",
        mistakes(main)
    );
    let circle = with_base("extends = \"a.toml\"\n", "a.toml", "extends = \"a.toml\"\n");
    assert_eq!(mistakes(&circle), ["a.toml:1:11: extends: `a.toml` extends itself"]);
}

#[test]
fn mistakes_of_cases_rules_and_starts_are_answered() {
    let seeds = "train.seed = \"0..2\"\n";
    for (text, expected) in [
        (
            "[[case]]\nlabel = \"a\"\n[[case]]\nlabel = \"a\"\n",
            "8:9: case.label: another case is already labelled \"a\"; give each its own label",
        ),
        (
            "[[case]]\ndata.label_noise = 0.5\n",
            "5:1: case.label: missing; name the case, for example label = \"no-augmentation\"",
        ),
        (
            "[[case]]\nlabel = \"a\"\nprobe = 1\n",
            "7:1: case.probe: unknown setting; [case] has: label, data, model, init, train",
        ),
        ("init.from = { case = \"b\" }\n", "5:13: init.from: there is no case \"b\"; this sweep has no cases"),
        ("init.from = { with = {}, case = \"b\" }\n", "5:13: init.from: give one place, found case and with"),
        (
            "init.from = { checkpoint = \"final\" }\n",
            "5:13: init.from: says no place; give one of case, with, import or seed",
        ),
        (
            "init.from = { with = {}, checkpoint = \"epoch-3\" }\n",
            "5:13: init: the run to start from does not keep `epoch-3`; add it to its train.keep, which has: init, final",
        ),
        (
            "init.from = { with = { model.architecture = \"mlp\" } }\n",
            "5:13: init: mlp of the source does not fit lenet5 here in layers conv1, conv2, fc1, fc2, fc3; leave them to the run's own scheme with skip = ",
        ),
        ("[init.layers]\nconv9 = { seed = 1 }\n", "5:7: init.layers: `conv9` matches no layer of lenet5."),
        ("[train.layers]\n\"stage:1\" = { lr = 0.1 }\n", "5:8: train.layers: `stage:1` matches no layer of lenet5."),
        (
            "[train.layers]\nconv1 = { frozen = true, lr = 0.1 }\n",
            "6:1: train.layers.\"conv1\": frozen layers never move",
        ),
        ("[[probe]]\nto = { seed = 1, init = 2 }\n", "6:6: probe.to: give one of seed, case, with"),
        (
            "[[probe]]\nto = { seed = 1 }\nhold = \"final\"\n",
            "7:8: probe.hold: must be \"from\" or \"to\" for a line that leaves its run, found final",
        ),
    ] {
        let found = mistakes(&format!("{BASE}{seeds}{text}"));
        assert!(
            found.first().is_some_and(|first| first.starts_with(expected)),
            "{text}\n  expected {expected}\n  found {found:#?}"
        );
    }
    for (head, expected) in [
        (
            "zip = [\"train.seed\", \"train.epochs\"]\n",
            "1:22: zip: \"train.epochs\" is no axis: give it a list of values",
        ),
        (
            "zip = [[\"train.seed\", \"train.batch_size\"]]\ntrain.batch_size = [1, 2, 3]\n",
            "1:9: zip: \"train.seed\" has 2 values and \"train.batch_size\" has 3; they must have as many",
        ),
        (
            "exclude = [{ train.seeds = 1 }]\n",
            "1:28: exclude: `train.seeds` is no axis of this sweep; did you mean `train.seed`?",
        ),
        ("exclude = [{ train.seed = 9 }]\n", "1:27: exclude: 9 is no value of `train.seed`, which has: 0, 1"),
    ] {
        let found = mistakes(&format!("{head}{BASE}{seeds}"));
        assert!(
            found.iter().any(|line| line.starts_with(expected)),
            "{head}\n  expected {expected}\n  found {found:#?}"
        );
    }
}

#[test]
fn claims_are_read_and_change_no_run() {
    let plain = format!("{BASE}[train]\nseed = \"0..2\"\nepochs = [1, 2]\n");
    let claims = "[[claim]]\ntext = \"Longer is better.\"\nmeasure = \"accuracy\"\nmore = { train.epochs = 2 }\nless = { train.epochs = 1 }\n\
         [[claim]]\ntext = \"Bumps say nothing.\"\nmeasure = \"bump\"\npredicts = \"nothing\"\n";
    let file = SweepFile::parse(&format!("{plain}{claims}")).unwrap();
    assert_eq!(file.expand(&BTreeMap::new()).unwrap(), expand(&plain));
    assert_eq!(file.claims().len(), 2);
    assert_eq!(file.claims()[1].expects, Expectation::Predicts { sign: None, of: "accuracy".into() });
    let wrong = mistakes(&format!("{plain}[[claim]]\ntext = \"?\"\nmeasure = \"bump\"\n"));
    assert!(wrong[0].starts_with("7:1: claim: expects nothing that can be answered"), "{wrong:#?}");
}

#[test]
fn runs_that_would_start_from_themselves_are_refused() {
    let found = mistakes(&format!(
        "{BASE}train.seed = 0\n[[case]]\nlabel = \"a\"\ninit.from = {{ case = \"b\" }}\n[[case]]\nlabel = \"b\"\ninit.from = {{ case = \"a\" }}\n"
    ));
    assert!(
        found[0].contains("a run would start from itself: case \"a\" starts from case \"b\" starts from case \"a\""),
        "{found:#?}"
    );
}
