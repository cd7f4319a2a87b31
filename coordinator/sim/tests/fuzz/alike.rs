//! Two stores, asked the same: the one in memory, on which histories are played, and SQLite must answer with the same codes
//! and come to the same sweeps, jobs and workers.

use proptest::prelude::*;
use prost::Message as _;
use transect_common::pb;

use crate::messages::{Chance, Schema};
use crate::world::World;

/// What answers without end, or does not depend on the store.
const LEFT_OUT: [&str; 3] = ["/Watch", "/Signals", "ArtifactService"];

/// Everything that users see of sweeps, jobs and workers.
async fn seen(world: &World) -> Vec<String> {
    let mut seen = vec![];
    let listed = world.ask("/transect.v1.SweepService/List", vec![vec![]]).await.unwrap().remove(0);
    for mut sweep in pb::ListResponse::decode(listed.as_slice()).unwrap().sweeps {
        // Sums of the same numbers in another order.
        sweep.seconds_left = sweep.seconds_left.map(|seconds| (seconds * 1e6).round() / 1e6);
        let jobs = pb::JobsRequest { sweep: sweep.sweep_id.clone(), page_size: 1000, ..Default::default() };
        let jobs = world.ask("/transect.v1.SweepService/Jobs", vec![jobs.encode_to_vec()]).await.unwrap().remove(0);
        seen.push(format!("{sweep:?}"));
        seen.extend(pb::JobsResponse::decode(jobs.as_slice()).unwrap().jobs.into_iter().map(told));
    }
    let workers = world.ask("/transect.v1.SweepService/Workers", vec![vec![]]).await.unwrap().remove(0);
    seen.extend(pb::WorkersResponse::decode(workers.as_slice()).unwrap().workers.iter().map(|w| format!("{w:?}")));
    seen
}

/// A job without the sentences about its errors, which each store words for itself.
fn told(mut job: pb::Job) -> String {
    job.error = job.error.map(|_| String::new());
    for error in &mut job.errors {
        error.message.clear();
    }
    format!("{job:?}")
}

/// A worker that waits would be answered when the machine has time.
fn without_waiting(path: &str, message: Vec<u8>) -> Vec<u8> {
    match pb::LeaseRequest::decode(message.as_slice()) {
        Ok(lease) if path.ends_with("/Lease") => pb::LeaseRequest { wait_seconds: 0, ..lease }.encode_to_vec(),
        _ => message,
    }
}

async fn ask_both(seeds: &[u64]) {
    let folder = tempfile::tempdir().unwrap();
    let (memory, disk, schema) = (World::in_memory().await, World::on_disk(folder.path()).await, Schema::new());
    let mut told = vec![];
    for seed in seeds {
        let mut chance = Chance::new(*seed);
        let method = chance.pick(&schema.methods);
        if LEFT_OUT.iter().any(|left_out| method.path.contains(left_out)) {
            continue;
        }
        let count = if method.streams { 1 + chance.below(3) } else { 1 };
        let messages: Vec<Vec<u8>> = (0..count)
            .map(|_| without_waiting(&method.path, schema.message(&method.input, &memory.known, &mut chance)))
            .collect();
        let code = |answer: Result<Vec<Vec<u8>>, tonic::Status>| answer.map(drop).map_err(|status| status.code());
        let first = code(memory.ask(&method.path, messages.clone()).await);
        let second = code(disk.ask(&method.path, messages).await);
        told.push(format!("{} {first:?}", method.path));
        assert_eq!(first, second, "in memory and on disk, after {told:#?}");
        let pause = chance.below(20_000);
        memory.pass(pause).await;
        disk.pass(pause).await;
        let (first, second) = (seen(&memory).await, seen(&disk).await);
        for (first, second) in first.iter().zip(&second) {
            assert_eq!(first, second, "in memory and on disk, after {told:#?}");
        }
        assert_eq!(first.len(), second.len(), "in memory and on disk, after {told:#?}");
    }
}

proptest! {
    #![proptest_config(crate::config(12, 20, "tests/fuzz/regressions/alike.txt"))]

    #[test]
    fn the_store_in_memory_and_sqlite_come_to_the_same(seeds in prop::collection::vec(any::<u64>(), 1..25)) {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(ask_both(&seeds));
    }
}
