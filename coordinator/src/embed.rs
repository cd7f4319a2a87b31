//! The services without a server: requests go in and answers come out as values, with no socket, thread or timer, so that
//! a simulation can carry them through a network of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use transect_common::pb::sweep_service_server::SweepServiceServer;
use transect_common::pb::worker_service_server::{self, WorkerServiceServer};

use crate::artifacts::Artifacts;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::security::{Gate, Limits, Who};
use crate::services::{Shared, sweeps, workers};
use crate::store::Store;

/// The services of one coordinator. Clones are the same coordinator.
#[derive(Debug, Clone)]
pub struct Embedded {
    sweeps: SweepServiceServer<sweeps::Service>,
    workers: WorkerServiceServer<workers::Service>,
}

impl Embedded {
    /// Services over a store, with a clock and leases of this length.
    pub fn new(store: Arc<dyn Store>, artifacts: Artifacts, clock: Clock, lease: Duration) -> Self {
        let (metrics, stop, work) = (Metrics::new(), CancellationToken::new(), TaskTracker::new());
        // Nobody is asked who they are: that is decided before a request reaches a service.
        let gate = Gate::new(Who::Anyone, Limits::default(), store.clone());
        let shared = Shared { store, artifacts, metrics, clock, gate, lease, stop, work };
        Self {
            sweeps: SweepServiceServer::new(sweeps::Service::new(shared.clone())),
            workers: WorkerServiceServer::new(workers::Service::new(shared)),
        }
    }

    /// Answers one request to the worker or the sweep service.
    pub async fn call(mut self, request: http::Request<Body>) -> http::Response<Body> {
        let is_worker = request.uri().path().trim_start_matches('/').starts_with(worker_service_server::SERVICE_NAME);
        let answer: Result<_, Infallible> =
            if is_worker { self.workers.call(request).await } else { self.sweeps.call(request).await };
        match answer {
            Ok(answer) => answer,
        }
    }
}
