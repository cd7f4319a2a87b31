//! The daemon when things go wrong: the real binary, its real executor, and a coordinator in memory that misbehaves.

mod daemon_fake;

use std::process::{Command, Stdio};

use daemon_fake::worker::{lives, send};
use daemon_fake::{Fake, Worker, line, lines, tiny_run, training, wait_for};
use nix::sys::signal::Signal;
use tonic::Status;
use transect_common::pb::report_request::Row;

/// Epochs that keep an executor busy for much longer than any test runs.
const ENDLESS: u32 = 100_000;

/// Waits until epochs and progress of a job have arrived: the executor is in the middle of it.
fn wait_begun(fake: &Fake, job: u64) {
    fake.wait("the first epochs", |state| {
        assert_eq!(state.failure(job), None);
        let is_in_training = state.alive.iter().any(|progress| progress.text.contains("epoch"));
        (state.rows_of(job).len() > 3 && is_in_training).then_some(())
    });
}

#[test]
fn an_executor_that_is_killed_fails_its_attempt_and_is_replaced() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    let first = worker.executor();
    send(first, Signal::SIGKILL);
    let failure = fake.wait_failure(1);
    assert_eq!(failure.class, "machine");
    for part in ["job 1, training of mlp seed 1 (", "killed by signal 9 (SIGKILL; out of memory?)", "epoch "] {
        assert!(failure.message.contains(part), "{} lacks {part}", failure.message);
    }
    fake.give(training(&tiny_run(1, 1), 2));
    fake.wait_done(2);
    assert_ne!(worker.executor(), first);
}

#[test]
fn a_coordinator_that_is_away_for_a_while_loses_nothing() {
    let mut fake = Fake::start();
    let worker = Worker::start(&fake.url());
    let run = tiny_run(1, 1000);
    fake.give(training(&run, 1));
    wait_begun(&fake, 1);
    fake.vanish();
    wait_for("the worker to notice", || worker.log().contains("kept and sent again").then_some(()));
    // It comes back without its memory of workers.
    fake.state().workers.clear();
    fake.come_back();
    fake.wait_done(1);
    let state = fake.state();
    let epochs = state.rows_of(1).into_iter().filter(|row| matches!(row, Row::Epoch(_))).count();
    assert_eq!((epochs, state.checkpoints(1).len(), state.registrations), (2001, 2, 2));
    drop(state);
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
}

#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    fake.state().lose_answers = 3;
    fake.give(training(&tiny_run(1, 2), 1));
    fake.wait("the answers to be lost", |state| (state.lose_answers == 0).then_some(()));
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
    // The fake stores a row once, however often it comes.
    let epochs = fake.state().rows_of(1).into_iter().filter(|row| matches!(row, Row::Epoch(_))).count();
    assert_eq!(epochs, 5);
}

#[test]
fn a_worker_may_start_before_its_coordinator() {
    let mut fake = Fake::start();
    fake.vanish();
    let worker = Worker::start(&fake.url());
    wait_for("the worker to try", || worker.log().contains("cannot be reached").then_some(()));
    fake.come_back();
    fake.give(training(&tiny_run(1, 1), 1));
    fake.wait_done(1);
}

#[test]
fn a_stale_attempt_is_stopped() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    let first = worker.executor();
    fake.state().refuse.insert((1, 1), "stale");
    wait_for("the executor to be stopped", || (!lives(first)).then_some(()));
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
    assert_eq!(fake.state().failure(1), None);
}

#[test]
fn a_cancelled_job_is_stopped_by_the_next_heartbeat() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    let first = worker.executor();
    fake.state().stop.insert((1, 1));
    wait_for("the executor to be stopped", || (!lives(first)).then_some(()));
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
    assert_eq!(fake.state().failure(1), None);
}

#[test]
fn a_stopped_line_does_not_disturb_the_others_of_its_group() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    let run = tiny_run(1, 1);
    fake.give(training(&run, 1));
    fake.wait_done(1);
    let executor = worker.executor();
    fake.state().refuse.insert((2, 1), "stale");
    let checkpoints = fake.state().checkpoints(1);
    fake.give(lines(&run, 2, &[line("all"), line("fc1")], checkpoints));
    fake.wait_done(3);
    assert_eq!(fake.state().rows_of(2).len(), 0);
    assert_eq!(worker.executor(), executor);
}

#[test]
fn heartbeats_go_on_while_the_executor_stands_still() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    send(worker.executor(), Signal::SIGSTOP);
    let before = fake.state().heartbeats;
    fake.wait("five more heartbeats", |state| (state.heartbeats > before + 5).then_some(()));
    let alive: Vec<_> = fake.state().alive.iter().map(|p| p.job.unwrap().job_id).collect();
    assert_eq!(alive, [1]);
}

#[test]
fn a_row_that_the_coordinator_finds_invalid_fails_the_attempt() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    fake.state().refuse.insert((1, 1), "invalid");
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    let failure = fake.wait_failure(1);
    assert_eq!(failure.class, "machine");
    assert!(failure.message.contains("refused a row as invalid: told to refuse job 1"), "{}", failure.message);
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
}

#[test]
fn a_coordinator_that_cannot_store_checkpoints_fails_the_attempt_with_its_words() {
    let fake = Fake::start();
    let _worker = Worker::start_with(&fake.url(), &["--store-patience", "1s"]);
    fake.state().refuse_artifacts = Some(Status::internal("the folder is gone; put it back"));
    fake.give(training(&tiny_run(1, 2), 1));
    let failure = fake.wait_failure(1);
    assert_eq!(failure.class, "machine");
    assert!(failure.message.contains("checkpoint `init`") && failure.message.contains("the folder is gone"));
}

#[test]
fn an_artifact_store_that_is_full_or_away_for_a_while_costs_time_and_nothing_else() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    for (seed, status) in
        [(1, Status::resource_exhausted("the bucket is full")), (2, Status::unavailable("it is gone"))]
    {
        let mut state = fake.state();
        (state.refuse_artifacts, state.refusals) = (Some(status), Some(5));
        drop(state);
        fake.give(training(&tiny_run(seed, 2), seed));
        fake.wait_done(seed);
        assert_eq!(fake.state().failure(seed), None);
    }
}

#[test]
fn a_broken_upload_and_a_broken_download_go_on_where_they_stopped() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.state().cut_upload_after = Some(1);
    let run = tiny_run(1, 2);
    fake.give(training(&run, 1));
    fake.wait_done(1);
    assert_eq!(fake.state().resumed, 1);
    let checkpoints = fake.state().checkpoints(1);
    for checkpoint in &checkpoints {
        std::fs::remove_file(worker.cache().join(&checkpoint.artifact)).unwrap();
    }
    fake.state().cut_download_after = Some(1);
    fake.give(lines(&run, 2, &[line("all")], checkpoints));
    fake.wait_done(2);
    assert_eq!(fake.state().resumed, 2);
}

#[test]
fn sigterm_sends_what_was_measured_and_leaves() {
    let fake = Fake::start();
    let mut worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    let executor = worker.executor();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code(), Some(0));
    assert!(!lives(executor));
    let state = fake.state();
    assert_eq!(state.left.len(), 1);
    assert_eq!(state.failure(1), None);
    assert!(!state.is_done(1));
    // Its scratch files are gone with it.
    assert_eq!(std::fs::read_dir(worker.cache().join("scratch")).unwrap().count(), 0);
}

#[test]
fn sigint_while_idle_leaves() {
    let fake = Fake::start();
    let mut worker = Worker::start(&fake.url());
    fake.wait("registration", |state| (state.registrations == 1).then_some(()));
    worker.signal(Signal::SIGINT);
    assert_eq!(worker.end().code(), Some(0));
    assert_eq!(fake.state().left.len(), 1);
}

#[test]
fn a_daemon_that_is_killed_takes_its_executor_along() {
    let fake = Fake::start();
    let mut worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_begun(&fake, 1);
    let executor = worker.executor();
    worker.signal(Signal::SIGKILL);
    worker.end();
    wait_for("the executor to end", || (!lives(executor)).then_some(()));
}

#[test]
fn a_worker_that_shall_end_with_its_parent_does() {
    let fake = Fake::start();
    let folder = tempfile::tempdir().unwrap();
    let command = format!(
        "'{}' --coordinator {} --home '{}' --threads 1 --exit-with-parent $$ & wait",
        env!("CARGO_BIN_EXE_transect-worker"),
        fake.url(),
        folder.path().display()
    );
    let null = || Stdio::null();
    let mut shell = Command::new("sh").args(["-c", &command]).stdout(null()).stderr(null()).spawn().unwrap();
    let worker = fake.wait("registration", |state| Some(state.workers.values().next()?.pid as i32));
    shell.kill().unwrap();
    shell.wait().unwrap();
    wait_for("the worker to end", || (!lives(worker)).then_some(()));
}

#[test]
fn a_worker_whose_parent_ended_before_it_began_leaves_at_once() {
    let fake = Fake::start();
    let mut worker = Worker::start_with(&fake.url(), &["--exit-with-parent", "2147483647"]);
    assert_eq!(worker.end().code(), Some(0));
}

#[test]
fn a_device_that_is_missing_is_an_error_before_the_coordinator_hears_of_it() {
    let fake = Fake::start();
    for (device, part) in [("cuda:99", "cuda:99 was asked for"), ("gpu", "`gpu` is not a device")] {
        let mut worker = Worker::start_with(&fake.url(), &["--device", device]);
        assert_eq!(worker.end().code(), Some(1));
        assert!(worker.log().contains(part), "{}", worker.log());
    }
    assert_eq!(fake.state().registrations, 0);
}

#[test]
fn an_address_that_is_none_is_an_error() {
    let mut worker = Worker::start("not an address");
    assert_eq!(worker.end().code(), Some(1));
    assert!(worker.log().contains("`not an address` is not the address of a coordinator"), "{}", worker.log());
}
