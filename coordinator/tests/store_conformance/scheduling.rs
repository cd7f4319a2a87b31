//! Claims about which sweep, job and worker comes next.

use transect_common::job::{ErrorClass, JobState};
use transect_common::schedule::{QUARANTINE, QUARANTINE_FAILURES, Requires, Schedule};
use transect_coordinator::store::{
    Adjust, LeaseWish, NewSweep, Retry, StoreError, Sweep, SweepId, SweepState, WorkerId, WorkerInfo, WorkerState,
};

use crate::world::{LEASE_SECONDS, World, failed, run, sweep, trained};

fn scheduled(name: &str, seeds: &[u64], schedule: Schedule) -> NewSweep {
    let mut new = sweep(name, seeds, &["all"]);
    new.expansion.schedule = schedule;
    new
}

fn urgent(priority: i32) -> Schedule {
    Schedule { priority, ..Schedule::default() }
}

async fn submit(world: &World, new: NewSweep) -> Sweep {
    world.submit(new).await.unwrap().sweep
}

pub async fn worker_on(world: &World, host: &str, device: &str) -> WorkerId {
    let info = WorkerInfo {
        host: host.to_owned(),
        pid: 1,
        device: device.to_owned(),
        libtorch: "2.11.0".to_owned(),
        cpu_capability: "AVX2".to_owned(),
        threads: 1,
        memory_bytes: 8 << 30,
        ..WorkerInfo::default()
    };
    world.store.register(info, world.now()).await.unwrap()
}

/// The seed of the run that a worker is given next.
async fn seed(world: &World, worker: WorkerId) -> Option<u64> {
    let lease = world.try_lease(worker).await?;
    (0..100).find(|seed| run(*seed).digest() == lease.run)
}

async fn waits_in(world: &World, sweep: &Sweep) -> Vec<Option<String>> {
    let mut names = vec![];
    for job in world.jobs(sweep.id).await {
        let facts = world.store.explain(job.id, world.now()).await.unwrap().facts;
        names.push(facts.standing.map(|standing| standing.name));
    }
    names
}

pub async fn higher_priority_is_served_first(world: World) {
    submit(&world, scheduled("first", &[0, 1], Schedule::default())).await;
    submit(&world, scheduled("second", &[2, 3], urgent(5))).await;
    let worker = world.worker().await;
    for expected in [2, 3, 0, 1] {
        assert_eq!(seed(&world, worker).await, Some(expected));
    }
}

pub async fn among_equals_workers_are_shared_out(world: World) {
    submit(&world, scheduled("first", &[0, 1, 2, 3], Schedule::default())).await;
    submit(&world, scheduled("second", &[10, 11, 12, 13], Schedule::default())).await;
    submit(&world, scheduled("third", &[20, 21, 22, 23], Schedule { share: 2.0, ..Schedule::default() })).await;
    let mut sweeps = vec![];
    for number in 0..8 {
        let worker = worker_on(&world, &format!("host-{number}"), "cpu").await;
        sweeps.push(seed(&world, worker).await.unwrap() / 10);
    }
    let of = |sweep| sweeps.iter().filter(|given| **given == sweep).count();
    assert_eq!((of(0), of(1), of(2)), (2, 2, 4), "{sweeps:?}");
}

pub async fn a_limit_on_workers_is_kept(world: World) {
    let sweep =
        submit(&world, scheduled("first", &[0, 1], Schedule { max_workers: Some(1), ..Schedule::default() })).await;
    let (one, other) = (worker_on(&world, "a", "cpu").await, worker_on(&world, "b", "cpu").await);
    assert_eq!(seed(&world, one).await, Some(0));
    assert_eq!(seed(&world, other).await, None);
    assert_eq!(world.progress(&sweep).await.workers, 1);
    let adjust = Adjust { max_workers: Some(0), ..Adjust::default() };
    world.store.adjust(sweep.id, adjust, world.now()).await.unwrap();
    assert_eq!(seed(&world, other).await, Some(1), "0 lifts the limit");
    assert_eq!((world.progress(&sweep).await.workers, world.progress(&sweep).await.max_workers), (2, None));
}

pub async fn requirements_are_kept(world: World) {
    let requires =
        Requires { device: Some("cuda".to_owned()), memory_bytes: 4 << 30, labels: ["fast".to_owned()].into() };
    submit(&world, scheduled("first", &[0], Schedule { requires, ..Schedule::default() })).await;
    let cpu = worker_on(&world, "a", "cpu").await;
    let plain = worker_on(&world, "b", "cuda:0").await;
    assert_eq!((seed(&world, cpu).await, seed(&world, plain).await), (None, None));
    let info = |memory_bytes| WorkerInfo {
        host: "c".to_owned(),
        device: "cuda:1".to_owned(),
        memory_bytes,
        labels: ["fast".to_owned(), "new".to_owned()].into(),
        ..WorkerInfo::default()
    };
    let small = world.store.register(info(1 << 30), world.now()).await.unwrap();
    assert_eq!(seed(&world, small).await, None);
    let large = world.store.register(info(4 << 30), world.now()).await.unwrap();
    assert_eq!(seed(&world, large).await, Some(0));
}

pub async fn a_paused_sweep_is_not_leased_and_goes_on_when_it_is_resumed(world: World) {
    let worker = world.worker().await;
    let sweep = submit(&world, scheduled("first", &[0, 1], Schedule::default())).await;
    let held = world.lease(worker).await.jobs[0].job;
    world.store.pause(sweep.id, world.now()).await.unwrap();
    world.store.pause(sweep.id, world.now()).await.unwrap();
    assert_eq!(world.progress(&sweep).await.state, SweepState::Paused);
    assert_eq!(seed(&world, worker).await, None);
    world.store_rows(worker, held, trained()).await;
    assert_eq!(seed(&world, worker).await, None, "what is leased ends, what follows from it waits");
    world.store.unpause(sweep.id, world.now()).await.unwrap();
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
    let unknown = world.store.pause(SweepId(99), world.now()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { what: "sweep", .. }), "{unknown}");
}

pub async fn what_another_sweep_needs_goes_on_in_its_name(world: World) {
    let worker = world.worker().await;
    let first = submit(&world, scheduled("first", &[0, 1], Schedule::default())).await;
    let second = submit(&world, scheduled("second", &[1], Schedule::default())).await;
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(waits_in(&world, &second).await, [name("s-1 first"), name("s-1 first")], "the first that needed it");
    world.store.pause(first.id, world.now()).await.unwrap();
    assert_eq!(waits_in(&world, &second).await, [name("s-2 second"), name("s-2 second")]);
    assert_eq!(seed(&world, worker).await, Some(1));
    assert_eq!(seed(&world, worker).await, None);
    world.store.unpause(first.id, world.now()).await.unwrap();
    assert_eq!(seed(&world, worker).await, Some(0));
}

pub async fn a_new_sweep_takes_over_what_is_held_back_or_less_urgent(world: World) {
    let worker = world.worker().await;
    let paused = submit(&world, scheduled("paused", &[0], Schedule::default())).await;
    world.store.pause(paused.id, world.now()).await.unwrap();
    let second = submit(&world, scheduled("second", &[0, 1], Schedule::default())).await;
    let third = submit(&world, scheduled("third", &[1], urgent(3))).await;
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(waits_in(&world, &paused).await, [name("s-2 second"), name("s-2 second")]);
    assert_eq!(waits_in(&world, &third).await, [name("s-3 third"), name("s-3 third")]);
    assert_eq!(seed(&world, worker).await, Some(1), "the urgent one comes first");
    world.store.cancel(third.id, world.now()).await.unwrap();
    assert_eq!(seed(&world, worker).await, Some(0));
    assert_eq!(world.progress(&second).await.leased, 2, "a leased job that another needs is not taken away");
}

pub async fn a_job_that_is_retried_waits_in_the_name_of_a_sweep_that_goes_on(world: World) {
    let worker = world.worker().await;
    let first = submit(&world, scheduled("first", &[0], Schedule::default())).await;
    let second = submit(&world, scheduled("second", &[0], Schedule::default())).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    world.store.pause(first.id, world.now()).await.unwrap();
    assert_eq!(world.store.retry(second.id, Retry::default(), world.now()).await.unwrap(), 2);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&second).await.state, SweepState::Done);
}

pub async fn retrying_a_paused_sweep_leaves_what_others_need_to_them(world: World) {
    let worker = world.worker().await;
    let first = submit(&world, scheduled("first", &[0], Schedule::default())).await;
    let second = submit(&world, scheduled("second", &[0], Schedule::default())).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    world.store.pause(first.id, world.now()).await.unwrap();
    assert_eq!(world.store.retry(first.id, Retry::default(), world.now()).await.unwrap(), 2);
    let name = || Some("s-2 second".to_owned());
    assert_eq!(waits_in(&world, &first).await, [name(), name()]);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&second).await.state, SweepState::Done);
}

pub async fn what_comes_back_with_a_training_waits_in_the_name_of_a_sweep_that_goes_on(world: World) {
    let worker = world.worker().await;
    let first = submit(&world, sweep("first", &[0], &["all"])).await;
    let second = submit(&world, sweep("second", &[0], &["conv1"])).await;
    let third = submit(&world, sweep("third", &[0], &["conv1"])).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    world.store.pause(second.id, world.now()).await.unwrap();
    assert_eq!(world.store.retry(first.id, Retry::default(), world.now()).await.unwrap(), 2);
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(waits_in(&world, &third).await, [name("s-1 first"), name("s-3 third")]);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&third).await.state, SweepState::Done);
}

pub async fn a_failed_job_is_left_only_to_machines_that_may_have_it(world: World) {
    let (bad, other) = (worker_on(&world, "bad", "cuda:0").await, worker_on(&world, "good", "cpu").await);
    let requires = Requires { device: Some("cuda".to_owned()), ..Requires::default() };
    submit(&world, scheduled("first", &[0], Schedule { requires, ..Schedule::default() })).await;
    world.fail_next(bad, ErrorClass::Machine, "killed").await;
    world.wait(2);
    assert_eq!(seed(&world, other).await, None, "it is no cuda device");
    assert_eq!(seed(&world, bad).await, Some(0));
}

pub async fn workers_are_listed_by_what_they_can_be_given(world: World) {
    let bad = worker_on(&world, "a-bad", "cpu").await;
    submit(&world, scheduled("first", &[0, 1, 2, 3, 4], Schedule::default())).await;
    fail(&world, bad, QUARANTINE_FAILURES).await;
    let gone = worker_on(&world, "b-gone", "cpu").await;
    world.store.leave(gone, world.now()).await.unwrap();
    let draining = worker_on(&world, "c-draining", "cpu").await;
    world.store.heartbeat(draining, &[], true, world.now()).await.unwrap();
    worker_on(&world, "d-live", "cpu").await;
    let listed = world.store.workers().await.unwrap();
    let listed: Vec<_> = listed.iter().map(|worker| (worker.info.host.as_str(), worker.state)).collect();
    let expected = [
        ("d-live", WorkerState::Live),
        ("c-draining", WorkerState::Draining),
        ("a-bad", WorkerState::Quarantined),
        ("b-gone", WorkerState::Gone),
    ];
    assert_eq!(listed, expected);
}

pub async fn a_failed_job_goes_to_another_machine_for_a_while(world: World) {
    let (bad, good) = (worker_on(&world, "bad", "cpu").await, worker_on(&world, "good", "cpu").await);
    submit(&world, scheduled("first", &[0], Schedule::default())).await;
    let job = world.fail_next(bad, ErrorClass::Machine, "killed").await;
    world.wait(2);
    assert_eq!(seed(&world, bad).await, None, "another could take it");
    let again = world.lease(good).await.jobs[0].job;
    assert_eq!((again.job, again.attempt.0), (job.job.job, 2));
}

pub async fn a_failed_job_does_not_wait_for_others_for_ever(world: World) {
    let (bad, _other) = (worker_on(&world, "bad", "cpu").await, worker_on(&world, "good", "cpu").await);
    submit(&world, scheduled("first", &[0], Schedule::default())).await;
    world.fail_next(bad, ErrorClass::Machine, "killed").await;
    world.wait(301);
    assert_eq!(seed(&world, bad).await, Some(0));
}

pub async fn a_job_that_failed_on_the_only_machine_stays_there(world: World) {
    let only = worker_on(&world, "only", "cpu").await;
    submit(&world, scheduled("first", &[0], Schedule::default())).await;
    world.fail_next(only, ErrorClass::Machine, "killed").await;
    world.wait(2);
    assert_eq!(seed(&world, only).await, Some(0));
}

/// Fails so many different runs on a worker.
async fn fail(world: &World, worker: WorkerId, runs: u32) {
    for _ in 0..runs {
        world.fail_next(worker, ErrorClass::Machine, "out of memory").await;
    }
}

pub async fn a_worker_on_which_several_runs_fail_is_set_aside(world: World) {
    let worker = worker_on(&world, "bad", "cuda:0").await;
    submit(&world, scheduled("first", &[0, 1, 2, 3, 4], Schedule::default())).await;
    fail(&world, worker, QUARANTINE_FAILURES - 1).await;
    assert_eq!(seed(&world, worker).await, Some(u64::from(QUARANTINE_FAILURES) - 1), "not yet");
    fail(&world, worker, 1).await;
    let shown = world.store.workers().await.unwrap().remove(0);
    assert_eq!((shown.state, shown.failures), (WorkerState::Quarantined, QUARANTINE_FAILURES));
    assert_eq!(shown.quarantined_until, Some(world.now().plus(QUARANTINE)));
    world.wait(60);
    assert_eq!(seed(&world, worker).await, None);
    let next = worker_on(&world, "bad", "cuda:0").await;
    assert_eq!(seed(&world, next).await, None, "starting anew on the same machine does not mend it");
    let elsewhere = worker_on(&world, "bad", "cuda:1").await;
    assert!(seed(&world, elsewhere).await.is_some());
    let released = world.store.release_worker(&worker.to_string(), world.now()).await.unwrap();
    assert_eq!((released.failures, released.quarantined_until), (0, None));
    assert!(seed(&world, next).await.is_some(), "the machine is released, whoever runs there now");
    let unknown = world.store.release_worker("nobody", world.now()).await.unwrap_err();
    assert!(matches!(unknown, StoreError::NotFound { what: "worker", .. }), "{unknown}");
}

pub async fn what_fails_of_one_run_counts_once_against_a_worker(world: World) {
    let worker = worker_on(&world, "a", "cpu").await;
    submit(&world, sweep("first", &[0], &["all", "conv1", "conv2", "fc1", "fc2"])).await;
    world.train_next(worker).await;
    world.wait(1);
    fail(&world, worker, QUARANTINE_FAILURES + 1).await;
    let shown = world.store.workers().await.unwrap().remove(0);
    assert_eq!((shown.state, shown.failures, shown.quarantined_until), (WorkerState::Live, 1, None));
}

pub async fn a_success_or_time_ends_the_count_of_failures(world: World) {
    let worker = worker_on(&world, "a", "cpu").await;
    submit(&world, scheduled("first", &[0, 1, 2, 3, 4, 5, 6], Schedule::default())).await;
    fail(&world, worker, QUARANTINE_FAILURES - 1).await;
    world.wait(1);
    world.train_next(worker).await;
    world.wait(1);
    let lines = world.lease(worker).await;
    world.report(worker, lines.jobs[0].job, vec![failed(ErrorClass::Run, "wrong")]).await;
    assert_eq!(world.store.workers().await.unwrap()[0].failures, 0, "nor is the run's own fault the machine's");
    fail(&world, worker, QUARANTINE_FAILURES).await;
    assert!(world.try_lease(worker).await.is_none());
    world.wait(QUARANTINE.as_secs() + 1);
    world.store.expire(world.now()).await.unwrap();
    assert!(world.try_lease(worker).await.is_some());
}

pub async fn a_draining_worker_is_given_nothing(world: World) {
    let worker = world.worker().await;
    submit(&world, scheduled("first", &[0], Schedule::default())).await;
    world.store.heartbeat(worker, &[], true, world.now()).await.unwrap();
    assert_eq!(seed(&world, worker).await, None);
    world.store.heartbeat(worker, &[], false, world.now()).await.unwrap();
    assert_eq!(seed(&world, worker).await, Some(0));
}

pub async fn near_its_end_a_worker_is_given_what_it_can_do(world: World) {
    let worker = world.worker().await;
    submit(&world, scheduled("first", &[0, 1, 2], Schedule::default())).await;
    let wish = |seconds_left| LeaseWish { worker, max_jobs: 10, cached_runs: vec![], seconds_left };
    let lease = world.store.lease(wish(Some(60.0)), world.now()).await.unwrap().expect("nothing is known yet");
    let mut rows = trained();
    rows.pop();
    rows.push(transect_coordinator::store::Row::Done { seconds: 10_000.0, threads: 1 });
    world.store_rows(worker, lease.jobs[0].job, rows).await;
    assert!(world.store.lease(wish(Some(10.0)), world.now()).await.unwrap().is_none(), "there is no time to begin");
    let lines = world.store.lease(wish(Some(60.0)), world.now()).await.unwrap().unwrap();
    assert!(lines.jobs[0].line_spec.is_some());
    assert!(world.store.lease(wish(Some(60.0)), world.now()).await.unwrap().is_none(), "a training takes far longer");
    assert!(world.store.lease(wish(Some(20_000.0)), world.now()).await.unwrap().is_some());
}

pub async fn lost_leases_count_from_the_last_progress(world: World) {
    let worker = world.worker().await;
    let sweep = submit(&world, scheduled("first", &[0], Schedule::default())).await;
    for lost in 0..25 {
        let job = world.lease(worker).await.jobs[0].job;
        if lost % 10 == 9 {
            world.store_rows(worker, job, vec![crate::world::epoch(1, transect_common::data::Split::Test)]).await;
        }
        world.wait(LEASE_SECONDS);
        world.store.expire(world.now()).await.unwrap();
    }
    let job = world.jobs(sweep.id).await.remove(0);
    assert_eq!((job.state, job.errors.len()), (JobState::Queued, 25));
    assert!(job.errors.iter().all(|error| error.class == ErrorClass::Gone));
}

pub async fn a_failed_line_takes_nothing_along(world: World) {
    let worker = world.worker().await;
    let sweep = submit(&world, sweep("first", &[0], &["all", "conv1"])).await;
    world.train_next(worker).await;
    let lease = world.lease(worker).await;
    world.store_rows(worker, lease.jobs[0].job, vec![failed(ErrorClass::Run, "wrong")]).await;
    assert_eq!(world.states(sweep.id).await, [JobState::Done, JobState::Failed, JobState::Leased]);
}

pub async fn time_left_is_learned(world: World) {
    let worker = world.worker().await;
    let sweep = submit(&world, scheduled("first", &[0, 1, 2], Schedule::default())).await;
    assert_eq!(world.progress(&sweep).await.seconds_left, None, "nothing is known");
    world.train_next(worker).await;
    world.measure_next(worker).await;
    let left = world.progress(&sweep).await.seconds_left.expect("trainings and lines are known");
    assert!((left - 2.0 * (1.5 + 1.5)).abs() < 1e-6, "two of each are left, each took 1.5 s: {left}");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep).await.seconds_left, None, "it has ended");
}

pub async fn totals_and_books_follow_the_jobs(world: World) {
    let worker = world.worker().await;
    let sweep = submit(&world, scheduled("first", &[0, 1], Schedule::default())).await;
    world.train_next(worker).await;
    let totals = world.store.totals(sweep.id).await.unwrap();
    let short: Vec<_> = totals.iter().map(|row| (row.kind.name(), row.jobs, row.queued, row.done)).collect();
    assert_eq!(short, [("train", 2, 1, 1), ("line", 2, 2, 0)]);
    assert_eq!(world.store.roll_up(world.now()).await.unwrap(), 0);
    world.fail_next(worker, ErrorClass::Run, "wrong").await;
    world.work_it_all(worker).await;
    assert_eq!(world.store.roll_up(world.now()).await.unwrap(), 1);
    assert_eq!(world.store.roll_up(world.now()).await.unwrap(), 0, "once");
    world.store.retry(sweep.id, Retry::default(), world.now()).await.unwrap();
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done, "a closed sweep opens when it has work again");
}
