//! `transect gc` on a home folder of its own.

mod support;

use std::fs;
use std::time::{Duration, SystemTime};

use support::{Bench, checkpoint, model};

#[test]
fn what_nothing_names_is_listed_first_and_then_removed() {
    let bench = Bench::new();
    bench.write("good.safetensors", checkpoint(&model("lenet5")));
    bench.ok(&["import", "x", "--model", "lenet5", "final=good.safetensors"]);
    let orphan = format!("ab{}", "0".repeat(62));
    fs::create_dir_all(bench.path(".transect/artifacts/ab")).unwrap();
    let file = bench.write(&format!(".transect/artifacts/ab/{orphan}"), "left behind");
    let all_at = |age: Duration| {
        let then = SystemTime::now() - age;
        fs::File::options().append(true).open(&file).unwrap().set_modified(then).unwrap();
    };

    let young = bench.json(&["gc"]);
    assert_eq!(
        (young["removed"].as_u64(), young["young"].as_u64(), young["named"].as_u64()),
        (Some(0), Some(1), Some(1))
    );
    all_at(Duration::from_hours(25));
    let listed = bench.ok(&["gc", "--dry-run"]);
    assert!(listed.contains(&orphan) && listed.contains("1 artifact, 11 B, would be removed"), "{listed}");
    assert!(file.exists());
    assert!(bench.ok(&["gc", "--grace", "2days"]).contains("0 artifacts"));
    let removed = bench.ok(&["gc"]);
    assert!(removed.contains("1 artifact, 11 B, removed"), "{removed}");
    assert!(!file.exists());
    bench.ok(&["export", "x", "--out", "exported"]);
}

#[test]
fn a_place_that_is_none_is_said_before_anything_is_made() {
    let bench = Bench::new();
    bench.write("good.safetensors", checkpoint(&model("lenet5")));
    let mut command = bench.command(&["import", "x", "--model", "lenet5", "final=good.safetensors"]);
    let ran = command.env("TRANSECT_ARTIFACTS", "gs://bucket").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("`gs://bucket` is no place for artifacts") && said.contains("s3://BUCKET/PREFIX"), "{said}");
}
