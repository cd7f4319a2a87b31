//! The processes of a round, and what is done to them.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::disk::Disk;
use crate::plan::{Kind, LEASE_SECONDS, Plan, StoreKind};
use crate::postgres::Postgres;
use crate::process::Process;
use crate::tables::Place;
use crate::wire::{Mode, Wire};

/// Mebibytes of a disk that can be filled.
const DISK: u32 = 96;
/// Seconds between two snapshots of a training.
const SNAPSHOTS: &str = "1";
/// Seconds in which a worker that is stopped leaves.
const GRACE: &str = "6";

/// Where the programs and the data are.
#[derive(Debug, Clone)]
pub struct Given {
    /// `transect`, `transect-coordinator`, `transect-worker`.
    pub programs: PathBuf,
    /// The S3 server, if it is installed.
    pub s3: Option<PathBuf>,
    /// Folder of the data sets.
    pub data: PathBuf,
    /// The sweep's file.
    pub sweep: PathBuf,
    /// How workers measure.
    pub evaluator: &'static str,
}

/// What runs.
pub struct Cluster {
    folder: PathBuf,
    programs: PathBuf,
    pub(crate) coordinators: Vec<Process>,
    pub(crate) workers: Vec<Process>,
    pub(crate) wires: Vec<Wire>,
    /// From each coordinator to the database server.
    database: Vec<Wire>,
    homes: Vec<Option<Disk>>,
    caches: Vec<Option<Disk>>,
    postgres: Option<Postgres>,
    postgres_down_until: Option<Instant>,
    bucket: Option<Bucket>,
}

impl Cluster {
    /// Starts everything in `folder`, which is empty. From a thread that stays: processes end with it.
    pub async fn start(plan: &Plan, given: &Given, folder: &Path) -> anyhow::Result<Self> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs)?;
        let has = |kind| plan.events.iter().any(|event| event.kind == kind);
        let postgres = match plan.store {
            StoreKind::Postgres => Some(Postgres::start(folder.join("pg"), free_address()?, has(Kind::PostgresFull))?),
            StoreKind::Sqlite => None,
        };
        let bucket = match &given.s3 {
            Some(program) if plan.bucket => {
                Some(Bucket::start(program, folder.join("s3"), free_address()?, logs.join("s3.log"))?)
            }
            _ => None,
        };
        let mut cluster = Self {
            folder: folder.to_owned(),
            programs: given.programs.clone(),
            coordinators: vec![],
            workers: vec![],
            wires: vec![],
            database: vec![],
            homes: vec![],
            caches: vec![],
            postgres,
            postgres_down_until: None,
            bucket,
        };
        for i in 0..plan.coordinators {
            cluster.add_coordinator(i, has(Kind::HomeFull)).await?;
        }
        for i in 0..plan.workers {
            cluster.add_worker(i, given, has(Kind::CacheFull))?;
        }
        for process in cluster.coordinators.iter_mut().chain(&mut cluster.workers) {
            process.start()?;
        }
        Ok(cluster)
    }

    async fn add_coordinator(&mut self, i: usize, is_small: bool) -> anyhow::Result<()> {
        let home = self.folder.join(format!("home-{i}"));
        std::fs::create_dir_all(&home)?;
        self.homes.push(if is_small { Disk::mount(&home, DISK) } else { None });
        let listen = free_address()?;
        self.wires.push(Wire::to(listen).await?);
        let artifacts = match (&self.bucket, &self.postgres) {
            (Some(_), _) => Bucket::location(),
            // One for both.
            (None, Some(_)) => self.folder.join("artifacts").display().to_string(),
            (None, None) => home.join("artifacts").display().to_string(),
        };
        let (listen, lease) = (listen.to_string(), LEASE_SECONDS.to_string());
        let home = home.display().to_string();
        let words = ["--home", &home, "--listen", &listen, "--http", "off", "--lease-seconds", &lease];
        let more = ["--max-attempts", "100", "--artifacts", &artifacts];
        let arguments = words.iter().chain(&more).map(|word| (*word).to_owned()).collect();
        let log = self.folder.join(format!("logs/coordinator-{i}.log"));
        let mut variables = self.bucket.as_ref().map(Bucket::variables).unwrap_or_default();
        if let Some(postgres) = &self.postgres {
            let wire = Wire::to(postgres.address()).await?;
            variables.push(("TRANSECT_STORE".to_owned(), Postgres::url(wire.address)));
            self.database.push(wire);
        }
        let program = self.programs.join("transect-coordinator");
        self.coordinators.push(Process::new(format!("coordinator {i}"), &program, arguments, log).with(&variables));
        Ok(())
    }

    fn add_worker(&mut self, i: usize, given: &Given, is_small: bool) -> anyhow::Result<()> {
        let home = self.folder.join(format!("worker-{i}"));
        std::fs::create_dir_all(&home)?;
        self.caches.push(if is_small { Disk::mount(&home, DISK) } else { None });
        let (home, data) = (home.display().to_string(), given.data.display().to_string());
        let coordinators = self.addresses();
        let words = ["--coordinator", &coordinators, "--home", &home, "--data", &data, "--threads", "1"];
        let more = ["--snapshot-seconds", SNAPSHOTS, "--grace-seconds", GRACE, "--evaluator", given.evaluator];
        let arguments = words.iter().chain(&more).map(|word| (*word).to_owned()).collect();
        let log = self.folder.join(format!("logs/worker-{i}.log"));
        let program = self.programs.join("transect-worker");
        self.workers.push(Process::new(format!("worker {i}"), &program, arguments, log));
        Ok(())
    }

    /// Where clients and workers find the coordinators: at the ends of wires.
    pub fn addresses(&self) -> String {
        let addresses: Vec<String> = self.wires.iter().map(|wire| format!("http://{}", wire.address)).collect();
        addresses.join(",")
    }

    /// Makes something go wrong until `until`; false where it has gone wrong already, or cannot.
    pub fn begin(&mut self, kind: Kind, i: usize, until: Instant) -> anyhow::Result<bool> {
        match kind {
            Kind::CoordinatorKilled => return Ok(up(&mut self.coordinators[i]).map(|it| it.kill(until)).is_some()),
            Kind::CoordinatorStopped => return Ok(up(&mut self.coordinators[i]).map(|it| it.stop(until)).is_some()),
            Kind::CoordinatorFrozen => return Ok(up(&mut self.coordinators[i]).map(|it| it.freeze(true)).is_some()),
            Kind::WorkerKilled => return Ok(up(&mut self.workers[i]).map(|it| it.kill(until)).is_some()),
            Kind::WorkerStopped | Kind::WorkerKilledAsItLeaves => {
                return Ok(up(&mut self.workers[i]).map(|it| it.stop(until)).is_some());
            }
            Kind::WorkerFrozen => return Ok(up(&mut self.workers[i]).map(|it| it.freeze(true)).is_some()),
            Kind::DaemonFrozen => return Ok(up(&mut self.workers[i]).map(|it| it.freeze(false)).is_some()),
            Kind::ExecutorKilled => return Ok(up(&mut self.workers[i]).map(|it| it.kill_children()).is_some()),
            Kind::PostgresCrashed | Kind::PostgresFrozen => {
                let Some(postgres) = self.postgres.as_mut().filter(|it| it.is_up()) else { return Ok(false) };
                if kind == Kind::PostgresFrozen {
                    postgres.freeze();
                } else {
                    postgres.crash()?;
                    self.postgres_down_until = Some(until);
                }
            }
            Kind::PostgresFull => {
                let Some(postgres) = self.postgres.as_mut().filter(|it| it.is_up()) else { return Ok(false) };
                return postgres.fill();
            }
            Kind::DatabaseCut => self.database[i].cut(),
            Kind::DatabaseStalls => return Ok(bend(&self.database[i], Mode::Stalls)),
            Kind::BucketKilled | Kind::BucketFrozen => {
                let Some(bucket) = self.bucket.as_mut().filter(|it| it.process.is_up()) else { return Ok(false) };
                if kind == Kind::BucketFrozen { bucket.process.freeze(true) } else { bucket.kill(until) }
            }
            Kind::WireCut => self.wires[i].cut(),
            Kind::WireRefuses => return Ok(bend(&self.wires[i], Mode::Refuses)),
            Kind::WireStalls => return Ok(bend(&self.wires[i], Mode::Stalls)),
            Kind::WireHoldsAnswers => return Ok(bend(&self.wires[i], Mode::HoldsAnswers)),
            Kind::WireSlow => return Ok(bend(&self.wires[i], Mode::Slow(Duration::from_millis(40)))),
            Kind::HomeFull | Kind::CacheFull => {
                let disk = if kind == Kind::HomeFull { &self.homes[i] } else { &self.caches[i] };
                let Some(disk) = disk else { return Ok(false) };
                disk.fill()?;
            }
        }
        Ok(true)
    }

    /// What went wrong is right again. What was killed or stopped is started again by [`Cluster::tend`].
    pub fn finish(&mut self, kind: Kind, i: usize, now: Instant) -> anyhow::Result<()> {
        match kind {
            Kind::CoordinatorFrozen => self.coordinators[i].thaw(),
            Kind::WorkerFrozen | Kind::DaemonFrozen => self.workers[i].thaw(),
            // By itself it may have been gone, and its follower be there: that one is killed, then.
            Kind::WorkerKilledAsItLeaves => self.workers[i].kill(now),
            Kind::PostgresFrozen => self.postgres.iter_mut().for_each(Postgres::thaw),
            Kind::PostgresFull => self.postgres.as_mut().map_or(Ok(()), Postgres::free)?,
            Kind::DatabaseStalls => self.database[i].set(Mode::Passes),
            Kind::BucketFrozen => self.bucket.iter_mut().for_each(|bucket| bucket.process.thaw()),
            Kind::WireRefuses | Kind::WireStalls | Kind::WireHoldsAnswers | Kind::WireSlow => {
                self.wires[i].set(Mode::Passes);
            }
            Kind::HomeFull => self.homes[i].iter().for_each(Disk::free),
            Kind::CacheFull => self.caches[i].iter().for_each(Disk::free),
            Kind::CoordinatorKilled
            | Kind::CoordinatorStopped
            | Kind::WorkerKilled
            | Kind::WorkerStopped
            | Kind::ExecutorKilled
            | Kind::PostgresCrashed
            | Kind::BucketKilled
            | Kind::DatabaseCut
            | Kind::WireCut => {}
        }
        Ok(())
    }

    /// Starts again what is due. Says what ended by itself.
    pub fn tend(&mut self, now: Instant) -> anyhow::Result<Vec<String>> {
        if self.postgres_down_until.is_some_and(|until| until <= now) {
            self.postgres_down_until = None;
            self.postgres.as_mut().map_or(Ok(()), Postgres::revive)?;
        }
        let bucket = self.bucket.iter_mut().map(|bucket| &mut bucket.process);
        let mut said = vec![];
        for process in self.coordinators.iter_mut().chain(&mut self.workers).chain(bucket) {
            said.extend(process.tend(now)?);
        }
        Ok(said)
    }

    /// Where the artifacts lie as files.
    pub fn artifacts(&self) -> PathBuf {
        match (&self.bucket, &self.postgres) {
            (Some(bucket), _) => bucket.objects(),
            (None, Some(_)) => self.folder.join("artifacts"),
            (None, None) => self.folder.join("home-0/artifacts"),
        }
    }

    /// Where what is being uploaded to the first coordinator lies: beside what is stored, or at home if that is a bucket.
    pub fn staging(&self) -> PathBuf {
        match &self.bucket {
            Some(_) => self.folder.join("home-0/artifacts/tmp"),
            None => self.artifacts().join("tmp"),
        }
    }

    /// Where the database is.
    pub fn place(&self) -> Place {
        match &self.postgres {
            Some(postgres) => Place::Url(Postgres::url(postgres.address())),
            None => Place::File(self.folder.join("home-0/transect.db")),
        }
    }

    /// Ends workers, then coordinators, each in order; what serves them stays.
    pub async fn end(&mut self) -> anyhow::Result<()> {
        for process in self.workers.iter_mut().chain(&mut self.coordinators) {
            process.end(Duration::from_secs(25)).await?;
        }
        Ok(())
    }

    /// The ends of all logs.
    pub fn last_words(&self) -> String {
        let processes = self.coordinators.iter().chain(&self.workers).map(|process| process.last_words(15));
        processes.chain(self.postgres.iter().map(Postgres::last_words)).collect::<Vec<_>>().join("\n")
    }
}

/// Has a wire carry otherwise, unless it does already.
fn bend(wire: &Wire, mode: Mode) -> bool {
    let is_straight = wire.mode() == Mode::Passes;
    if is_straight {
        wire.set(mode);
    }
    is_straight
}

fn up(process: &mut Process) -> Option<&mut Process> {
    process.is_up().then_some(process)
}

/// One that nobody listens at.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
