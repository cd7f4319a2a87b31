//! What the daemon's tests need: a coordinator in memory that can refuse, vanish and come back; the real worker binary;
//! and a tiny data set.
#![allow(dead_code, missing_docs, reason = "each test file uses its part, and none is read as documentation")]
#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

pub mod coordinator;
pub mod worker;

use std::path::Path;
use std::time::{Duration, Instant};

use transect_common::data::{DataSet, DataSpec, Split};
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::ModelSpec;
use transect_common::pb::{LeaseResponse, LeasedJob, RunArtifact, TaggedArtifact};
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, TrainSpec};

pub use coordinator::Fake;
pub use worker::Worker;

/// Training and test images of the tiny set.
pub const SIZES: [usize; 2] = [64, 32];

/// Waits until `found` gives something; after a minute the test fails, saying what it waited for.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(began.elapsed() < Duration::from_mins(2), "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes an MNIST of a few images in which each class has its own bright row.
pub fn write_tiny_mnist(data: &Path) {
    let folder = data.join("mnist");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, count) in [("train", SIZES[0]), ("t10k", SIZES[1])] {
        let number = |n: usize| (n as u32).to_be_bytes();
        let mut images = [number(0x803), number(count), number(28), number(28)].concat();
        let mut labels = [number(0x801), number(count)].concat();
        for image in 0..count {
            let label = image % 10;
            labels.push(label as u8);
            images.extend((0..784).map(|pixel| if pixel / 28 == 2 * label { 250 } else { (image * 7 % 50) as u8 }));
        }
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// A small run on the tiny set.
pub fn tiny_run(seed: u64, epochs: u32) -> RunSpec {
    let train = TrainSpec { epochs, batch_size: 16, ..TrainSpec::new(seed, Optimizer::sgd()) };
    RunSpec {
        data: DataSpec { partial: true, ..DataSpec::new(DataSet::Mnist) },
        model: ModelSpec::mlp([16]),
        origin: Origin::Trained { init: InitSpec::default(), train },
    }
}

/// A line of three alphas on both splits.
pub fn line(mask: &str) -> LineSpec {
    LineSpec {
        batch_norm: BatchNorm::None,
        batch_size: 20,
        ..LineSpec::new(mask, vec![0.0, 0.5, 1.0], vec![Split::Train, Split::Test])
    }
}

/// A lease to train `run` as job `job_id`.
pub fn training(run: &RunSpec, job_id: u64) -> LeaseResponse {
    LeaseResponse {
        jobs: vec![LeasedJob { job_id, attempt: 1, ..LeasedJob::default() }],
        run: run.digest().to_string(),
        run_spec: run.canonical(),
        checkpoints: Vec::new(),
        ..LeaseResponse::default()
    }
}

/// A lease to measure lines of `run` between `checkpoints` as jobs `first`, `first + 1`, ...
pub fn lines(run: &RunSpec, first: u64, specs: &[LineSpec], checkpoints: Vec<TaggedArtifact>) -> LeaseResponse {
    let job = |(job_id, spec): (u64, &LineSpec)| LeasedJob {
        job_id,
        attempt: 1,
        line_spec: spec.canonical(),
        done_points: Vec::new(),
    };
    LeaseResponse { jobs: (first..).zip(specs).map(job).collect(), checkpoints, ..training(run, first) }
}

/// A coordinator and a worker that has trained `run` as job 1, and the run's checkpoints.
pub fn trained(run: &RunSpec) -> (Fake, Worker, Vec<TaggedArtifact>) {
    let fake = Fake::start();
    let worker = Worker::start(&fake.url());
    fake.give(training(run, 1));
    fake.wait_done(1);
    let checkpoints = fake.state().checkpoints(1);
    (fake, worker, checkpoints)
}

/// Checkpoints of `run` as those of another run.
pub fn elsewhere(run: &RunSpec, checkpoints: &[TaggedArtifact]) -> Vec<RunArtifact> {
    let named = |c: &TaggedArtifact| RunArtifact {
        run: run.digest().to_string(),
        tag: c.tag.clone(),
        artifact: c.artifact.clone(),
    };
    checkpoints.iter().map(named).collect()
}
