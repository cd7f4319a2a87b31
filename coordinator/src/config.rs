//! What a coordinator is told when it starts, and why it may refuse to.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::artifacts::{ArtifactError, LEAST_SAFE_GRACE, Location};
use crate::home::HomeError;
use crate::security::{Security, TlsError};
use crate::store::{StoreError, StorePlace};

/// Port of the gRPC services unless said otherwise.
pub const GRPC_PORT: u16 = 7700;
/// Port of the HTTP pages unless said otherwise.
pub const HTTP_PORT: u16 = 7701;

/// What a coordinator is told when it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// The home folder; made when it is missing.
    pub home: PathBuf,
    /// Where the database is.
    pub store: StorePlace,
    /// Where the gRPC services listen; port 0 takes any free port.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; None for not at all.
    pub http: Option<SocketAddr>,
    /// How long a lease lasts without a sign of life, 100 ms to an hour.
    pub lease: Duration,
    /// Where artifacts are kept; None for the folder `artifacts` of the home.
    pub artifacts: Option<Location>,
    /// Removes artifacts that nothing names, once a day, once they are so old; None for never.
    pub gc: Option<Duration>,
    /// Failed attempts, for reasons that lie in the machine, before a job is set aside; at least 1.
    pub max_attempts: u32,
    /// Who may talk to it.
    pub security: Security,
}

impl Config {
    /// The defaults, on `home`.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            store: StorePlace::Home,
            listen: (Ipv4Addr::LOCALHOST, GRPC_PORT).into(),
            http: Some((Ipv4Addr::LOCALHOST, HTTP_PORT).into()),
            lease: Duration::from_secs(30),
            artifacts: None,
            gc: None,
            max_attempts: 3,
            security: Security::default(),
        }
    }

    /// Says what is wrong with the settings.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if !(Duration::from_millis(100)..=Duration::from_hours(1)).contains(&self.lease) {
            return Err(StartError::Config(format!("a lease lasts 100 ms to an hour, not {:?}", self.lease)));
        }
        if self.gc.is_some_and(|grace| grace < LEAST_SAFE_GRACE) {
            return Err(StartError::Config("artifacts that nothing names are kept for at least 2 hours".to_owned()));
        }
        if self.max_attempts == 0 {
            return Err(StartError::Config("a job needs at least 1 attempt".to_owned()));
        }
        Ok(())
    }
}

/// Why a coordinator did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting out of range.
    #[error("{0}")]
    Config(String),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The home folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The place of artifacts cannot be used.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else listens there.
    #[error(
        "cannot serve {what} on {address}: the port is in use, perhaps by another coordinator. Stop that one, or choose another address with {option} (port 0 takes any free one)"
    )]
    PortInUse {
        /// `gRPC` or `HTTP`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The option that changes it.
        option: &'static str,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot serve {what} on {address}: {source}. Choose another address with {option}")]
    Bind {
        /// `gRPC` or `HTTP`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The option that changes it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
}
