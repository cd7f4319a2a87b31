//! The tool itself, small: a coordinator beside it, two thousand jobs, SQLite.

use std::path::Path;
use std::process::Command;

#[test]
fn every_figure_is_measured_and_written() {
    let program = Path::new(env!("CARGO_BIN_EXE_transect-scale"));
    let coordinator = program.with_file_name("transect-coordinator");
    assert!(coordinator.exists(), "build everything first: make test");
    let folder = tempfile::tempdir().unwrap();
    let (lines, document) = (folder.path().join("scale.jsonl"), folder.path().join("scale.md"));
    let mut command = Command::new(program);
    command.args(["--store", "sqlite", "--jobs", "2000", "--workers", "4", "--jobs-per-lease", "2", "--job-ms", "50"]);
    command.args(["--seconds", "2", "--soak", "2", "--sample", "1", "--idle", "20", "--date", "2026-01-02T03:04:05Z"]);
    let output = command.arg("--out").arg(&lines).arg("--document").arg(&document).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let lines = std::fs::read_to_string(lines).unwrap();
    let figures: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let value = |name: &str| {
        let figure = figures.iter().find(|figure| figure["figure"] == name);
        figure.unwrap_or_else(|| panic!("{name} is missing in {lines}"))["value"].as_f64().unwrap()
    };
    for name in [
        "submit",
        "submit_peak_memory",
        "status_rpc",
        "sweep_progress",
        "metrics_page",
        "lease_p99",
        "most_jobs",
        "cost_cpu_2000",
        "cost_wall_exponent",
        "idle_memory",
        "idle_first_lease",
        "soak_memory",
        "soak_files_growth",
    ] {
        assert!(value(name).is_finite(), "{name}");
    }
    assert_eq!(value("idle_calls_failed"), 0.0);
    assert!(std::fs::read_to_string(document).unwrap().contains("| `submit` |"));
}

#[test]
fn throughput_is_printed_once_every_row_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.csv");
    let mut command = Command::new(env!("CARGO_BIN_EXE_transect-scale"));
    command.args(["throughput", "--store", "sqlite", "--count", "200", "--alphas", "3", "--splits", "2"]);
    command.args(["--workers", "2", "--jobs-per-lease", "7"]).arg("--rows").arg(&rows);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let taken: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((taken["jobs"].as_u64(), taken["points"].as_u64()), (Some(200), Some(1200)));
    assert!(taken["jobs_per_second"].as_f64().unwrap() > 0.0 && taken["synced_write_us"].as_f64().unwrap() > 0.0);
    assert_eq!(std::fs::read_to_string(rows).unwrap().lines().count(), 1200);
}
