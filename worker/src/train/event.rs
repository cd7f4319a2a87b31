//! What training says while it runs, and how it can end early.

use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::mask::MaskError;
use transect_common::run::Tag;

use super::{Snapshot, StartError};
use crate::Stop;
use crate::sources::SourceError;

/// Something that happened in training.
#[derive(Debug, Clone, PartialEq)]
pub enum TrainEvent {
    /// An epoch was scored on one split.
    Epoch(EpochScore),
    /// A moment was reached whose checkpoint is kept.
    Checkpoint {
        /// The moment.
        tag: Tag,
        /// All state; every value is finite.
        checkpoint: Checkpoint,
    },
    /// The training as it is now, as it was asked for.
    Snapshot(Box<Snapshot>),
    /// A sign of life, a few times a second.
    Progress {
        /// Share of all steps that is done, 0 to 1.
        fraction: f64,
        /// For people: `epoch 2 of 3`.
        text: String,
    },
}

/// Loss and accuracy of one epoch on one split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochScore {
    /// Epoch, from 1; 0 is the state before training.
    pub epoch: u32,
    /// On `train`, the mean over the epoch's steps, each before its update and with augmentation; on `test`, the state
    /// at the epoch's end.
    pub split: Split,
    /// Mean cross-entropy in nats, finite. On `train` that of the smoothed targets, if the recipe smooths labels: what
    /// training makes smaller.
    pub loss: f64,
    /// Share classified correctly, 0 to 1.
    pub accuracy: f64,
    /// Learning rate of the epoch's last step, that of the run's optimiser whatever layers have; 0 for epoch 0.
    pub learning_rate: f64,
    /// Seconds of training, without those between an interruption and what went on from there.
    pub seconds: f64,
}

/// Training ended early.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Some number is no longer finite. The run itself is at fault: it would end so again.
    #[error(
        "diverged at step {step} (epoch {epoch}): {what}; try a lower learning rate, a longer warm-up or a smaller initial scale"
    )]
    Diverged {
        /// The step at which it showed, from 1; 0 is before training.
        step: u64,
        /// Its epoch, from 1; 0 is before training.
        epoch: u32,
        /// What is not finite: `the training loss is NaN`.
        what: String,
    },
    /// The run was trained elsewhere.
    #[error("an imported run is not trained: its checkpoints are what was imported")]
    Imported,
    /// A checkpoint is to be kept of a moment that training never has.
    #[error(
        "keep = \"{tag}\" names a moment that training does not have: use `init`, `final`, `epoch-1` to `epoch-{epochs}`, or `step-1` to `step-{steps}`"
    )]
    NoSuchMoment {
        /// The moment.
        tag: Tag,
        /// Epochs of the run.
        epochs: u32,
        /// Steps of the run.
        steps: u64,
    },
    /// A mask of the run's settings names nothing of the model.
    #[error("{setting}: {error}")]
    Mask {
        /// The setting: `train.layers`.
        setting: &'static str,
        /// What is wrong with the mask.
        error: Box<MaskError>,
    },
    /// A layer is given a momentum that its optimiser has no use for.
    #[error("train.layers: `{mask}` is given a momentum, which {optimizer} does not have: set beta1 there")]
    NoMomentum {
        /// The rule's mask.
        mask: String,
        /// The layer's optimiser.
        optimizer: &'static str,
    },
    /// A file to start from cannot be had on this machine; another may have it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A file to start from does not fit the model.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// The data do not fit the model.
    #[error("the model takes images of {model:?} (channels, height, width), the data are {data:?}")]
    Shape {
        /// What the model takes.
        model: [u32; 3],
        /// What the data are.
        data: [u32; 3],
    },
    /// Asked to stop; nothing is wrong.
    #[error(transparent)]
    Stopped(#[from] Stop),
}

impl TrainError {
    pub(super) fn mask(setting: &'static str, error: MaskError) -> Self {
        Self::Mask { setting, error: Box::new(error) }
    }
}
