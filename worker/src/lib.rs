//! What a Transect worker computes: data sets, networks over one parameter vector, training, and probes.
//!
//! Invariants: `daemon` knows nothing of tensors; `nn`, `data`, `train` and `probe` know nothing of gRPC. They meet in
//! `executor`. Every random number is a pure function of (seed, purpose, index), from `random`.

pub mod daemon;
pub mod data;
pub mod executor;
pub(crate) mod host;
mod kernel;
pub mod nn;
mod openmp;
pub mod probe;
pub mod random;
pub mod sources;
pub mod train;

/// The work was asked to stop; not an error of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asked to stop")]
pub struct Stop;
