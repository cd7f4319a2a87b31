//! What is measured of a whole line, beside its points.

use tch::Tensor;
use transect_common::data::Split;
use transect_common::line::{LineSpec, Measure};

use super::{ensemble::Ensemble, gauss::Gauss};
use crate::nn::Score;

/// Something that is measured of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasureName {
    /// Euclidean norm of `to` - `from` over the parameters that move; `to` aligned, the direction not yet normalised.
    Distance,
    /// It over the norm of `from` there.
    DistanceRelative,
    /// Cosine of the angle between `from` and `to` there, -1 to 1.
    Cosine,
    /// Gauss length of the logit path, in radians: see [`transect_common::line::Measure::GaussLength`].
    GaussLength,
    /// Mean cross-entropy in nats of the probabilities' mean over the alphas in [0, 1].
    EnsembleLoss,
    /// Share of images that this mean classifies right, 0 to 1.
    EnsembleAccuracy,
    /// The alpha in [0, 1] of the highest accuracy; of those the one of the lowest loss, and then the first.
    BestAlpha,
    /// That accuracy.
    BestAccuracy,
    /// Number of alphas that a refined line was measured at.
    RefinePoints,
    /// How far its curves are estimated to be from straight between these, in nats: the largest over intervals and splits;
    /// see [`transect_common::refine::Curves::error`].
    RefineError,
    /// Number of alphas of the smallest uniform grid that is estimated to have no larger error; see
    /// [`transect_common::refine::Curves::uniform`].
    RefineUniform,
}

impl MeasureName {
    /// As on the wire and in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distance => "distance",
            Self::DistanceRelative => "distance-relative",
            Self::Cosine => "cosine",
            Self::GaussLength => "gauss-length",
            Self::EnsembleLoss => "ensemble-loss",
            Self::EnsembleAccuracy => "ensemble-accuracy",
            Self::BestAlpha => "best-alpha",
            Self::BestAccuracy => "best-accuracy",
            Self::RefinePoints => "refine-points",
            Self::RefineError => "refine-error",
            Self::RefineUniform => "refine-uniform",
        }
    }
}

/// One number of a whole line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// What it is.
    pub name: MeasureName,
    /// Where it was measured; `None` for what depends on no images.
    pub split: Option<Split>,
    /// Its value, finite.
    pub value: f64,
}

/// What the line asks to be measured of the logits on one split, point by point along alpha, in [0, 1] only. Where a
/// loss is not finite nothing comes of it.
#[derive(Debug)]
pub(super) struct Along {
    split: Split,
    gauss: Option<Gauss>,
    ensemble: Option<Ensemble>,
    is_finite: bool,
}

impl Along {
    pub fn new(spec: &LineSpec, split: Split) -> Self {
        let wants = |measure| spec.measures.contains(&measure);
        Self {
            split,
            gauss: wants(Measure::GaussLength).then(Gauss::default),
            ensemble: wants(Measure::Ensemble).then(Ensemble::default),
            is_finite: true,
        }
    }

    /// True when the logits at `alpha` are needed.
    pub fn wants(&self, alpha: f64) -> bool {
        (self.gauss.is_some() || self.ensemble.is_some()) && (0.0..=1.0).contains(&alpha)
    }

    /// Takes the next point: `logits` [N, classes] and `labels` [N] of all images. Alphas ascend.
    pub fn add(&mut self, alpha: f64, score: &Score, logits: &Tensor, labels: &Tensor) {
        self.is_finite &= score.loss.is_finite();
        if !self.is_finite {
            return;
        }
        if let Some(gauss) = &mut self.gauss {
            gauss.add(logits);
        }
        if let Some(ensemble) = &mut self.ensemble {
            ensemble.add(alpha, score, logits, labels);
        }
    }

    pub fn measured(&self) -> Vec<Measured> {
        let mut all = vec![];
        if let Some(length) = self.gauss.as_ref().and_then(Gauss::length) {
            all.push((MeasureName::GaussLength, length));
        }
        all.extend(self.ensemble.iter().flat_map(Ensemble::measured));
        let finite = all.into_iter().filter(|(_, value)| self.is_finite && value.is_finite());
        finite.map(|(name, value)| Measured { name, split: Some(self.split), value }).collect()
    }
}
