//! The gRPC services, one file each: they translate a request, call the store, and translate its answer back.
//!
//! Invariant: no service holds state of its own, so several coordinators could serve one database.

pub mod admin;
mod along;
pub mod artifacts;
mod imports;
mod paging;
mod plan;
mod reports;
pub mod sweeps;
mod translate;
mod waiting;
mod watch;
pub mod workers;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Extensions, Status};

use crate::artifacts::Artifacts;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::security::{Gate, Principal};
use crate::status::{internal, invalid};
use crate::store::{Store, Timestamp, WorkerId};

/// What every service has. Clones share it.
#[derive(Clone)]
pub struct Shared {
    /// Everything that is known.
    pub store: Arc<dyn Store>,
    /// Checkpoints.
    pub artifacts: Artifacts,
    /// What is counted.
    pub metrics: Metrics,
    /// The time.
    pub clock: Clock,
    /// Who may speak for whom.
    pub gate: Gate,
    /// Length of a lease.
    pub lease: Duration,
    /// Cancelled when the coordinator stops: long polls and endless streams end, nothing is leased any more.
    pub stop: CancellationToken,
    /// Work that must end before the process does.
    pub work: TaskTracker,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("artifacts", &self.artifacts).finish_non_exhaustive()
    }
}

impl Shared {
    /// The worker that a request names, if its caller may speak for it.
    async fn worker(&self, caller: &Extensions, name: &str) -> Result<WorkerId, Status> {
        let worker: WorkerId = name
            .parse()
            .map_err(|()| invalid("worker_id", format!("`{name}` is no worker id such as `w-3`; register first")))?;
        if let Some(principal) = caller.get::<Principal>() {
            self.gate.speaks_for(principal, worker).await?;
        }
        Ok(worker)
    }

    /// Computes something that takes long enough to hold up other requests.
    async fn compute<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
        // A simulation has one thread and no runtime, so that nothing can overtake anything: it computes on the spot.
        if Handle::try_current().is_err() {
            return Ok(what());
        }
        self.work.spawn_blocking(what).await.map_err(|e| internal(&e))
    }

    /// The time, read once at the start of each request and passed down.
    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
