//! Leases that ran out: their jobs are free again.

use tracing::warn;

use crate::services::Shared;
use crate::store::{StoreError, Timestamp};

/// Queues the jobs whose leases have run out at `now`.
pub async fn expire(shared: Shared, now: Timestamp) -> Result<(), StoreError> {
    let expired = shared.store.expire(now).await?;
    shared.metrics.add_leases_expired(expired.len() as u64);
    for lease in expired {
        warn!(
            job = lease.job.0,
            attempt = lease.attempt.0,
            "a lease ran out: its worker fell silent; the job is free again"
        );
    }
    Ok(())
}
