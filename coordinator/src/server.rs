//! Starting, serving and stopping.
//!
//! A coordinator stops in this order: it is no longer ready and leases nothing, long polls and endless streams end, open
//! requests finish, open writes finish, the database is closed, the home is let go.

use std::future::ready;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::middleware::from_fn_with_state;
use futures::future::Either;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};
use transect_common::pb::admin_service_server::{self, AdminServiceServer};
use transect_common::pb::artifact_service_server::{self, ArtifactServiceServer};
use transect_common::pb::sweep_service_server::{self, SweepServiceServer};
use transect_common::pb::worker_service_server::{self, WorkerServiceServer};

use crate::artifacts::{Artifacts, Location};
use crate::clock::Clock;
use crate::config::{Config, StartError};
use crate::home::{Home, HomeLock};
use crate::http;
use crate::maintenance;
use crate::metrics::{Metrics, count_call};
use crate::security::{Gate, Incoming, Patience, Peer, Policy, Reloading, Security, ServerSide, TlsError, Who, guard};
use crate::services::{Shared, admin, artifacts, sweeps, workers};
use crate::store::{Store, StoreError, Terms};

/// Largest message that is received. Sweep files have at most 1 MiB and chunks of artifacts likewise; what is above that
/// and below this limit is answered with a sentence rather than with a cut stream.
const MAX_REQUEST_BYTES: usize = 8 << 20;
/// Where nothing large is asked.
const SMALL_REQUEST_BYTES: usize = 64 << 10;
/// Connections to the pages at once, and how long each may last.
const MOST_PAGES: usize = 200;
const PAGE: Duration = Duration::from_mins(1);
/// A connection that is silent for this long is asked for a sign of life ...
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// ... and closed when it gives none for this long.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests that are open may take to finish once the coordinator stops.
const GRACE: Duration = Duration::from_secs(10);

/// Names under which the health service knows us; the empty one stands for all.
const HEALTH_NAMES: [&str; 5] = [
    "",
    admin_service_server::SERVICE_NAME,
    sweep_service_server::SERVICE_NAME,
    worker_service_server::SERVICE_NAME,
    artifact_service_server::SERVICE_NAME,
];

/// A coordinator that serves. Dropping it begins to stop it; [`Coordinator::shutdown`] also waits until it has stopped.
#[derive(Debug)]
pub struct Coordinator {
    address: SocketAddr,
    http_address: Option<SocketAddr>,
    stop: DropGuard,
    serving: JoinHandle<()>,
    shared: Shared,
}

impl Coordinator {
    /// Where the gRPC services answer.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the HTTP pages are, when they are served.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http_address
    }

    /// Returns once the store has answered, if only with an error, and a blocking thread came to its turn: the process is
    /// alive in more than name. That a database is away is for `/readyz` to say; a restart would not bring it back.
    pub async fn answers(&self) {
        let _ = self.shared.store.ping().await;
        let _ = tokio::task::spawn_blocking(|| ()).await;
    }

    /// Returns when the server ends by itself, because it cannot go on.
    pub async fn ended(&self) {
        self.shared.stop.cancelled().await;
    }

    /// Stops leasing, ends streams, finishes open writes, and lets go of the home.
    pub async fn shutdown(self) {
        drop(self.stop);
        if let Err(error) = self.serving.await {
            error!(%error, "the server ended badly");
        }
    }
}

/// Starts a coordinator: takes the home, listens, opens the store, and serves in tasks of its own.
pub async fn start(config: Config) -> Result<Coordinator, StartError> {
    config.check()?;
    let policy = config.security.policy(config.listen, config.http).map_err(StartError::Config)?;
    let Config { home, store: place, listen, http, lease, artifacts, gc, max_attempts, security } = config;
    let tls = Tls::open(&security, policy).await?;
    let (home, mut lock) = take(home).await?;
    let grpc = bind("gRPC", listen, "--listen").await?;
    let http = match http {
        Some(address) => Some(bind("HTTP", address, "--http").await?),
        None => None,
    };
    let keeps_elsewhere = artifacts.is_some();
    let location = artifacts.unwrap_or_else(|| Location::Folder(home.artifacts()));
    let artifacts = Artifacts::open(location, &home.artifacts().join("tmp")).await?;
    let store = Box::pin(place.open(&home.database(), Terms { lease, max_attempts })).await?;
    store.resume(SystemTime::now().into()).await?;
    let address = grpc.local_addr().map_err(|source| bind_error("gRPC", listen, "--listen", source))?;
    let http_address = http.as_ref().and_then(|listener| listener.local_addr().ok());
    lock.publish(reachable(address), keeps_elsewhere, security.tls.is_some())?;

    let stop = CancellationToken::new();
    let work = TaskTracker::new();
    let gate = Gate::new(policy.who, security.limits, store.clone());
    tell(policy, &*store).await;
    let (metrics, clock) = (Metrics::new(), Clock::machine());
    let shared = Shared { store, artifacts, metrics, clock, gate, lease, stop: stop.clone(), work };
    let most = security.limits.connections;
    let listening = |source| bind_error("gRPC", listen, "--listen", source);
    let grpc = Incoming::open(grpc, tls.grpc, most, Patience::Greeting).map_err(listening)?;
    let http = http.map(|listener| Incoming::open(listener, tls.pages, MOST_PAGES, Patience::Life(PAGE))).transpose();
    let http = http.map_err(listening)?.map(|pages| (pages, policy.pages_ask));
    info!(%address, http = http_address.map(tracing::field::display), home = %home.path().display(), "serving");
    let serving = tokio::spawn(serve(shared.clone(), gc, grpc, http, lock));
    Ok(Coordinator { address, http_address, stop: stop.drop_guard(), serving, shared })
}

/// The certificates of the listeners, as far as they have any.
struct Tls {
    grpc: Option<Arc<Reloading>>,
    pages: Option<Arc<Reloading>>,
}

impl Tls {
    /// Reads the files, where that may block.
    async fn open(security: &Security, policy: Policy) -> Result<Self, StartError> {
        let Some(files) = security.tls.clone() else { return Ok(Self { grpc: None, pages: None }) };
        let read = tokio::task::spawn_blocking(move || {
            let grpc = ServerSide { protocol: "h2", certificate_is_optional: false };
            let pages = ServerSide { protocol: "http/1.1", certificate_is_optional: true };
            let pages = policy.pages_tls.then(|| Reloading::open(files.clone(), pages)).transpose()?;
            Ok::<_, TlsError>(Self { grpc: Some(Reloading::open(files, grpc)?), pages })
        });
        Ok(read.await.map_err(|_| StartError::Store(StoreError::Stopped))??)
    }
}

/// Says what an operator should know of who may call.
async fn tell(policy: Policy, store: &dyn Store) {
    if policy.is_exposed {
        warn!(
            "--insecure: other machines reach this coordinator, nothing is encrypted, and secrets can be read on the way"
        );
    }
    if policy.who.need_token() && store.tokens().await.is_ok_and(|tokens| tokens.is_empty()) {
        warn!(
            "callers need a token and there is none yet: make the first with `transect token create NAME --scope admin`"
        );
    }
    if policy.who != Who::Anyone {
        info!(who = ?policy.who, "callers are asked who they are");
    }
}

/// Files are locked and folders made where it may block.
async fn take(path: std::path::PathBuf) -> Result<(Home, HomeLock), StartError> {
    let taken = tokio::task::spawn_blocking(move || {
        let home = Home::open(&path)?;
        let lock = home.lock()?;
        Ok((home, lock))
    });
    taken.await.map_err(|_| StartError::Store(StoreError::Stopped))?
}

async fn bind(what: &'static str, address: SocketAddr, option: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| bind_error(what, address, option, source))
}

fn bind_error(what: &'static str, address: SocketAddr, option: &'static str, source: std::io::Error) -> StartError {
    match source.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortInUse { what, address, option },
        _ => StartError::Bind { what, address, option, source },
    }
}

/// Where a program on this machine finds a server that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

async fn serve(shared: Shared, gc: Option<Duration>, grpc: Incoming, http: Option<(Incoming, bool)>, lock: HomeLock) {
    let health = HealthReporter::new();
    set_health(&health, ServingStatus::Serving).await;

    let maintenance = tokio::spawn(maintenance::maintain(shared.clone(), gc));
    let pages_stop = CancellationToken::new();
    let pages = match http {
        Some((listener, ask)) => {
            let stopped = pages_stop.clone().cancelled_owned();
            let pages = http::pages(shared.clone(), ask).into_make_service_with_connect_info::<Peer>();
            let server = axum::serve(listener, pages).with_graceful_shutdown(stopped);
            Either::Left(server.into_future())
        }
        None => Either::Right(ready(Ok(()))),
    };
    let pages = tokio::spawn(pages);

    let services = tokio::spawn(services(shared.clone(), grpc, health.clone()));
    let mut services = services;
    tokio::select! {
        () = shared.stop.cancelled() => {}
        // It only ends by itself when it cannot go on.
        ended = &mut services => {
            error!(?ended, "the gRPC server ended");
            shared.stop.cancel();
        }
    }
    info!("stopping");
    set_health(&health, ServingStatus::NotServing).await;
    end_health_streams(health).await;
    if !services.is_finished() && timeout(GRACE, &mut services).await.is_err() {
        warn!("some requests did not finish within {GRACE:?} and are cut off");
        services.abort();
    }
    pages_stop.cancel();
    let pages_abort = pages.abort_handle();
    if timeout(GRACE, pages).await.is_err() {
        pages_abort.abort();
    }
    if let Err(error) = maintenance.await {
        error!(%error, "maintenance ended badly");
    }
    shared.work.close();
    shared.work.wait().await;
    shared.store.close().await;
    drop(lock);
    info!("stopped");
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Watchers of the health service see the last status and then the end of their stream.
async fn end_health_streams(mut health: HealthReporter) {
    for name in HEALTH_NAMES {
        health.clear_service_status(name).await;
    }
}

/// The gRPC services, until the coordinator stops.
async fn services(shared: Shared, incoming: Incoming, health: HealthReporter) {
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    let valid = "the descriptors were made by the build";
    let (v1, v1alpha) = (reflection().build_v1().expect(valid), reflection().build_v1alpha().expect(valid));
    let routes = Routes::new(
        SweepServiceServer::new(sweeps::Service::new(shared.clone())).max_decoding_message_size(MAX_REQUEST_BYTES),
    )
    .add_service(
        WorkerServiceServer::new(workers::Service::new(shared.clone())).max_decoding_message_size(MAX_REQUEST_BYTES),
    )
    .add_service(
        ArtifactServiceServer::new(artifacts::Service::new(shared.clone()))
            .max_decoding_message_size(MAX_REQUEST_BYTES),
    )
    .add_service(
        AdminServiceServer::new(admin::Service::new(shared.clone())).max_decoding_message_size(SMALL_REQUEST_BYTES),
    )
    .add_service(tonic_health::pb::health_server::HealthServer::new(health))
    .add_service(v1)
    .add_service(v1alpha);
    let guarded = routes.prepare().into_axum_router().layer(from_fn_with_state(shared.gate.clone(), guard));
    let counted = guarded.layer(from_fn_with_state(shared.metrics.clone(), count_call));
    let served = Server::builder()
        .max_concurrent_streams(shared.gate.limits().streams)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .add_routes(Routes::from(counted))
        .serve_with_incoming_shutdown(incoming, shared.stop.clone().cancelled_owned());
    if let Err(error) = served.await {
        error!(error = &error as &dyn std::error::Error, "the gRPC server failed");
    }
}

/// Reflection over our services, health, reflection itself in both versions, and the types of error details.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(transect_common::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET)
        .include_reflection_service(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_found_on_this_machine() {
        assert_eq!(reachable("0.0.0.0:7700".parse().unwrap()).to_string(), "127.0.0.1:7700");
        assert_eq!(reachable("[::]:7700".parse().unwrap()).to_string(), "127.0.0.1:7700");
        assert_eq!(reachable("10.0.0.1:7700".parse().unwrap()).to_string(), "10.0.0.1:7700");
    }
}
