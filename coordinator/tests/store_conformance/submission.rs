//! Claims about submitting and importing.

use transect_common::job::{ErrorClass, JobState};
use transect_coordinator::store::{CheckpointsOf, NewImport, StoreError, SweepState};

use crate::world::{World, import, run, sweep, sweep_of_import};

pub async fn a_sweep_is_stored_whole(world: World) {
    let submitted = world.submit(sweep("first", &[0, 1, 2], &["all", "conv1"])).await.unwrap();
    assert!(submitted.created);
    let stored = submitted.sweep;
    assert_eq!(stored.id.to_string(), "s-1");
    assert_eq!((stored.name.as_str(), stored.state), ("first", SweepState::Running));
    assert_eq!((stored.runs, stored.jobs, stored.queued, stored.train_jobs), (3, 9, 9, 3));
    assert_eq!((stored.points, stored.points_expected), (0, 3 * 2 * 6));
    assert_eq!((stored.submitted_at, stored.finished_at), (world.now(), None));
    assert_eq!(world.store.sweep_file(stored.id).await.unwrap(), "first [0, 1, 2] [\"all\", \"conv1\"]");
}

pub async fn the_same_key_gives_the_same_sweep(world: World) {
    let first = world.submit(sweep("first", &[0], &["all"])).await.unwrap();
    world.wait(5);
    let second = world.submit(sweep("first", &[0], &["all"])).await.unwrap();
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(first.sweep, second.sweep);
    assert_eq!(world.store.sweeps(None, 10).await.unwrap().rows.len(), 1);
}

pub async fn a_key_used_for_another_file_is_refused(world: World) {
    world.sweep("first", &[0], &["all"]).await;
    let mut other = sweep("first", &[0, 1], &["all"]);
    other.idempotency_key = sweep("first", &[0], &["all"]).idempotency_key;
    let error = world.submit(other).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken { what: "idempotency key", .. }), "{error}");
    assert_eq!(world.store.counts().await.unwrap().sweeps, 1);
}

pub async fn a_name_means_the_newest_sweep(world: World) {
    let old = world.sweep("same", &[0], &["all"]).await;
    let new = world.sweep("same", &[0, 1], &["all"]).await;
    assert_eq!(world.store.find_sweep("same").await.unwrap(), new.id);
    assert_eq!(world.store.find_sweep(&old.id.to_string()).await.unwrap(), old.id);
    for unknown in ["", "other", "s-99", "s-01", "1"] {
        let error = world.store.find_sweep(unknown).await.unwrap_err();
        assert!(matches!(error, StoreError::NotFound { what: "sweep", .. }), "{unknown}: {error}");
    }
}

pub async fn runs_and_lines_are_shared_between_sweeps(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0, 1], &["all"]).await;
    world.work_it_all(worker).await;
    let second = world.sweep("second", &[1, 2], &["all", "conv1"]).await;
    assert_eq!((second.jobs, second.done, second.queued), (6, 2, 4), "seed 1 is trained, and its whole line measured");
    assert_eq!(second.points, 6);
    let shared: Vec<_> = world.jobs(first.id).await.iter().map(|job| job.id).collect();
    assert_eq!(world.jobs(second.id).await.iter().filter(|job| shared.contains(&job.id)).count(), 2);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&second).await.state, SweepState::Done);
    let counts = world.store.counts().await.unwrap();
    assert_eq!(counts.jobs.values().sum::<u64>(), 3 + 5, "three runs are trained once each, five lines measured once");
}

pub async fn a_cancelled_job_that_a_new_sweep_needs_is_queued_again(world: World) {
    let first = world.sweep("first", &[0], &["all"]).await;
    assert_eq!(world.store.cancel(first.id, world.now()).await.unwrap(), 2);
    let second = world.sweep("second", &[0], &["all"]).await;
    assert_eq!((second.state, second.queued), (SweepState::Running, 2));
    assert_eq!(world.progress(&first).await.state, SweepState::Cancelled);
}

pub async fn a_new_line_on_a_failed_run_fails_at_once(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0], &["all"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged at step 412").await;
    let second = world.sweep("second", &[0], &["all", "conv1"]).await;
    assert_eq!((second.state, second.failed), (SweepState::Failed, 3));
    let error = world.jobs(second.id).await.pop().unwrap().error.unwrap();
    let expected = format!("run lenet5 seed 0 ({}) failed: diverged at step 412", run(0).digest().short());
    assert_eq!(error, expected);
    assert_eq!(
        world.store.retry(first.id, transect_coordinator::store::Retry::default(), world.now()).await.unwrap(),
        2
    );
    assert_eq!(world.progress(&second).await.queued, 3, "the other sweep's line waits again, too");
}

pub async fn lines_on_imports_are_ready_at_once(world: World) {
    let worker = world.worker().await;
    let import = import("mine");
    assert!(world.store.import(import.clone(), world.now()).await.unwrap());
    let stored = world.submit(sweep_of_import("walk", &import)).await.unwrap().sweep;
    assert_eq!((stored.runs, stored.jobs, stored.train_jobs), (1, 1, 0));
    let lease = world.measure_next(worker).await;
    let tags: Vec<&str> = lease.checkpoints.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["init", "final"]);
    assert_eq!(world.progress(&stored).await.state, SweepState::Done);
    let points = world.store.points(stored.id, None, 10).await.unwrap().rows;
    assert_eq!((points.len(), points[0].line.run.seed, points[0].line.run.model.as_str()), (6, None, "resnet20"));
}

pub async fn an_import_is_kept_and_its_name_is_taken(world: World) {
    let first = import("mine");
    assert!(world.store.import(first.clone(), world.now()).await.unwrap());
    assert!(!world.store.import(first.clone(), world.now()).await.unwrap(), "the same again is no error");
    let other = NewImport { classes: 100, ..first.clone() };
    let error = world.store.import(other, world.now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Taken { what: "import", .. }), "{error}");

    let found = world.store.imports(&["mine", "yours"]).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["mine"]);
    assert_eq!((&found["mine"].model, found["mine"].input, found["mine"].classes), (&first.model, [3, 32, 32], 10));
    assert_eq!(found["mine"].checkpoints.len(), 2);
    let checkpoints = world.store.checkpoints(&CheckpointsOf::Import("mine".into())).await.unwrap();
    assert_eq!(
        checkpoints.iter().map(|c| (c.tag.as_str(), c.bytes)).collect::<Vec<_>>(),
        [("init", 1234), ("final", 1234)]
    );
    let error = world.store.checkpoints(&CheckpointsOf::Import("yours".into())).await.unwrap_err();
    assert_eq!(error.to_string(), "no import is called `yours`");
}

pub async fn checkpoints_that_nobody_imported_are_refused(world: World) {
    let error = world.submit(sweep_of_import("walk", &import("never"))).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    assert_eq!(world.store.counts().await.unwrap().sweeps, 0, "nothing is half-submitted");
}

pub async fn a_caller_that_goes_away_leaves_all_or_nothing(world: World) {
    let seeds: Vec<u64> = (0..200).collect();
    for pause in 0..20 {
        let (store, now) = (world.store.clone(), world.now());
        let new = sweep(&format!("sweep-{pause}"), &seeds, &["all"]);
        let caller = tokio::spawn(async move { store.submit(new, now).await });
        tokio::time::sleep(std::time::Duration::from_micros(pause * 300)).await;
        caller.abort();
        let _ = caller.await;
    }
    // The writer is free, and whatever is there is whole.
    let last = world.sweep("last", &seeds, &["all"]).await;
    assert_eq!(last.jobs, 400);
    for stored in world.store.sweeps(None, 100).await.unwrap().rows {
        assert_eq!((stored.runs, stored.jobs), (200, 400), "{}", stored.name);
    }
}

pub async fn many_runs_are_stored_in_one_go(world: World) {
    let seeds: Vec<u64> = (0..2500).collect();
    let stored = world.sweep("many", &seeds, &["all"]).await;
    assert_eq!((stored.runs, stored.jobs), (2500, 5000));
    let worker = world.worker().await;
    assert_eq!(world.lease(worker).await.run, run(0).digest(), "in the order of the expansion");
    assert!(world.states(stored.id).await.contains(&JobState::Leased));
}
