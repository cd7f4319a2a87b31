//! The services without a server: requests go in and answers come out as values, with no socket, thread or timer, so that
//! a simulation can carry them through a network of its own.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::codegen::{Service as _, http};
use transect_common::pb::admin_service_server::{self, AdminServiceServer};
use transect_common::pb::artifact_service_server::{self, ArtifactServiceServer};
use transect_common::pb::sweep_service_server::SweepServiceServer;
use transect_common::pb::worker_service_server::{self, WorkerServiceServer};

use crate::artifacts::Artifacts;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::security::{Gate, Limits, Who};
use crate::services::{Shared, admin, artifacts, sweeps, workers};
use crate::store::Store;

/// The services of one coordinator. Clones are the same coordinator.
#[derive(Debug, Clone)]
pub struct Embedded {
    sweeps: SweepServiceServer<sweeps::Service>,
    workers: WorkerServiceServer<workers::Service>,
    artifacts: ArtifactServiceServer<artifacts::Service>,
    admin: AdminServiceServer<admin::Service>,
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
            workers: WorkerServiceServer::new(workers::Service::new(shared.clone())),
            artifacts: ArtifactServiceServer::new(artifacts::Service::new(shared.clone())),
            admin: AdminServiceServer::new(admin::Service::new(shared)),
        }
    }

    /// Answers one request to any of the services; one to none of them is the sweep service's, which does not know it.
    pub async fn call(mut self, request: http::Request<Body>) -> http::Response<Body> {
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        let answer: Result<_, Infallible> = match service {
            worker_service_server::SERVICE_NAME => self.workers.call(request).await,
            artifact_service_server::SERVICE_NAME => self.artifacts.call(request).await,
            admin_service_server::SERVICE_NAME => self.admin.call(request).await,
            _ => self.sweeps.call(request).await,
        };
        match answer {
            Ok(answer) => answer,
        }
    }
}
