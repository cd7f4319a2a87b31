//! Deliberate mistakes, one at a time, so that simulations can show that they would be found. Only
//! [`super::MemoryStore::with_bug`] makes any; no other store knows of them.

macro_rules! bugs {
    ($($(#[$doc:meta])* $bug:ident => $name:literal,)+) => {
        /// A deliberate mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Bug { $($(#[$doc])* $bug,)+ }

        impl Bug {
            /// Every mistake.
            pub const ALL: &'static [Self] = &[$(Self::$bug,)+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$bug => $name,)+ }
            }
        }
    };
}

bugs!(
    /// Rows of any attempt are stored while the job is leased.
    NoFence => "fencing off",
    /// Nobody looks who holds a lease.
    AnyHolder => "another worker's lease written",
    /// A lease keeps the attempt that was.
    AttemptNotRaised => "attempt not raised",
    /// Heartbeats extend nothing.
    LeaseNotRenewed => "lease not renewed",
    /// Heartbeats look at the job alone.
    HeartbeatIgnoresAttempt => "heartbeat ignores attempt",
    /// A lease is given in two commits, and the second is sometimes lost.
    LeaseInTwoCommits => "lease commit split in two",
    /// A report is stored in two commits, and the second is sometimes lost though all is answered.
    ReportInTwoCommits => "report commit split in two",
    /// A point that comes twice counts twice.
    PointsCountedTwice => "points not deduplicated",
    /// Nobody looks whether all points are there when a job is said to be done.
    DoneWithoutPoints => "done before the last point",
    /// Leases that ran out free the job also when it has ended since.
    ExpiryFreesFinished => "expiry frees finished work",
    /// Cancelling leaves leased jobs alone.
    CancelForgetsLeased => "cancel forgets leased jobs",
    /// A stale attempt may say that the job is done.
    StaleDone => "report accepts a stale done",
    /// A job that is given back has failed once more.
    GiveBackIsFailure => "give-back counts as failure",
    /// A retry leaves what failed with the training where it is.
    RetryForgetsWaiting => "retry forgets waiting jobs",
    /// Leased jobs are leased again.
    LeasedTwice => "two workers given one job",
    /// Lines are ready once their run has a checkpoint.
    ReadyTooEarly => "ready set too early",
    /// The newest snapshot is offered, whoever's it is.
    SnapshotOfAnother => "snapshot of another run offered",
    /// A snapshot is offered to every device.
    SnapshotOnAnyDevice => "snapshot of another device offered",
    /// Workers in quarantine are given work.
    QuarantineIgnored => "quarantine ignored",
    /// Paused sweeps are served.
    PausedLeased => "paused sweep leased",
    /// Limits on workers are not looked at.
    LimitIgnored => "limit on workers ignored",
    /// What a sweep requires of workers is not looked at.
    RequirementsIgnored => "requirements ignored",
    /// Jobs of a cancelled or paused sweep are not handed over.
    NoHandover => "shared jobs not handed over",
    /// The sweep that has most workers is served first.
    MostFirst => "busiest sweep served first",
);
