//! A real coordinator on a free port and a temporary home, driven over the wire by the generated clients.

mod artifacts;
mod harness;
mod imports;
mod process;
mod reflection;
mod server;
mod sweeps;
mod watching;
mod workers;
