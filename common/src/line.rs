//! The line probe: a straight line between two checkpoints of a run, along which some layers move.

use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::digest::LineDigest;
use crate::run::{CanonicalError, Tag, canonical_json};

/// What happens to batch norm's running statistics on the line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNorm {
    /// The model has no batch norm; every mode is the same.
    None,
    /// Running mean and variance are blended like the weights of their layer, and held where the layer is held. Beyond
    /// the ends a blended variance can fall below zero; the loss is NaN there, as in PyTorch.
    #[default]
    Interpolate,
    /// Statistics are reset and re-estimated at each point by one pass over the evaluated training images in batches of
    /// `batch_size`: the mean over batches of each batch's mean and unbiased variance (PyTorch with `momentum=None`;
    /// Lucas et al. 2021, released code).
    Recalibrate,
    /// Each evaluated batch is normalised with its own statistics (PyTorch's training mode).
    Batch,
}

impl BatchNorm {
    /// As in sweep files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Interpolate => "interpolate",
            Self::Recalibrate => "recalibrate",
            Self::Batch => "batch",
        }
    }
}

/// One line. Its canonical form, with the run's digest, names the job that measures it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// Checkpoint at alpha = 0.
    #[serde(default = "Tag::init")]
    pub from: Tag,
    /// Checkpoint at alpha = 1.
    #[serde(default = "Tag::last")]
    pub to: Tag,
    /// What moves: `all`, a layer, a group, or a glob over layers and parameters; see [`crate::mask`].
    pub mask: String,
    /// Checkpoint at which the rest is held: `from` or `to`.
    #[serde(default = "Tag::last")]
    pub hold: Tag,
    /// The grid: finite, strictly increasing, at least 2 values; may go below 0 and above 1.
    pub alphas: Vec<f64>,
    /// What happens to batch norm.
    #[serde(default)]
    pub batch_norm: BatchNorm,
    /// Where it is measured, in this order, each once.
    pub splits: Vec<Split>,
    /// Measure on the first this many images of each split (after the data's own sizes); all when absent.
    #[serde(default)]
    pub subset: Option<u32>,
    /// Images evaluated at a time. Matters to the result for `batch` and `recalibrate`, to rounding for the rest.
    #[serde(default = "default_batch_size")]
    pub batch_size: u32,
}

/// Images evaluated at a time unless said otherwise.
pub fn default_batch_size() -> u32 {
    500
}

impl LineSpec {
    /// The canonical form: sorted keys, defaults left out.
    pub fn canonical(&self) -> String {
        let defaults = Self {
            from: Tag::init(),
            to: Tag::last(),
            mask: String::new(),
            hold: Tag::last(),
            alphas: Vec::new(),
            batch_norm: BatchNorm::default(),
            splits: Vec::new(),
            subset: None,
            batch_size: default_batch_size(),
        };
        canonical_json(self, &defaults)
    }

    /// Reads a canonical form.
    pub fn from_canonical(text: &str) -> Result<Self, CanonicalError> {
        serde_json::from_str(text).map_err(|source| CanonicalError { what: "line", source })
    }

    /// The line's name within its run.
    pub fn digest(&self) -> LineDigest {
        LineDigest::of(self.canonical().as_bytes())
    }

    /// Number of points that measuring it gives.
    pub fn points(&self) -> u64 {
        (self.alphas.len() * self.splits.len()) as u64
    }

    /// True when it is measured on `split`.
    pub fn has_split(&self, split: Split) -> bool {
        self.splits.contains(&split)
    }
}
