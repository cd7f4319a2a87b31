//! A run: one training identity, named by the digest of its canonical form.
//!
//! The canonical form is JSON with sorted keys in which every setting at its default is left out. So a digest does not
//! change when a default is written out, nor when a later version learns a setting whose default is what was done before.
//! It follows that defaults never change once released; `digests_are_pinned` fails when one does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::DataSpec;
use crate::digest::{ArtifactDigest, RunDigest};
use crate::model::ModelSpec;

/// Names the moment of a checkpoint: `init`, `epoch-3`, `final`, or any other word for one trained elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// A text that should have been a tag is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot name a checkpoint: use `init`, `epoch-N`, `final`, or 1 to 64 letters, digits, `-` and `_`")]
pub struct TagError(pub String);

impl Tag {
    /// The state before training.
    pub fn init() -> Self {
        Self("init".into())
    }

    /// The state after training.
    pub fn last() -> Self {
        Self("final".into())
    }

    /// The state after `epoch` epochs.
    pub fn epoch(epoch: u32) -> Self {
        Self(format!("epoch-{epoch}"))
    }

    /// As in sweep files and SQL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For `epoch-N`, N.
    pub fn as_epoch(&self) -> Option<u32> {
        self.0.strip_prefix("epoch-")?.parse().ok()
    }

    fn rank(&self) -> (u32, u32) {
        match (self.0.as_str(), self.as_epoch()) {
            ("init", _) => (0, 0),
            (_, Some(epoch)) => (1, epoch),
            ("final", _) => (2, 0),
            _ => (3, 0),
        }
    }
}

impl Ord for Tag {
    /// By moment: `init`, epochs, `final`, then the others by name.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.rank(), &self.0).cmp(&(other.rank(), &other.0))
    }
}

impl PartialOrd for Tag {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let fits = (1..=64).contains(&text.len()) && text.bytes().all(is_word);
        fits.then(|| Self(text.to_owned())).ok_or_else(|| TagError(text.to_owned()))
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        text.parse()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

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
}

/// Initialisation of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitSpec {
    /// How weights are drawn.
    pub scheme: InitScheme,
    /// Multiplies every initial weight and bias of linear and convolution layers; above 0.
    pub scale: f64,
}

impl Default for InitSpec {
    fn default() -> Self {
        Self { scheme: InitScheme::default(), scale: 1.0 }
    }
}

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

impl Optimizer {
    /// SGD at its defaults.
    pub fn sgd() -> Self {
        Self::Sgd { lr: sgd_lr(), momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// `AdamW` at its defaults.
    pub fn adamw() -> Self {
        Self::Adamw {
            lr: adamw_lr(),
            beta1: adamw_beta1(),
            beta2: adamw_beta2(),
            eps: adamw_eps(),
            weight_decay: adamw_weight_decay(),
        }
    }

    /// Base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd { lr, .. } | Self::Adamw { lr, .. } => *lr,
        }
    }
}

/// How the learning rate moves, after warm-up, as a factor on the optimiser's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
}

impl Schedule {
    /// True for the schedule that a recipe has when it names none. (The canonical form keeps a table that has a `name`,
    /// so this one is left out where it is written.)
    fn is_constant(&self) -> bool {
        *self == Self::Constant
    }
}

fn step_factor() -> f64 {
    0.1
}

/// The recipe of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Seeds initialisation, data order, augmentation and label noise, each under its own purpose.
    pub seed: u64,
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
    /// Moments whose checkpoints are stored.
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
    pub fn new(seed: u64, optimizer: Optimizer) -> Self {
        Self {
            seed,
            optimizer,
            schedule: Schedule::default(),
            warmup_epochs: 0.0,
            epochs: ten(),
            batch_size: default_batch_size(),
            keep: default_keep(),
        }
    }
}

/// Where a run's checkpoints come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Origin {
    /// Trained here.
    Trained {
        /// Initialisation.
        #[serde(default)]
        init: InitSpec,
        /// Recipe.
        train: TrainSpec,
    },
    /// Trained elsewhere and imported.
    Imported {
        /// Each checkpoint by its moment.
        checkpoints: BTreeMap<Tag, ArtifactDigest>,
    },
}

/// One training identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSpec {
    /// Data, for training and for probes.
    pub data: DataSpec,
    /// Model.
    pub model: ModelSpec,
    /// Where its checkpoints come from.
    pub origin: Origin,
}

/// A canonical form that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("not the canonical form of a {what}: {source}")]
pub struct CanonicalError {
    /// `run` or `line`.
    pub what: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl RunSpec {
    /// The canonical form.
    pub fn canonical(&self) -> String {
        let spec = self.clone().canonicalised();
        canonical_json(&spec, &spec.defaults_like())
    }

    /// The same run, with what only repeats the data set (its whole size, its own normalisation) left out.
    #[must_use]
    pub fn canonicalised(self) -> Self {
        Self { data: self.data.canonicalised(), ..self }
    }

    /// Reads a canonical form.
    pub fn from_canonical(text: &str) -> Result<Self, CanonicalError> {
        serde_json::from_str(text).map_err(|source| CanonicalError { what: "run", source })
    }

    /// The run's name: the digest of its canonical form.
    pub fn digest(&self) -> RunDigest {
        RunDigest::of(self.canonical().as_bytes())
    }

    /// The seed, for a run that is trained here.
    pub fn seed(&self) -> Option<u64> {
        match &self.origin {
            Origin::Trained { train, .. } => Some(train.seed),
            Origin::Imported { .. } => None,
        }
    }

    /// Moments whose checkpoints the run has once it is trained.
    pub fn tags(&self) -> BTreeSet<Tag> {
        match &self.origin {
            Origin::Trained { train, .. } => train.keep.clone(),
            Origin::Imported { checkpoints } => checkpoints.keys().cloned().collect(),
        }
    }

    /// A run of the same kinds (set, architecture, optimiser, schedule) with every setting at its default.
    fn defaults_like(&self) -> Self {
        let origin = match &self.origin {
            Origin::Trained { train, .. } => {
                let optimizer = match train.optimizer {
                    Optimizer::Sgd { .. } => Optimizer::sgd(),
                    Optimizer::Adamw { .. } => Optimizer::adamw(),
                };
                let schedule = match train.schedule {
                    Schedule::Constant => Schedule::Constant,
                    // `every` has no default; no epoch is 0, so it never counts as one.
                    Schedule::Step { .. } => Schedule::Step { every: 0, factor: step_factor() },
                    Schedule::Cosine { .. } => Schedule::Cosine { floor: 0.0 },
                };
                let train = TrainSpec { schedule, ..TrainSpec::new(train.seed, optimizer) };
                Origin::Trained { init: InitSpec::default(), train }
            }
            Origin::Imported { .. } => Origin::Imported { checkpoints: BTreeMap::new() },
        };
        Self { data: DataSpec::new(self.data.set), model: self.model.defaults_like(), origin }
    }
}

/// Keys that say which kind a thing is, or have no default: never left out.
const IDENTITY: [&str; 5] = ["set", "architecture", "name", "seed", "checkpoints"];

/// `spec` as JSON with sorted keys, without what equals `defaults`.
pub(crate) fn canonical_json<T: Serialize>(spec: &T, defaults: &T) -> String {
    let to_value = |spec| serde_json::to_value(spec).expect("settings are plain data with text keys");
    pruned(to_value(spec), Some(&to_value(defaults))).to_string()
}

fn pruned(value: Value, default: Option<&Value>) -> Value {
    let Value::Object(map) = value else {
        return value;
    };
    let kept: BTreeMap<String, Value> = map
        .into_iter()
        .filter_map(|(key, value)| {
            let default = default.and_then(|d| d.get(&key));
            let is_identity = IDENTITY.contains(&key.as_str());
            if default == Some(&value) && !is_identity && !holds_identity(&value) {
                return None;
            }
            let value = pruned(value, default);
            Some((key, value))
        })
        .collect();
    Value::Object(kept.into_iter().collect())
}

/// True for an object that says, here or further down, which kind it is: it stays even when all else is default.
fn holds_identity(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|map| map.iter().any(|(key, value)| IDENTITY.contains(&key.as_str()) || holds_identity(value)))
}
