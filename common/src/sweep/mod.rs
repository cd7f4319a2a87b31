//! The sweep file: TOML read by people first, expanded to runs and probes by a pure function.
//!
//! `SweepFile::parse` checks everything that can be checked without knowing what is stored; `SweepFile::expand` takes the
//! imports that the file names and gives runs (deduplicated by digest) with their lines.

mod axes;
mod check;
mod expand;
mod file;
mod nearest;
mod options;
mod probes;
mod report;
mod schema;
mod settings;
mod tree;
mod value;

use std::collections::BTreeMap;

pub use options::check_options;

use axes::Settings;
use probes::Probe;
use report::{Report, Source};
use value::grouped;

use crate::data::DataSet;
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
/// Most points that one sweep may measure.
pub const MAX_POINTS: u64 = 50_000_000;

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
pub struct SweepFile {
    source: Source,
    name: String,
    settings: Settings,
    probes: Vec<Probe>,
}

impl SweepFile {
    /// Reads and checks a sweep file.
    pub fn parse(text: &str) -> Result<Self, SweepErrors> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > MAX_FILE_BYTES {
            let (found, most) = (grouped(text.len()), grouped(MAX_FILE_BYTES));
            let message = format!("the file has {found} bytes, at most {most} (1 MiB) are read");
            return Err(SweepErrors(vec![Diagnostic { line: 1, column: 1, key: String::new(), message }]));
        }
        let source = Source::new(text);
        let mut report = Report::default();
        let file = file::read(text, &mut report);
        report.finish(&source)?;
        let (name, settings, probes) = file.expect("a file without mistakes was read whole");
        Ok(Self { source, name, settings, probes })
    }

    /// Reads a sweep file from bytes, which may not be UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, SweepErrors> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let at = error.valid_up_to();
                let valid = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
                let (line, column) = Source::new(valid).location(at);
                let message = format!("not UTF-8: byte {at} is 0x{:02x}; save the file as UTF-8", bytes[at]);
                Err(SweepErrors(vec![Diagnostic { line, column, key: String::new(), message }]))
            }
        }
    }

    /// The sweep's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of imports that the file walks, to be looked up before [`SweepFile::expand`].
    pub fn imported(&self) -> Vec<&str> {
        self.settings.values("imported").map(value::Val::text).collect()
    }

    /// Data sets that the sweep reads, each once, and whether it accepts fewer images than the whole set has.
    pub fn data_sets(&self) -> Vec<(DataSet, bool)> {
        let is_true = |value: &value::Val| value.json == serde_json::Value::Bool(true);
        let mut partial = self.settings.values("data.partial").peekable();
        let partial = partial.peek().is_some() && partial.all(is_true);
        let names = self.settings.values("data.set").map(value::Val::text);
        let set = |name: &str| DataSet::ALL.into_iter().find(|set| set.name() == name).map(|set| (set, partial));
        names.filter_map(set).collect()
    }

    /// The product: runs and their lines. `imports` holds those of [`SweepFile::imported`] that are stored.
    pub fn expand(&self, imports: &BTreeMap<String, Import>) -> Result<Expansion, SweepErrors> {
        let mut report = Report::default();
        expand::imports_fit(&self.settings, &self.probes, imports, &mut report);
        report.finish(&self.source)?;
        Ok(expand::expand(&self.name, &self.settings, &self.probes, imports))
    }
}
