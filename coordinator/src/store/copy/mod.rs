//! Copies everything from one store to another, whatever databases they are.
//!
//! Both schemas are brought up to date first, so tables and columns have the same names on both sides and are read from the
//! databases, not listed here. The source is read as it is at one moment; the target, which must be empty, is filled in one
//! transaction, which commits only when every table holds as many rows with the same digest as the source.

mod postgres;
mod sqlite;
mod value;

use std::path::Path;

use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use self::value::{Digest, Value};
use super::{Result, StoreError, StorePlace, Terms};

/// Rows that are written by one statement.
const BATCH: usize = 500;
/// Rows that may be on their way.
const QUEUE: usize = 1000;

/// A table that was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// BLAKE3 over all values, row by row in the order of the key.
    pub digest: String,
}

/// A table as a database describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    name: String,
    /// Columns that are stored (not computed), in the order of their names, with their types.
    columns: Vec<(String, String)>,
    /// Columns of the primary key, in its order.
    key: Vec<String>,
}

impl Table {
    fn names(&self) -> String {
        quoted(self.columns.iter().map(|(name, _)| name))
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// One side of a copy: a transaction on a database.
enum Side {
    Sqlite(sqlite::Side),
    Postgres(postgres::Side),
}

impl Side {
    /// Brings the schema up to date, and refuses what cannot be; then begins.
    async fn open(place: &StorePlace) -> Result<Self> {
        if *place == StorePlace::Home {
            return Err(StoreError::Invalid("name the store's file: sqlite:HOME/transect.db".to_owned()));
        }
        place.open(Path::new(""), Terms::default()).await?.close().await;
        Ok(match place {
            StorePlace::Postgres(url) => Self::Postgres(postgres::Side::open(url).await?),
            StorePlace::Sqlite(path) => Self::Sqlite(sqlite::Side::open(path).await?),
            StorePlace::Home => return Err(StoreError::Stopped),
        })
    }

    /// Tables and their columns, by name; without what belongs to the schema itself.
    async fn tables(&mut self) -> Result<Vec<Table>> {
        let mut tables = match self {
            Self::Sqlite(side) => side.tables().await?,
            Self::Postgres(side) => side.tables().await?,
        };
        for table in &mut tables {
            table.columns.sort();
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    /// Sends all rows of a table, by its key.
    async fn read(&mut self, table: &Table, rows: Sender<Vec<Value>>) -> Result<()> {
        match self {
            Self::Sqlite(side) => side.read(table, rows).await,
            Self::Postgres(side) => side.read(table, rows).await,
        }
    }

    /// Stores the rows of a table.
    async fn write(&mut self, table: &Table, rows: Receiver<Vec<Value>>) -> Result<()> {
        match self {
            Self::Sqlite(side) => side.write(table, rows).await,
            Self::Postgres(side) => side.write(table, rows).await,
        }
    }

    /// Switches off, for this transaction, what the schema does by itself: totals are copied, not counted again.
    async fn prepare(&mut self, tables: &[Table]) -> Result<()> {
        match self {
            Self::Sqlite(side) => side.prepare().await,
            Self::Postgres(side) => side.prepare(tables).await,
        }
    }

    /// Switches it on again, checks what refers to what, and sets where new ids begin.
    async fn settle(&mut self, tables: &[Table]) -> Result<()> {
        match self {
            Self::Sqlite(side) => side.settle().await,
            Self::Postgres(side) => side.settle(tables).await,
        }
    }

    async fn commit(self) -> Result<()> {
        match self {
            Self::Sqlite(side) => side.commit().await,
            Self::Postgres(side) => side.commit().await,
        }
    }

    /// Counts and digests a table.
    async fn digest(&mut self, table: &Table) -> Result<Copied> {
        let (sender, mut rows) = channel::<Vec<Value>>(QUEUE);
        let digest = async {
            let mut digest = Digest::default();
            while let Some(row) = rows.recv().await {
                digest.add(&row);
            }
            Ok(digest)
        };
        let ((), digest) = tokio::try_join!(self.read(table, sender), digest)?;
        Ok(digest.finish(&table.name))
    }
}

/// Copies everything from `from` to `to`. Nothing may write to either meanwhile: stop their coordinators.
///
/// # Errors
/// `Invalid` when the target holds anything, `Damaged` when what arrived is not what was sent; nothing is kept then.
pub async fn copy(from: &StorePlace, to: &StorePlace) -> Result<Vec<Copied>> {
    let (mut source, mut target) = (Side::open(from).await?, Side::open(to).await?);
    let (tables, other) = (source.tables().await?, target.tables().await?);
    let shape = |tables: &[Table]| -> Vec<(String, Vec<String>)> {
        let names = |table: &Table| table.columns.iter().map(|(name, _)| name.clone()).collect();
        tables.iter().map(|table| (table.name.clone(), names(table))).collect()
    };
    if shape(&tables) != shape(&other) {
        return Err(StoreError::Damaged("the two schemas have different tables or columns".to_owned()));
    }
    target.prepare(&other).await?;
    for table in &other {
        let held = target.digest(table).await?;
        if held.rows > 0 {
            let message = format!("{to} is not empty: `{}` has {} rows. Copy to a new database", table.name, held.rows);
            return Err(StoreError::Invalid(message));
        }
    }
    let mut copied = vec![];
    for (table, other) in tables.iter().zip(&other) {
        let (sender, mut read) = channel::<Vec<Value>>(QUEUE);
        let (forward, rows) = channel(QUEUE);
        let digest = async {
            let mut digest = Digest::default();
            while let Some(row) = read.recv().await {
                digest.add(&row);
                // It ends early only with an error, which is the one to tell.
                let _ = forward.send(row).await;
            }
            drop(forward);
            Ok(digest)
        };
        let ((), digest, ()) = tokio::try_join!(source.read(table, sender), digest, target.write(other, rows))?;
        copied.push(digest.finish(&table.name));
    }
    target.settle(&other).await?;
    for (sent, table) in copied.iter().zip(&other) {
        let arrived = target.digest(table).await?;
        if *sent != arrived {
            let message = format!("table `{}` differs after the copy: {sent:?}, {arrived:?}", table.name);
            return Err(StoreError::Damaged(message));
        }
    }
    target.commit().await?;
    Ok(copied)
}
