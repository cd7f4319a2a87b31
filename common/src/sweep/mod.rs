//! The sweep file: TOML read by people first, expanded to runs and probes by a pure function.
//!
//! `SweepFile::parse` checks everything that can be checked without knowing what is stored; `SweepFile::expand` takes the
//! imports that the file names and gives runs (deduplicated by digest) with their lines.

use std::collections::BTreeMap;

use crate::digest::{ArtifactDigest, RunDigest};
use crate::line::LineSpec;
use crate::model::ModelSpec;
use crate::run::{RunSpec, Tag};

/// Largest sweep file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Most runs that one sweep may expand to.
pub const MAX_RUNS: usize = 100_000;
/// Most jobs (training and probes) that one sweep may expand to.
pub const MAX_JOBS: usize = 1_000_000;

/// One mistake in a sweep file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The setting, dotted (`train.optimizer.lr`); empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and what would be right, in one sentence or two.
    pub message: String,
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a sweep file, in the file's order; at least one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SweepErrors(pub Vec<Diagnostic>);

/// Checkpoints trained elsewhere, as they are stored under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The model.
    pub model: ModelSpec,
    /// Shape of its images: channels, height, width.
    pub input: [u32; 3],
    /// Number of its classes.
    pub classes: u32,
    /// Its checkpoints.
    pub checkpoints: BTreeMap<Tag, ArtifactDigest>,
}

/// One axis of the product.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The setting, dotted: `train.optimizer.lr`.
    pub setting: String,
    /// Its values in the file's order, at least one.
    pub values: Vec<serde_json::Value>,
}

/// One run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpandedRun {
    /// Its digest.
    pub digest: RunDigest,
    /// What it is.
    pub spec: RunSpec,
    /// Value of every axis for this run, keyed by the dotted setting, in the axes' order. For an imported run also
    /// `imported`: its name.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// Lines to measure on it, deduplicated, in the file's order.
    pub lines: Vec<LineSpec>,
}

/// What a sweep file means.
#[derive(Debug, Clone, PartialEq)]
pub struct Expansion {
    /// The sweep's name.
    pub name: String,
    /// Every list that makes the product, runs' axes only, in the file's order.
    pub axes: Vec<Axis>,
    /// Runs, deduplicated by digest, in the product's order (the last axis fastest).
    pub runs: Vec<ExpandedRun>,
}

/// A sweep file that was read and checked.
#[derive(Debug, Clone)]
pub struct SweepFile {}

impl SweepFile {
    /// Reads and checks a sweep file.
    pub fn parse(_text: &str) -> Result<Self, SweepErrors> {
        todo!()
    }

    /// Reads a sweep file from bytes, which may not be UTF-8.
    pub fn parse_bytes(_bytes: &[u8]) -> Result<Self, SweepErrors> {
        todo!()
    }

    /// The sweep's name.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// Names of imports that the file walks, to be looked up before [`SweepFile::expand`].
    pub fn imported(&self) -> Vec<&str> {
        todo!()
    }

    /// The product: runs and their lines. `imports` holds those of [`SweepFile::imported`] that are stored.
    pub fn expand(&self, _imports: &BTreeMap<String, Import>) -> Result<Expansion, SweepErrors> {
        todo!()
    }
}
