//! The daemon at work: the real binary, its real executor, and a coordinator in memory.

mod daemon_fake;

use daemon_fake::{Fake, Worker, elsewhere, line, lines, tiny_run, trained, training};
use transect_common::data::{DataSet, DataSpec};
use transect_common::pb::report_request::Row;
use transect_common::pb::{PointKey, PointRow};
use transect_common::run::RunSpec;

#[test]
fn a_run_is_trained_and_its_lines_are_measured() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    let run = tiny_run(1, 3);
    fake.give(training(&run, 1));
    fake.wait_done(1);

    let checkpoints = fake.state().checkpoints(1);
    let tags: Vec<_> = checkpoints.iter().map(|c| c.tag.as_str()).collect();
    assert_eq!(tags, ["init", "final"]);
    assert!(checkpoints.iter().all(|c| fake.state().artifacts.contains_key(&c.artifact)));
    let epochs: Vec<_> = fake
        .state()
        .rows_of(1)
        .into_iter()
        .filter_map(|row| if let Row::Epoch(row) = row { Some((row.epoch, row.split.clone(), row.loss)) } else { None })
        .collect();
    let named: Vec<_> = epochs.iter().map(|(epoch, split, _)| (*epoch, split.as_str())).collect();
    let both = |epoch| [(epoch, "train"), (epoch, "test")];
    assert_eq!(named, [vec![(0, "test")], both(1).to_vec(), both(2).to_vec(), both(3).to_vec()].concat());
    {
        let state = fake.state();
        let info = state.workers.values().next().unwrap();
        assert_eq!((info.device.as_str(), info.threads), ("cpu", 1));
        assert!(info.libtorch.starts_with("2.") && info.memory_bytes > 0 && !info.host.is_empty());
    }

    // One whole line, and one that an earlier attempt has begun.
    let mut group = lines(&run, 2, &[line("all"), line("fc1")], checkpoints);
    let done = |split: &str, index| PointKey { split: split.into(), index, ..PointKey::default() };
    group.jobs[1].done_points = vec![done("train", 0), done("test", 2)];
    fake.give(group);
    fake.wait_done(2);
    fake.wait_done(3);
    let state = fake.state();
    assert_eq!(state.points(2).len(), 6);
    let mut places: Vec<_> = state.points(3).iter().map(|p| (p.split.clone(), p.index)).collect();
    places.sort();
    assert_eq!(places, [("test", 0), ("test", 1), ("train", 1), ("train", 2)].map(|(s, i)| (s.to_owned(), i)));
    assert!(matches!(state.rows_of(2).last(), Some(Row::Done(done)) if done.threads == 1));

    // At alpha 0 and 1 the line meets what training measured.
    let on_test = |index| state.points(2).into_iter().find(|p| p.split == "test" && p.index == index).unwrap();
    let (first, last) = (epochs[0].2, epochs[6].2);
    assert!((on_test(0).loss - first).abs() < 1e-5 * first, "{} and {first}", on_test(0).loss);
    assert!((on_test(2).loss - last).abs() < 1e-5 * last, "{} and {last}", on_test(2).loss);
    assert_eq!((on_test(2).alpha, on_test(2).count), (1.0, 32));
    // The worker had trained the run itself, so it fetched nothing, and says what it holds.
    assert_eq!(state.downloads, 0);
    drop(state);
    fake.wait("the run to be named as cached", |s| (s.cached_runs == [run.digest().to_string()]).then_some(()));
}

#[test]
fn training_twice_gives_the_same_bytes() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    let run = tiny_run(5, 2);
    let other = tiny_run(6, 2);
    for (job, run) in [(1, &run), (2, &other), (3, &run)] {
        fake.give(training(run, job));
    }
    fake.wait_done(3);
    let state = fake.state();
    assert_eq!(state.checkpoints(1), state.checkpoints(3));
    assert_ne!(state.checkpoints(1), state.checkpoints(2));
}

#[test]
fn absent_data_fail_the_run_with_the_command_that_installs_them() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    let run = RunSpec { data: DataSpec::new(DataSet::Cifar10), ..tiny_run(1, 1) };
    fake.give(training(&run, 9));
    let failure = fake.wait_failure(9);
    assert_eq!(failure.class, "run");
    for part in ["job 9, training of mlp seed 1 (", "cifar10 is not there", "tar -xzf cifar-10-binary.tar.gz"] {
        assert!(failure.message.contains(part), "{} lacks {part}", failure.message);
    }
    // A fresh executor works on.
    fake.give(training(&tiny_run(1, 1), 10));
    fake.wait_done(10);
}

#[test]
fn a_bad_line_fails_alone() {
    let run = tiny_run(1, 1);
    let (fake, _worker, checkpoints) = trained(&run);
    let mut group = lines(&run, 2, &[line("all"), line("conv9"), line("fc2")], checkpoints);
    group.jobs.push(transect_common::pb::LeasedJob {
        job_id: 5,
        attempt: 1,
        line_spec: "{}".into(),
        done_points: vec![],
    });
    fake.give(group);
    fake.wait_done(2);
    fake.wait_done(4);
    let failure = fake.wait_failure(3);
    assert_eq!(failure.class, "run");
    assert!(failure.message.contains("job 3, line `conv9` of mlp seed 1") && failure.message.contains("fc1"));
    assert!(fake.wait_failure(5).message.contains("not the canonical form of a line"));
}

#[test]
fn training_that_diverges_fails_the_run_and_says_where() {
    let fake = Fake::start();
    let _worker = Worker::start(&fake.url());
    let mut run = tiny_run(1, 3);
    if let transect_common::run::Origin::Trained { train, .. } = &mut run.origin {
        train.optimizer =
            transect_common::run::Optimizer::Sgd { lr: 1e20, momentum: 0.9, weight_decay: 0.0, nesterov: false };
    }
    fake.give(training(&run, 1));
    let failure = fake.wait_failure(1);
    assert_eq!(failure.class, "run");
    assert!(failure.message.contains("diverged at step "), "{}", failure.message);
}

#[test]
fn a_spoilt_file_in_the_cache_is_fetched_again() {
    let run = tiny_run(1, 1);
    let (fake, worker, checkpoints) = trained(&run);
    std::fs::write(worker.cache().join(&checkpoints[0].artifact), b"spoilt").unwrap();
    std::fs::remove_file(worker.cache().join(&checkpoints[1].artifact)).unwrap();
    fake.give(lines(&run, 2, &[line("all")], checkpoints.clone()));
    fake.wait_done(2);
    assert_eq!(fake.state().downloads, 2);
    fake.give(lines(&run, 3, &[line("all")], checkpoints));
    fake.wait_done(3);
    let state = fake.state();
    assert_eq!(state.downloads, 2);
    let values = |points: Vec<PointRow>| points.into_iter().map(|p| (p.loss, p.accuracy)).collect::<Vec<_>>();
    assert_eq!(values(state.points(2)), values(state.points(3)));
}

#[test]
fn a_checkpoint_that_the_coordinator_lost_fails_the_attempt() {
    let run = tiny_run(1, 1);
    let (fake, worker, checkpoints) = trained(&run);
    fake.state().artifacts.clear();
    std::fs::remove_file(worker.cache().join(&checkpoints[0].artifact)).unwrap();
    fake.give(lines(&run, 2, &[line("all")], checkpoints));
    let failure = fake.wait_failure(2);
    assert_eq!(failure.class, "machine");
    assert!(failure.message.contains("checkpoint `init`") && failure.message.contains("no artifact"), "{failure:?}");
}

#[test]
fn what_a_job_needs_of_other_runs_is_fetched_and_let_go() {
    let run = tiny_run(1, 1);
    let (fake, worker, checkpoints) = trained(&run);
    let imported = checkpoints[1].artifact.clone();
    // Neither is in this worker's cache, as when another worker trained the other run.
    for checkpoint in &checkpoints {
        std::fs::remove_file(worker.cache().join(&checkpoint.artifact)).unwrap();
    }
    let next = tiny_run(2, 1);
    let mut lease = training(&next, 2);
    lease.elsewhere = elsewhere(&run, &checkpoints[..1]);
    lease.artifacts = vec![imported.clone()];
    fake.give(lease);
    fake.wait_done(2);
    assert_eq!(fake.state().downloads, 2);
    for artifact in [&checkpoints[0].artifact, &imported] {
        assert!(worker.cache().join(artifact).exists(), "it stays in the cache for the next job");
    }

    // One that cannot be had fails the attempt, and is named.
    fake.state().artifacts.remove(&imported);
    std::fs::remove_file(worker.cache().join(&imported)).unwrap();
    let mut lease = training(&tiny_run(3, 1), 3);
    lease.elsewhere = elsewhere(&run, &checkpoints[1..]);
    fake.give(lease);
    let failure = fake.wait_failure(3);
    let expected = format!("checkpoint `final` of run {}", run.digest().short());
    assert_eq!(failure.class, "machine");
    assert!(failure.message.contains(&expected) && failure.message.contains("no artifact"), "{failure:?}");
}
