//! What a failure of a database means, whichever database it is.

use sqlx::postgres::PgDatabaseError;
use sqlx::sqlite::SqliteError;
use transect_common::run::CanonicalError;

use super::StoreError;

/// `SQLite`'s primary result code (<https://sqlite.org/rescode.html>), when the error is its own.
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<u32> {
    let error = error.as_database_error()?;
    error.try_downcast_ref::<SqliteError>()?;
    let code: u32 = error.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// The SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>), when the error is Postgres' own.
pub(super) fn sql_state(error: &sqlx::Error) -> Option<&str> {
    Some(error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?.code())
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        const CORRUPT: u32 = 11;
        const FULL: u32 = 13;
        const NOT_A_DATABASE: u32 = 26;
        const DISK_FULL: &str = "53100";
        const DATA_CORRUPTED: &str = "XX001";
        const INDEX_CORRUPTED: &str = "XX002";
        match (sqlite_code(&error), sql_state(&error), &error) {
            (Some(FULL), ..) | (_, Some(DISK_FULL), _) => Self::Full,
            (Some(CORRUPT | NOT_A_DATABASE), ..)
            | (_, Some(DATA_CORRUPTED | INDEX_CORRUPTED), _)
            | (.., sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_)) => {
                Self::Damaged(error.to_string())
            }
            (.., sqlx::Error::PoolClosed) => Self::Stopped,
            _ => Self::Database(Box::new(error)),
        }
    }
}

/// Of a specification that was stored: none that a caller sent is read so.
impl From<CanonicalError> for StoreError {
    fn from(error: CanonicalError) -> Self {
        Self::Damaged(error.to_string())
    }
}
