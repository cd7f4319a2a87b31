//! Jobs as a state machine: their kinds and states, what may follow what, and what a failed attempt leads to.
//!
//! Invariants: the database spells kinds, states and classes as [`JobKind::name`], [`JobState::name`] and
//! [`ErrorClass::name`] do; [`JobState::after`] is the only place that says which change of state is legal; `attempt`
//! counts leases and never goes down, so it can fence every write.

use std::fmt;
use std::time::Duration;

/// Attempts that may fail before a job is set aside, unless the coordinator is told otherwise.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;
/// Leases in a row that a job may lose (their workers fell silent) before it is set aside.
pub const MAX_LOST_LEASES: u32 = 20;
/// Longest pause between two attempts.
pub const MAX_BACKOFF: Duration = Duration::from_mins(1);

macro_rules! spelled {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As in SQL and on the wire.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.name() == name)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

spelled!(
    /// What a job does.
    JobKind {
        /// Trains one run.
        Train => "train",
        /// Measures one line of one run.
        Line => "line",
    }
);

spelled!(
    /// Where a job is in its life.
    JobState {
        /// Waits: to be leased, for its run's checkpoints, or for the end of a back-off.
        Queued => "queued",
        /// A worker holds it.
        Leased => "leased",
        /// Finished, with everything it measures stored.
        Done => "done",
        /// Set aside, with the error kept.
        Failed => "failed",
        /// No live sweep needs it any more.
        Cancelled => "cancelled",
    }
);

spelled!(
    /// Whose fault a failed attempt is.
    ErrorClass {
        /// The run's own (it diverged, its data are wrong): no retry helps.
        Run => "run",
        /// The machine's: the job is tried again.
        Machine => "machine",
        /// Nobody's: the worker fell silent while it held the job. Tried again, up to [`MAX_LOST_LEASES`] times in a row.
        Gone => "gone",
    }
);

/// Something that happens to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobEvent {
    /// A worker takes it.
    Lease,
    /// Its holder finished it.
    Finish,
    /// Its holder gave it back, fell silent, or failed and may try again.
    GiveBack,
    /// It is set aside: the last attempt failed, or the run that it waits for did.
    SetAside,
    /// The last sweep that needed it was cancelled.
    Cancel,
    /// A user, or a new sweep, wants it again.
    Requeue,
}

impl JobEvent {
    /// Every event.
    pub const ALL: [Self; 6] = [Self::Lease, Self::Finish, Self::GiveBack, Self::SetAside, Self::Cancel, Self::Requeue];
}

/// A change of state that must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {state} cannot meet {event:?}")]
pub struct IllegalTransition {
    /// The state it was in.
    pub state: JobState,
    /// What was to happen.
    pub event: JobEvent,
}

impl JobState {
    /// The state after `event`: the one transition function.
    ///
    /// # Errors
    /// A change that must not happen.
    pub fn after(self, event: JobEvent) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Queued, JobEvent::Lease) => Ok(Self::Leased),
            (Self::Leased, JobEvent::Finish) => Ok(Self::Done),
            (Self::Queued | Self::Leased, JobEvent::SetAside) => Ok(Self::Failed),
            (Self::Queued | Self::Leased, JobEvent::Cancel) => Ok(Self::Cancelled),
            (Self::Leased, JobEvent::GiveBack) | (Self::Failed | Self::Cancelled, JobEvent::Requeue) => {
                Ok(Self::Queued)
            }
            (state, event) => Err(IllegalTransition { state, event }),
        }
    }

    /// True while there is, or may be, work to do.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Leased)
    }
}

/// What becomes of a job whose attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Queued again, not to be leased before this much time has passed.
    RetryIn(Duration),
    /// Set aside as failed.
    SetAside,
}

/// What follows an attempt that failed with `class`, `failures` counting it; `max_attempts` is at least 1.
pub fn after_failure(class: ErrorClass, failures: u32, max_attempts: u32) -> AfterFailure {
    match class {
        ErrorClass::Machine if failures < max_attempts => AfterFailure::RetryIn(backoff(failures)),
        ErrorClass::Gone => after_lost_lease(failures),
        ErrorClass::Machine | ErrorClass::Run => AfterFailure::SetAside,
    }
}

/// Pause after the `failures`-th failed attempt: 1 s doubled with each, at most [`MAX_BACKOFF`].
pub fn backoff(failures: u32) -> Duration {
    1_u64.checked_shl(failures).map_or(MAX_BACKOFF, |seconds| Duration::from_secs(seconds).min(MAX_BACKOFF))
}

/// What follows a lease that ran out, `lost` counting it and those lost before it in a row.
pub fn after_lost_lease(lost: u32) -> AfterFailure {
    if lost < MAX_LOST_LEASES { AfterFailure::RetryIn(Duration::ZERO) } else { AfterFailure::SetAside }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_transition_table_is_this_one() {
        use JobEvent::{Cancel, Finish, GiveBack, Lease, Requeue, SetAside};
        use JobState::{Cancelled, Done, Failed, Leased, Queued};
        let legal = [
            (Queued, Lease, Leased),
            (Queued, SetAside, Failed),
            (Queued, Cancel, Cancelled),
            (Leased, Finish, Done),
            (Leased, GiveBack, Queued),
            (Leased, SetAside, Failed),
            (Leased, Cancel, Cancelled),
            (Failed, Requeue, Queued),
            (Cancelled, Requeue, Queued),
        ];
        for &state in JobState::ALL {
            for event in JobEvent::ALL {
                let expected = legal.iter().find(|(s, e, _)| (*s, *e) == (state, event)).map(|(_, _, next)| *next);
                assert_eq!(state.after(event).ok(), expected, "{state} {event:?}");
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        assert!(JobState::ALL.iter().all(|&s| JobState::from_name(s.name()) == Some(s)));
        assert!(JobKind::ALL.iter().all(|&k| JobKind::from_name(k.name()) == Some(k)));
        assert!(ErrorClass::ALL.iter().all(|&c| ErrorClass::from_name(c.name()) == Some(c)));
        assert_eq!(JobState::from_name("Queued"), None);
    }

    #[test]
    fn a_run_at_fault_is_not_tried_again() {
        assert_eq!(after_failure(ErrorClass::Run, 1, 3), AfterFailure::SetAside);
    }

    #[test]
    fn a_machine_at_fault_is_tried_again_until_the_last_attempt() {
        let seconds = |s| AfterFailure::RetryIn(Duration::from_secs(s));
        assert_eq!(after_failure(ErrorClass::Machine, 1, 3), seconds(2));
        assert_eq!(after_failure(ErrorClass::Machine, 2, 3), seconds(4));
        assert_eq!(after_failure(ErrorClass::Machine, 3, 3), AfterFailure::SetAside);
    }

    #[test]
    fn lost_leases_are_free_up_to_a_limit() {
        assert_eq!(after_lost_lease(1), AfterFailure::RetryIn(Duration::ZERO));
        assert_eq!(after_lost_lease(MAX_LOST_LEASES), AfterFailure::SetAside);
    }

    proptest! {
        #[test]
        fn back_off_grows_and_is_bounded(failures in 0_u32..u32::MAX) {
            prop_assert!(backoff(failures) <= backoff(failures + 1));
            prop_assert!(backoff(failures) >= Duration::from_secs(1));
            prop_assert!(backoff(failures) <= MAX_BACKOFF);
        }

        #[test]
        fn nothing_leaves_done(events in proptest::collection::vec(0_usize..6, 0..40)) {
            let mut state = JobState::Queued;
            for event in events.into_iter().map(|i| JobEvent::ALL[i]) {
                let was_done = state == JobState::Done;
                state = state.after(event).unwrap_or(state);
                prop_assert!(!was_done || state == JobState::Done);
            }
        }
    }
}
