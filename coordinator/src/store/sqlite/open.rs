//! Opening a database: where it may lie, how its connections are set, and which schema it must have.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};
use tokio::sync::watch;

use super::beats::beats;
use super::db::{Db, sql};
use super::group::Group;
use super::report::reports;
use super::specs::Specs;
use crate::store::failure::sqlite_code;
use crate::store::{Result, StoreError, Terms};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Connections that read. `SQLite` reads in parallel with the writer; more would only contend for the cores.
const READERS: u32 = 4;
/// Longest wait for the write lock or for a connection. Transactions are short: whoever waits this long meets a fault.
const PATIENCE: Duration = Duration::from_secs(30);

/// Opens the database at `path`, which is created if its folder is there, and brings its schema up to date.
pub(super) async fn open(path: &Path, terms: Terms) -> Result<Db> {
    check_folder(path)?;
    // `busy_timeout` is set by sqlx before any pragma, so that switching to the write-ahead log waits for other users.
    //
    // `synchronous = FULL`: a commit is on the disk before a worker or a user is told of it, so that not even a power
    // failure takes back what was said.
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .busy_timeout(PATIENCE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .statement_cache_capacity(200);
    let pool = |connections| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_release(|connection, _| Box::pin(is_settled(connection)))
    };
    let writer = pool(1).connect_with(options.clone()).await.map_err(|e| unopened(path, e))?;
    migrate(path, &writer).await?;
    let readers =
        pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(|e| unopened(path, e))?;
    Ok(Db {
        path: path.to_owned(),
        terms,
        group: Group::new(writer.clone()),
        writer,
        readers,
        beats: beats(),
        // One connection writes.
        reports: reports(1),
        specs: Specs::default(),
        changed: watch::Sender::new(0),
        work: watch::Sender::new(0),
        stops: watch::Sender::new(0),
    })
}

/// Whether a connection may be used again. Where a disk is full, or fails, `SQLite` ends the transaction by itself (its manual,
/// "Response To Errors Within A Transaction"); the rollback that follows then finds none, and sqlx goes on to count one for
/// ever: no transaction could begin on that connection any more.
async fn is_settled(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // A rollback that is on its way is done before this is answered.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Brings the schema up to date, and refuses one that this program does not know.
async fn migrate(path: &Path, writer: &SqlitePool) -> Result<()> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let has_schema: bool =
        sqlx::query_scalar(sql!("has_schema")).fetch_one(writer).await.map_err(|e| unopened(path, e))?;
    if has_schema {
        let database: i64 = sqlx::query_scalar(sql!("schema_version")).fetch_one(writer).await?;
        if database > known {
            return Err(StoreError::Newer { path: path.to_owned(), database, known });
        }
    }
    MIGRATIONS.run(writer).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => unopened(path, error),
        other => StoreError::Damaged(format!("{}: {other}", path.display())),
    })
}

/// What it means that a database cannot be opened.
fn unopened(path: &Path, error: sqlx::Error) -> StoreError {
    const PERMISSION: u32 = 3;
    const READ_ONLY: u32 = 8;
    const CANNOT_OPEN: u32 = 14;
    match sqlite_code(&error) {
        Some(PERMISSION | READ_ONLY | CANNOT_OPEN) => {
            StoreError::Unwritable { path: path.to_owned(), reason: error.to_string() }
        }
        _ => error.into(),
    }
}

/// The folder must be there, on a file system of this machine.
fn check_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let status = nix::sys::statfs::statfs(folder)
        .map_err(|e| StoreError::Unwritable { path: folder.to_owned(), reason: e.desc().to_owned() })?;
    match network_file_system(status.filesystem_type().0) {
        Some(kind) => Err(StoreError::NetworkFileSystem { path: folder.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The name of a file system that several machines share, by `statfs`'s magic number (statfs(2), linux/magic.h).
/// The write-ahead log needs shared memory, which such a file system does not give (<https://sqlite.org/wal.html>).
fn network_file_system(magic: i64) -> Option<&'static str> {
    Some(match magic & 0xffff_ffff {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0bd0_0bd0 => "Lustre",
        0x00c3_6400 => "Ceph",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_told_from_local_ones() {
        assert_eq!(network_file_system(0x6969), Some("NFS"));
        assert_eq!(network_file_system(i64::from(0xff53_4d42_u32 as i32)), Some("SMB"));
        let (ext4, tmpfs, overlay, btrfs, xfs) = (0xef53, 0x0102_1994, 0x794c_7630, 0x9123_683e, 0x5846_5342);
        for local in [ext4, tmpfs, overlay, btrfs, xfs] {
            assert_eq!(network_file_system(local), None, "{local:x}");
        }
    }
}
