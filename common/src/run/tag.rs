//! Names of moments of a run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names the moment of a checkpoint: `init`, `step-40`, `epoch-3`, `final`, or any other word for one trained elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// A text that should have been a tag is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot name a checkpoint: use `init`, `step-N`, `epoch-N`, `final`, or 1 to 64 letters, digits, `-` and `_`"
)]
pub struct TagError(pub String);

impl Tag {
    /// The state before training.
    pub fn init() -> Self {
        Self("init".into())
    }

    /// The state after training.
    pub fn last() -> Self {
        Self("final".into())
    }

    /// The state after `epoch` epochs.
    pub fn epoch(epoch: u32) -> Self {
        Self(format!("epoch-{epoch}"))
    }

    /// The state after `step` optimiser steps.
    pub fn step(step: u64) -> Self {
        Self(format!("step-{step}"))
    }

    /// As in sweep files and SQL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `epoch-N`, N.
    pub fn as_epoch(&self) -> Option<u32> {
        self.0.strip_prefix("epoch-")?.parse().ok()
    }

    /// For `step-N`, N.
    pub fn as_step(&self) -> Option<u64> {
        self.0.strip_prefix("step-")?.parse().ok()
    }

    fn rank(&self) -> (u32, u64) {
        match (self.0.as_str(), self.as_step(), self.as_epoch()) {
            ("init", ..) => (0, 0),
            (_, Some(step), _) => (1, step),
            (.., Some(epoch)) => (2, epoch.into()),
            ("final", ..) => (3, 0),
            _ => (4, 0),
        }
    }
}

impl Ord for Tag {
    /// By moment: `init`, steps, epochs, `final`, then the others by name.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank(), &self.0).cmp(&(other.rank(), &other.0))
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_word);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| TagError(text.to_owned()))
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}
