//! The line probe: a straight line between two checkpoints of a run, along which some layers move.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::data::Split;
use crate::digest::{LineDigest, RunDigest};
use crate::refine::Refine;
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

/// Where `to` lies when it is no checkpoint of the same run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Elsewhere {
    /// `to` is a checkpoint of another run of the same model.
    Run {
        /// That run.
        run: RunDigest,
    },
    /// `to` is what the run's own scheme draws with another seed: a random initialisation. Layers that the run takes from
    /// elsewhere are drawn too.
    Init {
        /// That seed.
        seed: u64,
    },
}

/// How the direction from `from` to `to` is scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalize {
    /// As it is: alpha = 1 is `to`.
    #[default]
    None,
    /// Each filter (each row of a weight by its first axis) of the direction is given the norm of the same filter of
    /// `from`: d_i |from_i| / |d_i|. What has one axis (biases, batch norm) does not move, nor do filters that are 0 at
    /// `from` (Li et al. 2018, arXiv 1712.09913, section 4). With [`BatchNorm::Interpolate`] the running statistics of
    /// layers that the mask names rest at `from` as well.
    Filter,
}

/// Something that is measured of a whole line and split, beside its points; of its grid, where that is refined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Gauss length of the logit path (Lucas et al. 2021, arXiv 2104.11044, section 4.2): with z(alpha) the logits of one
    /// example and n the unit vector along dz/dalpha, the length of n's path, averaged over examples; 0 for a straight one.
    /// Over the alphas in [0, 1], at least three: the sum of the angles, in radians, between successive steps of z; steps
    /// that are no longer than rounding are passed over.
    GaussLength,
    /// Loss and accuracy of the mean over all alphas in [0, 1] of the predicted probabilities, and the best single alpha.
    Ensemble,
}

/// Names of what workers report of whole lines.
pub const MEASURED: [&str; 11] = [
    "distance",
    "distance-relative",
    "cosine",
    "gauss-length",
    "ensemble-loss",
    "ensemble-accuracy",
    "best-alpha",
    "best-accuracy",
    "refine-points",
    "refine-error",
    "refine-uniform",
];

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
    /// Where `to` lies, if not in the run itself. `hold` is then the word `from` or `to`.
    #[serde(default)]
    pub elsewhere: Option<Elsewhere>,
    /// Permute the hidden units of `to` so that its weights lie closest to those of `from` (Ainsworth et al. 2023,
    /// arXiv 2209.04836, algorithm 1) before the line is drawn.
    #[serde(default)]
    pub align: bool,
    /// How the direction is scaled.
    #[serde(default)]
    pub normalize: Normalize,
    /// What else is measured.
    #[serde(default)]
    pub measures: BTreeSet<Measure>,
    /// How further alphas are added to the grid where the curve bends; none are when absent.
    #[serde(default)]
    pub refine: Option<Refine>,
}

/// Images evaluated at a time unless said otherwise.
pub fn default_batch_size() -> u32 {
    500
}

impl LineSpec {
    /// The line from `init` to `final` along which `mask` moves, with every other setting at its default.
    pub fn new(mask: &str, alphas: Vec<f64>, splits: Vec<Split>) -> Self {
        Self {
            from: Tag::init(),
            to: Tag::last(),
            mask: mask.to_owned(),
            hold: Tag::last(),
            alphas,
            batch_norm: BatchNorm::default(),
            splits,
            subset: None,
            batch_size: default_batch_size(),
            elsewhere: None,
            align: false,
            normalize: Normalize::default(),
            measures: BTreeSet::new(),
            refine: None,
        }
    }

    /// The canonical form: sorted keys, defaults left out.
    pub fn canonical(&self) -> String {
        let defaults = Self::new("", vec![], vec![]);
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

    /// The other run that it needs, and which checkpoint of it.
    pub fn needs(&self) -> Option<(&RunDigest, &Tag)> {
        match &self.elsewhere {
            Some(Elsewhere::Run { run }) => Some((run, &self.to)),
            Some(Elsewhere::Init { .. }) | None => None,
        }
    }

    /// True when what does not move is held at `to`, otherwise at `from`.
    pub fn holds_to(&self) -> bool {
        match self.elsewhere {
            Some(_) => self.hold.as_str() == "to",
            None => self.hold == self.to,
        }
    }

    /// Number of points of its grid: what measuring it gives, or the least that it gives where it is refined.
    pub fn points(&self) -> u64 {
        (self.alphas.len() * self.splits.len()) as u64
    }

    /// The most points that refining it may add.
    pub fn further_points(&self) -> u64 {
        self.refine.map_or(0, |refine| u64::from(refine.budget) * self.splits.len() as u64)
    }

    /// The most points that measuring it may give.
    pub fn most_points(&self) -> u64 {
        self.points() + self.further_points()
    }

    /// True when it is measured on `split`.
    pub fn has_split(&self, split: Split) -> bool {
        self.splits.contains(&split)
    }
}
