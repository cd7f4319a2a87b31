//! What can go wrong in a store, by what the caller can do about it.

use std::path::PathBuf;

/// A failed store operation. Nothing of it is stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing of that name is stored.
    #[error("no {what} is called `{name}`")]
    NotFound {
        /// `sweep`, `run`, `import`, `worker`.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// Several things begin like that.
    #[error("`{name}` names more than one {what}; give more of its digits")]
    Ambiguous {
        /// `run`.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// The name or key is taken by other content.
    #[error("{what} `{name}` exists with other content; choose another {what}")]
    Taken {
        /// `idempotency key` or `import`.
        what: &'static str,
        /// As it was given.
        name: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// A later version of Transect wrote the database.
    #[error(
        "{} was written by a newer Transect (its schema is {database}, this program knows {known}); use that version, or another --home",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        database: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The folder lies on a file system that several machines share.
    #[error(
        "{} lies on a network file system ({kind}), where SQLite's write-ahead log loses data; choose a --home on a local disk",
        path.display()
    )]
    NetworkFileSystem {
        /// The folder.
        path: PathBuf,
        /// `NFS`, `SMB`, ...
        kind: &'static str,
    },
    /// The file cannot be opened for writing.
    #[error("cannot open {} for writing: {reason}; check its owner and permissions, or choose another --home", path.display())]
    Unwritable {
        /// The database or its folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// There is no space left.
    #[error(
        "the disk that holds the database is full, and nothing of this request was stored; free some space and try again"
    )]
    Full,
    /// What is stored cannot be read back: not a database of Transect's, or a damaged one.
    #[error("the database holds something that cannot be read: {0}")]
    Damaged(String),
    /// The database did not answer as it should.
    #[error("the database refused: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store's task ended before it answered: the program is stopping, or it panicked.
    #[error("the store stopped before it answered")]
    Stopped,
}

impl StoreError {
    /// True when the request is at fault and the store is not.
    pub fn is_callers(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Ambiguous { .. } | Self::Taken { .. } | Self::Invalid(_))
    }
}
