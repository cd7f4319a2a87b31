//! `transect-bench`: our side of the benchmarks of training and of probes. Each command loads what it needs, works once to
//! warm up, measures the library's call alone, and prints one JSON object. `bench/run.py` compares it with its peers.

mod lines;
mod peak;
mod runs;
mod subject;
mod train;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "transect-bench", about = "Measures the worker's library and prints JSON; see bench/run.py")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Seconds of the lines of a run
    Lines(lines::Lines),
    /// What this machine can do at most
    Peak(peak::Peak),
    /// Seconds of an epoch of training
    Train(train::Train),
    /// What a peer needs to train the same runs as a sweep
    Runs(runs::Runs),
}

fn main() -> anyhow::Result<()> {
    let measured = match Cli::parse().command {
        Command::Lines(lines) => lines.measure()?,
        Command::Peak(peak) => peak.measure(),
        Command::Train(train) => train.measure()?,
        Command::Runs(runs) => runs.write()?,
    };
    println!("{measured}");
    Ok(())
}
