//! A run: one training identity, named by the digest of its canonical form.
//!
//! The canonical form is JSON with sorted keys in which every setting at its default is left out. So a digest does not
//! change when a default is written out, nor when a later version learns a setting whose default is what was done before.
//! It follows that defaults never change once released; `digests_are_pinned` fails when one does.

mod init;
mod recipe;
mod tag;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::DataSpec;
use crate::digest::{ArtifactDigest, RunDigest};
use crate::model::ModelSpec;

pub use init::{InitScheme, InitSpec, LayerStart, Source};
pub use recipe::{LayerRecipe, Optimizer, Precision, Schedule, Seeds, StopRule, TrainSpec};
pub use tag::{Tag, TagError};

/// Where a run's checkpoints come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "nearly all runs are of the larger kind")]
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

    /// The seed of its initialisation, for a run that is trained here.
    pub fn seed(&self) -> Option<u64> {
        match &self.origin {
            Origin::Trained { train, .. } => Some(train.seed.init),
            Origin::Imported { .. } => None,
        }
    }

    /// Where its layers start, beside the scheme's draw.
    pub fn starts(&self) -> &[LayerStart] {
        match &self.origin {
            Origin::Trained { init, .. } => &init.layers,
            Origin::Imported { .. } => &[],
        }
    }

    /// Checkpoints of other runs that its training starts from.
    pub fn needs(&self) -> BTreeSet<(RunDigest, Tag)> {
        let needs = self.starts().iter().filter_map(|start| start.source.needs());
        needs.flat_map(|(run, tags)| tags.into_iter().map(|tag| (run.clone(), tag.clone()))).collect()
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
                Origin::Trained { init: InitSpec::default(), train: train.defaults_like() }
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
            // What says which one a thing is stays whole: seeds, say, whose default is themselves.
            let value = pruned(value, default.filter(|_| !is_identity));
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
