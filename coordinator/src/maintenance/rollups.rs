//! Sweeps that ended: their books are closed, so that workers who look for work pass them by.

use tracing::debug;

use crate::services::Shared;
use crate::store::{StoreError, Timestamp};

/// Closes the books of sweeps that have nothing left to do.
pub async fn roll_up(shared: Shared, now: Timestamp) -> Result<(), StoreError> {
    let sweeps = shared.store.roll_up(now).await?;
    if sweeps > 0 {
        debug!(sweeps, "sweeps have ended");
    }
    Ok(())
}
