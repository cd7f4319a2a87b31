//! Short rounds of real processes under faults, one on each store: what they leave equals what an undisturbed sweep leaves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

/// Trainings of a second; the faults of a few seconds.
const SHORT: [&str; 4] = ["--epochs", "40", "--span", "4000"];

fn chaos(arguments: &[&str]) {
    let program = env!("CARGO_BIN_EXE_transect-chaos");
    let s3 = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/bin/s3s-fs");
    let ran = Command::new(program).args(SHORT).args(["--s3", s3]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    println!("{said}");
}

#[test]
fn what_real_processes_leave_under_faults_on_both_stores_is_what_they_leave_undisturbed() {
    chaos(&["--rounds", "2", "--seed", "30", "--store", "both"]);
}
