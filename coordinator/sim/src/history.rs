//! One history: a rough time, in which everything may go wrong, and a calm one, in which everything must get done.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use transect_common::job::{JobKind, JobState};
use transect_coordinator::store::{Bug, MemoryStore, Store as _, Terms, Timestamp};
use transect_coordinator::{Clock, Embedded};

use super::scheduler::{Group, Sim};
use super::store::Watched;
use super::truth;
use super::user;
use super::worker::{Machine, Process};
use super::world::{LEASE, World};

/// Milliseconds within which everything must be done once it is calm.
const PATIENCE: u64 = 900_000;
/// Where clocks begin.
const EPOCH: u64 = 1_700_000_000_000;
/// Groups of coordinators and of those who start and stop them begin here; below are machines.
const COORDINATORS: Group = 100;
const FATES: Group = 200;

/// What a history came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub log: String,
    /// The invariant that did not hold.
    pub broken: Option<String>,
    /// Jobs done.
    pub jobs: u64,
    /// Leases given.
    pub leases: u64,
    /// Milliseconds of simulated time.
    pub milliseconds: u64,
}

/// Plays the history of a seed, with a deliberate mistake when one is given.
pub fn play(seed: u64, bug: Option<Bug>) -> Outcome {
    let sim = Sim::new(seed);
    let terms = Terms { lease: Duration::from_millis(LEASE), max_attempts: 3 };
    let memory = bug.map_or_else(|| MemoryStore::new(terms), |bug| MemoryStore::with_bug(terms, bug));
    let store = Watched::new(sim.clone(), memory);
    let world = World::new(sim.clone(), store.clone());
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| perform(&world)));
    if played.is_err() {
        sim.fail("something panicked".to_owned());
    }
    let milliseconds = sim.now();
    sim.clear();
    let jobs = store.memory().see().jobs.values().filter(|job| job.state == JobState::Done).count() as u64;
    let (log, broken) = sim.outcome();
    Outcome { log, broken, jobs, leases: store.leases(), milliseconds }
}

fn perform(world: &World) {
    let sim = &world.sim;
    world.set_rough(true);
    let rough = sim.between(15_000, 70_000);
    for number in 0..sim.between(1, 3) as usize {
        world.network.place(number, None);
        let world = world.clone();
        sim.spawn(FATES, async move { coordinator(world, number).await });
    }
    let machines = sim.between(2, 4);
    for number in 1..=machines {
        let device = if number > 1 && sim.chance(350) { "cuda:0" } else { "cpu" };
        let machine = Machine { group: number, device, is_bad: number > 1 && sim.chance(250) };
        let world = world.clone();
        sim.spawn(FATES, async move { fate(world, machine).await });
    }
    for number in 0..sim.between(1, 3) {
        let world = world.clone();
        sim.spawn(FATES, async move { user::live(world, number).await });
    }
    let over = Arc::new(AtomicBool::new(false));
    let (calms, is_over) = (world.clone(), over.clone());
    sim.spawn(FATES, async move {
        calms.sim.sleep(rough).await;
        calms.set_rough(false);
        calms.sim.say("", format_args!("from now on nothing goes wrong"));
        loop {
            calms.sim.sleep(2_000).await;
            let sight = calms.store.memory().see();
            let is_done = sight.jobs.values().all(|job| job.state == JobState::Done);
            if is_done && sight.sweeps.values().all(|sweep| !sweep.is_paused) && !sight.sweeps.is_empty() {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    sim.run(rough + PATIENCE, || over.load(Ordering::Relaxed));
    finish(world, over.load(Ordering::Relaxed));
}

/// A coordinator, killed and started again at random.
async fn coordinator(world: World, number: usize) {
    let group = COORDINATORS + number as u64;
    loop {
        let skew = world.sim.between(0, 8_000);
        let ticking = world.sim.clone();
        let clock = Clock::told(move || Timestamp::from_millis(EPOCH + skew + ticking.now()));
        let store: Arc<Watched> = Arc::new(world.store.clone());
        let lease = Duration::from_millis(LEASE);
        let embedded = Embedded::new(store.clone(), world.blobs.artifacts(), clock.clone(), lease);
        world.sim.say(&format!("c{number}"), format_args!("starts, {skew} ms ahead"));
        let (keeps, told) = (world.clone(), clock.clone());
        world.sim.spawn(group, async move {
            while store.resume(told.now()).await.is_err() {
                keeps.sim.sleep(100).await;
            }
            keeps.network.place(number, Some((group, embedded)));
            loop {
                keeps.sim.sleep(LEASE / 4).await;
                // What fails now is done next time.
                let _ = store.expire(told.now()).await;
                let _ = store.roll_up(told.now()).await;
            }
        });
        world.sim.sleep(world.sim.between(5_000, 60_000)).await;
        if !world.is_rough() {
            return;
        }
        world.sim.say(&format!("c{number}"), format_args!("is killed"));
        world.network.place(number, None);
        world.sim.kill(group);
        world.sim.sleep(world.sim.between(100, 12_000)).await;
    }
}

/// A machine whose worker is killed, stopped, frozen and cut off at random.
async fn fate(world: World, machine: Machine) {
    let sim = world.sim.clone();
    let name = format!("m{}", machine.group);
    for pid in 1.. {
        sim.sleep(sim.between(0, 3_000)).await;
        let process = Process::start(&world, machine.clone(), pid);
        loop {
            sim.sleep(sim.between(2_000, 25_000)).await;
            if !world.is_rough() {
                (0..world.network.coordinators()).for_each(|to| world.network.cut(machine.group, to, false));
                return;
            }
            match sim.between(0, 4) {
                0 => {
                    sim.say(&name, format_args!("is killed"));
                    sim.kill(machine.group);
                    break;
                }
                1 => {
                    sim.say(&name, format_args!("is asked to stop"));
                    process.stop();
                    sim.sleep(sim.between(100, 20_000)).await;
                    sim.kill(machine.group);
                    break;
                }
                2 => {
                    let pause = sim.between(1_000, 30_000);
                    sim.say(&name, format_args!("freezes for {pause} ms"));
                    process.freeze(pause);
                }
                _ => {
                    let to = sim.between(0, world.network.coordinators() as u64 - 1) as usize;
                    let is_cut = sim.chance(600);
                    sim.say(&name, format_args!("{} c{to}", if is_cut { "is cut off from" } else { "hears" }));
                    world.network.cut(machine.group, to, is_cut);
                }
            }
        }
    }
}

/// Everything is done, and as it would have been if nothing had gone wrong.
fn finish(world: &World, is_over: bool) {
    let sight = world.store.memory().see();
    if !is_over {
        let mut open = String::new();
        for (id, job) in sight.jobs.iter().filter(|(_, job)| job.state != JobState::Done) {
            let _ = write!(open, " job {id} ({}, s-{:?});", job.state, job.sweep);
        }
        return world.sim.fail(format!("no progress: still open{open}"));
    }
    for (id, job) in &sight.jobs {
        let run = job.run.to_string();
        let checkpoints = truth::checkpoints(&run);
        if job.kind == JobKind::Train && job.checkpoints != checkpoints {
            return world.sim.fail(format!("job {id} ends in other bytes than undisturbed"));
        }
        let Some(line) = &job.line else { continue };
        for split in line.splits.iter().map(|split| split.name()) {
            for (index, alpha) in (0..).zip(&line.alphas) {
                let loss = truth::loss(line, split, *alpha, &checkpoints["init"], &checkpoints["final"]);
                if job.points.get(&(split, index)) != Some(&loss.to_bits()) {
                    return world.sim.fail(format!("point {split} {index} of job {id} is another than undisturbed"));
                }
            }
        }
    }
}
