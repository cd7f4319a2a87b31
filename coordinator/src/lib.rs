//! The Transect coordinator: a stateless gRPC front of one database and one artifact store.
//!
//! [`start`] serves from within any program; `transect-coordinator` is that and signals. Invariant: everything that is
//! known is in the home folder, or where it was told to keep the database and artifacts, so a coordinator may be killed at any
//! moment and started again without loss.

#![allow(clippy::duplicate_mod, reason = "store/sql is compiled once for each database")]

pub mod artifacts;
mod clock;
mod config;
mod embed;
pub mod home;
mod http;
mod maintenance;
mod metrics;
pub mod security;
mod server;
mod services;
mod status;
pub mod store;

pub use clock::Clock;
pub use config::{Config, GRPC_PORT, HTTP_PORT, StartError};
pub use embed::Embedded;
pub use server::{Coordinator, start};
