//! Where a run starts.

use serde::{Deserialize, Serialize};

use super::Tag;
use crate::digest::{ArtifactDigest, RunDigest};

/// How initial weights are drawn. Biases follow PyTorch's default under `pytorch` and are 0 under the others; batch
/// norm starts at weight 1 and bias 0 under all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitScheme {
    /// PyTorch's default for linear and convolution layers: weight and bias uniform in ±1/sqrt(fan_in).
    #[default]
    Pytorch,
    /// He et al. 2015, eq. 10 and its uniform counterpart: uniform in ±sqrt(6/fan_in).
    KaimingUniform,
    /// He et al. 2015, eq. 10: normal with standard deviation sqrt(2/fan_in).
    KaimingNormal,
    /// Glorot & Bengio 2010, eq. 16: uniform in ±sqrt(6/(fan_in + fan_out)).
    XavierUniform,
    /// Glorot & Bengio 2010, eq. 12: normal with standard deviation sqrt(2/(fan_in + fan_out)).
    XavierNormal,
    /// LeCun et al. 1998, section 4.6: normal with standard deviation sqrt(1/fan_in).
    LecunNormal,
    /// Its uniform counterpart: uniform in ±sqrt(3/fan_in).
    LecunUniform,
    /// Saxe, McClelland & Ganguli 2014: the weight as a matrix [fan_out's units, rest] has orthonormal rows or columns,
    /// whichever are fewer: the Q of a QR decomposition of a normal matrix, with R's diagonal made positive.
    Orthogonal,
    /// Every weight is `scale`.
    Constant,
}

/// Where a layer's start comes from, when it is not drawn with the run's own seed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A checkpoint of another run.
    Checkpoint {
        /// The run.
        run: RunDigest,
        /// The moment.
        tag: Tag,
    },
    /// A point on the line between two checkpoints of another run: (1 - alpha) from + alpha to, buffers as well.
    Point {
        /// The run.
        run: RunDigest,
        /// At alpha = 0.
        from: Tag,
        /// At alpha = 1.
        to: Tag,
        /// Finite; may lie outside [0, 1].
        alpha: f64,
    },
    /// A file of named tensors that was imported, perhaps of a model with other classes.
    Artifact {
        /// Its bytes.
        artifact: ArtifactDigest,
    },
    /// Drawn by the run's own scheme with another seed.
    Random {
        /// That seed.
        seed: u64,
    },
}

impl Source {
    /// The run whose checkpoints it needs, and which of them.
    pub fn needs(&self) -> Option<(&RunDigest, Vec<&Tag>)> {
        match self {
            Self::Checkpoint { run, tag } => Some((run, vec![tag])),
            Self::Point { run, from, to, .. } => Some((run, vec![from, to])),
            Self::Artifact { .. } | Self::Random { .. } => None,
        }
    }
}

/// Layers that start elsewhere: parameters by name, and the buffers of layers that are taken whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerStart {
    /// Which layers, as [`crate::mask`] reads it: `all`, `stage:1`, `all-but:head`.
    pub mask: String,
    /// Where from.
    pub source: Source,
}

/// Initialisation of a run: first the scheme draws everything, then `layers` replace some of it, one after another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitSpec {
    /// How weights are drawn.
    pub scheme: InitScheme,
    /// Multiplies every initial weight and bias of linear and convolution layers; above 0. Not what `layers` bring.
    pub scale: f64,
    /// What starts elsewhere.
    pub layers: Vec<LayerStart>,
}

impl Default for InitSpec {
    fn default() -> Self {
        Self { scheme: InitScheme::default(), scale: 1.0, layers: vec![] }
    }
}
