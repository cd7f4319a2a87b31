//! Who may talk to a coordinator: real processes, real certificates, real refusals.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod authority;
mod process;
mod secrets;
mod tls;
mod tokens;
mod workers;
