//! The daemon: one process per device that leases jobs, has them done by an executor child, and reports.
//!
//! Invariants: nothing here touches libtorch or a tensor, so no training can hold up a heartbeat, and whatever kills the
//! executor is an error of one attempt. It all runs on the main thread of the process, because the kernel ties the
//! executor's life to the thread that started it; what blocks goes to tokio's blocking threads.

mod backoff;
mod cache;
mod child;
mod group;
mod heartbeat;
mod held;
mod lease;
mod queued;
mod report;
mod session;
mod shutdown;
mod signals;
mod slots;
mod supervisor;
mod transfer;

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use tokio::sync::Notify;
use tracing::Instrument as _;
use transect_common::client::Endpoints;
use transect_common::pb::{LeaseResponse, LeaveRequest, WorkerInfo};
use transect_common::telemetry;

use self::cache::Cache;
use self::child::{Child, Setup};
use self::group::{Executor, Group};
use self::held::Held;
use self::lease::{CachedRuns, LeaseSize};
use self::report::Report;
use self::session::{Session, is_passing, sentence};
use self::shutdown::Shutdown;
use self::slots::Pace;

pub use self::slots::Slots;

/// What was measured may be sent until this share of the grace period is over; the rest is for saying goodbye.
const DRAIN_SHARE: f64 = 0.85;
/// The answer to a registration is waited for so long once the daemon is asked to stop.
const ANSWER: Duration = Duration::from_secs(1);
/// A goodbye that no coordinator heard is said again so soon.
const AGAIN: Duration = Duration::from_millis(200);
/// An executor that cannot be started so often in a row ends the daemon: the device is gone.
const STARTS: u32 = 5;

/// What a daemon is told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where coordinators answer.
    pub coordinators: Endpoints,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Folder with the data sets.
    pub data: PathBuf,
    /// Folder for cached checkpoints and scratch files; made when missing.
    pub cache: PathBuf,
    /// Bytes of checkpoints that the cache keeps at most.
    pub cache_bytes: u64,
    /// Threads of each executor, at least 1.
    pub threads: u32,
    /// Groups of jobs that are worked on side by side.
    pub slots: Slots,
    /// What executors measure lines with, by its name.
    pub evaluator: &'static str,
    /// What this worker says of itself, for jobs that ask for it.
    pub labels: Vec<String>,
    /// Time between two snapshots of a training; zero for none but at a stop.
    pub snapshot_every: Duration,
    /// From being asked to stop until it is gone.
    pub grace: Duration,
    /// It is gone so long after its start.
    pub time_limit: Option<Duration>,
    /// It leaves once it had no work for so long.
    pub idle_exit: Option<Duration>,
    /// An artifact store that is full, or fails, is waited for so long before the attempt fails.
    pub store_patience: Duration,
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// What it had was sent or given back.
    InOrder,
    /// It was asked twice: its leases run out by themselves.
    AtOnce,
}

/// Works until SIGTERM or SIGINT, or its time is over.
///
/// Must run on the main thread, in a current-thread runtime: the executor is killed by the kernel when the thread that
/// started it ends.
///
/// # Errors
/// The device, a folder or the address cannot be used, or the coordinator will not have this worker. A coordinator that
/// is away is no error.
pub async fn run(config: Config) -> anyhow::Result<Left> {
    let shutdown = Shutdown::listen(config.grace, config.time_limit).context("signals cannot be listened for")?;
    tokio::select! {
        worked = run_until_left(config, shutdown.clone()) => worked.map(|()| Left::InOrder),
        () = shutdown.asked_twice() => Ok(Left::AtOnce),
    }
}

async fn run_until_left(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let (host, pid) = (host(), std::process::id());
    let data =
        std::path::absolute(&config.data).with_context(|| format!("no data folder {}", config.data.display()))?;
    let cache = Arc::new(Cache::open(&config.cache, config.cache_bytes, &host, pid)?);
    let setup = Setup {
        program: "/proc/self/exe".into(),
        device: config.device.clone(),
        threads: config.threads.max(1),
        evaluator: config.evaluator,
    };

    // The device is checked before the coordinator hears of it.
    let child = tokio::select! {
        child = Child::start(&setup) => child?,
        () = shutdown.finishing() => return Ok(()),
    };
    let info = WorkerInfo {
        host,
        pid,
        device: config.device,
        device_name: child.hello.device_name.clone(),
        memory_bytes: child.hello.memory_bytes,
        libtorch: child.hello.libtorch.clone(),
        cpu_capability: child.hello.cpu_capability.clone(),
        threads: setup.threads,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        labels: config.labels,
    };
    tracing::info!(
        device = info.device,
        name = info.device_name,
        libtorch = info.libtorch,
        threads = info.threads,
        "ready"
    );
    // Many workers are started with the same list: each begins elsewhere in it.
    let coordinators = config.coordinators.beginning_with(pid as usize);
    let session = Arc::new(Session::new(&coordinators, info));
    supervisor::waits("waiting for the coordinator");
    tokio::select! {
        terms = session.terms() => {
            if let Err(status) = terms {
                bail!("the coordinator at {coordinators} will not have this worker: {}", sentence(&status));
            }
        }
        // A registration that is on its way may still be answered; then the worker can say that it leaves.
        () = async { shutdown.finishing().await; tokio::time::sleep(ANSWER).await } => return Ok(()),
        () = after(config.idle_exit) => {
            tracing::info!("no coordinator answered for as long as this worker may be idle: leaving");
            return Ok(());
        }
    }

    let supervisor = tokio::spawn(supervisor::run(format!("works on {}", setup.device), shutdown.clone()));
    let held = Held::default();
    let (report, sender) = Report::new(Arc::clone(&session), held.clone(), Arc::clone(&cache), config.store_patience);
    let sender = tokio::spawn(sender);
    let wake = Arc::new(Notify::new());
    let signals = tokio::spawn(signals::run(Arc::clone(&session), Arc::clone(&wake)));
    let heartbeat = tokio::spawn(heartbeat::run(Arc::clone(&session), held.clone(), shutdown.clone(), wake));
    let group = Group {
        session: &session,
        cache: &cache,
        held: &held,
        report: &report,
        shutdown: &shutdown,
        data: &data,
        snapshot_every: config.snapshot_every,
        store_patience: config.store_patience,
    };
    let (pace, idle) = (Pace::new(config.slots), config.idle_exit);
    let (cached, size) = (RefCell::default(), RefCell::default());
    let slot = |number, child| {
        Slot { number, setup: &setup, group: &group, pace: &pace, size: &size, cached: &cached }.work(child, idle)
    };
    let first = slot(0, Some(child));
    let worked =
        try_join_all(std::iter::once(first).chain((1..config.slots.most()).map(|number| slot(number, None)))).await;
    leave(&session, &report, &shutdown).await;
    signals.abort();
    heartbeat.abort();
    sender.abort();
    supervisor.abort();
    worked.map(|_| ())
}

/// Waits for a time, or for ever.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// One of the groups that are worked on side by side, and then the next.
struct Slot<'a> {
    number: u32,
    setup: &'a Setup,
    group: &'a Group<'a>,
    pace: &'a Pace,
    size: &'a RefCell<LeaseSize>,
    cached: &'a RefCell<CachedRuns>,
}

impl Slot<'_> {
    /// Group after group, until asked to stop, or until the worker had none for `idle`.
    async fn work(self, mut child: Option<Child>, idle: Option<Duration>) -> anyhow::Result<()> {
        let group = self.group;
        while !group.shutdown.is_finishing() {
            if !self.pace.allows(self.number)
                && let Some(child) = child.take()
            {
                // What it holds is of use to nobody now.
                child.end().await;
            }
            tokio::select! {
                () = self.pace.allowed(self.number) => {}
                () = group.shutdown.finishing() => break,
            }
            let executor = match &mut child {
                Some(executor) => executor,
                None => child.insert(restart(self.setup, group.shutdown).await?),
            };
            if group.shutdown.is_finishing() {
                break;
            }
            let (cached, most) = (self.cached.borrow().list(), self.size.borrow().lines());
            let lease = tokio::select! {
                lease = lease::next(group.session, cached, most, group.shutdown, idle) => lease,
                () = group.shutdown.finishing() => break,
            };
            let lease = match lease {
                Ok(Some(lease)) => lease,
                // Another slot is at work.
                Ok(None) if group.held.any() => continue,
                Ok(None) => {
                    group.shutdown.finish("there was no work for as long as this worker may be idle");
                    break;
                }
                Err(status) => bail!("the coordinator gives this worker no work: {}", sentence(&status)),
            };
            let run = lease.run.clone();
            let span = lease_span(&lease);
            let (lines, began) = (lease.jobs.iter().filter(|job| !job.line_spec.is_empty()).count(), Instant::now());
            let outcome = group.work(executor, lease).instrument(span.clone()).await;
            let took = began.elapsed();
            self.pace.note(took);
            match outcome {
                Executor::Keep => self.size.borrow_mut().note(lines, took),
                Executor::Replace => child = None,
            }
            self.cached.borrow_mut().note(&run);
            // The next lease is asked for once all of this one is stored: then the coordinator knows best what to give.
            tokio::select! {
                () = group.report.flush().instrument(tracing::info_span!(parent: &span, "report")) => {}
                () = group.shutdown.asked() => {}
            }
        }
        if let Some(child) = child {
            child.end().await;
        }
        Ok(())
    }
}

/// What is done for one lease, in the trace of its run.
fn lease_span(lease: &LeaseResponse) -> tracing::Span {
    let (first, jobs) = (lease.jobs.first().cloned().unwrap_or_default(), lease.jobs.len());
    let run = lease.run.get(..12).unwrap_or(&lease.run);
    let span = tracing::info_span!("lease", run, job = first.job_id, attempt = first.attempt, jobs);
    if let Ok(run) = lease.run.parse() {
        telemetry::belongs_to(&span, &run);
    }
    span
}

/// A new executor in place of a dead one.
async fn restart(setup: &Setup, shutdown: &Shutdown) -> anyhow::Result<Child> {
    let mut backoff = backoff::Backoff::default();
    loop {
        match Child::start(setup).await {
            Ok(child) => {
                tracing::info!(pid = child.pid(), "a new executor");
                return Ok(child);
            }
            Err(error) if backoff.failures() + 1 >= STARTS || shutdown.is_finishing() => {
                return Err(error).with_context(|| format!("no new executor could be started on {}", setup.device));
            }
            Err(error) => {
                tracing::error!("no new executor: {error}");
                backoff.wait().await;
            }
        }
    }
}

/// Sends what was measured, as long as the grace period lasts, and gives the leases back.
async fn leave(session: &Session, report: &Report, shutdown: &Shutdown) {
    let (drained, gone) = (shutdown.deadline(DRAIN_SHARE), shutdown.deadline(1.0));
    if tokio::time::timeout_at(drained, report.flush()).await.is_err() {
        tracing::warn!("the coordinator did not take the last measurements in time; they will be measured again");
    }
    let goodbye = async {
        loop {
            let terms = session.terms().await?;
            let left = session.worker().leave(LeaveRequest { worker_id: terms.worker_id }).await;
            match left {
                Err(status) if is_passing(&status) => tokio::time::sleep(AGAIN).await,
                left => return left,
            }
        }
    };
    match tokio::time::timeout_at(gone, goodbye).await {
        Ok(Ok(answer)) => tracing::info!(leases_given_back = answer.into_inner().released, "left"),
        Ok(Err(status)) => {
            tracing::warn!(error = sentence(&status), "left without saying so; leases run out by themselves");
        }
        Err(_) => tracing::warn!("left without saying so; leases run out by themselves"),
    }
}

/// This machine's name; `unknown` where the kernel does not tell.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
