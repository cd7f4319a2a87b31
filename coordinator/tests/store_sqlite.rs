//! What is `SQLite`'s own: the file, its schema, its statements and their plans.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "store_conformance/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Executor, Row as _, SqlSafeStr};
use transect_coordinator::store::{SqliteStore, Store, StoreError, SweepState, Terms};
use world::World;

async fn open(home: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&home.join("transect.db"), Terms::default()).await
}

/// The same file through a connection of its own.
async fn beside(home: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(home.join("transect.db"))).await.unwrap()
}

#[tokio::test]
async fn what_is_stored_is_there_when_the_database_is_opened_again() {
    let home = tempfile::tempdir().unwrap();
    let world = World::new(Arc::new(open(home.path()).await.unwrap()));
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    let held = world.lease(worker).await.jobs.remove(0);
    world.store.close().await;
    assert!(world.store.ping().await.is_err());

    let world = World::new(Arc::new(open(home.path()).await.unwrap()));
    assert_eq!(world.progress(&sweep).await.leased, 1, "a restart loses no lease");
    world.store_rows(worker, held.job, world::measured(&held)).await;
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
}

#[tokio::test]
async fn a_database_that_was_not_closed_is_whole() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).await.unwrap();
    let world = World::new(Arc::new(store));
    let sweep = world.sweep("first", &[0, 1], &["all"]).await;
    world.train_next(world.worker().await).await;
    // As the file system would look after SIGKILL: database and write-ahead log, copied while the store is open.
    let after = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(home.path()).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().ends_with("-shm") {
            fs::copy(entry.path(), after.path().join(entry.file_name())).unwrap();
        }
    }
    let survived = open(after.path()).await.unwrap();
    assert_eq!(survived.sweep(sweep.id).await.unwrap(), world.progress(&sweep).await);
}

#[tokio::test]
async fn a_database_of_the_first_release_goes_on() {
    let home = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["0001_first.sql", "0002_views.sql"] {
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/sqlite");
        fs::copy(migrations.join(name), folder.path().join(name)).unwrap();
    }
    let options = SqliteConnectOptions::new().filename(home.path().join("transect.db")).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await.unwrap();
    sqlx::migrate::Migrator::new(folder.path()).await.unwrap().run(&database).await.unwrap();
    // A trained run with one measured line, as the first release wrote it.
    let (run, line) = (world::run(0), world::line("all"));
    let statements = [
        "INSERT INTO sweeps (name, file, file_digest, idempotency_key, submitted_at) VALUES ('old', '', '', 'old', 'then')"
            .to_owned(),
        format!(
            "INSERT INTO runs (digest, spec, model, seed, created_at) VALUES ('{}', '{}', 'lenet5', 0, 'then')",
            run.digest(),
            run.canonical()
        ),
        format!(
            "INSERT INTO lines (digest, spec, from_tag, to_tag, mask, hold, batch_norm)
             VALUES ('{}', '{}', 'init', 'final', 'all', 'final', 'none')",
            line.digest(),
            line.canonical()
        ),
        "INSERT INTO sweep_runs VALUES (1, 0, 1, '{}')".to_owned(),
        "INSERT INTO jobs (kind, run, line, state, ready, due_at, points, points_expected, queued_at, finished_at)
         VALUES ('train', 1, NULL, 'done', 1, 'then', 0, 0, 'then', 'then'), ('line', 1, 1, 'done', 1, 'then', 6, 6, 'then', 'then')"
            .to_owned(),
        "INSERT INTO sweep_jobs VALUES (1, 1, 0), (1, 2, 1)".to_owned(),
        format!(
            "INSERT INTO checkpoints VALUES (1, 'init', '{0}', 9, 'then'), (1, 'final', '{0}', 9, 'then')",
            "a".repeat(64)
        ),
    ];
    for statement in statements {
        let statement = statement.replace("'then'", "'2026-01-01T00:00:00.000Z'");
        database.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    database.close().await;

    let world = World::new(Arc::new(open(home.path()).await.unwrap()));
    let sweep = world.sweep("new", &[0], &["all", "conv1"]).await;
    assert_eq!((sweep.jobs, sweep.done, sweep.queued), (3, 2, 1), "what was done stays done");
    let database = beside(home.path()).await;
    let kept = database.fetch_one("SELECT elsewhere, align, normalize FROM lines WHERE mask = 'all'").await.unwrap();
    let found: (Option<String>, i64, String) = (kept.get(0), kept.get(1), kept.get(2));
    assert_eq!(found, (None, 0, "none".to_owned()));
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).await.unwrap().close().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', 1, x'00', 0)";
    beside(home.path()).await.execute(newer).await.unwrap();
    let error = open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { database: 9999, .. }), "{error}");
    assert!(error.to_string().contains("was written by a newer Transect (its schema is 9999"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("transect.db"), "a text that is much longer than the header of a database ".repeat(40))
        .unwrap();
    let error = open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let error = open(&home.path().join("absent")).await.unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    // Root may write anywhere but into a folder that is not one, or over a folder.
    fs::create_dir(home.path().join("transect.db")).unwrap();
    let error = open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("choose another --home"), "{error}");
    let error = SqliteStore::open(Path::new("/proc/transect.db"), Terms::default()).await.unwrap_err();
    assert!(matches!(error, StoreError::Unwritable { .. }), "{error}");
}

#[tokio::test]
async fn the_settings_of_the_database_are_those_that_it_needs() {
    let home = tempfile::tempdir().unwrap();
    let _store = open(home.path()).await.unwrap();
    let journal: String = beside(home.path()).await.fetch_one("PRAGMA journal_mode").await.unwrap().get(0);
    assert_eq!(journal, "wal");
}

/// Every statement file, by name.
fn statements() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sql/sqlite");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).await.unwrap().close().await;
    let database = beside(home.path()).await;
    let statements = statements();
    assert!(statements.len() > 50, "{}", statements.len());
    for (name, sql) in statements {
        assert!(sql.starts_with("-- "), "{name}.sql opens with what it does");
        let code = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        assert_eq!(code.flat_map(|line| line.matches(';')).count(), 1, "{name}.sql is one statement");
        let prepared = database.prepare(AssertSqlSafe(sql).into_sql_str()).await;
        prepared.unwrap_or_else(|error| panic!("{name}.sql: {error}"));
    }
}

/// For plans: without the steps that mend broken foreign keys, which are listed with each insert into a parent table
/// and skipped at run time as long as none is broken.
async fn planner(home: &Path) -> SqlitePool {
    open(home).await.unwrap().close().await;
    let options = SqliteConnectOptions::new().filename(home.join("transect.db")).foreign_keys(false);
    SqlitePool::connect_with(options).await.unwrap()
}

/// The steps of a statement's plan.
async fn plan(database: &SqlitePool, sql: &str) -> Vec<String> {
    let rows = database.fetch_all(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).await.unwrap();
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn no_statement_scans_what_grows() {
    let home = tempfile::tempdir().unwrap();
    let database = planner(home.path()).await;
    // These look at every row because that is what they are for; none is on the way of a lease or a report.
    let exempt = ["count_jobs", "count_rest", "artifacts", "find_worker", "ping", "sweep_ids"];
    // Partial indexes over what waits or is leased, or a step towards the next row in order, are no full scans.
    let partial = ["USING INDEX jobs_", "USING COVERING INDEX jobs_", "INDEX workers_", "SCAN g"];
    let big = [
        "jobs",
        "j",
        "t",
        "points",
        "p",
        "sweep_jobs",
        "sj",
        "runs",
        "r",
        "curves",
        "c",
        "checkpoints",
        "lines",
        "l",
        "job_needs",
        "measures",
        "m",
        "job_errors",
        "e",
        "workers",
        "o",
    ];
    for (name, sql) in statements().into_iter().filter(|(name, _)| !exempt.contains(&name.as_str())) {
        for step in plan(&database, &sql).await {
            let table = step.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            let is_big = |table| big.contains(&table) || (table == "w" && sql.contains("workers AS w"));
            let scans = table.is_some_and(is_big) && !partial.iter().any(|p| step.contains(p));
            assert!(!scans, "{name}.sql: {step}");
        }
    }
}

#[tokio::test]
async fn pages_are_read_in_order_without_sorting() {
    let home = tempfile::tempdir().unwrap();
    let database = planner(home.path()).await;
    let paged = [
        "points_of_sweep",
        "measures_of_sweep",
        "curves_of_sweep",
        "jobs_of_sweep",
        "sweep_ids",
        "due_line",
        "claim_oldest_training",
        "claim_longest_training",
        "due_lines",
    ];
    let statements: BTreeMap<String, String> = statements().into_iter().collect();
    for name in paged {
        let plan = plan(&database, &statements[name]).await;
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{name}.sql: {plan:?}");
    }
}

#[tokio::test]
async fn views_asked_for_one_sweep_read_that_sweep_only() {
    let home = tempfile::tempdir().unwrap();
    let database = planner(home.path()).await;
    for (view, column) in [
        ("sweep_progress", "sweep_id"),
        ("sweep_progress", "name"),
        ("job_status", "sweep_id"),
        ("job_status", "sweep"),
        ("line_points", "sweep_id"),
        ("line_points", "sweep"),
        ("line_measures", "sweep_id"),
        ("line_measures", "sweep"),
    ] {
        let plan = plan(&database, &format!("SELECT * FROM {view} WHERE {column} = 'x'")).await;
        assert!(plan.iter().any(|step| step.starts_with("SEARCH s USING")), "{view} by {column}: {plan:?}");
    }
}
