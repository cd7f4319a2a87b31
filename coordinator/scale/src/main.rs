//! `transect-scale`: puts the load of a large cluster on a real coordinator and measures what comes of it.
//!
//! Invariants: what is measured is the program `transect-coordinator` as a process of its own, on a database of its own;
//! workers and users are simulated here and speak gRPC over sockets; a figure is noted once it is measured, so that one that
//! fails leaves the others.

mod coordinator;
mod load;
mod measure;
mod postgres;
mod process;
mod report;
mod stats;
mod sweep;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use coordinator::{Coordinator, Store};
use load::Load;
use measure::{cost, idle, lease, soak, status, submit, throughput};
use report::Report;
use sweep::POINTS;
use transect_common::pb::Sweep;

/// Measure a coordinator under the load of a large cluster.
#[derive(Debug, Parser)]
#[command(name = "transect-scale", version, about, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    alone: Option<Alone>,
    /// Databases, with commas between
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Store::Sqlite, Store::Postgres])]
    store: Vec<Store>,
    /// What to measure, with commas between
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    figure: Vec<Part>,
    /// Probe jobs of the large sweep
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..=1_100_000))]
    jobs: u64,
    /// Workers at work
    #[arg(long, default_value_t = 200)]
    workers: usize,
    /// Lines that a worker leases together at the steady rate
    #[arg(long, default_value_t = 8)]
    jobs_per_lease: u32,
    /// Milliseconds that a line takes at the steady rate
    #[arg(long, default_value_t = 1000)]
    job_ms: u64,
    /// Workers that wait
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Seconds of each measurement at a steady rate
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// Seconds of the soak
    #[arg(long, default_value_t = 120)]
    soak: u64,
    /// Seconds between two samples of the soak
    #[arg(long, default_value_t = 10)]
    sample: u64,
    /// Folder for databases; a temporary one unless given
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Figures as JSON lines: those measured now replace their older values
    #[arg(long, default_value = "bench/results/scale.jsonl")]
    out: PathBuf,
    /// Document whose table is written from them; `none` for no document
    #[arg(long, default_value = "docs/scale.md")]
    document: PathBuf,
    /// Date that figures carry; the machine's unless given
    #[arg(long, env = "TRANSECT_SCALE_DATE")]
    date: Option<String>,
}

/// What is measured by itself, and printed as one JSON object instead of a figure.
#[derive(Debug, Subcommand)]
enum Alone {
    /// Jobs or points that a coordinator takes in as fast as it can: leased, reported and on the disk
    Throughput(throughput::Wanted),
    /// Points that Postgres takes in by itself, from a file
    Copy(throughput::Copied),
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Storing the large sweep.
    Submit,
    /// What people and monitors ask for.
    Status,
    /// Leases and reports of many workers.
    Lease,
    /// Cost of a job by the length of the queue.
    Cost,
    /// Workers that wait.
    Idle,
    /// A steady load for long.
    Soak,
}

impl Part {
    const ALL: [Self; 6] = [Self::Submit, Self::Status, Self::Lease, Self::Cost, Self::Idle, Self::Soak];
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.alone {
        Some(Alone::Throughput(wanted)) => {
            return Box::pin(throughput::measure(wanted, folder(wanted.folder.as_deref())?.path())).await;
        }
        Some(Alone::Copy(wanted)) => return throughput::copy(wanted, folder(wanted.folder.as_deref())?.path()).await,
        None => {}
    }
    let machine = process::machine();
    println!("scale: {machine}; load {:.1} before it begins", process::load());
    let date = match &args.date {
        Some(date) => date.clone(),
        None => now(),
    };
    let folder = folder(args.folder.as_deref())?;
    for &store in &args.store {
        let mut report = Report::new(store.name(), &machine, &date);
        let measured = tokio::select! {
            measured = measure(&args, store, folder.path(), &mut report) => measured,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        };
        // What was measured is kept, whatever came after it.
        let figures = report::merge(report::read(&args.out)?, report.figures);
        report::write_lines(&args.out, &figures)?;
        if args.document != Path::new("none") {
            report::write_table(&args.document, &figures)?;
        }
        measured.with_context(|| format!("on {}", store.name()))?;
    }
    println!("scale: {}", args.out.display());
    Ok(())
}

/// A new folder for databases, in `parent` if there is one; gone when this is dropped.
fn folder(parent: Option<&Path>) -> anyhow::Result<tempfile::TempDir> {
    let folder = match parent {
        Some(parent) => {
            std::fs::create_dir_all(parent)?;
            tempfile::tempdir_in(parent)?
        }
        None => tempfile::tempdir()?,
    };
    // The server's user has to reach what lies in it.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(folder)
}

fn now() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    transect_coordinator::store::Timestamp::from_millis(since.as_millis() as u64).to_string()
}

async fn measure(args: &Args, store: Store, folder: &Path, report: &mut Report) -> anyhow::Result<()> {
    let server = match store {
        Store::Sqlite => None,
        Store::Postgres => Some(postgres::Server::start(folder)?),
    };
    let server = server.as_ref();
    let wants = |part| args.figure.contains(&part);
    let jobs = args.jobs as usize;
    let steady = Load {
        workers: args.workers,
        jobs_per_lease: args.jobs_per_lease,
        jobs_per_report: 1,
        job: Duration::from_millis(args.job_ms),
        jobs: None,
        time: Duration::from_secs(args.seconds),
        until_empty: false,
    };
    let at_once =
        Load { jobs_per_lease: 64, job: Duration::ZERO, time: Duration::from_secs(args.seconds / 2), ..steady };
    let one_by_one = |sweep: &Sweep| Load {
        workers: args.workers.min(32),
        jobs_per_lease: 1,
        job: Duration::ZERO,
        // The queue keeps its length, more or less.
        jobs: Some((sweep.jobs as usize / 4).min(2000)),
        time: Duration::from_mins(2),
        ..steady
    };
    let mut costs = vec![];
    if wants(Part::Cost) {
        for part in [100, 10] {
            begin(store, "cost of a job");
            let coordinator = Coordinator::start(folder, server, &format!("cost{part}")).await?;
            let sweep = submit::quietly(&coordinator, "cost", jobs / part, POINTS).await?;
            costs.push(cost::measure(&coordinator, sweep.jobs as usize, one_by_one(&sweep), report).await?);
            coordinator.stop().await?;
        }
    }
    if args.figure.iter().any(|part| *part != Part::Idle) {
        begin(store, "a large sweep");
        let coordinator = Coordinator::start(folder, server, "large").await?;
        let sweep = if wants(Part::Submit) {
            submit::measure(&coordinator, jobs, report).await?
        } else {
            submit::quietly(&coordinator, "big", jobs, POINTS).await?
        };
        if wants(Part::Status) {
            begin(store, "status");
            status::measure(&coordinator, store, &sweep.sweep_id, report).await?;
        }
        if wants(Part::Cost) {
            begin(store, "cost of a job");
            costs.push(cost::measure(&coordinator, sweep.jobs as usize, one_by_one(&sweep), report).await?);
            cost::compare(&costs, report);
        }
        if wants(Part::Lease) {
            begin(store, "leases and reports");
            lease::measure(&coordinator, steady, at_once, report).await?;
        }
        if wants(Part::Soak) {
            begin(store, "soak");
            let load = Load { time: Duration::from_secs(args.soak), ..steady };
            soak::measure(&coordinator, load, Duration::from_secs(args.sample.max(1)), report).await?;
        }
        coordinator.stop().await?;
    }
    if wants(Part::Idle) {
        begin(store, "workers that wait");
        let coordinator = Coordinator::start(folder, server, "idle").await?;
        idle::measure(&coordinator, args.idle, Duration::from_secs(args.seconds / 2), report).await?;
        coordinator.stop().await?;
    }
    Ok(())
}

fn begin(store: Store, what: &str) {
    println!("scale: {}: {what} (load {:.1})", store.name(), process::load());
}
