//! `transect run`: a sweep on this machine, from its file to its figures.
//!
//! Invariant: whatever moment this ends at, the same command goes on from there. All that is done is in the store; the
//! rest is queued, or leased by workers that are gone and so soon queued again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::disk::{self, Disk};
use crate::errors::{Failure, Outcome};
use crate::fleet::{Fleet, Orders, find_worker};
use crate::output::{Output, counted, duration, grouped};
use crate::plan::points;
use crate::progress::{Display, Work};
use crate::refined::saved;
use crate::results::{Measured, measured};
use crate::signals::Signals;
use crate::summary::{LEGEND, summarise};
use crate::sweepfile::{self, Loaded};
use crate::{dataset, json, plot as figures, status};

/// Workers on a processor, unless said otherwise: one for each core, each with one thread, but no more than this.
const MOST_WORKERS: usize = 8;
/// Workers get so long to send what they measured.
const PATIENCE: Duration = Duration::from_secs(15);
/// Rows of the table of lines at the end.
const SHOWN_LINES: usize = 40;
/// Failed jobs that are shown in full at the end.
const SHOWN_FAILURES: usize = 10;

/// What to run, and with what.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The sweep file
    #[arg(value_name = "SWEEP.toml")]
    file: PathBuf,
    /// Worker processes; without it one for each core (at most 8), or one for each GPU named by --device, but no more than runs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: Option<u32>,
    /// Threads of each worker; without it, the cores shared out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,
    /// Device of the workers: cpu, cuda:0, or several with commas between, taken in turn
    #[arg(long, value_name = "DEVICE", default_value = "cpu", value_delimiter = ',')]
    device: Vec<String>,
    /// What measures lines: group (stacked on a GPU), or plain to check its results
    #[arg(long, value_name = "NAME", default_value = "group", value_parser = ["group", "stacked", "plain"])]
    evaluator: String,
    /// Folder that holds the data sets, each in a folder of its name; HOME/data without it
    #[arg(long, value_name = "DIR", env = "TRANSECT_DATA")]
    data: Option<PathBuf>,
    /// Draw no figures at the end
    #[arg(long)]
    no_plots: bool,
}

/// A submitted sweep, and how much of it is left.
struct Begun {
    sweep: pb::Sweep,
    work: Work,
}

/// Runs a sweep.
pub async fn run(global: &Global, output: Output, args: RunArgs) -> Outcome {
    let began = Instant::now();
    let signals = Signals::listen();
    let loaded = sweepfile::load(&args.file)?;
    let data = args.data.clone().unwrap_or_else(|| global.home.join("data"));
    let lacking = dataset::missing(&loaded.file.data_sets(), &data);
    if let (Some(lacking), false) = (&lacking, may_be_stored(global)) {
        return Err(Failure::Other(anyhow::anyhow!("{lacking}")));
    }

    let mut job =
        Job { global, output, args: &args, loaded: &loaded, data: &data, lacking, signals, began, first: None };
    loop {
        let session = interruptible(&mut job.signals, Session::open(global, Need::Home)).await?;
        let outcome = job.attempt(&session).await;
        let is_alone = matches!(outcome, Err(Failure::Unreachable(_)));
        let is_anothers = global.coordinator.is_none() && !session.is_own();
        session.close().await;
        if is_alone && is_anothers {
            output.warning("the coordinator of another command was in use here and is gone; going on without it");
            continue;
        }
        return outcome;
    }
}

/// What one `transect run` is about.
struct Job<'a> {
    global: &'a Global,
    output: Output,
    args: &'a RunArgs,
    loaded: &'a Loaded,
    data: &'a Path,
    /// What is missing in the data folder.
    lacking: Option<String>,
    signals: Signals,
    began: Instant,
    /// The sweep as it was before any worker of this command.
    first: Option<pb::Sweep>,
}

impl Job<'_> {
    /// From submission to summary with one coordinator. `Unreachable` when that goes away.
    async fn attempt(&mut self, session: &Session) -> Outcome {
        let home = disk::holding(self.global);
        let submit = begin(session, self.output, &self.args.file, self.loaded, self.lacking.as_deref(), home);
        let begun = interruptible(&mut self.signals, submit).await?;
        let trained_before = self.first.get_or_insert_with(|| begun.sweep.clone()).train_done;
        let mut sweep = begun.sweep.clone();
        if left(&sweep) > 0 {
            let orders = orders(self.global, self.args, self.data, session.address(), sweep.runs)?;
            sweep = work(session, self.output, orders, begun, &mut self.signals).await?;
        }
        let newly_trained = sweep.train_done.saturating_sub(trained_before);
        let finish = finish(self.global, self.output, self.args, session, &sweep.sweep_id, newly_trained, self.began);
        interruptible(&mut self.signals, finish).await
    }
}

/// Without the data nothing can be trained or measured, but what is stored can be shown.
fn may_be_stored(global: &Global) -> bool {
    global.coordinator.is_some() || global.home.join("transect.db").exists()
}

async fn interruptible<T>(signals: &mut Signals, step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::select! {
        result = step => result,
        () = signals.next() => Err(Failure::Interrupted),
    }
}

/// Submits the sweep, unless its checkpoints do not fit on the disk of `home`, and queues again what a machine failed at, or what was cancelled.
async fn begin(
    session: &Session,
    output: Output,
    file: &Path,
    loaded: &Loaded,
    lacking: Option<&str>,
    home: Option<&Path>,
) -> Result<Begun, Failure> {
    let mut client = session.sweeps();
    let about_file = |status: tonic::Status| Failure::about_sweep(file, &status);
    let request = pb::PlanRequest { sweep_file: loaded.text.clone() };
    let plan = client.plan(request).await.map_err(about_file)?.into_inner();
    let is_left = plan.runs.len() as u64 > u64::from(plan.runs_done) || plan.probe_jobs > plan.probe_jobs_done;
    if let (Some(lacking), true) = (lacking, is_left) {
        return Err(Failure::Other(anyhow::anyhow!("{lacking}")));
    }
    if let Some(reason) = home.and_then(|home| disk::no_room(home, plan.checkpoint_bytes, disk::free(home))) {
        return Err(Failure::Other(anyhow::anyhow!("{reason}")));
    }
    let request = pb::SubmitRequest { sweep_file: loaded.text.clone(), idempotency_key: String::new() };
    let answer = client.submit(request).await.map_err(about_file)?.into_inner();
    let mut sweep = answer.sweep.unwrap_or_default();
    if sweep.failed + sweep.cancelled > 0 {
        let request = pb::RetryRequest { sweep: sweep.sweep_id.clone(), machine_errors_only: true, cancelled: true };
        let retried = client.retry(request).await?.into_inner();
        if retried.queued > 0 {
            let jobs = counted(retried.queued, "job");
            output.note(&format!("{jobs} that failed for a machine's reasons or were cancelled: queued again"));
        }
        sweep = retried.sweep.unwrap_or(sweep);
    }
    let (name, id) = (&sweep.name, &sweep.sweep_id);
    let (runs, lines) = (counted(sweep.runs, "run"), counted(u64::from(plan.probe_jobs), "line"));
    let points = points(&plan);
    output.note(&format!("sweep {name} ({id}): {runs}, {lines}, {points}; {} jobs to do", left(&sweep)));
    if sweep.state == "paused" {
        output.warning(&format!("{name} is paused: nothing begins until `transect resume {name}`"));
    }
    Ok(Begun { work: Work::from(&plan), sweep })
}

fn left(sweep: &pb::Sweep) -> u64 {
    sweep.queued + sweep.leased
}

/// Has workers do what is left; gives the sweep as it is then.
async fn work(
    session: &Session,
    output: Output,
    orders: Orders,
    begun: Begun,
    signals: &mut Signals,
) -> Result<pb::Sweep, Failure> {
    output.note(&format!(
        "{} on {} with {} each; logs in {}",
        counted(u64::from(orders.workers), "worker"),
        orders.devices.join(", "),
        counted(u64::from(orders.threads), "thread"),
        orders.home.join("logs").display()
    ));
    let mut disk = Disk::of(&orders.home, Instant::now());
    let mut fleet = Fleet::start(orders, Instant::now())?;
    let mut display = Display::new(output, begun.work, false);
    let followed = follow(session, &begun.sweep.sweep_id, (&mut fleet, &mut disk), &mut display, signals).await;
    if let Err(Failure::Interrupted) = followed {
        drop(display);
        output.note("interrupted: workers send what they measured (once more ends them at once)");
        fleet.stop(PATIENCE, signals.next()).await;
        return Err(Failure::Interrupted);
    }
    let sweep = display.end();
    fleet.stop(PATIENCE, signals.next()).await;
    followed.map(|()| sweep)
}

/// Processes and threads for this machine. Unless said otherwise no more workers than runs: what is leased is of one run.
fn orders(global: &Global, args: &RunArgs, data: &Path, coordinator: &str, runs: u64) -> Result<Orders, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let is_cpu = args.device.iter().all(|device| device == "cpu");
    let most = if is_cpu { cores.min(MOST_WORKERS) } else { args.device.len() } as u32;
    let workers = args.workers.unwrap_or(most.min(u32::try_from(runs).unwrap_or(most)).max(1));
    let threads = args.threads.unwrap_or((cores as u32 / workers).max(1));
    Ok(Orders {
        program: find_worker()?,
        coordinator: coordinator.to_owned(),
        access: global.access_variables(),
        devices: args.device.clone(),
        workers,
        threads,
        evaluator: args.evaluator.clone(),
        data: data.to_owned(),
        home: global.home.clone(),
    })
}

/// Shows progress and looks after the workers and the disk until nothing is left to do.
async fn follow(
    session: &Session,
    sweep: &str,
    (fleet, disk): (&mut Fleet, &mut Disk),
    display: &mut Display,
    signals: &mut Signals,
) -> Outcome {
    let mut states = session.watch(sweep).await?;
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = signals.next() => return Err(Failure::Interrupted),
            state = states.recv() => match state.transpose()? {
                Some(state) => display.update(state)?,
                None => return Ok(()),
            },
            _ = tick.tick() => {
                for warning in fleet.tend(Instant::now())?.into_iter().chain(disk.look(Instant::now())) {
                    display.warning(&warning);
                }
                display.tick()?;
            }
        }
    }
}

/// Says what came out, and where it is.
async fn finish(
    global: &Global,
    output: Output,
    args: &RunArgs,
    session: &Session,
    sweep: &str,
    newly_trained: u64,
    began: Instant,
) -> Outcome {
    let (sweep, measured) = measured(session, sweep).await?;
    let failed =
        if sweep.failed > 0 { status::jobs(&mut session.sweeps(), &sweep.sweep_id, "failed").await? } else { vec![] };
    let plots = if args.no_plots { vec![] } else { draw(&sweep, &measured, &global.home.join("plots"), output) };
    let seconds = began.elapsed().as_secs_f64();
    let database = global.coordinator.is_none().then(|| global.home.join("transect.db"));
    let ended = Ended { sweep, measured, failed, plots, seconds, database, newly_trained };
    if output.is_json() {
        output.json(&ended.json())?;
    } else {
        ended.tell(output, args)?;
    }
    if ended.sweep.done < ended.sweep.jobs { Err(Failure::Told) } else { Ok(()) }
}

/// Figures are drawn from what is stored, so failing to draw loses nothing and is only warned of.
fn draw(sweep: &pb::Sweep, measured: &Measured, out: &Path, output: Output) -> Vec<PathBuf> {
    if measured.points.is_empty() && measured.curves.is_empty() {
        return vec![];
    }
    figures::draw(&sweep.name, &measured.points, &measured.curves, out).unwrap_or_else(|error| {
        output.warning(&format!("no figures: {error:#}; `transect plot {}` tries again", sweep.name));
        vec![]
    })
}

/// A sweep with nothing left to do.
struct Ended {
    sweep: pb::Sweep,
    measured: Measured,
    failed: Vec<pb::Job>,
    plots: Vec<PathBuf>,
    seconds: f64,
    database: Option<PathBuf>,
    newly_trained: u64,
}

impl Ended {
    fn json(&self) -> Value {
        json!({
            "sweep": json::sweep(&self.sweep),
            "newly_trained": self.newly_trained,
            "summary": summarise(&self.measured.points, &self.measured.curves).json(),
            "failed": self.failed.iter().map(json::job).collect::<Value>(),
            "database": self.database.as_ref().map(|p| p.display().to_string()),
            "plots": self.plots.iter().map(|p| json!(p.display().to_string())).collect::<Value>(),
            "seconds": self.seconds,
        })
    }

    fn tell(&self, output: Output, args: &RunArgs) -> Outcome {
        let Self { sweep, measured, .. } = self;
        let summary = summarise(&measured.points, &measured.curves);
        output.text(&format!("\n{}", status::headline(sweep)))?;
        if !summary.models.is_empty() {
            output.text(&format!("\n{}", summary.models_table()))?;
        }
        if !summary.lines.is_empty() {
            let table = summary.lines_table(SHOWN_LINES);
            output.text(&format!("\nMean {} loss along each line:\n{table}\n{LEGEND}", summary.split()))?;
        }
        if let Some(saved) = saved(&measured.measures) {
            output.text(&format!("\n{saved}"))?;
        }
        if !self.failed.is_empty() {
            let failed: Vec<&pb::Job> = self.failed.iter().collect();
            output.text(&format!("\n{}", status::failures(&failed, SHOWN_FAILURES)))?;
        }
        if !self.plots.is_empty() {
            let paths: Vec<String> = self.plots.iter().map(|p| format!("  {}", p.display())).collect();
            output.text(&format!("\nFigures:\n{}", paths.join("\n")))?;
        }
        if let Some(database) = &self.database {
            output.text(&format!("\nDatabase:\n  {}", database.display()))?;
        }
        output.text(&format!("\n{}", self.trained()))?;
        output.text(&self.next(args))
    }

    fn trained(&self) -> String {
        let time = duration(self.seconds);
        match self.newly_trained {
            0 if self.sweep.train_jobs == 0 => format!("Took {time}; nothing was to be trained."),
            0 => format!("Took {time}; nothing was trained: everything was in the store."),
            n => format!(
                "Took {time}; {} trained.",
                if n == 1 { "1 run".into() } else { format!("{} runs", grouped(n)) }
            ),
        }
    }

    /// What the user may want to do now.
    fn next(&self, args: &RunArgs) -> String {
        let name = &self.sweep.name;
        let mut text = String::from("\nNext:");
        if let Some(database) = &self.database {
            let _ = write!(
                text,
                "\n  sqlite3 {} \"SELECT model, mask, alpha, avg(loss)\n    \
                 FROM line_points WHERE sweep = '{name}' AND split = 'test'\n    \
                 GROUP BY model, mask, alpha\"",
                database.display()
            );
        }
        let _ = write!(text, "\n  transect results {name} --format csv > {name}.csv\n  transect plot {name} --out DIR");
        if self.sweep.failed > 0 {
            let _ = write!(
                text,
                "\n  transect status {name}\n  transect retry {name} && transect run {}",
                args.file.display()
            );
        }
        text
    }
}
