//! The store for clusters: one Postgres database, for any number of coordinators.
//!
//! Invariants: the Rust around the statements is `store/sql`, shared with `SQLite`; the statements are the files of
//! `store/sql/postgres`, each prepared by a test; the schema is `migrations/postgres`. No coordinator is special: what keeps
//! them from each other's work is in the statements and in the locks that [`db`] takes, never in this process.

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
#[path = "../sql/imports.rs"]
mod imports;
#[path = "../sql/lease.rs"]
mod lease;
mod listen;
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
#[path = "../sql/together.rs"]
mod together;
#[path = "../sql/tokens.rs"]
mod tokens;
#[path = "../sql/workers.rs"]
mod workers;
#[path = "../sql/writes.rs"]
mod writes;

use std::sync::Arc;

use self::db::Db;
pub(super) use self::open::plain_options;
use super::apart::apart;
use super::{Result, Terms};

/// A [`Store`](super::Store) in a Postgres database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    db: Arc<Db>,
}

/// The store that the shared sources are compiled for here.
type This = PostgresStore;

impl PostgresStore {
    /// Connects to the database at `url` (`postgres://USER@HOST/DATABASE`, see `docs/postgres.md`) and brings its schema up to
    /// date; several coordinators may do so at once.
    ///
    /// # Errors
    /// `Invalid` for what is no such URL, `Newer` for a schema that this program does not know, `Database` where it cannot
    /// connect or may not do what it needs. No message holds the password.
    pub async fn open(url: &str, terms: Terms) -> Result<Self> {
        let url = url.to_owned();
        Ok(Self { db: Arc::new(apart(async move { open::open(&url, terms).await }).await?) })
    }
}
