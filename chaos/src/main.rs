//! `transect-chaos`: a sweep on real processes, again and again, while processes are killed and frozen, connections cut and
//! disks filled; each time it must end in what it ends in undisturbed.

mod bucket;
mod client;
mod cluster;
mod disk;
mod files;
mod phases;
mod plan;
mod postgres;
mod process;
mod round;
mod sweep;
mod tables;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::Given;
use crate::plan::{Kind, Plan, StoreKind};
use crate::round::{Outcome, Script, play};

/// Play a sweep on real processes under faults, and compare what it leaves with an undisturbed one.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Rounds, the seed of each one more than that of the one before.
    #[arg(long, default_value_t = 10)]
    rounds: u64,
    /// Seed of the first round; drawn unless given.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the truth is kept; `both` takes them in turn.
    #[arg(long, value_enum, default_value = "both")]
    store: Stores,
    /// Instead of rounds: kill a worker at each phase of its work.
    #[arg(long)]
    phases: bool,
    /// Faults of these kinds alone (commas between).
    #[arg(long, value_delimiter = ',', value_parser = kind)]
    only: Vec<Kind>,
    /// Milliseconds in which faults begin.
    #[arg(long, default_value_t = 14_000)]
    span: u64,
    /// Epochs of the longest trainings; 120, or 300 with `--phases`, unless given.
    #[arg(long)]
    epochs: Option<u32>,
    /// Keep the folders of rounds that went well, too.
    #[arg(long)]
    keep: bool,
    /// Say what each round's plan is, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// The S3 server s3s-fs; without it, artifacts lie in folders.
    #[arg(long, default_value = ".deps/bin/s3s-fs")]
    s3: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stores {
    Sqlite,
    Postgres,
    Both,
}

impl Stores {
    const fn of(self, seed: u64) -> StoreKind {
        match self {
            Self::Sqlite => StoreKind::Sqlite,
            Self::Postgres => StoreKind::Postgres,
            Self::Both => [StoreKind::Sqlite, StoreKind::Postgres][(seed % 2) as usize],
        }
    }
}

fn kind(text: &str) -> Result<Kind, String> {
    let names = || Kind::ALL.map(Kind::name).join(", ");
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == text)
        .ok_or_else(|| format!("no such fault; there are: {}", names()))
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut asked = match signal(SignalKind::terminate()) {
        Ok(asked) => asked,
        Err(error) => {
            println!("chaos: no signals can be listened for: {error}");
            return ExitCode::FAILURE;
        }
    };
    // What was started and mounted goes with the round that is dropped.
    let done = tokio::select! {
        done = run(Args::parse()) => done,
        _ = asked.recv() => Err(anyhow::anyhow!("asked to stop")),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("asked to stop")),
    };
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            println!("chaos: {failures} rounds FAILED");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
    let first = args.seed.unwrap_or(now % 1_000_000);
    let plan = |seed| Plan::of(seed, args.store.of(seed), args.span, &args.only);
    if args.dry_run {
        (first..first + args.rounds).for_each(|seed| println!("{:#?}", plan(seed)));
        return Ok(0);
    }
    let root = tempfile::Builder::new().prefix("chaos-").tempdir()?.keep();
    // The server's user has to get through.
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let given = given(&args, &root)?;
    println!("chaos: seeds {first} to {}, {} in {}", first + args.rounds - 1, args.store.name(), root.display());
    let began = Instant::now();
    let folder = root.join("undisturbed");
    let undisturbed = play(&Plan::undisturbed(StoreKind::Sqlite), Script::Plan, &given, &folder)
        .await
        .context("the undisturbed sweep")?;
    let rows: usize = undisturbed.tables.values().map(Vec::len).sum();
    println!(
        "chaos: undisturbed: {} jobs, {rows} rows in {} tables, {} artifacts, {:.1} s",
        undisturbed.effort.jobs,
        undisturbed.tables.len(),
        undisturbed.artifacts.len(),
        began.elapsed().as_secs_f64()
    );
    if args.phases {
        return phases(&args, &given, &root, &undisturbed).await;
    }
    let mut failures = 0;
    for seed in first..first + args.rounds {
        let plan = plan(seed);
        let (began, folder) = (Instant::now(), root.join(seed.to_string()));
        let outcome = play(&plan, Script::Plan, &given, &folder).await;
        let seconds = began.elapsed().as_secs_f64();
        let is_well = tell(&plan, given.s3.is_some(), outcome, &undisturbed, seconds);
        if is_well && !args.keep {
            std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        if !is_well {
            failures += 1;
            println!(
                "  kept in {}; these faults again: make chaos ROUNDS=1 SEED={seed} STORE={}",
                folder.display(),
                plan.store
            );
        }
    }
    if failures == 0 && !args.keep {
        std::fs::remove_dir_all(&root)?;
    }
    Ok(failures)
}

/// A worker killed at each phase of its work, on each store that is wanted.
async fn phases(args: &Args, given: &Given, root: &Path, undisturbed: &Outcome) -> anyhow::Result<u64> {
    let mut failures = 0;
    for store in [StoreKind::Sqlite, StoreKind::Postgres] {
        if args.store.of(store as u64) == store {
            let (plan, folder, began) =
                (Plan::undisturbed(store), root.join(format!("phases-{store}")), Instant::now());
            let outcome = play(&plan, Script::Phases, given, &folder).await;
            let seconds = began.elapsed().as_secs_f64();
            failures += u64::from(!tell(&plan, given.s3.is_some(), outcome, undisturbed, seconds));
        }
    }
    if failures == 0 && !args.keep {
        std::fs::remove_dir_all(root)?;
    }
    Ok(failures)
}

/// One line for a round that went well, and more for one that did not. Without the S3 server there was no bucket.
fn tell(plan: &Plan, has_s3: bool, outcome: anyhow::Result<Outcome>, undisturbed: &Outcome, seconds: f64) -> bool {
    let artifacts = if plan.bucket && has_s3 { "bucket" } else { "folder" };
    let head = format!("seed {} {} {artifacts}, {} workers, {seconds:.1} s", plan.seed, plan.store, plan.workers);
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            println!("{head}: FAILED: {}\n{error:#}", error.root_cause());
            return false;
        }
    };
    let kinds: Vec<String> = outcome.faults.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
    let total: u32 = outcome.faults.values().sum();
    let effort = outcome.effort;
    let differences = outcome.differences(undisturbed);
    let verdict = if differences.is_empty() { "equal" } else { "DIFFERS" };
    println!(
        "{head}: {total} faults ({}); {} leases of {} jobs, {} lost, {} failed: {verdict}",
        kinds.join(", "),
        effort.leases,
        effort.jobs,
        effort.gone,
        effort.machine
    );
    let mut remarks: BTreeMap<&str, usize> = BTreeMap::new();
    for remark in &outcome.remarks {
        *remarks.entry(remark).or_default() += 1;
    }
    for (remark, times) in remarks {
        println!("  {times} times: {}", shortened(remark));
    }
    for difference in &differences {
        println!("  {difference}");
    }
    differences.is_empty()
}

/// The beginning of a remark, which holds what matters.
fn shortened(remark: &str) -> String {
    const SHOWN: usize = 200;
    let start: String = remark.chars().take(SHOWN).collect();
    if start.len() < remark.len() { format!("{start}...") } else { start }
}

impl Stores {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Both => "sqlite and postgres in turn",
        }
    }
}

/// Looks for the programs beside this one, and writes the data and the sweep.
fn given(args: &Args, root: &Path) -> anyhow::Result<Given> {
    let programs = std::env::current_exe()?.parent().context("this program lies in no folder")?.to_owned();
    for name in ["transect", "transect-coordinator", "transect-worker"] {
        if !programs.join(name).is_file() {
            bail!(
                "{} is missing; build it first: cargo build --release --workspace --bins",
                programs.join(name).display()
            );
        }
    }
    let s3 = std::path::absolute(&args.s3)?;
    let s3 = s3.is_file().then_some(s3);
    if s3.is_none() {
        println!(
            "chaos: NOTE: {} is missing, so artifacts lie in folders (scripts/s3.sh installs it)",
            args.s3.display()
        );
    }
    if !process::is_root() {
        println!("chaos: NOTE: not root, so no disks are filled");
    }
    let (data, sweep) = (root.join("data"), root.join("chaos.toml"));
    sweep::data(&data, 1000, 300)?;
    // Phases last long enough to be seen: trainings are longer, and points are measured one by one.
    let (epochs, evaluator) = if args.phases { (300, "plain") } else { (120, "group") };
    std::fs::write(&sweep, sweep::file(args.epochs.unwrap_or(epochs), 2))?;
    Ok(Given { programs, s3, data, sweep, evaluator })
}
