//! Many workers that wait for work, each with a connection, a long poll, a stream of signals and heartbeats, and how soon
//! one of them gets a job when it comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};
use transect_common::client::Channel;
use transect_common::pb;
use transect_common::pb::worker_service_client::WorkerServiceClient;

use crate::coordinator::Coordinator;
use crate::report::Report;
use crate::stats::percentile;
use crate::{load, process, sweep};

/// Files that each of the two processes needs for itself.
const SPARE: usize = 500;
/// Most sweeps of a few jobs that come while all wait.
const SWEEPS: usize = 10;

/// Who waits, and what became of it.
struct Waiting {
    leased: mpsc::UnboundedSender<(Instant, usize)>,
    beats: Mutex<Vec<f64>>,
    failed: AtomicUsize,
    is_over: AtomicBool,
}

/// Measures with `workers` workers over `seconds`.
pub async fn measure(
    coordinator: &Coordinator,
    workers: usize,
    time: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    // Each job takes a worker from those that wait.
    let sweeps = (workers / 10).clamp(1, SWEEPS);
    // What the sweeps walk is there before anybody waits.
    let (runs, _) = sweep::shape(10);
    for number in 0..sweeps {
        sweep::import(coordinator, &format!("few{number}"), runs, number * runs).await?;
    }
    let room = process::most_files()?.saturating_sub(SPARE).max(1);
    let connections = workers.min(room);
    let mut channels = vec![];
    for _ in 0..connections {
        channels.push(coordinator.connect().await?);
    }
    let began = Instant::now();
    let registered: Vec<_> = stream::iter(0..workers)
        .map(|number| {
            let mut client = WorkerServiceClient::new(channels[number % connections].clone());
            async move {
                let (id, heartbeat) = load::register(&mut client, number).await?;
                anyhow::Ok((client, id, heartbeat))
            }
        })
        .buffer_unordered(64)
        .try_collect()
        .await?;
    let how = "64 at once";
    report.add("register", workers as f64 / began.elapsed().as_secs_f64(), "workers/s", None, how);

    let (leased, mut taken) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting {
        leased,
        beats: Mutex::default(),
        failed: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let mut tasks = JoinSet::new();
    for (number, (client, id, heartbeat)) in registered.into_iter().enumerate() {
        let phase = heartbeat.mul_f64(number as f64 / workers as f64);
        tasks.spawn(beat(client.clone(), id.clone(), heartbeat, phase, waiting.clone()));
        tasks.spawn(listen(client.clone(), id.clone()));
        tasks.spawn(wait(client, id, phase, waiting.clone()));
    }
    // All of them are heard and wait.
    sleep(Duration::from_secs(12)).await;
    waiting.beats.lock().await.clear();
    let (own, server) = coordinator.cpu()?;
    let began = Instant::now();
    sleep(time).await;
    let (own_after, server_after) = coordinator.cpu()?;
    let seconds = began.elapsed().as_secs_f64();
    let how = format!("{workers} workers that wait, on {connections} connections, over {seconds:.0} s");
    report.add("idle_memory", process::memory(coordinator.pid())?.resident, "MB", None, &how);
    report.add("idle_cpu", (own_after - own) / seconds * 100.0, "% of a core", None, "the same");
    if coordinator.server.is_some() {
        let percent = (server_after - server) / seconds * 100.0;
        report.add("idle_cpu_database", percent, "% of a core", None, "the database server");
    }
    report.add("idle_files", process::files(coordinator.pid())? as f64, "files", None, "open in the coordinator");
    let beats = std::mem::take(&mut *waiting.beats.lock().await);
    let how = format!("heartbeats meanwhile: {:.0} a second", beats.len() as f64 / seconds);
    report.add("idle_heartbeat_p99", percentile(&beats, 0.99).unwrap_or(f64::NAN), "ms", None, &how);

    let (mut first, mut all) = (vec![], vec![]);
    let mut client = coordinator.sweeps().await?;
    for number in 0..sweeps {
        let stored = sweep::submit(&mut client, &sweep::file(&format!("few{number}"), 10, sweep::POINTS)).await?;
        let came = Instant::now();
        let (mut jobs, mut latest) = (0, 0.0);
        while jobs < stored.jobs as usize {
            let lease =
                timeout(Duration::from_mins(1), taken.recv()).await.context("nobody took a new job in a minute")?;
            let Some((at, number)) = lease else { break };
            let milliseconds = at.saturating_duration_since(came).as_secs_f64() * 1e3;
            if jobs == 0 {
                first.push(milliseconds);
            }
            latest = milliseconds;
            jobs += number;
        }
        all.push(latest);
        sleep(Duration::from_millis(500)).await;
    }
    let how = format!("from the answer to a submission of 10 jobs until a worker has the first; median of {sweeps}");
    report.add("idle_first_lease", percentile(&first, 0.5).unwrap_or(f64::NAN), "ms", None, &how);
    report.add(
        "idle_all_leased",
        percentile(&all, 0.5).unwrap_or(f64::NAN),
        "ms",
        None,
        "until workers have all 10, one each",
    );
    report.add("idle_calls_failed", waiting.failed.load(Ordering::Relaxed) as f64, "calls", None, "of all workers");
    waiting.is_over.store(true, Ordering::Relaxed);
    tasks.shutdown().await;
    Ok(())
}

async fn wait(mut client: WorkerServiceClient<Channel>, worker_id: String, phase: Duration, waiting: Arc<Waiting>) {
    sleep(phase).await;
    loop {
        let request =
            pb::LeaseRequest { worker_id: worker_id.clone(), max_jobs: 1, wait_seconds: 20, ..Default::default() };
        match client.lease(request).await {
            Ok(lease) => {
                let jobs = lease.into_inner().jobs.len();
                if jobs > 0 {
                    let _ = waiting.leased.send((Instant::now(), jobs));
                    // It works until all is over.
                    return;
                }
            }
            Err(_) if waiting.is_over.load(Ordering::Relaxed) => return,
            Err(_) => {
                waiting.failed.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn beat(
    mut client: WorkerServiceClient<Channel>,
    worker_id: String,
    every: Duration,
    phase: Duration,
    waiting: Arc<Waiting>,
) {
    let mut ticks = interval_at(Instant::now() + phase, every);
    loop {
        ticks.tick().await;
        let request = pb::HeartbeatRequest { worker_id: worker_id.clone(), jobs: vec![], draining: false };
        let asked = Instant::now();
        if client.heartbeat(request).await.is_ok() {
            waiting.beats.lock().await.push(asked.elapsed().as_secs_f64() * 1e3);
        } else {
            waiting.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn listen(mut client: WorkerServiceClient<Channel>, worker_id: String) {
    let Ok(stream) = client.signals(pb::SignalsRequest { worker_id }).await else { return };
    let mut stream = stream.into_inner();
    while let Ok(Some(_)) = stream.message().await {}
}
