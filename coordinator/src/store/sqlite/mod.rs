//! The embedded store: one `SQLite` file, for one coordinator on one machine.
//!
//! Invariants: one connection writes, in immediate transactions ([`db`]); the Rust around the statements is `store/sql`,
//! shared with Postgres; the statements are the files of `store/sql/sqlite`, each prepared by a test; the schema is
//! `migrations/sqlite`.

#[path = "../sql/beats.rs"]
mod beats;
mod bulk;
#[path = "../sql/change.rs"]
mod change;
#[path = "../sql/claim.rs"]
mod claim;
mod db;
#[path = "../sql/explain.rs"]
mod explain;
mod group;
#[path = "../sql/imports.rs"]
mod imports;
#[path = "../sql/lease.rs"]
mod lease;
#[path = "../sql/needs.rs"]
mod needs;
mod open;
#[path = "../sql/refine.rs"]
mod refine;
#[path = "../sql/report.rs"]
mod report;
#[path = "../sql/rows.rs"]
mod rows;
#[path = "../sql/scheduling.rs"]
mod scheduling;
#[path = "../sql/specs.rs"]
mod specs;
#[path = "../sql/store.rs"]
mod store;
#[path = "../sql/submit.rs"]
mod submit;
#[path = "../sql/sweeps.rs"]
mod sweeps;
#[path = "../sql/takeover.rs"]
mod takeover;
#[cfg(test)]
mod tests;
#[path = "../sql/together.rs"]
mod together;
#[path = "../sql/tokens.rs"]
mod tokens;
#[path = "../sql/workers.rs"]
mod workers;
#[path = "../sql/writes.rs"]
mod writes;

use std::path::Path;
use std::sync::Arc;

use self::db::Db;
use super::apart::apart;
use super::{Result, Terms};

/// A [`Store`](super::Store) in one `SQLite` file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    db: Arc<Db>,
}

/// The store that the shared sources are compiled for here.
type This = SqliteStore;

impl SqliteStore {
    /// Opens the database at `path` and brings its schema up to date; creates it if its folder is there.
    ///
    /// # Errors
    /// `Newer` for a schema that this program does not know, `NetworkFileSystem`, `Unwritable`, `Full`, and
    /// `Damaged` for a file that is no database.
    pub async fn open(path: &Path, terms: Terms) -> Result<Self> {
        let path = path.to_owned();
        Ok(Self { db: Arc::new(apart(async move { open::open(&path, terms).await }).await?) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.db.path
    }
}
