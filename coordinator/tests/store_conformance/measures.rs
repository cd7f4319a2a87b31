//! Claims about numbers of whole lines.

use transect_common::data::Split;
use transect_coordinator::store::{LineMeasure, Row};

use crate::world::{World, done, measured, run};

fn measure(name: &str, split: Option<Split>, value: f64) -> Row {
    Row::Measure { name: name.to_owned(), split, value }
}

fn short(measure: &LineMeasure) -> (&str, Option<Split>, &str, f64) {
    (measure.line.mask.as_str(), measure.split, measure.name.as_str(), measure.value)
}

pub async fn measures_are_stored_once_and_come_in_order(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all", "conv1"]).await;
    world.train_next(worker).await;
    let lease = world.lease(worker).await;
    for (job, length) in lease.jobs.iter().zip([2.0, 3.0]) {
        let mut rows = measured(job);
        let rest = rows.split_off(3);
        rows.extend([measure("gauss-length", Some(Split::Train), length), measure("distance", None, -length)]);
        rows.extend([measure("gauss-length", Some(Split::Test), length + 0.5)]);
        world.store_rows(worker, job.job, rows.clone()).await;
        world.store_rows(worker, job.job, rows).await;
        world.store_rows(worker, job.job, rest).await;
    }
    let all = world.store.measures(sweep.id, None, 1000).await.unwrap();
    let expected = |mask, length: f64| {
        [
            (mask, None, "distance", -length),
            (mask, Some(Split::Test), "gauss-length", length + 0.5),
            (mask, Some(Split::Train), "gauss-length", length),
        ]
    };
    let found: Vec<_> = all.rows.iter().map(short).collect();
    assert_eq!(found, [expected("all", 2.0), expected("conv1", 3.0)].concat());
    assert_eq!((&all.rows[0].line.run.run, all.next), (&run(0).digest(), None));
    let mut paged = vec![];
    let mut after = None;
    loop {
        let page = world.store.measures(sweep.id, after, 2).await.unwrap();
        paged.extend(page.rows);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, all.rows);
}

pub async fn measures_are_fenced_like_points(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    let old = world.lease(worker).await.jobs[0].job;
    world.store_rows(worker, old, vec![measure("distance", None, 1.0)]).await;
    world.wait(31);
    world.store.expire(world.now()).await.unwrap();
    world.wait(60);
    let new = world.lease(worker).await.jobs.remove(0);
    for name in ["distance", "cosine"] {
        let (reason, _) = world.refused(worker, old, measure(name, None, 2.0)).await;
        assert_eq!(reason.name(), "stale");
    }
    // What an earlier attempt measured stays; the job needs none to be done.
    world.store_rows(worker, new.job, vec![measure("distance", None, 2.0)]).await;
    world.store_rows(worker, new.job, measured(&new)).await;
    let stored = world.store.measures(sweep.id, None, 10).await.unwrap().rows;
    assert_eq!(stored.iter().map(short).collect::<Vec<_>>(), [("all", None, "distance", 1.0)]);
    // An answer that got lost is asked for again, and what came too late is refused.
    world.store_rows(worker, new.job, vec![measure("distance", None, 1.0), done()]).await;
    let (reason, _) = world.refused(worker, new.job, measure("cosine", None, 1.0)).await;
    assert_eq!(reason.name(), "stale");
}

pub async fn measures_that_cannot_be_are_refused(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    let training = world.train_next(worker).await.jobs[0].job;
    let job = world.lease(worker).await.jobs[0].job;
    for (row, reason) in [
        (measure("volume", None, 1.0), "`volume` is not measured of lines"),
        (measure("cosine", None, f64::INFINITY), "cosine is inf"),
    ] {
        let (_, message) = world.refused(worker, job, row).await;
        assert!(message.contains(reason), "{message}");
    }
    let (reason, _) = world.refused(worker, training, measure("cosine", None, 1.0)).await;
    assert_eq!(reason.name(), "stale", "and the training has ended");
}
