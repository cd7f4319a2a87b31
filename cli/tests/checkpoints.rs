//! Importing and exporting checkpoints.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, TensorView};
use support::{Bench, checkpoint, model};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<u8>)>;

/// LeNet-5's tensors, changed by `change`.
fn changed(change: impl FnOnce(&mut Tensors)) -> Vec<u8> {
    let bytes = checkpoint(&model("lenet5"));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Tensors =
        file.iter().map(|(name, view)| (name.to_owned(), (view.shape().to_vec(), view.data().to_vec()))).collect();
    change(&mut tensors);
    let views =
        tensors.iter().map(|(name, (shape, data))| (name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn a_wrong_checkpoint_is_refused_in_words_and_nothing_is_stored() {
    let nan_at = |tensors: &mut Tensors, name: &str, i: usize| {
        tensors.get_mut(name).unwrap().1[4 * i..4 * i + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    };
    let cases: [(&str, Vec<u8>, &str); 6] = [
        (
            "missing",
            changed(|t| drop(t.remove("fc2.bias"))),
            "lenet5 needs tensors that the file does not hold: fc2.bias",
        ),
        (
            "extra",
            changed(|t| drop(t.insert("fc9.bias".into(), (vec![1], vec![0; 4])))),
            "the file holds tensors that lenet5 does not have: fc9.bias",
        ),
        (
            "misshapen",
            changed(|t| t.get_mut("conv2.weight").unwrap().0 = vec![6, 16, 5, 5]),
            "tensor `conv2.weight` has shape [6, 16, 5, 5], lenet5 needs [16, 6, 5, 5]",
        ),
        ("nan", changed(|t| nan_at(t, "fc1.bias", 7)), "tensor `fc1.bias` holds NaN at element 7"),
        ("truncated", changed(|_| ())[..1000].to_vec(), "not a readable safetensors file"),
        ("empty", vec![], "not a readable safetensors file"),
    ];
    for (what, bytes, sentence) in cases {
        let bench = Bench::new();
        bench.write("good.safetensors", checkpoint(&model("lenet5")));
        bench.write("bad.safetensors", bytes);
        let ran = bench.run(&["import", "x", "--model", "lenet5", "init=good.safetensors", "final=bad.safetensors"]);
        assert_eq!(ran.code, 2, "{what}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("bad.safetensors: {sentence}")), "{what}: {}", ran.stderr);
        assert!(!bench.path(".transect").exists(), "{what} left something behind");
    }
}

#[test]
fn what_was_imported_is_exported_byte_for_byte() {
    let bench = Bench::new();
    let bytes = checkpoint(&model("resnet20"));
    bench.write("a.safetensors", &bytes);
    let arguments = ["import", "mine", "--model", "resnet20", "init=a.safetensors", "final=a.safetensors"];
    let first = bench.json(&arguments);
    assert_eq!((&first["created"], &first["input"]), (&true.into(), &serde_json::json!([3, 32, 32])));
    assert_eq!(bench.json(&arguments)["created"], false);

    bench.ok(&["export", "mine", "--out", "out"]);
    assert_eq!(std::fs::read(bench.path("out/mine-init.safetensors")).unwrap(), bytes);
    assert_eq!(std::fs::read(bench.path("out/mine-final.safetensors")).unwrap(), bytes);
    let files = bench.json(&["export", "mine", "--tag", "final", "--out", "one"]);
    assert_eq!(files["files"][0]["tag"], "final");
    assert_eq!(std::fs::read_dir(bench.path("one")).unwrap().count(), 1);

    let ran = bench.run(&["export", "mine", "--tag", "epoch-3", "--out", "out"]);
    assert_eq!(ran.code, 4);
    assert!(ran.stderr.contains("there are: final, init"), "{}", ran.stderr);
    assert_eq!(bench.run(&["export", "nobody", "--out", "out"]).code, 4);

    bench.write("out/mine-init.safetensors", "something of the user's");
    let ran = bench.run(&["export", "mine", "--out", "out"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
}

#[test]
fn an_import_is_planned_without_training() {
    let bench = Bench::new();
    bench.write("a.safetensors", checkpoint(&model("lenet5")));
    bench.ok(&["import", "mine", "--model", "lenet5", "init=a.safetensors", "final=a.safetensors"]);
    let sweep = "name = \"walk\"\n[imported]\nruns = [\"mine\"]\n[data]\nset = \"mnist\"\n\
                 [[probe]]\nkind = \"line\"\nlayers = [\"all\", \"each\"]\n";
    bench.write("walk.toml", sweep);
    let plan = bench.json(&["plan", "walk.toml"]);
    assert_eq!((&plan["runs_done"], &plan["training_images"]), (&1.into(), &0.into()));
    assert_eq!(plan["probe_jobs"], 6);
}
