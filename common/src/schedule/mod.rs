//! Scheduling: which sweep a worker serves next, which of its jobs, and why a job is not running.
//!
//! Invariants: pure decisions over plain facts, the same for every store; no clock, no database, no randomness. Two
//! workers alike that ask at the same moment of the same facts are given the same order.

mod cost;
mod estimate;
mod explain;
mod fit;
mod order;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use cost::{line_cost, training_cost};
pub use estimate::{Rate, Rest, seconds_left};
pub use explain::{JobFacts, Reason, Standing, explain};
pub use fit::{Fit, fits, most_cost, most_jobs};
pub use order::{TrainingOrder, serve_order, training_order};

/// Priority of a sweep that says nothing.
pub const DEFAULT_PRIORITY: i32 = 0;
/// Share of a sweep that says nothing.
pub const DEFAULT_SHARE: f64 = 1.0;
/// Largest priority, and smallest with a minus.
pub const MAX_PRIORITY: i32 = 1000;
/// Largest share.
pub const MAX_SHARE: f64 = 1000.0;
/// Different jobs that may fail on a worker in a row, for reasons that lie in the machine, before it is set aside.
pub const QUARANTINE_FAILURES: u32 = 3;
/// How long a worker is set aside, unless it is released.
pub const QUARANTINE: std::time::Duration = std::time::Duration::from_hours(1);

/// How a sweep wants to be scheduled. No part of any digest: it changes when, never what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Sweeps of higher priority are served first; from -[`MAX_PRIORITY`] to [`MAX_PRIORITY`].
    pub priority: i32,
    /// Weight among live sweeps of the same priority; above 0, at most [`MAX_SHARE`].
    pub share: f64,
    /// Most workers at work for it at once; none for no limit.
    pub max_workers: Option<u32>,
    /// What its workers must have.
    pub requires: Requires,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { priority: DEFAULT_PRIORITY, share: DEFAULT_SHARE, max_workers: None, requires: Requires::default() }
    }
}

/// What a sweep asks of the workers that serve it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requires {
    /// Kind of device: `cpu` or `cuda`; none for any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Least memory of the device in bytes.
    #[serde(skip_serializing_if = "is_zero")]
    pub memory_bytes: u64,
    /// Words that the worker must carry, all of them.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

/// What a worker brings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// `cpu`, `cuda:0`, ...
    pub device: String,
    /// Memory of the device in bytes.
    pub memory_bytes: u64,
    /// Its words.
    pub labels: BTreeSet<String>,
    /// Seconds until it is stopped, where that is known.
    pub seconds_left: Option<f64>,
    /// It takes no new work: it drains or is set aside.
    pub is_closed: bool,
}

/// Kind of a device: what stands before the colon.
pub fn device_kind(device: &str) -> &str {
    device.split(':').next().unwrap_or(device)
}

impl Requires {
    /// What the worker lacks, in a few words; none when it will do.
    pub fn lack(&self, offer: &Offer) -> Option<String> {
        if let Some(kind) = self.device.as_deref().filter(|kind| *kind != device_kind(&offer.device)) {
            return Some(format!("it asks for a {kind} device, this is {}", offer.device));
        }
        if offer.memory_bytes < self.memory_bytes {
            let (least, has) = (gibibytes(self.memory_bytes), gibibytes(offer.memory_bytes));
            return Some(format!("it asks for {least} GiB of memory on the device, there are {has}"));
        }
        let missing: Vec<&str> = self.labels.difference(&offer.labels).map(String::as_str).collect();
        (!missing.is_empty()).then(|| format!("it asks for the label {}, which is not given", missing.join(", ")))
    }
}

fn gibibytes(bytes: u64) -> f64 {
    (bytes as f64 / f64::from(1 << 30) * 10.0).round() / 10.0
}

/// A live sweep that has jobs waiting, as the scheduler sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Queue {
    /// Its number; older sweeps have smaller ones.
    pub sweep: i64,
    /// How it wants to be scheduled.
    pub schedule: Schedule,
    /// Held back by a user.
    pub is_paused: bool,
    /// Workers at work for it now, without the one that asks.
    pub workers: u32,
}

impl Queue {
    /// Why this worker may not serve it now; none when it may.
    pub fn bar(&self, offer: &Offer) -> Option<String> {
        if self.is_paused {
            return Some("the sweep is paused".to_owned());
        }
        if let Some(most) = self.schedule.max_workers.filter(|most| self.workers >= *most) {
            return Some(format!("the sweep is limited to {most} workers, and {} are at work for it", self.workers));
        }
        self.schedule.requires.lack(offer)
    }
}
