//! A user: submits a sweep, changes their mind while things go wrong, and in the end wants it done.

use std::fmt::Write as _;

use tonic::Code;
use transect_common::pb;

use super::scheduler::Group;
use super::world::World;

/// Users are known to the network as these.
const USERS: Group = 300;

/// The sweep file of a user. Those of different users share runs and lines, or some alphas of them.
fn sweep_file(world: &World, number: u64) -> String {
    let sim = &world.sim;
    let seeds = ["[0]", "[0, 1, 2]", "[1, 2]", "[0, 1, 2, 3]"][sim.between(0, 3) as usize];
    let layers = ["[\"all\"]", "[\"all\", \"conv1\"]"][sim.between(0, 1) as usize];
    let count = [3, 5][sim.between(0, 1) as usize];
    let mut file = format!(
        r#"
name = "sweep-{number}"
[data]
set = "mnist"
train_size = 100
test_size = 50
[model]
architecture = "lenet5"
[train]
seed = {seeds}
epochs = 4
optimizer = {{ name = "sgd", lr = 0.1 }}
[[probe]]
kind = "line"
alphas = {{ start = 0.0, stop = 1.0, count = {count} }}
layers = {layers}
splits = ["test"]
"#
    );
    let mut schedule = String::new();
    if sim.chance(250) {
        let _ = writeln!(schedule, "priority = {}", sim.between(1, 3));
    }
    if sim.chance(250) {
        let _ = writeln!(schedule, "max_workers = {}", sim.between(1, 2));
    }
    if sim.chance(250) {
        // Every world has a machine of this kind.
        let _ = writeln!(schedule, "device = \"cpu\"");
    }
    if !schedule.is_empty() {
        let _ = write!(file, "[schedule]\n{schedule}");
    }
    file
}

/// Something that users do.
#[derive(Debug, Clone, Copy)]
enum Deed {
    Cancel,
    Retry,
    Revive,
    Pause,
    Resume,
    Adjust,
}

impl Deed {
    const ALL: [Self; 6] = [Self::Cancel, Self::Retry, Self::Revive, Self::Pause, Self::Resume, Self::Adjust];
}

async fn perform(world: &World, from: Group, sweep: &str, deed: Deed) -> bool {
    let mut client = world.sweeps(from);
    let sweep = sweep.to_owned();
    let machine_errors_only = matches!(deed, Deed::Retry) && world.sim.chance(300);
    match deed {
        Deed::Cancel => world.call(client.cancel(pb::CancelRequest { sweep })).await.is_ok(),
        Deed::Retry | Deed::Revive => {
            let cancelled = matches!(deed, Deed::Revive);
            let request = pb::RetryRequest { sweep, machine_errors_only, cancelled };
            world.call(client.retry(request)).await.is_ok()
        }
        Deed::Pause => world.call(client.pause(pb::PauseRequest { sweep })).await.is_ok(),
        Deed::Resume => world.call(client.resume(pb::ResumeRequest { sweep })).await.is_ok(),
        Deed::Adjust => {
            let priority = Some(world.sim.between(0, 3) as i32);
            let max_workers = world.sim.chance(500).then(|| world.sim.between(0, 3) as u32);
            let request = pb::AdjustRequest { sweep, priority, share: None, max_workers };
            world.call(client.adjust(request)).await.is_ok()
        }
    }
}

/// A user's life.
pub async fn live(world: World, number: u64) {
    let (sim, from) = (world.sim.clone(), USERS + number);
    let name = format!("u{number}");
    sim.sleep(sim.between(0, 15_000)).await;
    let sweep_file = sweep_file(&world, number);
    let sweep = loop {
        let request = pb::SubmitRequest { sweep_file: sweep_file.clone(), idempotency_key: name.clone() };
        let mut client = world.sweeps(from);
        match world.call(client.submit(request)).await {
            Ok(answer) => break answer.sweep.unwrap_or_default().sweep_id,
            Err(status) if status.code() == Code::InvalidArgument => {
                return sim.fail(format!("the sweep file is refused: {}", status.message()));
            }
            Err(_) => sim.sleep(1_000).await,
        }
    };
    sim.say(&name, format_args!("submitted {sweep}"));
    loop {
        sim.sleep(sim.between(3_000, 20_000)).await;
        if !world.is_rough() {
            break;
        }
        let deed = Deed::ALL[sim.between(0, 5) as usize];
        let is_done = perform(&world, from, &sweep, deed).await;
        sim.say(&name, format_args!("{deed:?} {sweep}: {}", if is_done { "done" } else { "no answer" }));
    }
    loop {
        for deed in [Deed::Resume, Deed::Revive] {
            let is_done = perform(&world, from, &sweep, deed).await;
            sim.say(&name, format_args!("{deed:?} {sweep}: {}", if is_done { "done" } else { "no answer" }));
        }
        let mut client = world.sweeps(from);
        let workers = world.call(client.workers(pb::WorkersRequest {})).await.map(|answer| answer.workers);
        for worker in workers.unwrap_or_default().into_iter().filter(|worker| worker.state == "quarantined") {
            let _ = world.call(client.release_worker(pb::ReleaseWorkerRequest { worker: worker.worker_id })).await;
        }
        sim.sleep(20_000).await;
    }
}
