//! What a run does to its images before they are normalised.

use serde::{Deserialize, Serialize};

use super::spirals::is_zero;

/// A corruption of every image of both splits, a pure function of its settings, the split and the image's place in the
/// files: an image is corrupted the same way in whatever subset it is. Applied on the [0, 1] scale, before normalisation;
/// it leaves labels alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Corruption {
    /// Images as they are.
    #[default]
    None,
    /// Independent normal noise on every value, then clipped to [0, 1] (Zhang et al. 2017, arXiv 1611.03530, go as far as
    /// images of pure noise).
    GaussianNoise {
        /// Standard deviation on the [0, 1] scale, above 0.
        level: f64,
        /// Seeds the noise.
        #[serde(default, skip_serializing_if = "is_zero")]
        seed: u64,
    },
    /// Convolution with a normal density of `ceil(3 sigma)` pixels on each side, normalised to sum 1; beyond the border
    /// the border repeats.
    Blur {
        /// Standard deviation in pixels, above 0, at most 16.
        sigma: f64,
    },
    /// One permutation of all pixels, the same for every image and channel (Zhang et al. 2017, "shuffled pixels").
    PixelShuffle {
        /// Seeds the permutation.
        #[serde(default, skip_serializing_if = "is_zero")]
        seed: u64,
    },
    /// One permutation of square blocks, the same for every image and channel (Neyshabur et al. 2020, arXiv 2008.11687,
    /// section 3.1).
    BlockShuffle {
        /// Blocks on each side; divides height and width.
        blocks: u32,
        /// Seeds the permutation.
        #[serde(default, skip_serializing_if = "is_zero")]
        seed: u64,
    },
}

impl Corruption {
    /// True when images stay as they are. (The canonical form keeps a table that has a `name`, so this one is left out
    /// where it is written.)
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}
