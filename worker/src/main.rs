//! `transect-worker`: the daemon that owns one device, and, as its hidden subcommand, the executor that it starts.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use transect_common::telemetry::{self, Logs};
use transect_worker::{daemon, executor};

/// Works for a Transect coordinator: trains runs and takes probes on one device.
///
/// SIGTERM or Ctrl-C: sends what was measured, gives the work in hand back, and leaves. A second one leaves at once.
#[derive(Debug, Parser)]
#[command(name = "transect-worker", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    daemon: Daemon,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Computes; started by the daemon, which speaks to it over its standard input and output.
    #[command(hide = true)]
    Executor(Executor),
}

#[derive(Debug, Args)]
struct Executor {
    #[arg(long)]
    device: String,
    #[arg(long)]
    threads: u32,
    /// The daemon's process id: where it is gone already, there is nothing to do.
    #[arg(long)]
    parent: i32,
}

#[derive(Debug, Args)]
struct Daemon {
    /// The coordinator's address.
    #[arg(long, env = "TRANSECT_COORDINATOR", value_name = "URL", default_value = "http://127.0.0.1:7700")]
    coordinator: String,
    /// The device to compute on: cpu or cuda:N. A device that is missing is an error.
    #[arg(long, env = "TRANSECT_DEVICE", default_value = "cpu")]
    device: String,
    /// State folder, under which data and cache lie unless said otherwise.
    #[arg(long, env = "TRANSECT_HOME", value_name = "DIR", default_value = ".transect")]
    home: PathBuf,
    /// Folder with the data sets [default: HOME/data].
    #[arg(long, env = "TRANSECT_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder for cached checkpoints [default: HOME/cache].
    #[arg(long, env = "TRANSECT_CACHE", value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Bytes of checkpoints to keep there at most.
    #[arg(long, env = "TRANSECT_CACHE_BYTES", value_name = "N", default_value_t = 2 << 30)]
    cache_bytes: u64,
    /// Threads to compute with [default: one for each core]. Give workers on one machine each their share.
    #[arg(long, env = "TRANSECT_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Leave when process PID ends, which must be the one that starts this one, from a thread that stays.
    #[arg(long, value_name = "PID")]
    exit_with_parent: Option<i32>,
    /// Write the log as JSON lines.
    #[arg(long)]
    log_json: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.role {
        Some(Role::Executor(executor)) => run_executor(&executor),
        None => run_daemon(cli.daemon),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Has the kernel end this process when its `parent` ends. False when that has ended already.
fn tie_to(parent: i32) -> anyhow::Result<bool> {
    set_pdeathsig(Signal::SIGKILL).context("the kernel will not tie this process to its parent")?;
    Ok(nix::unistd::getppid().as_raw() == parent)
}

fn run_executor(args: &Executor) -> anyhow::Result<()> {
    if !tie_to(args.parent)? {
        return Ok(());
    }
    executor::run(&args.device, args.threads)
}

fn run_daemon(args: Daemon) -> anyhow::Result<()> {
    if let Some(parent) = args.exit_with_parent
        && !tie_to(parent)?
    {
        return Ok(());
    }
    let logs = Logs { program: "transect-worker", json: args.log_json, ansi: false };
    // Kept until the end: then the last spans are sent.
    let _telemetry = telemetry::start(logs, std::io::stderr)?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let config = daemon::Config {
        coordinator: args.coordinator,
        device: args.device,
        data: args.data.unwrap_or_else(|| args.home.join("data")),
        cache: args.cache.unwrap_or_else(|| args.home.join("cache")),
        cache_bytes: args.cache_bytes,
        threads: args.threads.unwrap_or(cores),
    };
    // One thread: the executor's life is tied to the thread that starts it, and the daemon only waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(config))
}
