//! `transect-worker`: the daemon that owns one device, and, as its hidden subcommand, the executor that it starts.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal};
use transect_common::client::{Access, AccessFiles, Endpoints};
use transect_common::telemetry::{self, Logs};
use transect_worker::daemon::{self, Left, Slots};
use transect_worker::executor;
use transect_worker::probe::Evaluator;

/// Works for a Transect coordinator: trains runs and takes probes on one device.
///
/// SIGTERM or Ctrl-C: leaves a snapshot of a training, sends what was measured, gives the work in hand back, and leaves.
/// A second one leaves at once. SIGUSR1: finishes the work in hand and leaves.
#[derive(Debug, Parser)]
#[command(name = "transect-worker", version, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    daemon: Daemon,
}

const AFTER_HELP: &str = "\
Exit codes:
    0  left in order: asked to, out of time, or without work for --idle-exit
    1  could not begin or go on: the device, a folder, or a coordinator that refuses
    2  wrong usage
  143  asked twice: left at once, its leases run out by themselves";

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
    #[arg(long)]
    evaluator: Evaluator,
    /// The daemon's process id: where it is gone already, there is nothing to do.
    #[arg(long)]
    parent: i32,
}

/// What the worker shows to coordinators, and whom it trusts.
#[derive(Debug, Args)]
struct AccessArgs {
    /// File with the token to show to the coordinator, with the scope `work`; without it, TRANSECT_TOKEN is one.
    #[arg(long, env = "TRANSECT_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Authority of the coordinator's certificate (PEM), for https:// addresses; without it, those that the system trusts.
    #[arg(long, env = "TRANSECT_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Certificate to show to the coordinator (PEM), with --tls-client-key.
    #[arg(long, env = "TRANSECT_TLS_CLIENT_CERT", value_name = "FILE")]
    tls_client_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, env = "TRANSECT_TLS_CLIENT_KEY", value_name = "FILE")]
    tls_client_key: Option<PathBuf>,
}

impl AccessArgs {
    fn read(&self) -> anyhow::Result<Access> {
        let files = AccessFiles {
            token: self.token_file.clone(),
            ca: self.tls_ca.clone(),
            cert: self.tls_client_cert.clone(),
            key: self.tls_client_key.clone(),
        };
        Ok(Access::read(&files, std::env::var("TRANSECT_TOKEN").ok().as_deref())?)
    }
}

#[derive(Debug, Args)]
struct Daemon {
    /// A coordinator's address. Several that share one store: with commas between, or given again; when one is away, the
    /// worker moves to the next.
    #[arg(
        long,
        env = "TRANSECT_COORDINATOR",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:7700"
    )]
    coordinator: Vec<String>,
    #[command(flatten)]
    access: AccessArgs,
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
    /// Threads to compute with [default: one for each core, shared out among --slots]. Give workers on one machine each their share.
    #[arg(long, env = "TRANSECT_THREADS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Groups of jobs to work on side by side, each in an executor of its own with --threads threads; `auto`: a second
    /// while jobs take less than a second.
    #[arg(long, env = "TRANSECT_SLOTS", value_name = "N|auto", default_value = "1")]
    slots: Slots,
    /// What measures lines: `group` computes each thing once; `plain` goes line by line, alpha by alpha, and is there to check
    /// any result. Both give the same points, to rounding.
    #[arg(long, env = "TRANSECT_EVALUATOR", value_name = "NAME", default_value = "group")]
    evaluator: Evaluator,
    /// A word that jobs may ask for, such as a100 or zone=b (letters, digits and - _ . =, at most 32). May be given again.
    #[arg(long = "label", env = "TRANSECT_LABELS", value_name = "WORD", value_delimiter = ',', value_parser = label)]
    labels: Vec<String>,
    /// Seconds between two snapshots of a training, from which another worker goes on; 0: only when this one stops.
    #[arg(long, env = "TRANSECT_SNAPSHOT_SECONDS", value_name = "N", default_value_t = 300)]
    snapshot_seconds: u32,
    /// Seconds from SIGTERM until this worker is gone, in which it leaves a snapshot and sends what was measured.
    #[arg(long, env = "TRANSECT_GRACE_SECONDS", value_name = "N", default_value_t = 25,
          value_parser = clap::value_parser!(u32).range(1..=3600))]
    grace_seconds: u32,
    /// Be gone so long after the start, such as 3h50m: work is given back --grace-seconds before, and no job is taken that
    /// neither fits nor can be taken up by another worker.
    #[arg(long, env = "TRANSECT_TIME_LIMIT", value_name = "DURATION", value_parser = humantime::parse_duration)]
    time_limit: Option<Duration>,
    /// Leave when there was no work for so long, such as 10m.
    #[arg(long, env = "TRANSECT_IDLE_EXIT", value_name = "DURATION", value_parser = humantime::parse_duration)]
    idle_exit: Option<Duration>,
    /// Wait so long for an artifact store that is full or fails before the job's attempt fails.
    #[arg(long, env = "TRANSECT_STORE_PATIENCE", value_name = "DURATION", default_value = "30m",
          value_parser = humantime::parse_duration)]
    store_patience: Duration,
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
        Some(Role::Executor(executor)) => run_executor(&executor).map(|()| Left::InOrder),
        None => run_daemon(cli.daemon),
    };
    match done {
        Ok(Left::InOrder) => ExitCode::SUCCESS,
        // As a process that SIGTERM ended.
        Ok(Left::AtOnce) => ExitCode::from(143),
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
    // Slurm and others send a signal to every process of a job. What it means is the daemon's to say, through the pipe: an
    // executor that a signal ended would leave no snapshot. Threads that start later inherit this.
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1])
        .thread_block()
        .context("signals cannot be held back")?;
    executor::run(&args.device, args.threads, args.evaluator)
}

/// Reads a label.
fn label(text: &str) -> Result<String, String> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
    if (1..=32).contains(&text.len()) && text.chars().all(is_letter) {
        Ok(text.to_owned())
    } else {
        Err("a label is 1 to 32 letters, digits and the signs - _ . =".to_owned())
    }
}

fn run_daemon(args: Daemon) -> anyhow::Result<Left> {
    if let Some(parent) = args.exit_with_parent
        && !tie_to(parent)?
    {
        return Ok(Left::InOrder);
    }
    let grace = Duration::from_secs(args.grace_seconds.into());
    if let Some(limit) = args.time_limit
        && limit <= grace
    {
        bail!(
            "--time-limit is {limit:?}, of which --grace-seconds keeps {grace:?} for leaving: nothing is left to work in"
        );
    }
    let logs = Logs { program: "transect-worker", json: args.log_json, ansi: false };
    // Kept until the end: then the last spans are sent.
    let _telemetry = telemetry::start(logs, std::io::stderr)?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let config = daemon::Config {
        coordinators: Endpoints::parse(&args.coordinator)?.with(&args.access.read()?)?,
        device: args.device,
        data: args.data.unwrap_or_else(|| args.home.join("data")),
        cache: args.cache.unwrap_or_else(|| args.home.join("cache")),
        cache_bytes: args.cache_bytes,
        threads: args.threads.unwrap_or((cores / args.slots.sharing()).max(1)),
        slots: args.slots,
        evaluator: args.evaluator.name(),
        labels: args.labels,
        snapshot_every: Duration::from_secs(args.snapshot_seconds.into()),
        grace,
        time_limit: args.time_limit,
        idle_exit: args.idle_exit,
        store_patience: args.store_patience,
    };
    // One thread: the executor's life is tied to the thread that starts it, and the daemon only waits.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(config))
}
