//! What everybody in a history shares.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::Status;
use transect_common::pb::JobAttempt;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;

use super::blobs::Blobs;
use super::network::{Network, Way};
use super::scheduler::{Group, Sim};
use super::store::Watched;

/// Milliseconds of a lease.
pub const LEASE: u64 = 10_000;
/// A call is given up after so long.
pub const PATIENCE: u64 = 10_000;

/// Clones are the same world.
#[derive(Clone)]
pub struct World {
    /// Time, chance and tasks.
    pub sim: Sim,
    /// The network.
    pub network: Network,
    /// The database.
    pub store: Watched,
    /// The artifact store.
    pub blobs: Blobs,
    /// Leases that workers have had, oldest first.
    given: Arc<Mutex<Vec<JobAttempt>>>,
    is_rough: Arc<AtomicBool>,
}

impl World {
    /// A world in which nothing goes wrong yet.
    pub fn new(sim: Sim, store: Watched) -> Self {
        let network = Network::new(sim.clone());
        Self { sim, network, store, blobs: Blobs::default(), given: Arc::default(), is_rough: Arc::default() }
    }

    /// Whether things go wrong now.
    pub fn is_rough(&self) -> bool {
        self.is_rough.load(Ordering::Relaxed)
    }

    /// Begins or ends the time in which things go wrong.
    pub fn set_rough(&self, is_rough: bool) {
        self.is_rough.store(is_rough, Ordering::Relaxed);
        self.network.set_rough(is_rough);
        self.store.set_rough(is_rough);
    }

    /// Notes a lease, so that a worker gone wrong can take it for its own.
    pub fn was_given(&self, job: JobAttempt) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).push(job);
    }

    /// One of the last leases that anybody was given.
    pub fn some_lease(&self) -> Option<JobAttempt> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let back = self.sim.between(1, 10) as usize;
        given.len().checked_sub(back).map(|place| given[place])
    }

    /// The worker service of some coordinator.
    pub fn workers(&self, from: Group) -> WorkerServiceClient<Way> {
        WorkerServiceClient::new(self.network.way(from))
    }

    /// The sweep service of some coordinator.
    pub fn sweeps(&self, from: Group) -> SweepServiceClient<Way> {
        SweepServiceClient::new(self.network.way(from))
    }

    /// A call, given up when it takes too long.
    pub async fn call<T>(&self, call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Result<T, Status> {
        match self.sim.within(PATIENCE, call).await {
            Some(answer) => answer.map(tonic::Response::into_inner),
            None => Err(Status::deadline_exceeded("no answer in time")),
        }
    }
}
