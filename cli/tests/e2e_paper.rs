//! The paper's experiments in small, with real workers: runs that start from others, lines between runs, rules for layers,
//! and a report that answers the file's claims.

mod support;

use support::{Bench, need_worker, tiny_mnist};

const BASE: &str = r#"
name = "base"
[data]
set = "mnist"
partial = true
train_size = 200
test_size = 100
[model]
architecture = "mlp"
mlp = { widths = [8] }
[train]
seed = "0..3"
epochs = 2
batch_size = 32
optimizer = { name = "sgd", lr = 0.1, momentum = 0.9 }
"#;

const SWEEP: &str = r#"
name = "paper"
extends = "base.toml"
zip = [["train.batch_size", "train.optimizer.lr"]]
exclude = [{ case = "layers", train.batch_size = 64 }]

[train]
batch_size = [32, 64]
optimizer = { name = "sgd", lr = [0.1, 0.2], momentum = 0.9 }

[[case]]
label = "plain"

[[case]]
label = "adversarial"
init.adversarial = 1

[[case]]
label = "again"
init.from = { case = "plain", alpha = 0.4, layers = "all-but:fc2" }

[[case]]
label = "layers"
train.layers = { fc1 = { frozen = true }, "head" = { lr = 0.05 } }
train.stop = { accuracy = 0.05 }

[[probe]]
layers = ["all", "each-block"]
alphas = [0.0, 0.5, 1.0]
splits = ["test"]
measures = ["ensemble", "gauss-length"]

[[probe]]
name = "pairs"
from = "final"
to = [{ seed = 1 }, { init = 7 }]
alphas = [0.0, 0.5, 1.0]
splits = ["test"]
align = [false, true]

[[claim]]
text = "Training again from the barrier changes nothing."
measure = "accuracy"
more = { case = "again" }
less = { case = "plain" }

[[claim]]
text = "Frozen layers do not move."
measure = "distance"
mask = "fc1"
of = { case = "layers" }
below = 0.0
"#;

#[test]
fn the_papers_experiments_run_from_one_file_to_a_report() {
    need_worker();
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 200, 100);
    bench.write("base.toml", BASE);
    bench.write("paper.toml", SWEEP);

    // 3 cases x 2 x 3 seeds, and 3 of the fourth; each adversarial run has a source, and nothing else needs one.
    let plan = bench.json(&["plan", "paper.toml"]);
    let sources = |plan: &serde_json::Value| {
        plan["runs"].as_array().unwrap().iter().filter(|run| run["settings"].get("source of").is_some()).count()
    };
    assert_eq!((plan["runs"].as_array().unwrap().len(), sources(&plan)), (27, 6));

    let done = bench.json(&["run", "paper.toml", "--data", "data", "--workers", "2", "--no-plots"]);
    assert_eq!((&done["sweep"]["state"], &done["newly_trained"]), (&"done".into(), &27.into()));

    let rows = bench.ok(&["results", "paper", "--json"]);
    let rows: Vec<serde_json::Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = |case: &str, alpha: f64| -> Vec<f64> {
        let fits = |row: &&serde_json::Value| {
            row["settings"]["case"] == case
                && row["mask"] == "all"
                && row["from_tag"] == "init"
                && row["alpha"] == alpha
        };
        rows.iter().filter(fits).map(|row| row["loss"].as_f64().unwrap()).collect()
    };
    assert_eq!(at("plain", 0.0).len(), 6);
    assert_ne!(at("plain", 0.0), at("again", 0.0), "it does not start where the first did");

    let report = bench.json(&["report", "paper", "--output", "report"]);
    assert!(report["files"].as_array().unwrap().len() > 4, "{report}");
    let statistics: serde_json::Value =
        serde_json::from_slice(&std::fs::read(bench.path("report/report.json")).unwrap()).unwrap();
    assert_eq!(statistics["claims"][1]["verdict"], "agrees", "{}", statistics["claims"]);
    let page = std::fs::read_to_string(bench.path("report/report.html")).unwrap();
    assert!(page.contains("What was expected") && page.contains("<svg"), "{}", page.len());
    assert!(!page.contains("http://") || !page.contains("src=\"http"), "the page needs nothing from elsewhere");

    // The same file again is answered from the store.
    let again = bench.json(&["run", "paper.toml", "--data", "data", "--workers", "1", "--no-plots"]);
    assert_eq!(again["newly_trained"], 0);
}

#[test]
fn a_source_that_diverges_fails_what_starts_from_it_with_its_reason() {
    need_worker();
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 200, 100);
    bench.write("base.toml", BASE);
    let wild = "name = \"wild\"\nextends = \"base.toml\"\n[train]\nseed = 0\n[init]\nfrom = { with = { train.optimizer.lr = 1e30 } }\n[[probe]]\nalphas = [0.0, 1.0]\n";
    bench.write("wild.toml", wild);
    let ran = bench.run(&["run", "wild.toml", "--data", "data", "--workers", "1", "--no-plots"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let failed = bench.json(&["status", "wild"]);
    assert_eq!(failed["sweep"]["failed"], 3, "{failed}");
    assert!(failed.to_string().contains("diverged at step"), "{failed}\n{}", ran.stderr);
}
