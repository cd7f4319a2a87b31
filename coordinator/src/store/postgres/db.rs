//! The connections, the locks, and how coordinators tell each other that something happened.
//!
//! Transactions are READ COMMITTED: a statement sees what was committed before it began, and a row that it waited for as it is
//! now. What keeps transactions apart:
//! - A row that is leased belongs to whoever locked it first. Leased jobs are locked by id, then workers; claims skip what is
//!   locked, and expiry does, too: somebody who writes to a job shows that it is alive.
//! - What waits for what is changed by one transaction at a time, which holds the graph ([`Db::begin_on_graph`]) before it
//!   locks or reads anything: submissions, cancellations, retries, ends of trainings, expiry. So a training cannot end
//!   between the moment at which a submission looks whether it has and the moment at which it says so.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::{Mutex, OwnedMutexGuard, watch};
use tokio::task::AbortHandle;

use super::beats::Beats;
use super::listen::News;
use super::report::Reports;
use super::specs::Specs;
use crate::store::{Result, Terms};

/// A connection.
pub(super) type Connection = PgConnection;

/// The text of a statement, by the name of its file in `store/sql/postgres`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql/postgres/", $name, ".sql"))
    };
}
pub(super) use sql;

/// Names the graph of jobs among the advisory locks of the database.
const GRAPH: i64 = 0x7472_616e_7365_6374;

/// Jobs that change how tables are best read.
const MANY: u64 = 5000;

/// An open database; shared by the tasks that work on it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) terms: Terms,
    /// Every connection but the one that listens.
    pub(super) readers: PgPool,
    pub(super) beats: Beats,
    pub(super) reports: Reports,
    pub(super) specs: Specs,
    pub(super) changed: watch::Sender<u64>,
    pub(super) work: watch::Sender<u64>,
    pub(super) stops: watch::Sender<u64>,
    pub(super) news: Arc<News>,
    /// Whoever waits for the graph within this process waits here, without a connection.
    pub(super) graph: Arc<Mutex<()>>,
    /// Those that listen and tell.
    pub(super) tasks: Vec<AbortHandle>,
}

/// A transaction, and the right to change the graph where it was taken.
#[derive(Debug)]
pub(super) struct Tx {
    // Dropped before the right is given back.
    transaction: Transaction<'static, Postgres>,
    _graph: Option<OwnedMutexGuard<()>>,
}

impl Tx {
    pub(super) async fn rollback(self) -> Result<()> {
        Ok(self.transaction.rollback().await?)
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}

impl Db {
    pub(super) async fn begin(&self) -> Result<Tx> {
        Ok(Tx { transaction: self.readers.begin().await?, _graph: None })
    }

    /// Begins alone among all who change what waits for what.
    pub(super) async fn begin_on_graph(&self) -> Result<Tx> {
        let graph = self.graph.clone().lock_owned().await;
        let mut transaction = self.readers.begin().await?;
        sqlx::query(sql!("lock_graph")).bind(GRAPH).execute(&mut *transaction).await?;
        Ok(Tx { transaction, _graph: Some(graph) })
    }

    /// Commits, and tells those who wait for changes, here and elsewhere.
    pub(super) async fn commit(&self, tx: Tx) -> Result<()> {
        tx.transaction.commit().await?;
        self.changed.send_modify(|revision| *revision += 1);
        self.news.changed();
        Ok(())
    }

    /// Tells those who wait for work, here and elsewhere, that there may be some.
    pub(super) fn freed(&self) {
        self.work.send_modify(|revision| *revision += 1);
        self.news.freed();
    }

    /// Tells those who wait that jobs were taken from their holders.
    pub(super) fn stopped(&self) {
        self.stops.send_modify(|revision| *revision += 1);
        self.news.stopped();
    }

    /// So many jobs are new. Statements were planned for the tables as they were, and would be for up to a minute more, until the
    /// server looks by itself; after many it is told to look now.
    pub(super) async fn grew(&self, jobs: u64) {
        if jobs >= MANY
            && let Err(error) = sqlx::query(sql!("analyze")).execute(&self.readers).await
        {
            tracing::debug!(%error, "the tables' statistics could not be renewed; the server does so later");
        }
    }

    pub(super) async fn close(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.readers.close().await;
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Has the rest of a transaction plan its statements for tables as they are at that moment and look rows up by their keys. A
/// submission begins with empty tables and fills them a thousand rows at a time: no plan from its beginning does for its end.
pub(super) async fn look_up_by_key(tx: &mut Tx) -> Result<()> {
    sqlx::query(sql!("look_up_by_key")).execute(&mut **tx).await?;
    Ok(())
}

/// Ends that, once the tables have grown: the planner is told how large they are.
pub(super) async fn plan_freely(tx: &mut Tx, grown: u64) -> Result<()> {
    if grown >= MANY {
        sqlx::query(sql!("analyze")).execute(&mut **tx).await?;
    }
    sqlx::query(sql!("plan_freely")).execute(&mut **tx).await?;
    Ok(())
}

/// Has jobs that a new sweep shares with others stay as they are until the transaction ends, so that what happens to them is
/// counted for the sweep either now or after that.
pub(super) async fn keep_shared_jobs(tx: &mut Tx, sweep: i64) -> Result<()> {
    sqlx::query(sql!("keep_shared_jobs")).bind(sweep).execute(&mut **tx).await?;
    Ok(())
}
