//! A worker killed before its first step, in an epoch, while it uploads, between checkpoints, while it reports, while it leaves,
//! while it probes: the sweep ends in the bytes of an undisturbed one.

use std::process::Command;

#[test]
fn a_worker_killed_at_each_phase_of_its_work_changes_nothing() {
    let program = env!("CARGO_BIN_EXE_transect-chaos");
    let arguments = ["--phases", "--store", "sqlite", "--epochs", "90"];
    let ran = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}
