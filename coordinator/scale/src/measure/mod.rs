//! What is measured, a file for each of the figures that docs/scale.md explains.

pub mod cost;
pub mod idle;
pub mod lease;
pub mod soak;
pub mod status;
pub mod submit;
pub mod throughput;
