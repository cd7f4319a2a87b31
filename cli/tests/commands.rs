//! What every command says, and its exit code, where no worker is needed.

mod support;

use support::Bench;

const VERBS: [&str; 22] = [
    "run",
    "plan",
    "submit",
    "watch",
    "status",
    "results",
    "plot",
    "report",
    "suggest",
    "cancel",
    "retry",
    "pause",
    "resume",
    "adjust",
    "explain",
    "release",
    "sweeps",
    "workers",
    "models",
    "import",
    "export",
    "completions",
];

#[test]
fn help_lists_every_verb_and_the_exit_codes() {
    let bench = Bench::new();
    let help = bench.ok(&["--help"]);
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} is not in:\n{help}");
        let own = bench.ok(&[verb, "--help"]);
        assert!(own.contains("Usage: transect"), "{own}");
        assert!(own.contains("--json"), "{own}");
    }
    for code in ["    0  done", "    3  the coordinator cannot be reached", "  130  interrupted"] {
        assert!(help.contains(code), "{help}");
    }
    assert!(bench.is_untouched());
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let bench = Bench::new();
    let wrong: [&[&str]; 10] = [
        &[],
        &["walk"],
        &["run"],
        &["run", "x.toml", "--workers", "0"],
        &["models", "lenet6"],
        &["models", "mlp", "--option", "widths=[0]"],
        &["models", "mlp", "--input", "28x28"],
        &["models", "lenet5", "--input", "1x27x27"],
        &["results", "x", "--format", "xml"],
        &["sweeps", "--coordinator", "ftp://nowhere"],
    ];
    for arguments in wrong {
        let ran = bench.run(arguments);
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments:?}");
    }
    assert!(bench.is_untouched());
}

#[test]
fn models_are_listed_with_their_parameters() {
    let bench = Bench::new();
    let list = bench.ok(&["models"]);
    for (name, parameters) in [("mlp", "266,610"), ("lenet5", "61,706"), ("resnet20", "269,722")] {
        let line = list.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("no {name} in:\n{list}"));
        assert!(line.contains(parameters), "{line}");
    }
    let one = bench.ok(&["models", "resnet20"]);
    assert!(one.contains("layer3.2.bn2.running_var"), "{one}");
    assert!(one.contains("stage:2"), "{one}");

    let all = bench.json(&["models"]);
    assert_eq!(all[1]["name"], "lenet5");
    let mlp = bench.json(&["models", "mlp", "--option", "widths=[7,5]", "--input", "3x32x32", "--classes", "4"]);
    assert_eq!(mlp["layers"][0]["parameters"][0]["shape"], serde_json::json!([7, 3072]));
    assert_eq!(mlp["layers"][2]["parameters"][0]["shape"], serde_json::json!([4, 5]));
}

#[test]
fn completions_are_written_for_shells() {
    let bench = Bench::new();
    assert!(bench.ok(&["completions", "bash"]).contains("_transect()"));
    assert!(bench.ok(&["completions", "zsh"]).contains("#compdef transect"));
    assert!(bench.json(&["completions", "fish"])["script"].as_str().unwrap().contains("complete"));
    assert!(bench.ok(&["completions", "fish"]).contains("complete -c transect"));
}

#[test]
fn a_coordinator_that_does_not_answer_is_exit_code_3() {
    let bench = Bench::new();
    // A port that was free a moment ago: nothing answers there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let ran = bench.run(&["sweeps", "--coordinator", &address]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("no coordinator answers at http://{address}: ")), "{}", ran.stderr);

    let ran = bench.run(&["sweeps", "--json", "--coordinator", &address]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(error["error"]["kind"], "unreachable");
    assert!(bench.is_untouched());
}

#[test]
fn a_home_with_nothing_in_it_is_exit_code_4_and_stays_empty() {
    let bench = Bench::new();
    for arguments in [&["sweeps"][..], &["status"], &["watch", "x"], &["results", "x"], &["export", "x", "--out", "o"]]
    {
        let ran = bench.run(arguments);
        assert_eq!(ran.code, 4, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing is stored in .transect yet"), "{}", ran.stderr);
    }
    assert!(!bench.path(".transect").exists());
}

#[test]
fn a_home_that_cannot_be_written_is_said() {
    let bench = Bench::new();
    bench.write("file", "");
    bench.write("x.toml", support::tiny_sweep("x", 1, 1));
    let ran = bench.run(&["submit", "x.toml", "--home", "file/home"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("file/home cannot be used"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--home"), "{}", ran.stderr);
}

#[test]
fn absent_data_is_answered_with_what_installs_it_and_stores_nothing() {
    let bench = Bench::new();
    bench.write("x.toml", support::tiny_sweep("x", 1, 1));
    let ran = bench.run(&["run", "x.toml", "--data", "here"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("the data set mnist is not here"), "{}", ran.stderr);
    assert!(ran.stderr.contains("Install it with: scripts/data.sh mnist"), "{}", ran.stderr);
    assert!(!bench.path(".transect").exists());
}

#[test]
fn a_plan_says_what_would_be_done_and_stores_nothing() {
    let bench = Bench::new();
    bench.write("x.toml", support::tiny_sweep("x", 4, 2));
    let text = bench.ok(&["plan", "x.toml"]);
    assert!(text.contains("train.seed"), "{text}");
    assert!(text.contains("4 runs: 0 ready, 4 to train"), "{text}");
    assert!(text.contains("12 lines with 120 points: 0 done, 12 to take"), "{text}");
    let plan = bench.json(&["plan", "x.toml"]);
    assert_eq!(plan["runs"].as_array().unwrap().len(), 4);
    assert_eq!(plan["points"], 120);
    assert!(!bench.path(".transect").exists());
}

#[test]
fn a_sweep_is_submitted_once_cancelled_and_queued_again() {
    let bench = Bench::new();
    bench.write("x.toml", support::tiny_sweep("x", 2, 1));
    let first = bench.json(&["submit", "x.toml"]);
    let again = bench.json(&["submit", "x.toml"]);
    assert_eq!((&first["created"], &again["created"]), (&true.into(), &false.into()));
    assert_eq!(first["sweep"]["sweep_id"], again["sweep"]["sweep_id"]);
    assert_eq!(first["sweep"]["jobs"], 8);

    assert_eq!(bench.json(&["sweeps"]).as_array().unwrap().len(), 1);
    assert_eq!(bench.json(&["status", "x"])["models"][0]["train_jobs"], 2);
    assert_eq!(bench.json(&["workers"]), serde_json::json!([]));
    let text = bench.ok(&["status"]);
    assert!(text.contains("sweep x (s-1) is running: trained 0 of 2, 0 of 60 points; jobs: 8 waiting"), "{text}");

    // Nobody works on it, so watching it would never end.
    let ran = bench.run(&["watch", "x"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("nothing moves"), "{}", ran.stderr);

    assert_eq!(bench.json(&["cancel", "x"])["cancelled"], 8);
    assert_eq!(bench.json(&["cancel", "x"])["cancelled"], 0);
    assert_eq!(bench.json(&["sweeps"])[0]["state"], "cancelled");
    assert_eq!(bench.json(&["retry", "x"])["queued"], 0);
    assert_eq!(bench.json(&["retry", "x", "--cancelled"])["queued"], 8);

    for verb in ["status", "watch", "results", "plot", "report", "suggest", "cancel", "retry", "pause", "resume"] {
        let ran = bench.run(&[verb, "nothing"]);
        assert_eq!(ran.code, 4, "{verb}: {}", ran.stderr);
        assert!(ran.stderr.contains("nothing"), "{verb}: {}", ran.stderr);
    }
}

#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let bench = Bench::new();
    let mut command = bench.command(&["models", "resnet20", "--json"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
