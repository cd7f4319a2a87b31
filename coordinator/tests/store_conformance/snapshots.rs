//! Claims about trainings that are interrupted and go on.

use transect_common::job::ErrorClass;
use transect_coordinator::store::{JobAttempt, Lease, Retry, Row, Snapshot, WorkerId};

use crate::scheduling::worker_on;
use crate::world::{LEASE_SECONDS, World, artifact, failed, sweep, trained};

fn snapshot(name: &str, step: u64) -> Snapshot {
    Snapshot { artifact: artifact(name), bytes: 10, step, threads: 2 }
}

async fn begun(world: &World, worker: WorkerId) -> JobAttempt {
    world.submit(sweep("first", &[0], &["all"])).await.unwrap();
    let job = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, job, vec![Row::Snapshot(snapshot("old", 5)), Row::Snapshot(snapshot("new", 9))]).await;
    job
}

async fn lost(world: &World) {
    world.wait(LEASE_SECONDS);
    world.store.expire(world.now()).await.unwrap();
}

async fn next(world: &World, worker: WorkerId) -> Option<Lease> {
    world.try_lease(worker).await
}

pub async fn the_newest_snapshot_is_offered_on_a_device_alike(world: World) {
    let worker = worker_on(&world, "a", "cuda:0").await;
    let job = begun(&world, worker).await;
    lost(&world).await;
    let other = worker_on(&world, "b", "cuda:3").await;
    let lease = next(&world, other).await.unwrap();
    assert_eq!(lease.jobs[0].job.job, job.job);
    assert_eq!(lease.snapshot, Some(snapshot("new", 9)));
}

pub async fn another_device_starts_anew(world: World) {
    let worker = worker_on(&world, "a", "cuda:0").await;
    begun(&world, worker).await;
    world.store.leave(worker, world.now()).await.unwrap();
    let other = worker_on(&world, "b", "cpu").await;
    assert_eq!(next(&world, other).await.expect("nobody else is there").snapshot, None);
}

pub async fn a_stale_attempt_stores_no_snapshot(world: World) {
    let worker = worker_on(&world, "a", "cpu").await;
    let old = begun(&world, worker).await;
    lost(&world).await;
    let (reason, _) = world.refused(worker, old, Row::Snapshot(snapshot("late", 99))).await;
    assert_eq!(reason.name(), "stale");
    // What was stored by the attempt before it ended counts as stored when it is sent again.
    world.store_rows(worker, old, vec![Row::Snapshot(snapshot("new", 9))]).await;
    assert_eq!(next(&world, worker).await.unwrap().snapshot, Some(snapshot("new", 9)));
}

pub async fn a_snapshot_goes_with_the_end_of_its_training(world: World) {
    let worker = worker_on(&world, "a", "cpu").await;
    let job = begun(&world, worker).await;
    world.store_rows(worker, job, trained()).await;
    assert_eq!(next(&world, worker).await.unwrap().snapshot, None, "lines have none");
}

pub async fn a_retried_training_goes_on_from_its_snapshot(world: World) {
    let worker = worker_on(&world, "a", "cpu").await;
    let job = begun(&world, worker).await;
    world.store_rows(worker, job, vec![failed(ErrorClass::Run, "the data folder was gone")]).await;
    let sweep = world.store.find_sweep("first").await.unwrap();
    world.store.retry(sweep, Retry::default(), world.now()).await.unwrap();
    assert_eq!(next(&world, worker).await.unwrap().snapshot, Some(snapshot("new", 9)));
}

pub async fn a_training_begun_elsewhere_is_not_kept_for_ever(world: World) {
    let gpu = worker_on(&world, "a", "cuda:0").await;
    begun(&world, gpu).await;
    lost(&world).await;
    let cpu = worker_on(&world, "b", "cpu").await;
    let busy = worker_on(&world, "c", "cuda:0").await;
    world.store.heartbeat(busy, &[], false, world.now()).await.unwrap();
    assert!(next(&world, cpu).await.is_none(), "another could go on with it");
    world.wait(301);
    world.store.heartbeat(busy, &[], false, world.now()).await.unwrap();
    assert!(next(&world, cpu).await.is_some(), "but it does not");
}
