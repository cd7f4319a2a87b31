//! Work on a database in a task of its own: it ends even if the caller does not wait for it.
//!
//! A handler that is dropped half-way through `begin` would leave its connection inside a transaction, and the next
//! borrower of the connection would work in it.

use std::future::Future;

use tracing::Instrument;

use super::{Result, StoreError};

/// Runs `work` in a task of its own.
pub(super) async fn apart<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|error| {
        if error.is_panic() {
            tracing::error!(%error, "a database task panicked; its transaction was rolled back");
        }
        Err(StoreError::Stopped)
    })
}
