//! Probes: measurements taken on a run's checkpoints.
//!
//! [`measure`] takes a group of lines of one run: between its checkpoints, or from one of them to another run's or to a
//! random initialisation. [`plain`] is the specification: what is measured at a point is what
//! it does, in as few words as possible.
//!
//! Invariants: the checkpoints are not changed, no gradients are recorded, no random numbers are drawn, and a point
//! depends on its line, its alpha and its split, not on which other points are measured.

mod align;
mod ends;
mod ensemble;
mod evaluator;
mod gauss;
pub mod group;
mod line;
mod measures;
pub mod plain;
pub mod refine;
pub mod stacked;

use std::collections::{BTreeMap, HashSet};

use transect_common::checkpoint::{Checkpoint, CheckpointError};
use transect_common::data::Split;
use transect_common::digest::RunDigest;
use transect_common::line::LineSpec;
use transect_common::mask::MaskError;
use transect_common::run::{InitSpec, Tag};

use crate::Stop;
use crate::data::Data;
use crate::nn::Model;
use crate::sources::{SourceError, Sources};

pub use align::align;
pub use ends::Ends;
pub use evaluator::{Evaluator, measure};
pub use line::Line;
pub use measures::{MeasureName, Measured};

/// What lines are measured on.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// The run's model.
    pub model: &'s Model,
    /// Images to measure on.
    pub data: &'s Data,
    /// How the run draws its initialisation; PyTorch's default for one that was trained elsewhere.
    pub init: &'s InitSpec,
    /// The run's checkpoints.
    pub checkpoints: &'s BTreeMap<Tag, Checkpoint>,
    /// Checkpoints of other runs.
    pub sources: &'s Sources,
}

/// A line to be measured, and which of its points are measured already.
#[derive(Debug, Clone, PartialEq)]
pub struct LineTask {
    /// The line.
    pub spec: LineSpec,
    /// Points that are there: split, and index in the grid; further alphas follow it.
    pub done: HashSet<(Split, u32)>,
    /// Alphas to measure beyond the line's grid, in any order, none of them on it. What is measured of whole lines is
    /// measured of the grid alone.
    pub further: Vec<f64>,
}

impl LineTask {
    /// A line of which nothing is measured.
    pub fn new(spec: LineSpec) -> Self {
        Self { spec, done: HashSet::new(), further: vec![] }
    }

    /// Every alpha to measure, by index: the grid, then what refines it.
    pub fn alphas(&self) -> impl Iterator<Item = f64> {
        self.spec.alphas.iter().chain(&self.further).copied()
    }
}

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Which of the group's lines, from 0.
    pub line: usize,
    /// Where it was measured.
    pub split: Split,
    /// Index in [`LineTask::alphas`].
    pub index: u32,
    /// Coordinate on the line: 0 at `from`, 1 at `to`.
    pub alpha: f64,
    /// Mean cross-entropy in nats; NaN or infinite where the network's outputs are, which is a measurement too.
    pub loss: f64,
    /// Share of images that are classified right, 0 to 1.
    pub accuracy: f64,
    /// Number of images.
    pub count: u64,
}

/// What is handed out as it is found. Lines are named by their place in the group, from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finding {
    /// A point.
    Point(Point),
    /// Something of a whole line, after its points.
    Measure {
        /// Which line.
        line: usize,
        /// What.
        measured: Measured,
    },
    /// Nothing more comes of a line.
    End {
        /// Which line.
        line: usize,
    },
}

/// A group of lines cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A checkpoint is not among those given.
    #[error("line `{line}` needs checkpoint `{tag}`, and the run has only: {}", known.join(", "))]
    Checkpoint {
        /// The line's mask, as written.
        line: String,
        /// The missing checkpoint.
        tag: Tag,
        /// Checkpoints that were given.
        known: Vec<String>,
    },
    /// A checkpoint of another model.
    #[error("checkpoint `{tag}` holds {theta} parameters and {buffers} buffer values, which {architecture} does not")]
    Size {
        /// The checkpoint.
        tag: Tag,
        /// Length of its parameter vector.
        theta: usize,
        /// Length of its buffer vector.
        buffers: usize,
        /// The model.
        architecture: &'static str,
    },
    /// A file of another run is not there or cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another run's checkpoint is not one of this model.
    #[error("line `{line}` ends at checkpoint `{tag}` of run {}, which does not fit: {reason}", run.short())]
    Elsewhere {
        /// The line's mask, as written.
        line: String,
        /// The checkpoint.
        tag: Tag,
        /// Its run.
        run: RunDigest,
        /// What does not fit.
        reason: Box<CheckpointError>,
    },
    /// The mask matches nothing, or is not a pattern.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// The rest is held at neither end.
    #[error("line `{line}` is held at `{hold}`, which is neither of its ends; use `{from}` or `{to}`")]
    Hold {
        /// The line's mask, as written.
        line: String,
        /// Where it is held.
        hold: Tag,
        /// Its ends.
        from: Tag,
        /// Its ends.
        to: Tag,
    },
    /// A model with batch norm, and a line that does not say what happens to it.
    #[error(
        "line `{line}` says nothing of batch norm, and {architecture} has it: use interpolate, recalibrate or batch"
    )]
    BatchNorm {
        /// The line's mask, as written.
        line: String,
        /// The model.
        architecture: &'static str,
    },
    /// A setting of 0.
    #[error("line `{line}` has {what} = 0; use at least 1")]
    Zero {
        /// The line's mask, as written.
        line: String,
        /// `batch_size` or `subset`.
        what: &'static str,
    },
    /// Nothing to measure on.
    #[error("the {0} split has no images")]
    NoImages(Split),
    /// Asked to stop; what was emitted already stands.
    #[error(transparent)]
    Stopped(#[from] Stop),
}
