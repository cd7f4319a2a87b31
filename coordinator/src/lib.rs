//! The Transect coordinator: a stateless gRPC front of one database and one artifact store.
//!
//! [`start`] serves from within any program; `transect-coordinator` is that and signals. Invariant: everything that is
//! known is in the home folder, or where it was told to keep artifacts, so a coordinator may be killed at any moment and started again without loss.

pub mod artifacts;
mod config;
pub mod home;
mod http;
mod maintenance;
mod metrics;
pub mod security;
mod server;
mod services;
mod status;
pub mod store;

pub use config::{Config, GRPC_PORT, HTTP_PORT, StartError};
pub use server::{Coordinator, start};
