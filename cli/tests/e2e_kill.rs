//! SIGKILL at random moments, of the coordinator and of workers, and then the same command again: the results are those of
//! an undisturbed run, byte for byte.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Bench, need_worker, tiny_mnist, tiny_sweep};

const RUN: [&str; 7] = ["run", "x.toml", "--data", "data", "--workers", "2", "--no-plots"];
/// Rounds in which something is killed.
const ROUNDS: u32 = 6;
const SEEDS: u32 = 12;

/// A command that takes longer stands still: the whole sweep takes seconds, and a lease ten of them.
const PATIENCE: Duration = Duration::from_mins(2);

fn bench() -> Bench {
    need_worker();
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 2000, 500);
    let sweep = tiny_sweep("x", SEEDS, 12).replace("count = 5", "count = 21").replace("[16]", "[64]");
    bench.write("x.toml", sweep);
    bench
}

/// Points of lines and training curves, without the seconds that training took.
fn results(bench: &Bench) -> (String, Vec<String>) {
    let points = bench.ok(&["results", "x", "--format", "csv"]);
    let curves = bench.ok(&["results", "x", "--curves", "--format", "csv"]);
    let without_seconds = |line: &str| line.rsplit_once(',').map_or("", |(rest, _)| rest).to_owned();
    (points, curves.lines().map(without_seconds).collect())
}

fn started(bench: &Bench) -> Child {
    bench.command(&RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Runs the sweep to its end; fails with what is known where it does not come to one.
fn run_to_the_end(bench: &Bench) {
    let mut command = started(bench);
    let began = Instant::now();
    while command.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            let known = stuck(bench);
            kill_hard(command.id());
            panic!("{RUN:?} did not end within {PATIENCE:?}\n{known}");
        }
        sleep(Duration::from_millis(20));
    }
    let status = command.wait().unwrap();
    assert!(status.success(), "{RUN:?} failed\n{}", stuck(bench));
}

/// How far the sweep is, and the ends of the logs.
fn stuck(bench: &Bench) -> String {
    let mut known = bench.run(&["status", "x"]).stdout;
    known.push_str(&bench.run(&["workers"]).stdout);
    for log in std::fs::read_dir(bench.path(".transect/logs")).into_iter().flatten().filter_map(Result::ok) {
        let text = std::fs::read_to_string(log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(15)..].join("\n");
        known.push_str(&format!("--- {}\n{last}\n", log.path().display()));
    }
    known
}

fn children(parent: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Returns once a worker of this very command holds a job, or the command has ended.
fn wait_for_work(bench: &Bench, command: &mut Child) {
    let began = Instant::now();
    while command.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            let known = stuck(bench);
            kill_hard(command.id());
            panic!("no worker of {RUN:?} held a job within {PATIENCE:?}\n{known}");
        }
        let answer = bench.run(&["workers", "--json"]).stdout;
        let workers: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
        let own = children(command.id());
        let works = |w: &serde_json::Value| {
            w["leased"].as_u64() > Some(0) && own.iter().any(|id| w["info"]["pid"] == serde_json::json!(id))
        };
        if workers.as_array().is_some_and(|all| all.iter().any(works)) {
            return;
        }
        sleep(Duration::from_millis(20));
    }
}

fn kill_hard(id: u32) {
    // It may have ended by itself in the meantime.
    let _ = kill(Pid::from_raw(id.cast_signed()), Signal::SIGKILL);
}

#[test]
fn what_is_killed_at_any_moment_comes_to_the_same_points() {
    let undisturbed = bench();
    run_to_the_end(&undisturbed);
    let expected = results(&undisturbed);
    assert_eq!(expected.0.lines().count(), 1 + SEEDS as usize * 3 * 2 * 21);

    let disturbed = bench();
    // Whatever the moments are, the points must be the same.
    let mut moment = u64::from(std::process::id());
    let mut cut_short = 0;
    for round in 0..ROUNDS {
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut command = started(&disturbed);
        wait_for_work(&disturbed, &mut command);
        // The first kill comes as soon as a job is held, so that it never finds the sweep over.
        if round > 0 {
            sleep(Duration::from_millis((moment >> 33) % 1000));
        }
        match round % 3 {
            // The command with its coordinator; the workers must end with it.
            0 => {}
            // A worker, and a little later the command.
            1 => {
                children(command.id()).into_iter().take(1).for_each(kill_hard);
                sleep(Duration::from_millis(400));
            }
            // An executor, and a little later the command.
            _ => {
                let workers = children(command.id());
                workers.iter().flat_map(|id| children(*id)).take(1).for_each(kill_hard);
                sleep(Duration::from_millis(400));
            }
        }
        cut_short += u32::from(command.try_wait().unwrap().is_none());
        kill_hard(command.id());
        command.wait().unwrap();
    }
    assert!(cut_short > 0, "no run was killed while it worked");
    run_to_the_end(&disturbed);
    let found = results(&disturbed);
    assert_eq!(found.0, expected.0, "points differ from those of an undisturbed run");
    assert_eq!(found.1, expected.1, "training curves differ from those of an undisturbed run");
}
