//! The connections: one that writes, a few that read; and what `SQLite`'s error codes mean.
//!
//! Every write is a transaction that begins with `BEGIN IMMEDIATE`, so that it waits its turn at the beginning and never
//! fails half-way for want of the lock, and that runs in a task of its own, so that a caller who goes away leaves nothing
//! half-done. A read is a single statement.

use std::future::Future;
use std::path::PathBuf;

use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;
use tracing::Instrument;

use crate::store::{Result, StoreError, Terms};

/// The text of a statement, by the name of its file in `store/sql/sqlite`.
macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../sql/sqlite/", $name, ".sql"))
    };
}
pub(super) use sql;

/// An open database; shared by the tasks that work on it.
#[derive(Debug)]
pub(super) struct Db {
    pub(super) path: PathBuf,
    pub(super) terms: Terms,
    /// Holds the one connection that writes.
    pub(super) writer: SqlitePool,
    /// Connections with `query_only` on.
    pub(super) readers: SqlitePool,
    pub(super) changed: watch::Sender<u64>,
    pub(super) stops: watch::Sender<u64>,
}

impl Db {
    /// Takes the write lock.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// Commits, and tells those who wait for changes.
    pub(super) async fn commit(&self, transaction: Transaction<'static, Sqlite>) -> Result<()> {
        transaction.commit().await?;
        self.changed.send_modify(|revision| *revision += 1);
        Ok(())
    }

    /// Tells those who wait that jobs were taken from their holders.
    pub(super) fn stopped(&self) {
        self.stops.send_modify(|revision| *revision += 1);
    }
}

/// Runs `work` in a task of its own: it ends even if the caller does not wait for it.
pub(super) async fn apart<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        if error.is_panic() {
            tracing::error!(%error, "a database task panicked; its transaction was rolled back");
        }
        Err(StoreError::Stopped)
    })
}

/// `SQLite`'s primary result code (<https://sqlite.org/rescode.html>), when the error is its own.
pub(super) fn code(error: &sqlx::Error) -> Option<u32> {
    let code: u32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const CORRUPT: u32 = 11;
        const FULL: u32 = 13;
        const NOT_A_DATABASE: u32 = 26;
        match (code(&error), &error) {
            (Some(FULL), _) => Self::Full,
            (Some(CORRUPT | NOT_A_DATABASE), _)
            | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)) => {
                Self::Damaged(error.to_string())
            }
            (_, sqlx::Error::PoolClosed) => Self::Stopped,
            _ => Self::Database(Box::new(error)),
        }
    }
}
