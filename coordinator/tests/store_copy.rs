//! Copies between stores of either kind: everything arrives, and the copy goes on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "support/postgres.rs"]
mod postgres_server;
#[path = "store_conformance/world.rs"]
mod world;

use std::path::Path;

use postgres_server::server;
use transect_common::data::Split;
use transect_common::job::ErrorClass;
use transect_coordinator::store::{Row, StoreError, StorePlace, SweepState, Terms, copy};
use world::World;

async fn open(place: &StorePlace) -> World {
    World::new(place.open(Path::new(""), Terms::default()).await.unwrap())
}

/// Something of everything, among it numbers that are hard to carry.
async fn filled(place: &StorePlace) {
    let world = open(place).await;
    let worker = world.worker().await;
    world.store.import(world::import("a"), world.now()).await.unwrap();
    world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged 'with' \"quotes\" and \u{1f4a5}").await;
    world.train_next(worker).await;
    let line = world.lease(worker).await.jobs.remove(0);
    let losses = [f64::NAN, f64::INFINITY, f64::MIN_POSITIVE / 3.0];
    let rows = (0..).zip(losses).map(|(index, loss)| world::point_with(Split::Test, index, loss));
    let measure = Row::Measure { name: "distance".into(), split: None, value: 0.1 + 0.2 };
    world.store_rows(worker, line.job, rows.chain([measure]).collect()).await;
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_survives_the_way_to_postgres_and_back() {
    let home = tempfile::tempdir().unwrap();
    let first = StorePlace::Sqlite(home.path().join("first.db"));
    let second: StorePlace = server().await.empty_database().await.parse().unwrap();
    let third = StorePlace::Sqlite(home.path().join("third.db"));
    filled(&first).await;
    let there = copy(&first, &second).await.unwrap();
    let rows = |name: &str| there.iter().find(|table| table.table == name).unwrap().rows;
    assert_eq!((rows("sweeps"), rows("jobs"), rows("points"), rows("measures")), (1, 6, 3, 1));
    let back = copy(&second, &third).await.unwrap();
    assert_eq!(there, back);

    let mut points = vec![];
    for place in [&first, &second, &third] {
        let world = open(place).await;
        let sweep = world.store.find_sweep("first").await.unwrap();
        let stored = world.store.points(sweep, None, 100).await.unwrap().rows;
        points.push(stored.iter().map(|point| point.loss.to_bits()).collect::<Vec<_>>());
        // The copy goes on where the first was: attempts, totals, new ids.
        let worker = world.worker().await;
        let next = world.sweep("next", &[5], &["all"]).await;
        assert_eq!(next.id.to_string(), "s-2");
        world.store.expire(world.now()).await.unwrap();
        world.work_it_all(worker).await;
        assert_eq!(world.progress(&next).await.state, SweepState::Done);
        let first = world.store.sweep(sweep).await.unwrap();
        assert_eq!((first.done, first.failed, first.leased), (1, 3, 2), "{first:?}");
        world.store.close().await;
    }
    assert_eq!(points[0], points[1]);
    assert_eq!(points[0], points[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_holds_something_is_not_written_over() {
    let home = tempfile::tempdir().unwrap();
    let first = StorePlace::Sqlite(home.path().join("first.db"));
    filled(&first).await;
    for held in
        [StorePlace::Sqlite(home.path().join("held.db")), server().await.empty_database().await.parse().unwrap()]
    {
        let world = open(&held).await;
        let kept = world.sweep("kept", &[7], &["all"]).await;
        let error = copy(&first, &held).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{error}");
        assert!(error.to_string().contains("is not empty"), "{error}");
        // Its totals are counted as before.
        world.work_it_all(world.worker().await).await;
        assert_eq!(world.progress(&kept).await.state, SweepState::Done);
    }
}
