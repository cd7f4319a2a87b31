//! What only the inside of the store can show: a full disk, a transaction that is cut off, the connections' settings.

use sqlx::Executor;
use sqlx::Row as _;
use transect_common::data::{DataSet, DataSpec};
use transect_common::model::ModelSpec;
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, TrainSpec};
use transect_common::schedule::Schedule;
use transect_common::sweep::{ExpandedRun, Expansion};

use super::*;
use crate::store::{NewSweep, Store, StoreError, Timestamp};

async fn open(home: &Path) -> SqliteStore {
    SqliteStore::open(&home.join("transect.db"), Terms::default()).await.unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn sweep(name: &str, runs: u64) -> NewSweep {
    let run = |seed| {
        let spec = RunSpec {
            data: DataSpec::new(DataSet::Mnist),
            model: ModelSpec::lenet5(),
            origin: Origin::Trained { init: InitSpec::default(), train: TrainSpec::new(seed, Optimizer::sgd()) },
        };
        ExpandedRun { digest: spec.digest(), spec, settings: serde_json::Map::new(), lines: vec![].into() }
    };
    let expansion = Expansion {
        name: name.into(),
        axes: vec![],
        runs: (0..runs).map(run).collect(),
        schedule: Schedule::default(),
    };
    NewSweep { file: name.into(), idempotency_key: name.into(), expansion }
}

async fn pragma(pool: &sqlx::SqlitePool, statement: &'static str) -> i64 {
    pool.fetch_one(statement).await.unwrap().get(0)
}

#[tokio::test]
async fn a_full_disk_is_said_clearly_and_leaves_nothing_half_done() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).await;
    store.submit(sweep("small", 2), now()).await.unwrap();
    let pages = pragma(&store.db.writer, "PRAGMA page_count").await;
    // As many pages as there are now are all that there may be.
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    store.db.writer.execute(limit).await.unwrap();

    let error = store.submit(sweep("big", 2000), now()).await.unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error}");
    let is_there = |name| store.find_sweep(name);
    assert!(is_there("big").await.is_err());
    assert!(is_there("small").await.is_ok());

    store.db.writer.execute("PRAGMA max_page_count = 1000000").await.unwrap();
    assert_eq!(
        store.submit(sweep("big", 2000), now()).await.unwrap().sweep.runs,
        2000,
        "with space, all is well again"
    );
}

#[tokio::test]
async fn a_transaction_that_the_database_ended_by_itself_does_not_hold_up_the_next() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).await;
    let mut tx = store.db.begin().await.unwrap();
    // As SQLite does when the log cannot be written, which sqlx does not hear of.
    tx.execute("ROLLBACK").await.unwrap();
    assert!(store.db.commit(tx).await.is_err());
    assert_eq!(store.submit(sweep("next", 2), now()).await.unwrap().sweep.runs, 2);
}

#[tokio::test]
async fn a_transaction_that_is_cut_off_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).await;
    let insert =
        "INSERT INTO sweeps (name, file, file_digest, idempotency_key, submitted_at) VALUES ('half', '', '', '', '')";
    let mut tx = store.db.begin().await.unwrap();
    tx.execute(insert).await.unwrap();
    // As the file system would look after SIGKILL at this moment.
    let after = tempfile::tempdir().unwrap();
    for name in ["transect.db", "transect.db-wal"] {
        std::fs::copy(home.path().join(name), after.path().join(name)).unwrap();
    }
    drop(tx);
    for store in [store, open(after.path()).await] {
        assert!(store.find_sweep("half").await.is_err());
        assert_eq!(store.submit(sweep("whole", 1), now()).await.unwrap().sweep.id.to_string(), "s-1");
    }
}

#[tokio::test]
async fn connections_are_set_as_they_must_be() {
    let home = tempfile::tempdir().unwrap();
    let store = open(home.path()).await;
    for pool in [&store.db.writer, &store.db.readers] {
        assert_eq!(pragma(pool, "PRAGMA foreign_keys").await, 1);
        assert_eq!(pragma(pool, "PRAGMA synchronous").await, 2, "FULL");
        assert_eq!(pragma(pool, "PRAGMA busy_timeout").await, 30_000);
    }
    assert_eq!(store.db.writer.size(), 1, "one connection writes");
    let error = store.db.readers.execute("DELETE FROM sweeps").await.unwrap_err().to_string();
    assert!(error.contains("readonly"), "{error}");
}
