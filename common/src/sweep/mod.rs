//! The sweep file: TOML read by people first, expanded to runs and probes by a pure function.
//!
//! `SweepFile::parse` checks everything that can be checked without knowing what is stored; `SweepFile::expand` takes the
//! imports that the file names and gives runs (deduplicated by digest) with their lines.

mod axes;
mod bundle;
mod cases;
mod check;
mod check_data;
mod claims;
mod expand;
mod expander;
mod file;
mod moments;
mod nearest;
mod options;
mod overlay;
mod probes;
mod recipes;
mod report;
mod rules;
mod scheduling;
mod schema;
mod settings;
mod starts;
mod tree;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use cases::Case;
use probes::Probe;
use report::{Report, Source};
use rules::Rules;
use value::grouped;

use crate::data::DataSet;
use crate::digest::{ArtifactDigest, RunDigest};
use crate::line::LineSpec;
use crate::model::ModelSpec;
use crate::run::{RunSpec, Tag};
use crate::schedule::Schedule;

pub use bundle::{extended_path, extends_of, with_base};
pub use claims::{Claim, Expectation};
pub use options::check_options;

/// Largest sweep file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// Most runs that one sweep may expand to.
pub const MAX_RUNS: usize = 100_000;
/// Most jobs (training and probes) that one sweep may expand to.
pub const MAX_JOBS: usize = 1_100_000;
/// Most points that one sweep may measure.
pub const MAX_POINTS: u64 = 50_000_000;

/// One mistake in a sweep file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, when it is one that the sweep file extends; empty for the sweep file itself.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The setting, dotted (`train.optimizer.lr`); empty when the file as a whole is meant.
    pub key: String,
    /// What is wrong and what would be right, in one sentence or two.
    pub message: String,
}

impl Diagnostic {
    /// Where it is: `LINE:COLUMN KEY`, after `FILE:` for a file that the sweep file extends.
    pub fn place(&self) -> String {
        let file = if self.file.is_empty() { String::new() } else { format!("{}:", self.file) };
        format!("{file}{}:{} {}", self.line, self.column, self.key).trim_end().to_owned()
    }
}

impl std::fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
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

/// Data that a sweep reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeededData {
    /// The set.
    pub set: DataSet,
    /// Every run accepts fewer images than the whole set has.
    pub partial: bool,
    /// Of an image folder: which one, below the data folder.
    pub folder: Option<String>,
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
    /// Lines to measure on it, deduplicated, in the file's order; runs that are walked alike share one list.
    pub lines: Arc<[LineSpec]>,
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
    /// How it wants to be scheduled.
    pub schedule: Schedule,
}

/// A sweep file that was read and checked.
#[derive(Debug, Clone)]
pub struct SweepFile {
    source: Source,
    name: String,
    cases: Vec<Case>,
    rules: Rules,
    probes: Vec<Probe>,
    claims: Vec<Claim>,
    schedule: Schedule,
}

impl SweepFile {
    /// Reads and checks a sweep file.
    pub fn parse(text: &str) -> Result<Self, SweepErrors> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.len() > MAX_FILE_BYTES {
            let (found, most) = (grouped(text.len()), grouped(MAX_FILE_BYTES));
            let message = format!("the file has {found} bytes, at most {most} (1 MiB) are read");
            return Err(SweepErrors(vec![Diagnostic {
                file: String::new(),
                line: 1,
                column: 1,
                key: String::new(),
                message,
            }]));
        }
        let source = Source::new(text);
        let mut report = Report::default();
        let file = file::read(text, &mut report);
        report.finish(&source)?;
        let file::Read { name, cases, rules, probes, claims, schedule } =
            file.expect("a file without mistakes was read whole");
        Ok(Self { source, name, cases, rules, probes, claims, schedule })
    }

    /// Reads a sweep file from bytes, which may not be UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, SweepErrors> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let at = error.valid_up_to();
                let valid = std::str::from_utf8(&bytes[..at]).unwrap_or_default();
                let (file, line, column) = Source::new(valid).location(at);
                let message = format!("not UTF-8: byte {at} is 0x{:02x}; save the file as UTF-8", bytes[at]);
                Err(SweepErrors(vec![Diagnostic { file, line, column, key: String::new(), message }]))
            }
        }
    }

    /// The sweep's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the sweep is asked, for its report.
    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    /// Names of imports that the file walks or starts from, each once, to be looked up before [`SweepFile::expand`].
    pub fn imported(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.cases.iter().flat_map(|case| starts::imports(&case.settings)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Data that the sweep reads, each once.
    pub fn data_sets(&self) -> Vec<NeededData> {
        let mut needed: Vec<NeededData> = vec![];
        for data in self.cases.iter().flat_map(|case| check_data::needed(&case.settings)) {
            match needed.iter_mut().find(|known| (known.set, &known.folder) == (data.set, &data.folder)) {
                Some(known) => known.partial &= data.partial,
                None => needed.push(data),
            }
        }
        needed
    }

    /// The product: runs and their lines. `imports` holds those of [`SweepFile::imported`] that are stored.
    pub fn expand(&self, imports: &BTreeMap<String, Import>) -> Result<Expansion, SweepErrors> {
        self.expanded(imports, false)
    }

    /// The same for a plan: imports that runs start from and that are not stored are taken to be there and to fit. The
    /// digests of such runs are not those that they will have.
    pub fn suppose(&self, imports: &BTreeMap<String, Import>) -> Result<Expansion, SweepErrors> {
        self.expanded(imports, true)
    }

    fn expanded(&self, imports: &BTreeMap<String, Import>, supposes: bool) -> Result<Expansion, SweepErrors> {
        let mut report = Report::default();
        for case in &self.cases {
            expand::imports_fit(&case.settings, &self.probes, imports, &mut report);
        }
        report.finish(&self.source)?;
        let mut report = Report::default();
        let expansion = expand::expand(self, imports, supposes, &mut report);
        report.finish(&self.source)?;
        Ok(expansion)
    }
}
