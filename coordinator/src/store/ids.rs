//! The names of sweeps, workers and jobs: numbers that must not be mixed up.

use std::fmt;
use std::str::FromStr;

macro_rules! lettered {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                let number = text.strip_prefix($prefix).and_then(|n| n.parse().ok()).map(Self).ok_or(())?;
                // `s-07` and `s-+7` are names that somebody chose, not ids.
                if number.to_string() == text { Ok(number) } else { Err(()) }
            }
        }
    };
}

lettered!(
    /// A sweep, written `s-7`.
    SweepId,
    "s-"
);
lettered!(
    /// A worker since it registered, written `w-3`.
    WorkerId,
    "w-"
);

/// A job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub i64);

/// Counts the leases of a job from 1; only grows, and fences every write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(pub u32);

/// One lease of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobAttempt {
    /// The job.
    pub job: JobId,
    /// Its attempt.
    pub attempt: Attempt,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_names_are_not_taken_for_ids() {
        assert_eq!("s-7".parse(), Ok(SweepId(7)));
        assert_eq!(WorkerId(3).to_string(), "w-3");
        for name in ["7", "s-", "s-07", "s-+7", "S-7", "w-7", "s-7 "] {
            assert_eq!(name.parse::<SweepId>(), Err(()), "{name}");
        }
    }
}
