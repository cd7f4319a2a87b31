//! The `transect` command.

mod plot;

fn main() {}
