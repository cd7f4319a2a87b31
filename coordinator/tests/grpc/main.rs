//! A real coordinator on a free port and a temporary home, driven over the wire by the generated clients.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod artifacts;
mod graph;
mod harness;
mod imports;
mod process;
mod reflection;
mod server;
mod sweeps;
mod upgrade;
mod watching;
mod workers;
