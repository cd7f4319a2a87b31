//! `transect-simulate`: plays histories, or shows that deliberate mistakes are found.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Parser;
use transect_coordinator::store::Bug;
use transect_simulate::{Outcome, play};

/// Play histories of a cluster under faults.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    /// Number of histories, from seed 0.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// Play this history alone, and print its log.
    #[arg(long)]
    seed: Option<u64>,
    /// Show that each deliberate mistake is found within so many seeds.
    #[arg(long)]
    mutants: Option<u64>,
    /// Make this deliberate mistake (by name) in the history of --seed.
    #[arg(long)]
    bug: Option<String>,
    /// One history in so many is played twice and must leave the same log.
    #[arg(long, default_value_t = 20)]
    twice: u64,
    /// Threads; as many as there are processors unless given.
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // A panic is one more way in which a mistake is found; its seed is printed with the log.
    std::panic::set_hook(Box::new(|_| {}));
    let bug = args.bug.as_deref().and_then(|name| Bug::ALL.iter().copied().find(|bug| bug.name() == name));
    if let Some(seed) = args.seed {
        return one(seed, bug);
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(processors).max(1);
    match args.mutants {
        Some(most) => mutants(most, threads),
        None => many(args.seeds, args.twice.max(1), threads),
    }
}

fn one(seed: u64, bug: Option<Bug>) -> ExitCode {
    let outcome = play(seed, bug);
    print!("{}", outcome.log);
    let Outcome { jobs, leases, milliseconds, .. } = outcome;
    println!("seed {seed}: {jobs} jobs done by {leases} leases in {} simulated seconds", milliseconds / 1000);
    match outcome.broken {
        Some(broken) => {
            println!("seed {seed}: BROKEN: {broken}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(seeds: u64, twice: u64, threads: usize) -> ExitCode {
    println!("simulate: {seeds} histories on {threads} threads, every {twice}th of them twice");
    let (next, is_broken, began) = (AtomicU64::new(0), AtomicBool::new(false), Instant::now());
    let totals = Mutex::new((0, 0, 0));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !is_broken.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = play(seed, None);
                    let is_same = !seed.is_multiple_of(twice) || play(seed, None) == outcome;
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    *totals = (totals.0 + outcome.jobs, totals.1 + outcome.leases, totals.2 + outcome.milliseconds);
                    if outcome.broken.is_some() || !is_same {
                        is_broken.store(true, Ordering::Relaxed);
                        print!("{}", outcome.log);
                        let other = "played twice, it left two logs".to_owned();
                        println!("seed {seed}: BROKEN: {}", outcome.broken.unwrap_or(other));
                        println!("replay it with `make simulate SEED={seed}`");
                    }
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let played = next.into_inner().min(seeds);
    let (jobs, leases, milliseconds) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!(
        "simulate: {played} histories in {seconds:.1} s ({:.0} a second), {jobs} jobs done by {leases} leases in {} simulated hours",
        played as f64 / seconds,
        milliseconds / 3_600_000
    );
    if is_broken.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn mutants(most: u64, threads: usize) -> ExitCode {
    println!("simulate-mutants: each must be caught within {most} seeds");
    let (next, survivors) = (AtomicU64::new(0), AtomicU64::new(0));
    let lines = Mutex::new(vec![String::new(); Bug::ALL.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((place, bug)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed) as usize;
                    Bug::ALL.get(place).map(|bug| (place, *bug))
                } {
                    let caught = (0..most).find_map(|seed| play(seed, Some(bug)).broken.map(|broken| (seed, broken)));
                    survivors.fetch_add(u64::from(caught.is_none()), Ordering::Relaxed);
                    let found = caught.map_or_else(
                        || format!("{:>6}  SURVIVES", "-"),
                        |(seed, broken)| format!("{seed:>6}  {}", broken.chars().take(90).collect::<String>()),
                    );
                    let line = format!("{:<34} {found}", bug.name());
                    lines.lock().unwrap_or_else(PoisonError::into_inner)[place] = line;
                }
            });
        }
    });
    println!("{:<34} {:>6}  what was seen", "mutant", "seed");
    for line in lines.into_inner().unwrap_or_else(PoisonError::into_inner) {
        println!("{line}");
    }
    let survivors = survivors.into_inner();
    println!("simulate-mutants: {} of {} caught", Bug::ALL.len() as u64 - survivors, Bug::ALL.len());
    if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
