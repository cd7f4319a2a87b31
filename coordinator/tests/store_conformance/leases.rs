//! Claims about leases: who gets what, and what becomes of it when a worker falls silent.

use std::collections::HashSet;
use std::sync::Arc;

use transect_common::data::Split;
use transect_common::job::{ErrorClass, JobState, MAX_LOST_LEASES};
use transect_common::line::LineSpec;
use transect_coordinator::store::{
    JobAttempt, JobProgress, LeaseWish, MOST_GONE, StoreError, SweepState, WorkerId, WorkerState,
};

use crate::world::{LEASE_SECONDS, World, checkpoint, line, point, run, trained};

fn progress(job: JobAttempt, fraction: f64, text: &str) -> JobProgress {
    JobProgress { job, fraction, text: text.to_owned() }
}

pub async fn lines_wait_for_their_run_and_go_before_training(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    let training = world.lease(worker).await;
    assert_eq!((training.jobs.len(), training.run), (1, run(0).digest()));
    let job = training.jobs[0].job;
    world.store_rows(worker, job, vec![checkpoint("init"), checkpoint("final")]).await;
    let other = "checkpoints of a run that is not done may still be replaced, so its lines wait";
    assert_eq!(world.lease(worker).await.run, run(1).digest(), "{other}");
    world.store_rows(worker, job, trained()).await;
    let lines = world.lease(worker).await;
    assert_eq!((lines.run, lines.jobs.len()), (run(0).digest(), 2), "all lines of one run come together");
    assert!(world.try_lease(worker).await.is_none());
}

pub async fn the_oldest_is_leased_first(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[3, 1], &["all"]).await;
    world.sweep("second", &[0], &["all"]).await;
    for seed in [3, 1, 0] {
        assert_eq!(world.lease(worker).await.run, run(seed).digest());
    }
    assert!(world.try_lease(worker).await.is_none());
}

pub async fn a_worker_is_given_what_it_holds(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    for _ in 0..2 {
        let lease = world.lease(worker).await;
        world.store_rows(worker, lease.jobs[0].job, trained()).await;
        if lease.run == run(0).digest() {
            // Lines of seed 0 would be leased before the training of seed 1: put them away.
            let lines = world.lease(worker).await;
            assert_eq!(lines.run, run(0).digest());
        }
    }
    world.wait(LEASE_SECONDS);
    world.store.expire(world.now()).await.unwrap();
    let wish =
        LeaseWish { worker, max_jobs: 1, cached_runs: vec![run(9).digest(), run(1).digest()], seconds_left: None };
    let lease = world.store.lease(wish, world.now()).await.unwrap().unwrap();
    assert_eq!((lease.run, lease.jobs.len()), (run(1).digest(), 1), "at most as many as were asked for");
    assert_eq!(world.lease(worker).await.run, run(0).digest(), "otherwise the oldest");
}

pub async fn a_lease_says_all_that_a_worker_needs(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["conv1"]).await;
    let training = world.train_next(worker).await;
    assert_eq!(training.run_spec, run(0).canonical());
    assert_eq!((training.jobs[0].job.attempt.0, training.checkpoints.len()), (1, 0));
    let lines = world.lease(worker).await;
    assert_eq!(lines.run_spec, run(0).canonical());
    assert_eq!(LineSpec::from_canonical(lines.jobs[0].line_spec.as_deref().unwrap()).unwrap(), line("conv1"));
    let tags: Vec<&str> = lines.checkpoints.iter().map(|(tag, _)| tag.as_str()).collect();
    assert_eq!(tags, ["init", "final"], "by moment");
}

pub async fn a_half_done_line_resumes_at_the_next_point(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    let first = world.lease(worker).await.jobs.remove(0);
    let half = vec![point(Split::Train, 0), point(Split::Test, 2)];
    world.store_rows(worker, first.job, half).await;
    world.wait(LEASE_SECONDS);
    assert_eq!(world.store.expire(world.now()).await.unwrap(), [first.job]);
    let lease = world.measure_next(worker).await;
    assert_eq!(lease.jobs[0].job.attempt.0, 2);
    assert_eq!(lease.jobs[0].done_points, [(Split::Train, 0), (Split::Test, 2)].into());
    let stored = world.progress(&sweep).await;
    assert_eq!((stored.state, stored.points), (SweepState::Done, 6));
}

pub async fn a_lease_that_runs_out_is_taken_by_another(world: World) {
    let (silent, other) = (world.worker().await, world.worker().await);
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let lost = world.lease(silent).await.jobs[0].job;
    world.wait(LEASE_SECONDS - 1);
    assert!(world.store.expire(world.now()).await.unwrap().is_empty());
    assert!(world.try_lease(other).await.is_none());
    world.wait(1);
    assert_eq!(world.store.expire(world.now()).await.unwrap(), [lost]);
    assert!(world.store.expire(world.now()).await.unwrap().is_empty(), "once is enough");
    let again = world.lease(other).await.jobs[0].job;
    assert_eq!((again.job, again.attempt.0), (lost.job, lost.attempt.0 + 1));
    let errors = &world.jobs(sweep.id).await[0].errors;
    assert_eq!(errors.iter().map(|error| error.class).collect::<Vec<_>>(), [ErrorClass::Gone]);
    let states: Vec<_> = world.store.workers().await.unwrap().iter().map(|w| (w.id, w.state)).collect();
    assert_eq!(states, [(other, WorkerState::Live), (silent, WorkerState::Gone)]);
}

pub async fn a_heartbeat_extends_leases_and_says_what_to_stop(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0, 1], &["all"]).await;
    let (kept, dropped) = (world.lease(worker).await.jobs[0].job, world.lease(worker).await.jobs[0].job);
    world.wait(LEASE_SECONDS - 1);
    let beat = [progress(kept, 0.25, "epoch 1 of 4")];
    assert!(world.store.heartbeat(worker, &beat, false, world.now()).await.unwrap().is_empty());
    world.wait(1);
    assert_eq!(world.store.expire(world.now()).await.unwrap(), [dropped]);
    let beat = [progress(kept, f64::NAN, ""), progress(dropped, 7.0, "")];
    assert_eq!(world.store.heartbeat(worker, &beat, true, world.now()).await.unwrap(), [dropped]);
    assert_eq!(world.store.workers().await.unwrap()[0].state, WorkerState::Draining);
    world.store.cancel(sweep.id, world.now()).await.unwrap();
    let beat = [progress(kept, 0.5, "")];
    assert_eq!(world.store.heartbeat(worker, &beat, false, world.now()).await.unwrap(), [kept]);
}

pub async fn leases_that_run_out_together_are_each_queued_again(world: World) {
    let (silent, other) = (world.worker().await, world.worker().await);
    let sweep = world.sweep("first", &[0, 1, 2], &["all"]).await;
    let mut lost = vec![];
    for worker in [silent, other, silent] {
        lost.push(world.lease(worker).await.jobs[0].job);
    }
    world.wait(LEASE_SECONDS);
    let mut expired = world.store.expire(world.now()).await.unwrap();
    expired.sort_unstable();
    assert_eq!(expired, lost);
    for job in world.jobs(sweep.id).await.into_iter().filter(|job| lost.iter().any(|lost| lost.job == job.id)) {
        let errors: Vec<_> = job.errors.iter().map(|error| (error.attempt.0, error.class)).collect();
        assert_eq!((job.state, errors), (JobState::Queued, vec![(1, ErrorClass::Gone)]), "{}", job.id.0);
    }
}

pub async fn leases_lost_in_a_row_set_a_job_aside(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    for _ in 0..MAX_LOST_LEASES {
        world.lease(worker).await;
        world.wait(LEASE_SECONDS);
        world.store.expire(world.now()).await.unwrap();
    }
    let jobs = world.jobs(sweep.id).await;
    assert_eq!((jobs[0].state, jobs[0].attempt.0), (JobState::Failed, MAX_LOST_LEASES));
    assert!(jobs[0].error.as_ref().unwrap().starts_with("20 leases in a row ran out"), "{:?}", jobs[0].error);
    assert_eq!(jobs[0].errors.len(), MAX_LOST_LEASES as usize);
    assert_eq!(jobs[1].state, JobState::Failed, "its line fails with it");
}

pub async fn a_worker_that_leaves_gives_its_jobs_back(world: World) {
    let (leaving, other) = (world.worker().await, world.worker().await);
    let sweep = world.sweep("first", &[0, 1], &["all"]).await;
    let job = world.lease(leaving).await.jobs[0].job;
    let others = world.lease(other).await.jobs[0].job;
    assert_eq!(world.store.leave(leaving, world.now()).await.unwrap(), 1);
    assert_eq!(world.progress(&sweep).await.leased, 1);
    let again = world.lease(other).await.jobs[0].job;
    assert_eq!((again.job, again.attempt.0), (job.job, 2));
    let beat = [progress(others, 0.0, ""), progress(again, 0.0, "")];
    assert!(world.store.heartbeat(other, &beat, false, world.now()).await.unwrap().is_empty());
    assert_eq!(world.store.leave(leaving, world.now()).await.unwrap(), 0, "leaving twice is no error");
}

pub async fn no_job_is_leased_twice_at_once(world: World) {
    let seeds: Vec<u64> = (0..60).collect();
    let sweep = world.sweep("first", &seeds, &["all", "conv1", "fc1"]).await;
    let world = Arc::new(world);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let world = world.clone();
        tasks.spawn(async move {
            let worker = world.worker().await;
            let mut mine = vec![];
            // Others may still be training when nothing is due for a moment.
            while world.progress(&world.store.sweep(SWEEP).await.unwrap()).await.state == SweepState::Running {
                let Some(lease) = world.try_lease_up_to(worker, 2).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                for job in &lease.jobs {
                    mine.push(job.job);
                    let is_line = job.line_spec.is_some();
                    let rows = if is_line { crate::world::measured(job) } else { trained() };
                    world.store_rows(worker, job.job, rows).await;
                }
            }
            mine
        });
    }
    let leased: Vec<JobAttempt> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(leased.len(), 60 * 4);
    assert_eq!(leased.iter().map(|job| job.job).collect::<HashSet<_>>().len(), 60 * 4);
    assert!(leased.iter().all(|job| job.attempt.0 == 1));
    let stored = world.progress(&sweep).await;
    assert_eq!((stored.state, stored.done, stored.points), (SweepState::Done, 240, 60 * 3 * 6));
}

/// The first sweep of a store.
const SWEEP: transect_coordinator::store::SweepId = transect_coordinator::store::SweepId(1);

pub async fn an_unknown_worker_is_told_so(world: World) {
    let nobody = WorkerId(77);
    let is_unknown = |error: StoreError| matches!(error, StoreError::NotFound { what: "worker", .. });
    let wish = LeaseWish { worker: nobody, max_jobs: 1, cached_runs: vec![], seconds_left: None };
    assert!(is_unknown(world.store.lease(wish, world.now()).await.unwrap_err()));
    assert!(is_unknown(world.store.heartbeat(nobody, &[], false, world.now()).await.unwrap_err()));
    assert!(is_unknown(world.store.report(nobody, vec![], world.now()).await.unwrap_err()));
    assert!(is_unknown(world.store.leave(nobody, world.now()).await.unwrap_err()));
}

pub async fn workers_are_listed_with_what_they_do(world: World) {
    let (busy, idle) = (world.worker().await, world.worker().await);
    world.sweep("first", &[0, 1], &["all"]).await;
    world.train_next(busy).await;
    world.lease(busy).await;
    world.wait(1);
    world.store.leave(idle, world.now()).await.unwrap();
    let workers = world.store.workers().await.unwrap();
    assert_eq!((workers[0].id, workers[0].leased, workers[0].done), (busy, 1, 1));
    assert_eq!((workers[1].id, workers[1].state, workers[1].leased), (idle, WorkerState::Gone, 0));
    assert_eq!(workers[0].name, "host/cpu/7");
    assert_eq!((workers[0].info.memory_bytes, workers[0].info.threads), (1 << 34, 2));
    assert_eq!((workers[1].seen_at, workers[0].registered_at < world.now()), (world.now(), true));
}

pub async fn of_workers_that_are_gone_the_newest_are_listed(world: World) {
    let live = world.worker().await;
    let mut gone = vec![];
    for _ in 0..=MOST_GONE {
        gone.push(world.worker().await);
        world.store.leave(*gone.last().unwrap(), world.now()).await.unwrap();
    }
    let listed: Vec<_> = world.store.workers().await.unwrap().iter().map(|worker| worker.id).collect();
    assert_eq!(listed.len(), 1 + MOST_GONE as usize);
    assert_eq!((listed[0], listed.contains(&gone[0]), listed.contains(&gone[1])), (live, false, true));
    let released = world.store.release_worker(&gone[0].to_string(), world.now()).await.unwrap();
    assert_eq!(released.id, gone[0], "one that is not listed is still known");
}

pub async fn waiting_for_changes_works(world: World) {
    let mut changed = world.store.changed();
    changed.mark_unchanged();
    let worker = world.worker().await;
    assert!(changed.has_changed().unwrap(), "a worker came");
    let mut is_quiet = false;
    // A store that begins to listen to others says once that anything may have changed.
    for _ in 0..2 {
        changed.mark_unchanged();
        assert!(world.try_lease(worker).await.is_none());
        world.store.expire(world.now()).await.unwrap();
        is_quiet |= !changed.has_changed().unwrap();
    }
    assert!(is_quiet, "asking for work where there is none changes nothing");
    world.sweep("first", &[0], &["all"]).await;
    assert!(changed.has_changed().unwrap());
}

pub async fn a_coordinator_that_was_away_takes_no_lease_for_lost(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    let job = world.lease(worker).await.jobs[0].job;
    world.wait(10 * LEASE_SECONDS);
    world.store.resume(world.now()).await.unwrap();
    assert!(world.store.expire(world.now()).await.unwrap().is_empty());
    world.store_rows(worker, job, trained()).await;
    let silent = world.lease(worker).await.jobs[0].job;
    world.wait(LEASE_SECONDS);
    assert_eq!(world.store.expire(world.now()).await.unwrap(), [silent], "once, not for ever");
}
