//! Workers as Slurm jobs: `transect worker slurm` writes or submits an array of them, `transect scale --slurm` keeps their
//! number in step with the work that waits. Slurm does the placing; the coordinator's leases do the rest.
//!
//! Invariant: nothing here trusts Slurm with results. A job that is pre-empted, requeued, cancelled or lost costs time only.

mod queue;
mod scale;
mod script;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::fleet::find_worker;
use crate::output::{Output, counted};
use crate::sweeps::newest;
use queue::Queue;
use scale::{Act, Demand, Limits, Memory, decide};
use script::Script;

/// Sweeps that are looked at for work.
const MOST_SWEEPS: usize = 10_000;

/// Where workers are started.
#[derive(Debug, Subcommand)]
pub enum WorkerVerb {
    /// Print a batch script for an array of workers, or submit it with --submit
    Slurm(SlurmArgs),
}

/// An array of workers.
#[derive(Debug, Args)]
pub struct SlurmArgs {
    /// Workers, one for each task of the array
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    workers: u32,
    /// Run at most so many of them at once; the rest wait their turn
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Submit the script rather than print it
    #[arg(long)]
    submit: bool,
    /// What each of them is
    #[command(flatten)]
    job: JobArgs,
}

/// What each Slurm job is.
#[derive(Debug, Clone, Args)]
pub struct JobArgs {
    /// Name of the jobs, by which `transect scale` knows them
    #[arg(long, value_name = "NAME", default_value = "transect-worker")]
    name: String,
    /// Partition
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Quality of service
    #[arg(long, value_name = "NAME")]
    qos: Option<String>,
    /// Generic resources, such as gpu:1
    #[arg(long, value_name = "LIST")]
    gres: Option<String>,
    /// Cores of each worker, all of which it computes with
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    cpus: u32,
    /// Memory of each worker, such as 8G
    #[arg(long, value_name = "SIZE")]
    mem: Option<String>,
    /// Time limit of each worker; one that has reached it is replaced by the next of the array or by `transect scale`
    #[arg(long, value_name = "DURATION", default_value = "4h", value_parser = humantime::parse_duration)]
    time: Duration,
    /// So long before the limit a worker stores a snapshot and gives its work back
    #[arg(long, value_name = "DURATION", default_value = "2min", value_parser = humantime::parse_duration)]
    drain: Duration,
    /// A worker without work for so long leaves
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    idle_exit: Option<Duration>,
    /// Device of the workers; Slurm shows each job its own GPUs, counted from 0
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Label that the workers carry; may be given several times
    #[arg(long, value_name = "LABEL")]
    label: Vec<String>,
    /// File with the workers' token, readable where they run; the token itself appears nowhere
    #[arg(long, value_name = "FILE")]
    worker_token_file: Option<PathBuf>,
    /// Certificates by which workers know the coordinator
    #[arg(long, value_name = "FILE")]
    worker_ca: Option<PathBuf>,
    /// Folder that holds the data sets, on a file system that every node has
    #[arg(long, value_name = "DIR", env = "TRANSECT_DATA")]
    data: Option<PathBuf>,
    /// Folder for the workers' caches, best on a disk of the node; may name $SLURM_TMPDIR and the like
    #[arg(long, value_name = "DIR", default_value = "${TMPDIR:-/tmp}/transect-$SLURM_JOB_ID")]
    cache: String,
    /// Folder for the workers' logs; must exist when they start
    #[arg(long, value_name = "DIR", default_value = ".")]
    logs: PathBuf,
    /// The worker's program; without it the one beside this command
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Another option for sbatch, such as --constraint=a100; may be given several times
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
}

/// How many workers there are to be.
#[derive(Debug, Args)]
pub struct ScaleArgs {
    /// Workers are Slurm jobs
    #[arg(long, required = true)]
    slurm: bool,
    /// Worker jobs, waiting or running, that there are always
    #[arg(long, value_name = "N", default_value_t = 0)]
    min: u32,
    /// Worker jobs that there are at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max: u32,
    /// Transect's jobs that one worker is wanted for
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    jobs_per_worker: u32,
    /// Time between looks
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    every: Duration,
    /// Waiting worker jobs are cancelled once there were too many for so long
    #[arg(long, value_name = "DURATION", default_value = "5min", value_parser = humantime::parse_duration)]
    cool_down: Duration,
    /// Look once, act and leave; too many waiting worker jobs are cancelled at once
    #[arg(long)]
    once: bool,
    /// What each worker job is
    #[command(flatten)]
    job: JobArgs,
}

/// Prints or submits an array of workers.
pub async fn worker(global: &Global, output: Output, verb: WorkerVerb) -> Outcome {
    let WorkerVerb::Slurm(args) = verb;
    let script = script(global, &args.job, None)?.text(args.workers, args.at_once)?;
    if !args.submit {
        return if output.is_json() {
            output.json(&json!({ "script": script }))
        } else {
            output.text(script.trim_end())
        };
    }
    let id = Queue::new(&args.job.name).submit(&script).await?;
    if output.is_json() {
        return output.json(&json!({ "job": id, "workers": args.workers }));
    }
    output.text(&format!("{} submitted to Slurm as job {id}", counted(args.workers.into(), "worker")))
}

/// Keeps the number of worker jobs in step with the work that waits.
pub async fn scale(global: &Global, output: Output, args: ScaleArgs) -> Outcome {
    if args.min > args.max {
        return Err(Failure::Usage(format!("--min {} is above --max {}", args.min, args.max)));
    }
    // A worker that has nothing to do leaves by itself, since only waiting jobs are cancelled.
    let script = script(global, &args.job, Some(Duration::from_mins(5)))?;
    let limits = Limits {
        min: args.min,
        max: args.max,
        jobs_per_worker: args.jobs_per_worker,
        cool_down: if args.once { Duration::ZERO } else { args.cool_down },
    };
    let queue = Queue::new(&args.job.name);
    let began = Instant::now();
    let mut memory = Memory::default();
    loop {
        match look(global, &limits, &queue, &script, &mut memory, began.elapsed()).await {
            Ok(Some(said)) => output.text(&said)?,
            Ok(None) if args.once => output.text("as many worker jobs as the work wants")?,
            Ok(None) => {}
            Err(failure) if args.once => return Err(failure),
            // A coordinator or a Slurm that is away comes back.
            Err(failure) => output.warning(&failure.to_string()),
        }
        if args.once {
            return Ok(());
        }
        tokio::time::sleep(args.every).await;
    }
}

/// One look, and what was done about it.
async fn look(
    global: &Global,
    limits: &Limits,
    queue: &Queue,
    script: &Script,
    memory: &mut Memory,
    now: Duration,
) -> Result<Option<String>, Failure> {
    let session = Session::open(global, Need::Database).await?;
    let sweeps = newest(&mut session.sweeps(), MOST_SWEEPS).await;
    session.close().await;
    let demand: Vec<Demand> = sweeps?.iter().filter(|sweep| sweep.state == "running").map(demand).collect();
    let seen = queue.list().await?;
    let act = decide(limits, &demand, seen.waiting.len() as u32, seen.running, memory, now);
    Ok(match act {
        Act::Nothing => None,
        Act::Add(workers) => {
            let id = queue.submit(&script.text(workers, None)?).await?;
            Some(format!("{} added as Slurm job {id}", counted(workers.into(), "worker")))
        }
        Act::Cancel(workers) => {
            let newest_first = seen.waiting.iter().rev().take(workers as usize).cloned().collect::<Vec<_>>();
            queue.cancel_waiting(&newest_first).await?;
            Some(format!("{} that waited cancelled: {}", counted(workers.into(), "worker"), newest_first.join(" ")))
        }
    })
}

fn demand(sweep: &pb::Sweep) -> Demand {
    Demand { jobs: sweep.queued + sweep.leased, most_workers: sweep.max_workers }
}

/// The batch script that `args` describe.
fn script(global: &Global, args: &JobArgs, idle_exit: Option<Duration>) -> Result<Script, Failure> {
    let coordinator = global.coordinator.clone().ok_or_else(|| {
        Failure::Usage(
            "say which coordinator the workers work for: --coordinator http://HOST:PORT, as their nodes reach it"
                .to_owned(),
        )
    })?;
    let program = match &args.program {
        Some(program) => program.clone(),
        None => find_worker()?,
    };
    let path = |path: &PathBuf| path.display().to_string();
    Ok(Script {
        name: args.name.clone(),
        sbatch: [
            ("partition", args.partition.clone()),
            ("account", args.account.clone()),
            ("qos", args.qos.clone()),
            ("gres", args.gres.clone()),
            ("mem", args.mem.clone()),
        ]
        .into_iter()
        .filter_map(|(option, value)| Some(format!("--{option}={}", value?)))
        .chain(args.sbatch.iter().cloned())
        .collect(),
        cpus: args.cpus,
        time: args.time,
        drain: args.drain,
        idle_exit: args.idle_exit.or(idle_exit),
        coordinator,
        device: args.device.clone(),
        labels: args.label.clone(),
        token_file: args.worker_token_file.as_ref().map(path),
        ca: args.worker_ca.as_ref().map(path),
        data: args.data.as_ref().map(path),
        cache: args.cache.clone(),
        logs: path(&args.logs),
        program: path(&program),
    })
}
