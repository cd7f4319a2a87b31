//! Probes: measurements taken on a run's checkpoints.
//!
//! [`measure`] takes a group of lines of one run. [`plain`] is the specification: what is measured at a point is what
//! it does, in as few words as possible.
//!
//! Invariants: the checkpoints are not changed, no gradients are recorded, no random numbers are drawn, and a point
//! depends on its line, its alpha and its split, not on which other points are measured.

mod line;
pub mod plain;

use std::collections::HashSet;

use transect_common::data::Split;
use transect_common::line::LineSpec;
use transect_common::mask::MaskError;
use transect_common::run::Tag;

use crate::Stop;

pub use line::{Ends, Line};
pub use plain::measure;

/// A line to be measured, and which of its points are measured already.
#[derive(Debug, Clone, PartialEq)]
pub struct LineTask {
    /// The line.
    pub spec: LineSpec,
    /// Points that are there: split, and index in the grid.
    pub done: HashSet<(Split, u32)>,
}

/// One measured point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Which of the group's lines, from 0.
    pub line: usize,
    /// Where it was measured.
    pub split: Split,
    /// Index in the line's grid.
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
    /// Asked to stop; the points already emitted stand.
    #[error(transparent)]
    Stopped(#[from] Stop),
}
