//! `transect run` from a sweep file to figures, with real workers on small data.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::Stdio;

use support::{Bench, need_worker, tiny_mnist, tiny_sweep};

fn bench() -> Bench {
    need_worker();
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 400, 100);
    bench
}

#[test]
fn a_sweep_is_trained_walked_drawn_and_the_second_time_answered_from_the_store() {
    let bench = bench();
    bench.write("x.toml", tiny_sweep("x", 2, 2));
    let run = ["run", "x.toml", "--data", "data", "--workers", "2"];
    let text = bench.ok(&run);
    assert!(text.contains("sweep x (s-1) is done: trained 2 of 2, 60 of 60 points"), "{text}");
    assert!(text.contains("2 runs trained."), "{text}");
    assert!(text.contains("sqlite3 .transect/transect.db"), "{text}");
    for figure in text.lines().filter(|l| l.contains("plots/")) {
        assert!(bench.path(figure.trim()).metadata().unwrap().len() > 1000, "{figure}");
    }
    assert!(text.contains("  .transect/plots/x-loss.png"), "{text}");

    // The second time no worker is needed, nor the data.
    let logs = || std::fs::read_dir(bench.path(".transect/logs")).unwrap().count();
    let before = logs();
    std::fs::rename(bench.path("data"), bench.path("elsewhere")).unwrap();
    let again = bench.ok(&run);
    assert!(again.contains("nothing was trained: everything was in the store."), "{again}");
    assert_eq!(logs(), before);
    std::fs::rename(bench.path("elsewhere"), bench.path("data")).unwrap();

    // One more seed trains one more run.
    bench.write("y.toml", tiny_sweep("y", 3, 2));
    let more = bench.json(&["run", "y.toml", "--data", "data", "--workers", "1", "--no-plots"]);
    assert_eq!((&more["newly_trained"], &more["sweep"]["points"]), (&1.into(), &90.into()));
    assert_eq!(more["summary"]["models"][0]["runs"], 3);
    assert!(more["summary"]["models"][0]["test_accuracy"]["mean"].as_f64().unwrap() > 0.5, "{more}");
    assert_eq!(more["plots"], serde_json::json!([]));

    every_command_answers_in_json(&bench);
    rows_are_complete(&bench);
    checkpoints_come_out(&bench);
}

fn every_command_answers_in_json(bench: &Bench) {
    assert_eq!(bench.json(&["sweeps"]).as_array().unwrap().len(), 2);
    let one: [&[&str]; 9] = [
        &["plan", "x.toml"],
        &["submit", "x.toml"],
        &["watch", "x"],
        &["status", "x"],
        &["plot", "x", "--out", "figures"],
        &["cancel", "x"],
        &["retry", "x"],
        &["workers"],
        &["models"],
    ];
    for arguments in one {
        bench.json(arguments);
    }
    assert!(bench.json(&["workers"])[0]["info"]["libtorch"].as_str().unwrap().starts_with("2."));
    assert_eq!(bench.json(&["status", "x"])["models"][0]["lines_done"], 6);
}

fn rows_are_complete(bench: &Bench) {
    let csv = bench.ok(&["results", "x", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 61);
    let lines = bench.ok(&["results", "x", "--json"]);
    let rows: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(rows.len(), 60);
    assert!(rows.iter().all(|r| r["loss"].is_f64() && r["settings"]["train.seed"] == r["seed"]), "{}", rows[0]);
    assert_eq!(rows.iter().filter(|r| r["split"] == "train").map(|r| r["count"].as_u64().unwrap()).max(), Some(400));
    let curves = bench.ok(&["results", "x", "--curves", "--format", "jsonl"]);
    assert!(curves.lines().all(|l| serde_json::from_str::<serde_json::Value>(l).is_ok()));
    let table = bench.ok(&["results", "x"]);
    assert!(table.contains("Mean test loss along each line"), "{table}");
    assert!(table.lines().all(|l| l.chars().count() <= 100), "{table}");
}

fn checkpoints_come_out(bench: &Bench) {
    bench.ok(&["export", "x", "--tag", "final", "--out", "out"]);
    for seed in 0..2 {
        let path = bench.path(&format!("out/mlp-seed{seed}-final.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(safetensors::SafeTensors::deserialize(&bytes).unwrap().names().len(), 4);
    }
}

#[test]
fn a_run_that_diverges_fails_the_sweep_and_says_at_which_step() {
    let bench = bench();
    bench.write("x.toml", tiny_sweep("x", 1, 2).replace("lr = 0.05", "lr = 1e30"));
    let ran = bench.run(&["run", "x.toml", "--data", "data", "--workers", "1", "--no-plots"]);
    assert_eq!(ran.code, 1, "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("4 jobs failed:"), "{}", ran.stdout);
    assert!(ran.stdout.contains("step"), "{}", ran.stdout);
    assert_eq!(bench.run(&["watch", "x"]).code, 1);
    let status = bench.json(&["status", "x"]);
    assert_eq!(status["failed"].as_array().unwrap().len(), 4, "{status}");
    // A retry that a machine is not at fault for is the user's to ask for, so the same command ends at once.
    let again = bench.run(&["run", "x.toml", "--data", "data", "--no-plots"]);
    assert_eq!(again.code, 1, "{}", again.stderr);
    assert!(again.stderr.contains("0 jobs to do"), "{}", again.stderr);
}

#[test]
fn an_interrupt_ends_the_workers_and_the_same_command_goes_on() {
    let bench = bench();
    bench.write("x.toml", tiny_sweep("x", 6, 40));
    let run = ["run", "x.toml", "--data", "data", "--workers", "1"];
    let mut child = bench.command(&run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let worker = wait_for(|| children(child.id()).first().copied());
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGINT)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    wait_for(|| (!std::path::Path::new(&format!("/proc/{worker}")).exists()).then_some(()));
    let text = bench.ok(&run);
    assert!(text.contains("is done: trained 6 of 6, 180 of 180 points"), "{text}");
}

#[test]
fn a_cancelled_sweep_is_gone_on_with_by_running_it() {
    let bench = bench();
    bench.write("x.toml", tiny_sweep("x", 1, 1));
    bench.ok(&["submit", "x.toml"]);
    bench.ok(&["cancel", "x"]);
    let ran = bench.run(&["run", "x.toml", "--data", "data", "--workers", "1", "--no-plots"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("4 jobs that failed for a machine's reasons or were cancelled"), "{}", ran.stderr);
}

#[test]
fn a_device_that_is_not_there_ends_the_run_with_the_workers_own_words() {
    let bench = bench();
    bench.write("x.toml", tiny_sweep("x", 1, 1));
    let ran = bench.run(&["run", "x.toml", "--data", "data", "--device", "abacus:1"]);
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    assert!(ran.stderr.contains("every worker ended as soon as it was started"), "{}", ran.stderr);
    assert!(ran.stderr.contains("abacus:1"), "{}", ran.stderr);
}

/// Process ids of the children of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
