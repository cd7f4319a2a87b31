//! Which faults a round has, as a pure function of its seed.
//!
//! Real processes keep their own time, so two rounds of one seed differ in what each fault meets; the faults, their order,
//! targets, moments and lengths are the same.

use std::fmt;

/// Where the truth is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// One file, one coordinator.
    Sqlite,
    /// A server, two coordinators.
    Postgres,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// SIGKILL, and a new one a while later.
    CoordinatorKilled,
    /// SIGTERM, and a new one a while later.
    CoordinatorStopped,
    /// SIGSTOP, and SIGCONT a while later.
    CoordinatorFrozen,
    /// SIGKILL of the daemon; its executor ends with it.
    WorkerKilled,
    /// SIGTERM.
    WorkerStopped,
    /// SIGTERM, and SIGKILL before it is gone.
    WorkerKilledAsItLeaves,
    /// SIGSTOP of the daemon and its executor.
    WorkerFrozen,
    /// SIGSTOP of the daemon alone: its executor goes on.
    DaemonFrozen,
    /// SIGKILL of the executor.
    ExecutorKilled,
    /// `pg_ctl stop -m immediate`, and a start a while later.
    PostgresCrashed,
    /// SIGSTOP of all its processes.
    PostgresFrozen,
    /// No byte is free on the disk of its data: it panics, and may not start until there is room.
    PostgresFull,
    /// All connections of a coordinator to it end.
    DatabaseCut,
    /// Connections of a coordinator to it stay open and carry nothing.
    DatabaseStalls,
    /// SIGKILL of the S3 server.
    BucketKilled,
    /// SIGSTOP of the S3 server.
    BucketFrozen,
    /// All connections to a coordinator end at once.
    WireCut,
    /// Connections to a coordinator are cut, and new ones refused.
    WireRefuses,
    /// Connections stay open and carry nothing.
    WireStalls,
    /// What is asked arrives, answers do not until later.
    WireHoldsAnswers,
    /// Every piece comes late.
    WireSlow,
    /// No byte is free on the disk of a coordinator's home.
    HomeFull,
    /// No byte is free on the disk of a worker's cache.
    CacheFull,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::CoordinatorKilled,
        Self::CoordinatorStopped,
        Self::CoordinatorFrozen,
        Self::WorkerKilled,
        Self::WorkerStopped,
        Self::WorkerKilledAsItLeaves,
        Self::WorkerFrozen,
        Self::DaemonFrozen,
        Self::ExecutorKilled,
        Self::PostgresCrashed,
        Self::PostgresFrozen,
        Self::PostgresFull,
        Self::DatabaseCut,
        Self::DatabaseStalls,
        Self::BucketKilled,
        Self::BucketFrozen,
        Self::WireCut,
        Self::WireRefuses,
        Self::WireStalls,
        Self::WireHoldsAnswers,
        Self::WireSlow,
        Self::HomeFull,
        Self::CacheFull,
    ];

    const fn any(random: &mut Random) -> Self {
        Self::ALL[random.below(Self::ALL.len() as u64) as usize]
    }

    /// As it is printed and given to `--only`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CoordinatorKilled => "coordinator-killed",
            Self::CoordinatorStopped => "coordinator-stopped",
            Self::CoordinatorFrozen => "coordinator-frozen",
            Self::WorkerKilled => "worker-killed",
            Self::WorkerStopped => "worker-stopped",
            Self::WorkerKilledAsItLeaves => "worker-killed-as-it-leaves",
            Self::WorkerFrozen => "worker-frozen",
            Self::DaemonFrozen => "daemon-frozen",
            Self::ExecutorKilled => "executor-killed",
            Self::PostgresCrashed => "postgres-crashed",
            Self::PostgresFrozen => "postgres-frozen",
            Self::PostgresFull => "postgres-full",
            Self::DatabaseCut => "database-cut",
            Self::DatabaseStalls => "database-stalls",
            Self::BucketKilled => "bucket-killed",
            Self::BucketFrozen => "bucket-frozen",
            Self::WireCut => "wire-cut",
            Self::WireRefuses => "wire-refuses",
            Self::WireStalls => "wire-stalls",
            Self::WireHoldsAnswers => "wire-holds-answers",
            Self::WireSlow => "wire-slow",
            Self::HomeFull => "home-full",
            Self::CacheFull => "cache-full",
        }
    }

    /// Milliseconds from the fault to its end: shortest, longest. Leases last [`LEASE_SECONDS`].
    const fn lasts(self) -> (u64, u64) {
        match self {
            Self::WireCut | Self::DatabaseCut | Self::ExecutorKilled => (1, 2),
            Self::WorkerKilledAsItLeaves => (20, 1500),
            Self::CoordinatorFrozen | Self::WorkerFrozen | Self::DaemonFrozen => (300, 6000),
            Self::WireStalls
            | Self::WireHoldsAnswers
            | Self::DatabaseStalls
            | Self::BucketFrozen
            | Self::PostgresFrozen => (300, 5000),
            Self::CoordinatorKilled
            | Self::CoordinatorStopped
            | Self::WorkerKilled
            | Self::WorkerStopped
            | Self::PostgresCrashed
            | Self::PostgresFull
            | Self::BucketKilled
            | Self::WireRefuses
            | Self::WireSlow
            | Self::HomeFull
            | Self::CacheFull => (100, 4000),
        }
    }

    /// How many there are that it may befall.
    fn targets(self, plan: &Plan) -> usize {
        let on_server = plan.store == StoreKind::Postgres;
        match self {
            Self::CoordinatorKilled
            | Self::CoordinatorStopped
            | Self::CoordinatorFrozen
            | Self::WireCut
            | Self::WireRefuses
            | Self::WireStalls
            | Self::WireHoldsAnswers
            | Self::WireSlow
            | Self::HomeFull => plan.coordinators,
            Self::WorkerKilled
            | Self::WorkerStopped
            | Self::WorkerKilledAsItLeaves
            | Self::WorkerFrozen
            | Self::DaemonFrozen
            | Self::ExecutorKilled
            | Self::CacheFull => plan.workers,
            Self::PostgresCrashed | Self::PostgresFrozen | Self::PostgresFull => usize::from(on_server),
            Self::DatabaseCut | Self::DatabaseStalls if on_server => plan.coordinators,
            Self::DatabaseCut | Self::DatabaseStalls => 0,
            Self::BucketKilled | Self::BucketFrozen => usize::from(plan.bucket),
        }
    }
}

/// Seconds after which the jobs of a silent worker are given to others, in every round.
pub const LEASE_SECONDS: u64 = 2;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds after the round's first process.
    pub at: u64,
    /// What goes wrong.
    pub kind: Kind,
    /// Which of those that it may befall.
    pub target: usize,
    /// Milliseconds until it ends.
    pub lasts: u64,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Decides all below, with the store.
    pub seed: u64,
    /// Where the truth is kept.
    pub store: StoreKind,
    /// Artifacts lie in a bucket, not in a folder.
    pub bucket: bool,
    /// Coordinators.
    pub coordinators: usize,
    /// Workers.
    pub workers: usize,
    /// Faults in the order of their beginnings.
    pub events: Vec<Event>,
}

/// An executor's death is a failure of the machine, and too many of those set a machine aside for an hour.
const MOST_EXECUTORS: usize = 2;

impl Plan {
    /// Nothing goes wrong: one coordinator, one worker.
    pub const fn undisturbed(store: StoreKind) -> Self {
        Self { seed: 0, store, bucket: false, coordinators: 1, workers: 1, events: vec![] }
    }

    /// The faults of a seed within `span` milliseconds; of the kinds in `only`, if any are there.
    pub fn of(seed: u64, store: StoreKind, span: u64, only: &[Kind]) -> Self {
        let mut random = Random(seed);
        let bucket = random.below(3) == 0;
        let workers = 2 + random.below(2) as usize;
        let coordinators = if store == StoreKind::Postgres { 2 } else { 1 };
        let mut plan = Self { seed, store, bucket, coordinators, workers, events: vec![] };
        // What a round is mostly about differs, so that kinds meet each other often.
        let favourites: Vec<Kind> = (0..4).map(|_| Kind::any(&mut random)).collect();
        let (mut at, mut executors) = (random.below(1500), 0);
        while at < span {
            let kind = if random.below(3) == 0 { favourites[random.below(4) as usize] } else { Kind::any(&mut random) };
            let (targets, draw, length) = (kind.targets(&plan), random.next(), random.next());
            executors += usize::from(kind == Kind::ExecutorKilled);
            let is_wanted = only.is_empty() || only.contains(&kind);
            if targets == 0 || !is_wanted || (kind == Kind::ExecutorKilled && executors > MOST_EXECUTORS) {
                // Drawn and passed over; tried again a little later.
                at += 20;
                continue;
            }
            let (shortest, longest) = kind.lasts();
            let lasts = shortest + length % (longest - shortest);
            plan.events.push(Event { at, kind, target: (draw % targets as u64) as usize, lasts });
            at += 150 + random.below(1300);
        }
        plan
    }
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN: u64 = 15_000;

    #[test]
    fn a_seed_is_a_plan() {
        for seed in 0..50 {
            for store in [StoreKind::Sqlite, StoreKind::Postgres] {
                assert_eq!(Plan::of(seed, store, SPAN, &[]), Plan::of(seed, store, SPAN, &[]));
            }
        }
        assert_ne!(Plan::of(1, StoreKind::Sqlite, SPAN, &[]).events, Plan::of(2, StoreKind::Sqlite, SPAN, &[]).events);
    }

    #[test]
    fn every_fault_has_a_target_that_is_there_and_comes_in_order() {
        for seed in 0..200 {
            for store in [StoreKind::Sqlite, StoreKind::Postgres] {
                let plan = Plan::of(seed, store, SPAN, &[]);
                assert!(plan.events.len() > 5, "{plan:?}");
                assert!(plan.events.is_sorted_by_key(|event| event.at));
                for event in &plan.events {
                    assert!(event.target < event.kind.targets(&plan), "{plan:?}");
                    assert!(event.lasts >= 1 && event.at < SPAN);
                }
            }
        }
    }

    #[test]
    fn every_kind_comes_up_within_a_few_seeds_of_its_store() {
        for kind in Kind::ALL {
            let comes_up = |store| {
                (0..40).any(|seed| Plan::of(seed, store, SPAN, &[]).events.iter().any(|event| event.kind == kind))
            };
            assert!(comes_up(StoreKind::Postgres), "{kind:?}");
            let is_of_postgres = kind.name().starts_with("postgres-") || kind.name().starts_with("database-");
            assert_eq!(comes_up(StoreKind::Sqlite), !is_of_postgres, "{kind:?}");
        }
    }

    #[test]
    fn only_what_is_wanted_goes_wrong() {
        let plan = Plan::of(7, StoreKind::Postgres, SPAN, &[Kind::WireCut]);
        assert!(!plan.events.is_empty() && plan.events.iter().all(|event| event.kind == Kind::WireCut));
    }
}
