//! A store with a clock that moves when it is told to, and short words for what users and workers do with it.
#![allow(dead_code, reason = "each test program uses some of these words")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use transect_common::data::{DataSet, DataSpec, Split};
use transect_common::digest::ArtifactDigest;
use transect_common::job::{ErrorClass, JobState};
use transect_common::line::{BatchNorm, LineSpec};
use transect_common::model::ModelSpec;
use transect_common::run::{InitSpec, Optimizer, Origin, RunSpec, TrainSpec};
use transect_common::schedule::Schedule;
use transect_common::sweep::{Axis, ExpandedRun, Expansion};
use transect_coordinator::store::{
    Epoch, Job, JobAttempt, Lease, LeaseWish, LeasedJob, NewImport, NewSweep, Point, Refusal, RefusalReason, ReportRow,
    Reported, Row, Store, StoreError, Submitted, Sweep, SweepId, Timestamp, WorkerId, WorkerInfo,
};

/// Length of a lease and attempts of the stores under test.
pub const LEASE_SECONDS: u64 = 30;
pub const MAX_ATTEMPTS: u32 = 3;
/// Points of each line: 3 alphas on 2 splits.
pub const POINTS: u64 = 6;
pub const ALPHAS: [f64; 3] = [0.0, 0.1, 1.0];

pub struct World {
    pub store: Arc<dyn Store>,
    clock: AtomicU64,
}

impl World {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, clock: AtomicU64::new(1_700_000_000_000) }
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.load(Ordering::SeqCst))
    }

    pub fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    // What users do.

    /// A sweep over seeds with these lines, submitted under its own name.
    pub async fn sweep(&self, name: &str, seeds: &[u64], masks: &[&str]) -> Sweep {
        self.submit(sweep(name, seeds, masks)).await.unwrap().sweep
    }

    pub async fn submit(&self, sweep: NewSweep) -> Result<Submitted, StoreError> {
        self.store.submit(sweep, self.now()).await
    }

    pub async fn progress(&self, sweep: &Sweep) -> Sweep {
        self.store.sweep(sweep.id).await.unwrap()
    }

    pub async fn jobs(&self, sweep: SweepId) -> Vec<Job> {
        self.store.jobs(sweep, None, None, 1000).await.unwrap().rows
    }

    pub async fn states(&self, sweep: SweepId) -> Vec<JobState> {
        self.jobs(sweep).await.iter().map(|job| job.state).collect()
    }

    pub async fn job(&self, sweep: SweepId, lease: &LeasedJob) -> Job {
        self.jobs(sweep).await.into_iter().find(|job| job.id == lease.job.job).unwrap()
    }

    // What workers do.

    pub async fn worker(&self) -> WorkerId {
        let info = WorkerInfo {
            host: "host".into(),
            pid: 7,
            device: "cpu".into(),
            device_name: "a processor".into(),
            memory_bytes: 1 << 34,
            libtorch: "2.11.0".into(),
            cpu_capability: "AVX2".into(),
            threads: 2,
            version: "0.1.0".into(),
            labels: std::collections::BTreeSet::new(),
        };
        self.store.register(info, self.now()).await.unwrap()
    }

    pub async fn try_lease(&self, worker: WorkerId) -> Option<Lease> {
        self.try_lease_up_to(worker, 1000).await
    }

    pub async fn try_lease_up_to(&self, worker: WorkerId, max_jobs: u32) -> Option<Lease> {
        let wish = LeaseWish { worker, max_jobs, cached_runs: vec![], seconds_left: None };
        self.store.lease(wish, self.now()).await.unwrap()
    }

    pub async fn lease(&self, worker: WorkerId) -> Lease {
        self.try_lease(worker).await.expect("there is work")
    }

    pub async fn report(&self, worker: WorkerId, job: JobAttempt, rows: Vec<Row>) -> Reported {
        let rows = rows.into_iter().enumerate();
        let rows = rows.map(|(place, row)| ReportRow { place: place as u64, job, row }).collect();
        self.store.report(worker, rows, self.now()).await.unwrap()
    }

    /// Reports rows of which none may be refused.
    pub async fn store_rows(&self, worker: WorkerId, job: JobAttempt, rows: Vec<Row>) {
        let count = rows.len() as u64;
        assert_eq!(self.report(worker, job, rows).await, Reported { stored: count, refused: vec![] });
    }

    /// Reports one row that must be refused; returns why.
    pub async fn refused(&self, worker: WorkerId, job: JobAttempt, row: Row) -> (RefusalReason, String) {
        let mut answer = self.report(worker, job, vec![row]).await;
        assert_eq!((answer.stored, answer.refused.len()), (0, 1), "{answer:?}");
        let Refusal { reason, message, .. } = answer.refused.remove(0);
        (reason, message)
    }

    /// Leases the next training job, whichever it is, and does it.
    pub async fn train_next(&self, worker: WorkerId) -> Lease {
        let lease = self.lease(worker).await;
        assert_eq!((lease.jobs.len(), &lease.jobs[0].line_spec), (1, &None), "a training job was expected");
        self.store_rows(worker, lease.jobs[0].job, trained()).await;
        lease
    }

    /// Leases lines and measures them.
    pub async fn measure_next(&self, worker: WorkerId) -> Lease {
        let lease = self.lease(worker).await;
        for job in &lease.jobs {
            self.store_rows(worker, job.job, measured(job)).await;
        }
        lease
    }

    /// Works until nothing is due.
    pub async fn work_it_all(&self, worker: WorkerId) {
        while let Some(lease) = self.try_lease(worker).await {
            for job in &lease.jobs {
                let rows = if job.line_spec.is_some() { measured(job) } else { trained() };
                self.store_rows(worker, job.job, rows).await;
            }
        }
    }

    /// Leases the next job and fails it.
    pub async fn fail_next(&self, worker: WorkerId, class: ErrorClass, message: &str) -> LeasedJob {
        let mut lease = self.try_lease_up_to(worker, 1).await.expect("there is work");
        let job = lease.jobs.remove(0);
        self.store_rows(worker, job.job, vec![failed(class, message)]).await;
        job
    }
}

pub fn run(seed: u64) -> RunSpec {
    let train = TrainSpec { epochs: 2, ..TrainSpec::new(seed, Optimizer::sgd()) };
    RunSpec {
        data: DataSpec::new(DataSet::Mnist),
        model: ModelSpec::lenet5(),
        origin: Origin::Trained { init: InitSpec::default(), train },
    }
}

pub fn line(mask: &str) -> LineSpec {
    LineSpec { batch_norm: BatchNorm::None, ..LineSpec::new(mask, ALPHAS.to_vec(), vec![Split::Train, Split::Test]) }
}

pub fn sweep(name: &str, seeds: &[u64], masks: &[&str]) -> NewSweep {
    let runs = seeds.iter().map(|&seed| expanded(run(seed), &seed.into(), masks)).collect();
    let axes = vec![Axis { setting: "train.seed".into(), values: seeds.iter().map(|&seed| seed.into()).collect() }];
    let file = format!("{name} {seeds:?} {masks:?}");
    let expansion = Expansion { name: name.to_owned(), axes, runs, schedule: Schedule::default() };
    NewSweep { idempotency_key: file.clone(), file, expansion }
}

pub fn expanded(spec: RunSpec, setting: &serde_json::Value, masks: &[&str]) -> ExpandedRun {
    let settings = [("train.seed".to_owned(), setting.clone())].into_iter().collect();
    ExpandedRun { digest: spec.digest(), spec, settings, lines: masks.iter().map(|mask| line(mask)).collect() }
}

pub fn artifact(name: &str) -> ArtifactDigest {
    ArtifactDigest::of(name.as_bytes())
}

pub fn import(name: &str) -> NewImport {
    let checkpoint = |tag: &str| (tag.parse().unwrap(), (artifact(&format!("{name} {tag}")), 1234));
    NewImport {
        name: name.to_owned(),
        model: ModelSpec::resnet20(),
        input: [3, 32, 32],
        classes: 10,
        checkpoints: BTreeMap::from([checkpoint("init"), checkpoint("final")]),
    }
}

/// A sweep over an import with one line.
pub fn sweep_of_import(name: &str, import: &NewImport) -> NewSweep {
    let checkpoints = import.checkpoints.iter().map(|(tag, (artifact, _))| (tag.clone(), artifact.clone())).collect();
    let spec = RunSpec {
        data: DataSpec::new(DataSet::Cifar10),
        model: import.model.clone(),
        origin: Origin::Imported { checkpoints },
    };
    let runs = vec![expanded(spec, &import.name.as_str().into(), &["all"])];
    let expansion = Expansion { name: name.to_owned(), axes: vec![], runs, schedule: Schedule::default() };
    NewSweep { file: name.to_owned(), idempotency_key: name.to_owned(), expansion }
}

pub fn epoch(epoch: u32, split: Split) -> Row {
    Row::Epoch(Epoch {
        epoch,
        split,
        loss: 1.0 / f64::from(epoch + 1),
        accuracy: 0.9,
        learning_rate: 0.1,
        seconds: 2.5,
    })
}

pub fn checkpoint(tag: &str) -> Row {
    Row::Checkpoint { tag: tag.parse().unwrap(), artifact: artifact(tag), bytes: 99 }
}

pub fn done() -> Row {
    Row::Done { seconds: 1.5, threads: 2 }
}

pub fn failed(class: ErrorClass, message: &str) -> Row {
    Row::Failed { class, message: message.to_owned() }
}

pub fn point(split: Split, index: u32) -> Row {
    point_with(split, index, 0.5 + f64::from(index))
}

pub fn point_with(split: Split, index: u32, loss: f64) -> Row {
    let alpha = ALPHAS.get(index as usize).copied().unwrap_or(7.0);
    Row::Point(Point { split, index, alpha, loss, accuracy: 0.5, count: 1000 })
}

/// Everything that training a run reports.
pub fn trained() -> Vec<Row> {
    let mut rows = vec![checkpoint("init")];
    for number in 0..=2 {
        rows.extend([epoch(number, Split::Train), epoch(number, Split::Test)]);
    }
    rows.extend([checkpoint("final"), done()]);
    rows
}

/// Everything that measuring a line reports, without what is there already.
pub fn measured(job: &LeasedJob) -> Vec<Row> {
    let mut rows = vec![];
    for split in [Split::Train, Split::Test] {
        rows.extend((0..3).filter(|&index| !job.done_points.contains(&(split, index))).map(|i| point(split, i)));
    }
    rows.push(done());
    rows
}
