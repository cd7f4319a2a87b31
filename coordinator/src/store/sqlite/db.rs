//! The connections: one that writes, a few that read.
//!
//! Writes are made in transactions that begin with `BEGIN IMMEDIATE`, so that they wait their turn at the beginning and never
//! fail half-way for want of the lock; those that wait at the same time share one ([`Group`]).

use std::path::PathBuf;
use std::sync::Arc;

use sqlx::SqlitePool;
use tokio::sync::watch;

use super::beats::Beats;
use super::group::Group;
pub(super) use super::group::Tx;
use super::report::Reports;
use super::specs::Specs;
use crate::store::{Result, Terms};

/// A connection.
pub(super) type Connection = sqlx::SqliteConnection;

/// The text of a statement, by the name of its file in `store/sql/sqlite`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql/sqlite/", $name, ".sql"))
    };
}
pub(super) use sql;

/// Plans here do not depend on how large tables are.
pub(super) async fn look_up_by_key(_: &mut Tx) -> Result<()> {
    std::future::ready(Ok(())).await
}

/// Likewise.
pub(super) async fn plan_freely(_: &mut Tx, _: u64) -> Result<()> {
    std::future::ready(Ok(())).await
}

/// Has jobs that a sweep shares with others stay as they are until the transaction ends: the write lock does.
pub(super) async fn keep_shared_jobs(_: &mut Tx, _: i64) -> Result<()> {
    std::future::ready(Ok(())).await
}

/// An open database; shared by the tasks that work on it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) path: PathBuf,
    pub(super) terms: Terms,
    /// Holds the one connection that writes.
    pub(super) writer: SqlitePool,
    /// Those who write over it.
    pub(super) group: Arc<Group>,
    pub(super) beats: Beats,
    pub(super) reports: Reports,
    pub(super) specs: Specs,
    /// Connections with `query_only` on.
    pub(super) readers: SqlitePool,
    pub(super) changed: watch::Sender<u64>,
    pub(super) work: watch::Sender<u64>,
    pub(super) stops: watch::Sender<u64>,
}

impl Db {
    /// Takes the write lock.
    pub(super) async fn begin(&self) -> Result<Tx> {
        self.group.begin(false).await
    }

    /// Takes the write lock, which is all that keeps the graph of jobs still here; elsewhere it takes more. What changes the
    /// graph may take long, so it is committed by itself.
    pub(super) async fn begin_on_graph(&self) -> Result<Tx> {
        self.group.begin(true).await
    }

    /// Commits, and tells those who wait for changes.
    pub(super) async fn commit(&self, transaction: Tx) -> Result<()> {
        transaction.commit().await?;
        self.changed.send_modify(|revision| *revision += 1);
        Ok(())
    }

    /// Tells those who wait for work that there may be some.
    pub(super) fn freed(&self) {
        self.work.send_modify(|revision| *revision += 1);
    }

    /// Tells those who wait that jobs were taken from their holders.
    pub(super) fn stopped(&self) {
        self.stops.send_modify(|revision| *revision += 1);
    }

    /// So many jobs are new. Plans here do not depend on how many there are.
    pub(super) async fn grew(&self, _jobs: u64) {
        std::future::ready(()).await;
    }

    pub(super) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
