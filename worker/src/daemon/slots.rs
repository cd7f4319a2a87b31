//! How many groups of jobs one worker works on side by side.
//!
//! Each slot has an executor of its own and leases its own groups. What lies around a group (asking for it, fetching,
//! sending what was measured and waiting until it is on the coordinator's disk) leaves its executor without work; with short
//! jobs that is most of the time, and a second slot fills it. With long jobs a second slot would only share the same
//! processor and need its memory twice.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::sync::Notify;

/// Work on a group that takes less than this is short: what lies around it, some tens of milliseconds, counts.
const SHORT: Duration = Duration::from_secs(1);
/// Slots of a worker at most.
const MOST: u32 = 64;

/// How many slots a worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slots {
    /// One, and a second while jobs are short.
    Auto,
    /// So many, at least 1.
    Fixed(u32),
}

impl Slots {
    /// Slots that may be in use at once.
    pub fn most(self) -> u32 {
        match self {
            Self::Auto => 2,
            Self::Fixed(slots) => slots,
        }
    }

    /// Slots that a machine's cores are shared out among.
    pub fn sharing(self) -> u32 {
        match self {
            Self::Auto => 1,
            Self::Fixed(slots) => slots,
        }
    }
}

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(slots @ 1..=MOST) => Ok(Self::Fixed(slots)),
            _ => Err(format!("slots are a number from 1 to {MOST}, or `auto`")),
        }
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(slots) => write!(f, "{slots}"),
        }
    }
}

/// Which slots may work now.
#[derive(Debug)]
pub struct Pace {
    slots: Slots,
    /// Time that the last group took.
    last: Cell<Option<Duration>>,
    changed: Notify,
}

impl Pace {
    /// Before the first group.
    pub fn new(slots: Slots) -> Self {
        Self { slots, last: Cell::new(None), changed: Notify::new() }
    }

    /// Notes how long the work on a group took.
    pub fn note(&self, took: Duration) {
        self.last.set(Some(took));
        self.changed.notify_waiters();
    }

    /// True while slot `number`, from 0, may take a group.
    pub fn allows(&self, number: u32) -> bool {
        match self.slots {
            Slots::Fixed(_) => true,
            Slots::Auto => number == 0 || self.last.get().is_some_and(|took| took < SHORT),
        }
    }

    /// Waits until it may.
    pub async fn allowed(&self, number: u32) {
        // All slots live on one thread, so nothing changes between looking and listening.
        while !self.allows(number) {
            self.changed.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_slot_works_while_jobs_are_short() {
        let pace = Pace::new(Slots::Auto);
        let allowed = || [0, 1].map(|number| pace.allows(number));
        assert_eq!(allowed(), [true, false], "before anything is known");
        pace.note(Duration::from_millis(30));
        assert_eq!(allowed(), [true, true]);
        pace.note(Duration::from_secs(40));
        assert_eq!(allowed(), [true, false]);
        assert!(Pace::new(Slots::Fixed(3)).allows(2));
    }

    #[test]
    fn slots_are_a_number_or_auto() {
        assert_eq!(["auto", "1", "64"].map(|text| text.parse::<Slots>().unwrap().to_string()), ["auto", "1", "64"]);
        for text in ["", "0", "65", "-1", "two", "1.5"] {
            assert_eq!(text.parse::<Slots>(), Err("slots are a number from 1 to 64, or `auto`".to_owned()), "{text}");
        }
    }
}
