//! `docs/sql.md` is true: its views have the columns that it lists, and each of its queries runs and finds something.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "store_conformance/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Column, Executor, Row as _};
use transect_common::job::ErrorClass;
use transect_common::run::{LayerStart, Origin, Source, Tag};
use transect_coordinator::store::{JobProgress, NewSweep, Row, SqliteStore, Terms};
use world::World;

const DOCS: &str = include_str!("../../docs/sql.md");

/// A run that starts from seed 0's end, which the first sweep trains.
fn tuned() -> NewSweep {
    let mut spec = world::run(7);
    if let Origin::Trained { init, .. } = &mut spec.origin {
        let source = Source::Checkpoint { run: world::run(0).digest(), tag: Tag::last() };
        init.layers = vec![LayerStart { mask: "all".into(), source }];
    }
    let mut sweep = world::sweep("tuned", &[], &[]);
    sweep.expansion.runs = vec![world::expanded(spec, &7.into(), &["all"])];
    sweep
}

/// A store with something of everything: done, failed, leased and queued jobs, points, measures and curves.
async fn populated(home: &Path) -> SqlitePool {
    let path = home.join("transect.db");
    let world = World::new(Arc::new(SqliteStore::open(&path, Terms::default()).await.unwrap()));
    let worker = world.worker().await;
    world.sweep("first", &[0, 1], &["all", "conv1", "fc1"]).await;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    let measure = |name: &str, split, value| Row::Measure { name: name.into(), split, value };
    let test = Some(transect_common::data::Split::Test);
    world.store_rows(worker, job, vec![measure("distance", None, 3.5), measure("gauss-length", test, 2.0)]).await;
    world.store.leave(worker, world.now()).await.unwrap();
    let worker = world.worker().await;
    world.work_it_all(worker).await;
    world.submit(tuned()).await.unwrap();
    world.work_it_all(worker).await;
    world.sweep("second", &[2, 3, 4], &["all"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged at step 3").await;
    let job = world.lease(worker).await.jobs[0].job;
    let progress = JobProgress { job, fraction: 0.5, text: "epoch 1 of 2".into() };
    world.store.heartbeat(worker, &[progress], false, world.now()).await.unwrap();
    // As a user opens it: read only, beside the store.
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path).read_only(true)).await.unwrap()
}

/// The text of each block of SQL.
fn queries() -> Vec<&'static str> {
    DOCS.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// Columns of each view, as the tables of the docs list them.
fn documented() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut views = BTreeMap::new();
    for section in DOCS.split("\n### `").skip(1) {
        let (view, rest) = section.split_once('`').unwrap();
        let rows = rest.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
        views.insert(view, rows.map(|row| row.split('`').nth(1).unwrap()).collect());
    }
    views
}

#[tokio::test]
async fn every_documented_query_runs_and_finds_something() {
    let home = tempfile::tempdir().unwrap();
    let database = populated(home.path()).await;
    let queries = queries();
    assert_eq!(queries.len(), 12, "twelve queries are promised");
    for query in queries {
        let rows = database.fetch_all(AssertSqlSafe(query)).await.unwrap_or_else(|error| panic!("{error}\n{query}"));
        assert!(!rows.is_empty(), "found nothing:\n{query}");
    }
}

#[tokio::test]
async fn the_views_have_the_columns_that_are_documented() {
    let home = tempfile::tempdir().unwrap();
    let database = populated(home.path()).await;
    let documented = documented();
    assert_eq!(
        documented.keys().copied().collect::<Vec<_>>(),
        ["job_status", "line_measures", "line_points", "run_curve", "run_sources", "sweep_progress"]
    );
    for (view, columns) in documented {
        let row = database.fetch_one(AssertSqlSafe(format!("SELECT * FROM {view}"))).await.unwrap();
        let found: Vec<&str> = row.columns().iter().map(Column::name).collect();
        assert_eq!(found, columns, "{view}");
    }
    let views: Vec<String> = sqlx::query(
        "SELECT name FROM sqlite_master WHERE type = 'view' AND name NOT LIKE '\\_%' ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&database)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get(0))
    .collect();
    assert_eq!(views.len(), 6, "no view is left out: {views:?}");
}

#[tokio::test]
async fn the_views_say_what_happened() {
    let home = tempfile::tempdir().unwrap();
    let database = populated(home.path()).await;
    let states: Vec<(String, String, i64, i64)> =
        sqlx::query_as("SELECT sweep_id, state, jobs, points FROM sweep_progress ORDER BY sweep_id")
            .fetch_all(&database)
            .await
            .unwrap();
    let state = |sweep: &str, state: &str, jobs, points| (sweep.to_owned(), state.to_owned(), jobs, points);
    let expected = [state("s-1", "done", 8, 36), state("s-2", "done", 3, 6), state("s-3", "running", 6, 0)];
    assert_eq!(states, expected);
    let source: (String, String, String, Option<f64>) =
        sqlx::query_as("SELECT mask, kind, source_tag, alpha FROM run_sources WHERE seed = 7 AND position = 0")
            .fetch_one(&database)
            .await
            .unwrap();
    assert_eq!(source, ("all".into(), "checkpoint".into(), "final".into(), None));
    let measures: Vec<(String, String, f64)> =
        sqlx::query_as("SELECT split, name, value FROM line_measures ORDER BY name")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(measures, [(String::new(), "distance".into(), 3.5), ("test".into(), "gauss-length".into(), 2.0)]);
    let points: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), count(DISTINCT run), count(DISTINCT mask) FROM line_points WHERE sweep = 'first'",
    )
    .fetch_one(&database)
    .await
    .unwrap();
    assert_eq!(points, (36, 2, 3));
    let failed: Vec<(String, Option<String>)> =
        sqlx::query_as("SELECT error, mask FROM job_status WHERE state = 'failed' ORDER BY job_id")
            .fetch_all(&database)
            .await
            .unwrap();
    assert_eq!(failed[0], ("diverged at step 3".into(), None));
    assert!(failed[1].0.ends_with("failed: diverged at step 3") && failed[1].1.as_deref() == Some("all"), "{failed:?}");
    let curve: i64 = sqlx::query_scalar("SELECT count(*) FROM run_curve").fetch_one(&database).await.unwrap();
    assert_eq!(curve, 3 * 3 * 2);
}

#[tokio::test]
async fn a_loss_that_is_not_a_number_shows_as_null_and_an_infinite_one_as_infinity() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("transect.db");
    let world = World::new(Arc::new(SqliteStore::open(&path, Terms::default()).await.unwrap()));
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs[0].job;
    let losses = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let test = transect_common::data::Split::Test;
    let rows = (0..).zip(losses).map(|(index, loss)| world::point_with(test, index, loss)).collect();
    world.store_rows(worker, job, rows).await;
    let database = SqlitePool::connect_with(SqliteConnectOptions::new().filename(path)).await.unwrap();
    let shown: Vec<Option<f64>> =
        sqlx::query_scalar("SELECT loss FROM line_points ORDER BY alpha").fetch_all(&database).await.unwrap();
    assert_eq!(shown, [Some(f64::INFINITY), Some(f64::NEG_INFINITY), None]);
}
