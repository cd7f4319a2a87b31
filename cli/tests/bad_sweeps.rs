//! Wrong sweep files: each is answered at once with its place, exit code 2, and leaves nothing behind.

mod support;

use support::{Bench, Ran, tiny_sweep};

/// What is wrong, what to replace in a right file, by what, and what the answer must hold.
const WRONG: [(&str, &str, &str, &str); 12] = [
    ("an unknown key", "epochs = 1", "epoch = 1", "did you mean `epochs`"),
    ("a wrong type", "epochs = 1", "epochs = \"many\"", "train.epochs"),
    ("a learning rate below 0", "lr = 0.05", "lr = -0.05", "train.optimizer.lr"),
    ("a learning rate that is no number", "lr = 0.05", "lr = nan", "train.optimizer.lr"),
    ("too few alphas", "count = 5", "count = 1", "alphas"),
    ("an empty batch", "batch_size = 32", "batch_size = 0", "train.batch_size"),
    ("a billion epochs", "epochs = 1", "epochs = 1000000000", "train.epochs"),
    ("a value twice", "seed = \"0..1\"", "seed = [3, 3]", "train.seed"),
    ("an axis without values", "seed = \"0..1\"", "seed = []", "train.seed"),
    ("a mask that matches nothing", "[\"all\", \"each\"]", "[\"conv9\"]", "conv9"),
    ("an unknown architecture", "\"mlp\"", "\"mpl\"", "mlp"),
    ("no TOML", "[train]", "[train", "not TOML"),
];

fn answered(bench: &Bench, verb: &str, name: &str) -> Ran {
    let ran = bench.run(&[verb, name]);
    assert_eq!(ran.code, 2, "{verb} {name}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{verb} {name}: {}", ran.stdout);
    assert!(!bench.path(".transect").exists(), "{verb} {name} left something behind");
    ran
}

#[test]
fn mistakes_are_named_with_their_places() {
    for (what, right, wrong, hint) in WRONG {
        let bench = Bench::new();
        let text = tiny_sweep("x", 1, 1);
        assert!(text.contains(right), "{what}: the right file has no {right}");
        bench.write("sweeps/x.toml", text.replace(right, wrong));
        for verb in ["run", "submit", "plan"] {
            let ran = answered(&bench, verb, "sweeps/x.toml");
            let line = ran.stderr.lines().next().unwrap_or_default();
            let place = line.strip_prefix("error: sweeps/x.toml:").unwrap_or_else(|| panic!("{what}: {line}"));
            let numbers: Vec<&str> = place.splitn(3, ':').take(2).collect();
            assert!(numbers.iter().all(|n| n.parse::<u32>().is_ok()), "{what}: {line}");
            assert!(ran.stderr.contains(hint), "{what}: {}", ran.stderr);
        }
    }
}

#[test]
fn every_mistake_is_told_at_once_also_as_json() {
    let bench = Bench::new();
    let text = tiny_sweep("x", 1, 1).replace("epochs = 1", "epochs = 0").replace("batch_size = 32", "batch_size = 0");
    bench.write("x.toml", text);
    let ran = bench.run(&["plan", "x.toml", "--json"]);
    assert_eq!(ran.code, 2);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "usage");
    assert_eq!(error["error"]["file"], "x.toml");
    assert_eq!(error["error"]["mistakes"].as_array().unwrap().len(), 2, "{error}");
}

#[test]
fn files_that_are_no_sweep_files_are_refused_in_a_sentence() {
    let bench = Bench::new();
    bench.write("big.toml", vec![b'#'; (1 << 20) + 1]);
    bench.write("latin1.toml", b"name = \"x\"\n# caf\xe9\n");
    bench.write("folder/x", "");
    for (name, hint) in [
        ("big.toml", "has 1,048,577 bytes; a sweep file has at most 1,048,576"),
        ("latin1.toml", "latin1.toml:2:6: not UTF-8"),
        ("nowhere.toml", "there is no sweep file nowhere.toml"),
        ("folder", "folder is not a file"),
        ("/dev/zero", "/dev/zero is not a file"),
    ] {
        let ran = answered(&bench, "plan", name);
        assert!(ran.stderr.contains(hint), "{name}: {}", ran.stderr);
    }
}

#[test]
fn an_import_that_is_not_there_is_named() {
    let bench = Bench::new();
    let text = "name = \"x\"\n[imported]\nruns = [\"nobody\"]\n[data]\nset = \"cifar10\"\n[[probe]]\nkind = \"line\"\n";
    bench.write("x.toml", text);
    let ran = bench.run(&["plan", "x.toml"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("x.toml:3:") && ran.stderr.contains("nobody"), "{}", ran.stderr);
}
