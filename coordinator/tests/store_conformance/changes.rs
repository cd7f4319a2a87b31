//! Claims about failing, retrying and cancelling.

use std::collections::HashMap;

use transect_common::job::{ErrorClass, JobEvent, JobState};
use transect_coordinator::store::{JobId, Retry, StoreError, Sweep, SweepId, SweepState};

use crate::world::{LEASE_SECONDS, MAX_ATTEMPTS, World, checkpoint, failed, run, trained};

async fn retry(world: &World, sweep: &Sweep, which: Retry) -> u64 {
    world.store.retry(sweep.id, which, world.now()).await.unwrap()
}

pub async fn a_machines_failure_is_tried_again_after_a_pause(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let job = world.fail_next(worker, ErrorClass::Machine, "killed by signal 9").await;
    let waiting = world.job(sweep.id, &job).await;
    assert_eq!((waiting.state, waiting.error.as_deref()), (JobState::Queued, Some("killed by signal 9")));
    world.wait(1);
    assert!(world.try_lease(worker).await.is_none(), "2 s have not passed");
    world.wait(1);
    let again = world.train_next(worker).await;
    assert_eq!(again.jobs[0].job.attempt.0, 2);
    let finished = world.job(sweep.id, &job).await;
    assert_eq!((finished.state, finished.error), (JobState::Done, None), "done is done");
    assert_eq!(finished.errors.len(), 1, "but what happened is kept");
}

pub async fn the_last_attempt_sets_the_job_aside_with_every_error(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    for attempt in 1..=MAX_ATTEMPTS {
        world.fail_next(worker, ErrorClass::Machine, &format!("out of memory ({attempt})")).await;
        world.wait(60);
    }
    assert!(world.try_lease(worker).await.is_none());
    let job = world.jobs(sweep.id).await.remove(0);
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("out of memory (3)")));
    let errors: Vec<_> =
        job.errors.iter().map(|e| (e.attempt.0, e.class, e.message.as_str(), e.worker.as_str())).collect();
    assert_eq!(
        errors,
        [
            (1, ErrorClass::Machine, "out of memory (1)", "host/cpu/7"),
            (2, ErrorClass::Machine, "out of memory (2)", "host/cpu/7"),
            (3, ErrorClass::Machine, "out of memory (3)", "host/cpu/7"),
        ]
    );
    assert_eq!(world.progress(&sweep).await.state, SweepState::Failed);
}

pub async fn training_that_diverges_fails_its_lines_with_the_reason(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged at step 412 (epoch 2): the loss is NaN").await;
    world.work_it_all(worker).await;
    let stored = world.progress(&sweep).await;
    assert_eq!((stored.state, stored.failed, stored.done), (SweepState::Failed, 3, 3));
    assert_eq!(stored.finished_at, Some(world.now()));
    let failed = world.store.jobs(sweep.id, Some(JobState::Failed), None, 10).await.unwrap().rows;
    let reason = format!(
        "run lenet5 seed 0 ({}) failed: diverged at step 412 (epoch 2): the loss is NaN",
        run(0).digest().short()
    );
    let lines: Vec<_> = failed.iter().filter(|job| job.mask.is_some()).collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!((line.error.as_ref(), line.attempt.0, line.errors.len()), (Some(&reason), 0, 0));
    }
}

pub async fn retrying_the_training_brings_its_lines_back(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all", "conv1"]).await;
    world.fail_next(worker, ErrorClass::Run, "the data are wrong").await;
    world.wait(5);
    assert_eq!(retry(&world, &sweep, Retry::default()).await, 3);
    let jobs = world.jobs(sweep.id).await;
    assert!(jobs.iter().all(|job| (job.state, &job.error) == (JobState::Queued, &None)));
    assert!(jobs.iter().all(|job| job.queued_at == world.now()));
    world.work_it_all(worker).await;
    let stored = world.progress(&sweep).await;
    assert_eq!((stored.state, stored.points), (SweepState::Done, 12));
    assert_eq!(world.jobs(sweep.id).await[0].attempt.0, 2, "the attempt only grows");
    assert_eq!(retry(&world, &sweep, Retry::default()).await, 0, "there is nothing to retry");
}

pub async fn retry_can_be_kept_to_the_machines_failures(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0, 1], &["all"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    for _ in 0..MAX_ATTEMPTS {
        world.fail_next(worker, ErrorClass::Machine, "killed").await;
        world.wait(60);
    }
    assert_eq!(world.progress(&sweep).await.failed, 4);
    let only = Retry { machine_errors_only: true, cancelled: false };
    assert_eq!(retry(&world, &sweep, only).await, 2, "the killed training and its line");
    assert_eq!(world.lease(worker).await.run, run(1).digest());
    assert_eq!(world.progress(&sweep).await.failed, 2);
}

pub async fn retry_brings_back_lines_of_other_live_sweeps(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0], &["all"]).await;
    let second = world.sweep("second", &[0], &["conv1"]).await;
    let dead = world.sweep("dead", &[0], &["fc1"]).await;
    world.store.cancel(dead.id, world.now()).await.unwrap();
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    assert_eq!(world.progress(&second).await.state, SweepState::Failed);
    assert_eq!(retry(&world, &first, Retry::default()).await, 2, "of its own");
    assert_eq!(world.states(second.id).await, [JobState::Queued; 2]);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&second).await.state, SweepState::Done);
    assert_eq!(world.states(dead.id).await, [JobState::Done, JobState::Cancelled]);
}

pub async fn cancelling_spares_what_another_sweep_needs(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    let second = world.sweep("second", &[1], &["all"]).await;
    let held = world.lease(worker).await.jobs[0].job;
    assert_eq!(world.store.cancel(first.id, world.now()).await.unwrap(), 4, "seed 0 whole, and one line of seed 1");
    let stored = world.progress(&first).await;
    assert_eq!((stored.state, stored.cancelled, stored.queued), (SweepState::Cancelled, 4, 2));
    assert_eq!(stored.finished_at, Some(world.now()));
    assert_eq!(world.progress(&second).await.state, SweepState::Running);
    let (reason, _) = world.refused(worker, held, checkpoint("init")).await;
    assert_eq!(reason.name(), "stale", "the worker that held seed 0 is told to stop");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&second).await.state, SweepState::Done);
    assert_eq!(world.progress(&first).await.cancelled, 4);
}

pub async fn cancelling_twice_is_no_error(world: World) {
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let at = world.now();
    assert_eq!(world.store.cancel(sweep.id, at).await.unwrap(), 2);
    world.wait(5);
    assert_eq!(world.store.cancel(sweep.id, world.now()).await.unwrap(), 0);
    assert_eq!(world.progress(&sweep).await.finished_at, Some(at));
    let done = world.sweep("second", &[1], &["all"]).await;
    world.work_it_all(world.worker().await).await;
    assert_eq!(world.store.cancel(done.id, world.now()).await.unwrap(), 0, "what is done stays done");
    assert_eq!(world.states(done.id).await, [JobState::Done; 2]);
}

pub async fn a_cancelled_sweep_comes_back_when_it_is_retried(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let held = world.lease(worker).await.jobs[0].job;
    world.store.cancel(sweep.id, world.now()).await.unwrap();
    assert_eq!(retry(&world, &sweep, Retry::default()).await, 0);
    assert_eq!(world.progress(&sweep).await.state, SweepState::Cancelled);
    assert_eq!(retry(&world, &sweep, Retry { cancelled: true, machine_errors_only: false }).await, 2);
    assert_eq!(world.progress(&sweep).await.state, SweepState::Running);
    let (reason, _) = world.refused(worker, held, checkpoint("init")).await;
    assert_eq!(reason.name(), "stale", "the old attempt does not come back with it");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
}

pub async fn unknown_sweeps_are_told_so(world: World) {
    let nobody = SweepId(99);
    let is_unknown = |error: StoreError| matches!(error, StoreError::NotFound { what: "sweep", .. });
    assert!(is_unknown(world.store.sweep(nobody).await.unwrap_err()));
    assert!(is_unknown(world.store.sweep_file(nobody).await.unwrap_err()));
    assert!(is_unknown(world.store.cancel(nobody, world.now()).await.unwrap_err()));
    assert!(is_unknown(world.store.retry(nobody, Retry::default(), world.now()).await.unwrap_err()));
    let of = transect_coordinator::store::CheckpointsOf::Sweep(nobody);
    assert!(is_unknown(world.store.checkpoints(&of).await.unwrap_err()));
}

/// Does things in an order that a small generator picks, and watches every job after each.
pub async fn states_only_change_as_the_transition_function_says(world: World) {
    let worker = world.worker().await;
    let mut sweeps = vec![];
    let mut held = vec![];
    let mut states: HashMap<JobId, JobState> = HashMap::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for step in 0..250_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = random >> 33;
        let sweep = sweeps.get(pick as usize / 16 % sweeps.len().max(1)).copied().unwrap_or(SweepId(1));
        let lease = held.pop();
        match (pick % 16, lease) {
            (0 | 1, _) => {
                sweeps.push(world.sweep(&format!("sweep-{step}"), &[pick / 16 % 5], &["all", "fc1"]).await.id);
            }
            (2, _) if !sweeps.is_empty() => drop(world.store.cancel(sweep, world.now()).await.unwrap()),
            (3, _) if !sweeps.is_empty() => {
                let which = Retry { machine_errors_only: pick & 256 != 0, cancelled: pick & 512 != 0 };
                world.store.retry(sweep, which, world.now()).await.unwrap();
            }
            (4, _) => {
                world.wait(LEASE_SECONDS);
                world.store.expire(world.now()).await.unwrap();
            }
            (5, _) => drop(world.store.leave(worker, world.now()).await.unwrap()),
            (6, Some(job)) => drop(world.report(worker, job, vec![failed(ErrorClass::Machine, "m")]).await),
            (7, Some(job)) => drop(world.report(worker, job, vec![failed(ErrorClass::Run, "r")]).await),
            (8..12, Some(job)) => drop(world.report(worker, job, trained()).await),
            _ => {
                world.wait(1);
                held.extend(world.try_lease(worker).await.into_iter().flat_map(|l| l.jobs).map(|job| job.job));
            }
        }
        for &sweep in &sweeps {
            for job in world.jobs(sweep).await {
                let before = states.insert(job.id, job.state).unwrap_or(JobState::Queued);
                assert!(reachable(before, job.state), "step {step}: {before} became {} by {}", job.state, pick % 16);
            }
            // Nothing may wait for ever: a line that is queued has, or will have, its checkpoints.
            let jobs = world.jobs(sweep).await;
            let training = jobs.iter().find(|job| job.mask.is_none()).unwrap();
            let ended = matches!(training.state, JobState::Failed | JobState::Cancelled);
            let waits = jobs.iter().any(|job| job.mask.is_some() && job.state == JobState::Queued);
            assert!(!(ended && waits), "step {step}: lines wait for training that is {}", training.state);
        }
    }
    assert!(states.values().any(|state| *state == JobState::Done), "{states:?}");
}

/// True when at most three events lead from one state to the other: what one step may do to one job.
fn reachable(from: JobState, to: JobState) -> bool {
    let mut now = vec![from];
    for _ in 0..3 {
        let next: Vec<_> = now.iter().flat_map(|s| JobEvent::ALL.map(|e| s.after(e).ok())).flatten().collect();
        now.extend(next);
    }
    now.contains(&to)
}
