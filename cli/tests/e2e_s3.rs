//! `transect run` with its artifacts in a bucket that goes away in the middle: the results are those of a run on a folder,
//! byte for byte.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../../coordinator/tests/artifacts_s3/server.rs"]
#[expect(dead_code, reason = "it has wires, too")]
mod server;
mod support;

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use server::{BUCKET, S3};
use support::{Bench, need_worker, tiny_mnist, tiny_sweep};
use transect_coordinator::artifacts::Location;

const RUN: [&str; 7] = ["run", "x.toml", "--data", "data", "--workers", "2", "--no-plots"];

/// How long the bucket is away: longer than a coordinator tries, so that workers hear of it. `AWAY=600` waits ten minutes.
fn away() -> Duration {
    Duration::from_secs(std::env::var("AWAY").map_or(14, |seconds| seconds.parse().unwrap()))
}

fn bench() -> Bench {
    let bench = Bench::new();
    tiny_mnist(&bench.path("data"), 1000, 200);
    bench.write("x.toml", tiny_sweep("x", 6, 4));
    bench
}

#[test]
fn a_bucket_that_goes_away_in_the_middle_costs_time_and_nothing_else() {
    need_worker();
    let Some(mut s3) = S3::start() else { return };
    let Location::Bucket { settings, .. } = s3.location() else { panic!("it is a bucket") };
    let (folder, bucket) = (bench(), bench());
    let in_bucket = |arguments: &[&str]| -> Command {
        let mut command = bucket.command(arguments);
        command.env("TRANSECT_ARTIFACTS", format!("s3://{BUCKET}/lab")).envs(settings.clone());
        command
    };

    folder.ok(&RUN);
    let mut run = in_bucket(&RUN).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while s3.objects().len() < 2 {
        assert_eq!(run.try_wait().unwrap(), None, "it ended before anything was stored");
        sleep(Duration::from_millis(10));
    }
    s3.kill();
    sleep(away());
    assert_eq!(run.try_wait().unwrap(), None, "it waits");
    s3.revive();
    assert!(run.wait().unwrap().success());

    let results = ["results", "x", "--format", "csv"];
    let got = String::from_utf8(in_bucket(&results).output().unwrap().stdout).unwrap();
    assert_eq!(got, folder.ok(&results));
    let status = String::from_utf8(in_bucket(&["status", "x", "--json"]).output().unwrap().stdout).unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["sweep"]["failed"].as_u64(), Some(0), "{status}");
    let kept = std::fs::read_dir(bucket.path(".transect/artifacts")).unwrap();
    assert_eq!(kept.map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>(), ["tmp"]);

    let gc = String::from_utf8(in_bucket(&["gc", "--grace", "0s", "--json"]).output().unwrap().stdout).unwrap();
    let gc: serde_json::Value = serde_json::from_str(gc.lines().last().unwrap()).unwrap();
    assert_eq!(gc["named"].as_u64(), Some(12), "init and final of six runs: {gc}");
    assert_eq!(s3.objects().len(), 12, "{:?}", s3.objects());
}
