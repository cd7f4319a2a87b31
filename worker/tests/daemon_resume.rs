//! Work that is interrupted and goes on elsewhere: the real binary, its real executor, and a coordinator in memory.

mod daemon_fake;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use daemon_fake::worker::{lives, send};
use daemon_fake::{Fake, Worker, line, lines, tiny_run, trained, training, wait_for};
use nix::sys::signal::Signal;
use tonic::Status;
use transect_common::model::ModelSpec;
use transect_common::pb::report_request::Row;
use transect_common::pb::{LeaseResponse, PointKey, Snapshot, TaggedArtifact};
use transect_common::run::RunSpec;

/// Epochs that take a few seconds.
const LONG: u32 = 3000;
/// Epochs that keep an executor busy for much longer than any test runs.
const ENDLESS: u32 = 1_000_000;

/// A later attempt to train `run`, from where an earlier one was.
fn attempt(run: &RunSpec, job: u64, attempt: u32, snapshot: Option<Snapshot>) -> LeaseResponse {
    let mut lease = LeaseResponse { snapshot, ..training(run, job) };
    lease.jobs[0].attempt = attempt;
    lease
}

/// Waits until `more` further rows of a job have come.
fn wait_rows(fake: &Fake, job: u64, more: usize) {
    let before = fake.state().rows_of(job).len();
    fake.wait("more rows", |state| {
        assert_eq!(state.failure(job), None);
        (state.rows_of(job).len() >= before + more).then_some(())
    });
}

/// Losses of a job by epoch and split, as bits; each at most once an attempt.
fn losses(fake: &Fake, job: u64) -> BTreeMap<(u32, String), u64> {
    let state = fake.state();
    let epoch = |row: &Row| match row {
        Row::Epoch(row) => Some(((row.epoch, row.split.clone()), row.loss.to_bits())),
        _ => None,
    };
    state.rows_of(job).into_iter().filter_map(epoch).collect()
}

fn epoch_rows(fake: &Fake, job: u64) -> usize {
    fake.state().rows_of(job).into_iter().filter(|row| matches!(row, Row::Epoch(_))).count()
}

/// Trains `run` undisturbed as job 1.
fn undisturbed(fake: &Fake, run: &RunSpec, more: &[&str]) -> Vec<TaggedArtifact> {
    let _worker = Worker::start_with(&fake.url(), more);
    fake.give(training(run, 1));
    fake.wait_done(1);
    fake.state().checkpoints(1)
}

#[test]
fn workers_that_are_stopped_again_and_again_end_in_the_same_bytes_and_repeat_no_row() {
    let (fake, run) = (Fake::start(), tiny_run(1, LONG));
    let checkpoints = undisturbed(&fake, &run, &[]);
    let mut snapshot = None;
    for number in 1..=3 {
        let mut worker = Worker::start(&fake.url());
        fake.give(attempt(&run, 2, number, snapshot.clone()));
        wait_rows(&fake, 2, 20);
        worker.signal(Signal::SIGTERM);
        assert_eq!(worker.end().code(), Some(0));
        let taken = fake.state().snapshot(2).unwrap();
        let step = snapshot.map_or(0, |earlier: Snapshot| earlier.step);
        assert!(taken.step > step && taken.threads == 1, "{taken:?}");
        assert!(matches!(fake.state().rows_of(2).last(), Some(Row::Snapshot(_))), "it comes after all before it");
        snapshot = Some(taken);
    }
    let step = snapshot.as_ref().unwrap().step;
    let worker = Worker::start(&fake.url());
    fake.give(attempt(&run, 2, 4, snapshot));
    fake.wait_done(2);
    assert!(worker.log().contains(&format!("goes on after step {step} (")), "{}", worker.log());
    assert_eq!(fake.state().checkpoints(2), checkpoints);
    assert_eq!(losses(&fake, 2), losses(&fake, 1));
    assert_eq!(epoch_rows(&fake, 2), 2 * LONG as usize + 1);
}

#[test]
fn a_worker_that_is_killed_costs_what_came_after_its_last_snapshot() {
    let (fake, run) = (Fake::start(), tiny_run(1, 3 * LONG));
    let checkpoints = undisturbed(&fake, &run, &[]);
    let mut worker = Worker::start_with(&fake.url(), &["--snapshot-seconds", "1"]);
    fake.give(training(&run, 2));
    let snapshot = fake.wait("a snapshot", |state| state.snapshot(2));
    wait_rows(&fake, 2, 2);
    worker.signal(Signal::SIGKILL);
    worker.end();
    let before = epoch_rows(&fake, 2);
    let _worker = Worker::start(&fake.url());
    fake.give(attempt(&run, 2, 2, Some(snapshot)));
    fake.wait_done(2);
    assert_eq!(fake.state().checkpoints(2), checkpoints);
    assert_eq!(losses(&fake, 2), losses(&fake, 1));
    assert!(epoch_rows(&fake, 2) < before + 6 * LONG as usize, "it did not begin again");
}

#[test]
fn a_training_goes_on_with_the_threads_with_which_it_began() {
    let run = RunSpec { model: ModelSpec::from_name("lenet5").unwrap(), ..tiny_run(1, 60) };
    for [first, second] in [["2", "1"], ["1", "2"]] {
        let fake = Fake::start();
        let checkpoints = undisturbed(&fake, &run, &["--threads", first]);
        let mut worker = Worker::start_with(&fake.url(), &["--threads", first]);
        fake.give(training(&run, 2));
        wait_rows(&fake, 2, 3);
        worker.signal(Signal::SIGTERM);
        worker.end();
        let snapshot = fake.state().snapshot(2);
        assert_eq!(snapshot.as_ref().unwrap().threads.to_string(), first);
        let _worker = Worker::start_with(&fake.url(), &["--threads", second]);
        fake.give(attempt(&run, 2, 2, snapshot));
        fake.wait_done(2);
        assert_eq!(fake.state().checkpoints(2), checkpoints, "{first} threads, then {second}");
        assert!(matches!(fake.state().rows_of(2).last(), Some(Row::Done(d)) if d.threads.to_string() == first));
        // What has no snapshot is done with the worker's own.
        fake.give(training(&tiny_run(2, 1), 3));
        fake.wait_done(3);
        assert!(matches!(fake.state().rows_of(3).last(), Some(Row::Done(d)) if d.threads.to_string() == second));
    }
}

#[test]
fn a_snapshot_that_cannot_be_used_costs_time_and_is_told() {
    let (fake, run) = (Fake::start(), tiny_run(1, 3));
    let checkpoints = undisturbed(&fake, &run, &[]);
    let mut worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(2, ENDLESS), 2));
    wait_rows(&fake, 2, 3);
    worker.signal(Signal::SIGTERM);
    worker.end();
    let of_another_run = fake.state().snapshot(2).unwrap();
    let not_one = Snapshot { artifact: checkpoints[0].artifact.clone(), ..of_another_run.clone() };
    let gone = Snapshot { artifact: "0".repeat(64), ..of_another_run.clone() };
    let worker = Worker::start(&fake.url());
    for (job, snapshot, part) in [
        (3, of_another_run, "begins at its beginning: it was taken of run "),
        (4, not_one, "begins at its beginning: it is not a readable snapshot: it says nothing of itself"),
        (5, gone, "cannot be had: the coordinator answered: no artifact"),
    ] {
        fake.give(attempt(&run, job, 1, Some(snapshot)));
        fake.wait_done(job);
        assert_eq!(fake.state().checkpoints(job), checkpoints);
        assert_eq!(losses(&fake, job), losses(&fake, 1));
        assert!(worker.log().contains(part), "{} lacks {part}", worker.log());
    }
}

#[test]
fn a_coordinator_that_takes_no_snapshots_hinders_nothing() {
    let (fake, run) = (Fake::start(), tiny_run(1, 3 * LONG));
    fake.state().refuse_snapshots = Some("invalid");
    let worker = Worker::start_with(&fake.url(), &["--snapshot-seconds", "1"]);
    fake.give(training(&run, 1));
    fake.wait_done(1);
    assert!(worker.log().contains("a snapshot was refused"), "{}", worker.log());
    assert_eq!(fake.state().snapshot(1), None);
}

#[test]
fn lines_of_a_worker_that_is_killed_go_on_at_the_next_point() {
    /// So many that the worker is killed before it is done, however late this thread is.
    const POINTS: i32 = 3000;
    let run = tiny_run(1, 1);
    let (fake, worker, checkpoints) = trained(&run);
    drop(worker);
    // The plain evaluator hands out each point as it is measured; the other all of these together.
    let mut worker = Worker::start_with(&fake.url(), &["--evaluator", "plain"]);
    let fine = || {
        let mut spec = line("all");
        spec.alphas = (0..POINTS).map(|i| f64::from(i) / f64::from(POINTS - 1)).collect();
        spec
    };
    fake.give(lines(&run, 2, &[fine()], checkpoints.clone()));
    fake.wait_done(2);
    fake.give(lines(&run, 3, &[fine()], checkpoints.clone()));
    wait_rows(&fake, 3, 1);
    worker.signal(Signal::SIGKILL);
    worker.end();
    let done: Vec<_> = fake.state().points(3);
    assert!(!done.is_empty() && done.len() < 2 * POINTS as usize, "{}", done.len());
    let mut lease = lines(&run, 3, &[fine()], checkpoints);
    lease.jobs[0].attempt = 2;
    lease.jobs[0].done_points = done
        .iter()
        .map(|point| PointKey { split: point.split.clone(), index: point.index, ..PointKey::default() })
        .collect();
    let _worker = Worker::start_with(&fake.url(), &["--evaluator", "plain"]);
    fake.give(lease);
    fake.wait_done(3);
    let sorted = |job| {
        let mut points = fake.state().points(job);
        points.sort_by(|a, b| (&a.split, a.index).cmp(&(&b.split, b.index)));
        points
    };
    assert_eq!(sorted(3).len(), 2 * POINTS as usize, "none twice");
    assert!(sorted(3) == sorted(2));
}

#[test]
fn a_second_signal_leaves_at_once() {
    let fake = Fake::start();
    let mut worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_rows(&fake, 1, 3);
    // It will leave no snapshot, so the first signal takes its time.
    let executor = worker.executor();
    send(executor, Signal::SIGSTOP);
    worker.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(1200));
    let asked = Instant::now();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code(), Some(143));
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    wait_for("the executor to end", || (!lives(executor)).then_some(()));
}

/// Slurm, systemd and others send a signal to every process of a job.
#[test]
fn a_signal_to_all_processes_is_one_to_the_worker() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let fake = Fake::start();
        let mut worker = Worker::start(&fake.url());
        fake.give(training(&tiny_run(1, ENDLESS), 1));
        wait_rows(&fake, 1, 3);
        send(worker.executor(), Signal::SIGUSR1);
        send(worker.executor(), signal);
        worker.signal(signal);
        assert_eq!(worker.end().code(), Some(0), "{signal}");
        let state = fake.state();
        assert!(state.snapshot(1).is_some() && state.left.len() == 1, "{signal}: {}", worker.log());
    }
}

#[test]
fn an_executor_that_stands_still_does_not_outlast_the_grace_period() {
    let fake = Fake::start();
    let mut worker = Worker::start_with(&fake.url(), &["--grace-seconds", "3"]);
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_rows(&fake, 1, 3);
    send(worker.executor(), Signal::SIGSTOP);
    let asked = Instant::now();
    worker.signal(Signal::SIGTERM);
    assert_eq!(worker.end().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(fake.state().left.len(), 1);
}

#[test]
fn a_worker_is_gone_before_its_time_limit() {
    let (fake, began) = (Fake::start(), Instant::now());
    let mut worker = Worker::start_with(&fake.url(), &["--time-limit", "8s", "--grace-seconds", "3"]);
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    assert_eq!(worker.end().code(), Some(0));
    assert!((4..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let state = fake.state();
    assert!(state.snapshot(1).is_some() && state.left.len() == 1);
    assert!(state.seconds_left[0] > 1.0 && state.seconds_left[0] <= 5.0, "{:?}", state.seconds_left);
    drop(state);
    let mut worker = Worker::start_with(&fake.url(), &["--time-limit", "3s", "--grace-seconds", "3"]);
    assert_eq!(worker.end().code(), Some(1));
    assert!(worker.log().contains("nothing is left to work in"), "{}", worker.log());
}

#[test]
fn sigusr1_lets_the_work_in_hand_be_finished_and_takes_none_after_it() {
    let fake = Fake::start();
    let mut worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, LONG), 1));
    fake.give(training(&tiny_run(2, 1), 2));
    wait_rows(&fake, 1, 3);
    worker.signal(Signal::SIGUSR1);
    assert_eq!(worker.end().code(), Some(0));
    let state = fake.state();
    assert!(state.is_done(1) && state.rows_of(2).is_empty());
    assert_eq!((state.leases.len(), state.left.len()), (1, 1));
}

#[test]
fn a_worker_without_work_leaves_when_it_is_told_to() {
    let fake = Fake::start();
    let mut worker = Worker::start_with(&fake.url(), &["--idle-exit", "2s"]);
    fake.give(training(&tiny_run(1, 1), 1));
    assert_eq!(worker.end().code(), Some(0));
    fake.wait_done(1);
    assert_eq!(fake.state().left.len(), 1);
    let nobody = "http://127.0.0.1:9";
    assert_eq!(Worker::start_with(nobody, &["--idle-exit", "1s"]).end().code(), Some(0));
}

#[test]
fn labels_are_told_and_words_that_are_none_refused() {
    let fake = Fake::start();
    let _worker = Worker::start_with(&fake.url(), &["--label", "a100", "--label", "zone=b,fast"]);
    let labels = fake.wait("registration", |state| Some(state.workers.values().next()?.labels.clone()));
    assert_eq!(labels, ["a100", "zone=b", "fast"]);
    for wrong in ["", "two words", "ü", &"x".repeat(33)] {
        assert_eq!(Worker::start_with(&fake.url(), &["--label", wrong]).end().code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_cancelled_training_stops_within_a_second_of_the_word() {
    let fake = Fake::start();
    fake.state().heartbeat_ms = Some(60_000);
    fake.state().signals = Some(0);
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    fake.wait("rows and the stream", |state| (state.rows_of(1).len() > 3 && state.signals == Some(1)).then_some(()));
    let executor = worker.executor();
    fake.state().stop.insert((1, 1));
    let cancelled = Instant::now();
    fake.wake();
    wait_for("the executor to be stopped", || (!lives(executor)).then_some(()));
    assert!(cancelled.elapsed() < Duration::from_secs(1), "{:?}", cancelled.elapsed());
}

#[test]
fn a_worker_moves_to_another_coordinator_with_all_it_holds() {
    let mut first = Fake::start();
    first.state().signals = Some(0);
    let mut second = first.beside();
    let worker = Worker::start(&format!("{},{}", first.url(), second.url()));
    let run = tiny_run(1, LONG);
    first.give(training(&run, 1));
    wait_rows(&first, 1, 3);
    // Whichever it talks to, one of these takes that away.
    second.vanish();
    wait_rows(&first, 1, 50);
    second.come_back();
    first.vanish();
    second.wait_done(1);
    assert_eq!(epoch_rows(&second, 1), 2 * LONG as usize + 1);
    assert_eq!(second.state().registrations, 1);
    second.give(training(&tiny_run(2, 1), 2));
    second.wait_done(2);
    second.wait("the signals to be listened for again", |state| (state.signals >= Some(2)).then_some(()));
    drop(worker);
}

#[test]
fn a_daemon_that_stood_still_for_longer_than_its_lease_drops_what_is_no_longer_its_own() {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, ENDLESS), 1));
    wait_rows(&fake, 1, 3);
    let executor = worker.executor();
    worker.signal(Signal::SIGSTOP);
    // The lease runs out; another attempt has the job now.
    fake.state().refuse.insert((1, 1), "stale");
    let rows = fake.state().rows_of(1).len();
    std::thread::sleep(Duration::from_millis(1500));
    worker.signal(Signal::SIGCONT);
    wait_for("the executor to be stopped", || (!lives(executor)).then_some(()));
    fake.give(training(&tiny_run(2, 1), 2));
    fake.wait_done(2);
    assert_eq!(fake.state().rows_of(1).len(), rows);
}

#[test]
fn a_store_that_is_full_for_a_while_costs_time_only() {
    let fake = Fake::start();
    fake.state().refuse_artifacts = Some(Status::resource_exhausted("the disk is full; free some space"));
    let worker = Worker::start(&fake.url());
    fake.give(training(&tiny_run(1, 100), 1));
    wait_for("an upload to fail", || worker.log().contains("trying until it is done").then_some(()));
    std::thread::sleep(Duration::from_secs(4));
    assert!(!fake.state().is_done(1));
    fake.state().refuse_artifacts = None;
    fake.wait_done(1);
    assert_eq!(epoch_rows(&fake, 1), 201);
    assert_eq!(fake.state().checkpoints(1).len(), 2);
}
