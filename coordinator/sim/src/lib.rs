//! Histories of a cluster under faults, each decided by one seed: the real services of one to three coordinators over one
//! store in memory, workers and users that speak gRPC to them through a network that delays, loses, repeats and reorders,
//! with partitions, crashes, frozen machines, clocks that differ, and a store that fails before or after it wrote.
//!
//! After every write, and at the end of each history, the invariants of `check.rs` and `history.rs` are looked at.
//! docs/reliability.md says what is promised by them.

mod blobs;
mod check;
mod history;
mod network;
mod random;
mod scheduler;
mod store;
mod truth;
mod user;
mod worker;
mod world;

pub use check::sound;
pub use history::{Outcome, play};
