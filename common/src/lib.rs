//! Transect's words and pure functions: what a sweep file means, what a run is, which layers a mask moves, what a
//! line's shape is called, and the messages that the parts exchange.
//!
//! Invariants: nothing in this crate but `client` and `telemetry` does I/O or reads a clock, and nothing draws a random
//! number or links libtorch. Data in, data out.

pub mod assignment;
pub mod checkpoint;
pub mod client;
pub mod data;
pub mod digest;
pub mod job;
pub mod line;
pub mod mask;
pub mod model;
pub mod permute;
pub mod refine;
pub mod run;
pub mod schedule;
pub mod shape;
pub mod stats;
pub mod sweep;
pub mod telemetry;

#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
mod transect {
    pub mod v1 {
        tonic::include_proto!("transect.v1");
    }
    pub mod executor {
        pub mod v1 {
            tonic::include_proto!("transect.executor.v1");
        }
    }
}

/// What the two processes of a worker say to each other, generated from `proto/transect/executor/v1`.
pub use transect::executor::v1 as executor_pb;
/// Messages and services of `transect.v1`, generated from `proto/transect/v1`.
pub use transect::v1 as pb;

/// The encoded descriptor set of every proto file, for reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
