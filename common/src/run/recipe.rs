//! How a run is trained.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Tag;

/// The optimiser of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Optimizer {
    /// Stochastic gradient descent as PyTorch's `SGD`: g += weight_decay * theta; v = momentum * v + g (v = g at first);
    /// theta -= lr * (g + momentum * v if nesterov, else v).
    Sgd {
        /// Base learning rate, above 0.
        #[serde(default = "sgd_lr")]
        lr: f64,
        /// In [0, 1).
        #[serde(default)]
        momentum: f64,
        /// At least 0.
        #[serde(default)]
        weight_decay: f64,
        /// Needs momentum above 0.
        #[serde(default)]
        nesterov: bool,
    },
    /// Adam as PyTorch's (Kingma & Ba 2015, algorithm 1, with g += weight_decay * theta first).
    Adam {
        /// Base learning rate, above 0.
        #[serde(default = "adamw_lr")]
        lr: f64,
        /// In [0, 1).
        #[serde(default = "adamw_beta1")]
        beta1: f64,
        /// In [0, 1).
        #[serde(default = "adamw_beta2")]
        beta2: f64,
        /// Above 0.
        #[serde(default = "adamw_eps")]
        eps: f64,
        /// At least 0.
        #[serde(default)]
        weight_decay: f64,
    },
    /// AdamW as PyTorch's (Loshchilov & Hutter 2019, algorithm 2, with decay scaled by the learning rate).
    Adamw {
        /// Base learning rate, above 0.
        #[serde(default = "adamw_lr")]
        lr: f64,
        /// In [0, 1).
        #[serde(default = "adamw_beta1")]
        beta1: f64,
        /// In [0, 1).
        #[serde(default = "adamw_beta2")]
        beta2: f64,
        /// Above 0.
        #[serde(default = "adamw_eps")]
        eps: f64,
        /// At least 0.
        #[serde(default = "adamw_weight_decay")]
        weight_decay: f64,
    },
    /// RMSprop as PyTorch's (Tieleman & Hinton 2012, not centred): g += weight_decay * theta;
    /// s = alpha * s + (1 - alpha) * g^2; u = g / (sqrt(s) + eps); v = momentum * v + u; theta -= lr * v.
    Rmsprop {
        /// Base learning rate, above 0.
        #[serde(default = "rmsprop_lr")]
        lr: f64,
        /// Smoothing, in [0, 1).
        #[serde(default = "rmsprop_alpha")]
        alpha: f64,
        /// Above 0.
        #[serde(default = "adamw_eps")]
        eps: f64,
        /// In [0, 1).
        #[serde(default)]
        momentum: f64,
        /// At least 0.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Sharpness-aware minimisation over SGD (Foret et al. 2021, algorithm 1): the gradient of a step is taken at
    /// theta + rho * g / |g|, with g the gradient at theta over the whole vector; batch norm's running statistics move in
    /// the first pass only. Then as `sgd`.
    Sam {
        /// Base learning rate, above 0.
        #[serde(default = "sgd_lr")]
        lr: f64,
        /// Radius, above 0.
        #[serde(default = "sam_rho")]
        rho: f64,
        /// In [0, 1).
        #[serde(default)]
        momentum: f64,
        /// At least 0.
        #[serde(default)]
        weight_decay: f64,
    },
}

fn sgd_lr() -> f64 {
    0.1
}
fn adamw_lr() -> f64 {
    1e-3
}
fn adamw_beta1() -> f64 {
    0.9
}
fn adamw_beta2() -> f64 {
    0.999
}
fn adamw_eps() -> f64 {
    1e-8
}
fn adamw_weight_decay() -> f64 {
    1e-2
}
fn rmsprop_lr() -> f64 {
    1e-2
}
fn rmsprop_alpha() -> f64 {
    0.99
}
fn sam_rho() -> f64 {
    0.05
}

impl Optimizer {
    /// SGD at its defaults.
    pub fn sgd() -> Self {
        Self::Sgd { lr: sgd_lr(), momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// The optimiser of that name at its defaults.
    pub fn from_name(name: &str) -> Option<Self> {
        serde_json::from_value(serde_json::json!({ "name": name })).ok()
    }

    /// As in sweep files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd { .. } => "sgd",
            Self::Adam { .. } => "adam",
            Self::Adamw { .. } => "adamw",
            Self::Rmsprop { .. } => "rmsprop",
            Self::Sam { .. } => "sam",
        }
    }

    /// The same optimiser with every setting at its default.
    pub(super) fn defaults_like(&self) -> Self {
        Self::from_name(self.name()).expect("every optimiser is found by its own name")
    }

    /// Base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd { lr, .. }
            | Self::Adam { lr, .. }
            | Self::Adamw { lr, .. }
            | Self::Rmsprop { lr, .. }
            | Self::Sam { lr, .. } => *lr,
        }
    }
}

/// How the learning rate moves, after warm-up, as a factor on the optimiser's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Stays as it is.
    #[default]
    Constant,
    /// Multiplied by `factor` every `every` epochs.
    Step {
        /// Epochs between drops, at least 1.
        every: u32,
        /// In (0, 1]; 0.1 unless said otherwise.
        #[serde(default = "step_factor")]
        factor: f64,
    },
    /// Half a cosine from 1 to `floor`, step by step (Loshchilov & Hutter 2017, eq. 5, without restarts).
    Cosine {
        /// Factor at the end, in [0, 1].
        #[serde(default)]
        floor: f64,
    },
    /// Multiplied by `factor` after each epoch of `epochs`.
    Milestones {
        /// Epochs after which it drops, increasing, each at least 1.
        epochs: Vec<u32>,
        /// In (0, 1]; 0.1 unless said otherwise.
        #[serde(default = "step_factor")]
        factor: f64,
    },
    /// Triangular (Smith 2017, section 3.1): linearly from `floor` up to 1 in the first half of each period and down again
    /// in the second, step by step.
    Cyclic {
        /// Epochs of one period, above 0 (fractions allowed).
        period: f64,
        /// Factor between the cycles, in [0, 1].
        #[serde(default)]
        floor: f64,
    },
}

impl Schedule {
    /// True for the schedule that a recipe has when it names none. (The canonical form keeps a table that has a `name`,
    /// so this one is left out where it is written.)
    fn is_constant(&self) -> bool {
        *self == Self::Constant
    }

    /// The same schedule with every setting at its default. What has no default is at a value that cannot be.
    pub(super) fn defaults_like(&self) -> Self {
        match self {
            Self::Constant => Self::Constant,
            Self::Step { .. } => Self::Step { every: 0, factor: step_factor() },
            Self::Cosine { .. } => Self::Cosine { floor: 0.0 },
            Self::Milestones { .. } => Self::Milestones { epochs: vec![], factor: step_factor() },
            Self::Cyclic { .. } => Self::Cyclic { period: 0.0, floor: 0.0 },
        }
    }
}

fn step_factor() -> f64 {
    0.1
}

/// Seeds of a run, each for its own purpose. Written as one number when all are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "SeedsForm", into = "SeedsForm")]
pub struct Seeds {
    /// Initial parameters.
    pub init: u64,
    /// Order of the training images, and dropout.
    pub order: u64,
    /// Augmentation.
    pub augment: u64,
    /// Label noise.
    pub labels: u64,
}

impl From<u64> for Seeds {
    fn from(seed: u64) -> Self {
        Self { init: seed, order: seed, augment: seed, labels: seed }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SeedsForm {
    One(u64),
    Split(SplitSeeds),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitSeeds {
    #[serde(default)]
    init: u64,
    #[serde(default)]
    order: u64,
    #[serde(default)]
    augment: u64,
    #[serde(default)]
    labels: u64,
}

impl From<SeedsForm> for Seeds {
    fn from(form: SeedsForm) -> Self {
        match form {
            SeedsForm::One(seed) => seed.into(),
            SeedsForm::Split(SplitSeeds { init, order, augment, labels }) => Self { init, order, augment, labels },
        }
    }
}

impl From<Seeds> for SeedsForm {
    fn from(seeds: Seeds) -> Self {
        let Seeds { init, order, augment, labels } = seeds;
        if seeds == Seeds::from(init) {
            Self::One(init)
        } else {
            Self::Split(SplitSeeds { init, order, augment, labels })
        }
    }
}

/// In which numbers linear and convolution layers multiply while training, forward and backward.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// IEEE 754 with 32 bits, as everything else.
    #[default]
    Float32,
    /// Inputs, weights and gradients of these layers rounded to bfloat16 (8 bits of exponent, 7 of fraction), as
    /// PyTorch's autocast does; their results are rounded to it too, and go on in f32. Theta, losses, the optimiser,
    /// checkpoints and all that is measured stay f32.
    Bfloat16,
}

impl Precision {
    /// As sweep files say it.
    pub const NAMES: [&str; 2] = ["float32", "bfloat16"];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// When training ends before its last epoch: after the first epoch that reaches what is said, on the mean over the
/// epoch's training steps. `final` is then the state at that epoch's end.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRule {
    /// Training accuracy of at least this share, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Training loss of at most this many nats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// How some layers are trained otherwise than the rest. Of two rules for one parameter, what the later says counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerRecipe {
    /// Which layers, as [`crate::mask`] reads it.
    pub mask: String,
    /// Learning rate in place of the optimiser's, above 0; the schedule multiplies it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// In place of the optimiser's, at least 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// In place of the optimiser's, in [0, 1); for optimisers that have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// An optimiser of its own, with its own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Never moves. Batch norm's running statistics of frozen layers still follow the data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frozen: bool,
    /// Moves only after this many epochs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen_until: Option<u32>,
}

/// The recipe of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Seeds of initialisation, data order, augmentation and label noise.
    pub seed: Seeds,
    /// The optimiser; SGD at its defaults unless said otherwise.
    #[serde(default = "Optimizer::sgd")]
    pub optimizer: Optimizer,
    /// How its learning rate moves.
    #[serde(default, skip_serializing_if = "Schedule::is_constant")]
    pub schedule: Schedule,
    /// The learning rate rises linearly from 0 over this many first epochs (fractions allowed), 0 to `epochs`. Steps of
    /// warm-up do not delay the schedule.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// Passes over the training images, 1 to 100,000.
    #[serde(default = "ten")]
    pub epochs: u32,
    /// Images a step, 1 to 65,536; the last step of an epoch takes what is left.
    #[serde(default = "default_batch_size")]
    pub batch_size: u32,
    /// Share of each target that is spread evenly over all classes, in [0, 1) (Szegedy et al. 2016, section 7, as PyTorch's
    /// `label_smoothing`). Reported losses are those of the smoothed targets on `train` curves only.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The whole gradient is scaled down to this Euclidean norm when it is longer (Pascanu et al. 2013, algorithm 1, as
    /// PyTorch's `clip_grad_norm_`); above 0. Layers that never move do not count.
    #[serde(default)]
    pub clip_norm: Option<f64>,
    /// In which numbers layers multiply.
    #[serde(default, skip_serializing_if = "Precision::is_default")]
    pub precision: Precision,
    /// Ends training early.
    #[serde(default)]
    pub stop: Option<StopRule>,
    /// Layers that are trained otherwise.
    #[serde(default)]
    pub layers: Vec<LayerRecipe>,
    /// Moments whose checkpoints are stored. Those that training does not reach because it stopped early are not.
    #[serde(default = "default_keep")]
    pub keep: BTreeSet<Tag>,
}

fn ten() -> u32 {
    10
}

fn default_batch_size() -> u32 {
    128
}

fn default_keep() -> BTreeSet<Tag> {
    BTreeSet::from([Tag::init(), Tag::last()])
}

impl TrainSpec {
    /// The default recipe.
    pub fn new(seed: impl Into<Seeds>, optimizer: Optimizer) -> Self {
        Self {
            seed: seed.into(),
            optimizer,
            schedule: Schedule::default(),
            warmup_epochs: 0.0,
            epochs: ten(),
            batch_size: default_batch_size(),
            label_smoothing: 0.0,
            clip_norm: None,
            precision: Precision::default(),
            stop: None,
            layers: vec![],
            keep: default_keep(),
        }
    }

    /// The same kinds of optimiser and schedule with every setting at its default.
    pub(super) fn defaults_like(&self) -> Self {
        Self { schedule: self.schedule.defaults_like(), ..Self::new(self.seed, self.optimizer.defaults_like()) }
    }
}
