//! Snapshots as safetensors files, which say what they belong to and prove that they are whole.
//!
//! Invariant: what is read back is what was written, for the same run, data and kind of machine, or an error.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use transect_common::checkpoint::Checkpoint;
use transect_common::digest::RunDigest;
use transect_common::model::Description;
use transect_common::run::{Origin, RunSpec};

use super::{Numbers, Snapshot};
use crate::train::optimizer::{Memory, slots};
use crate::train::parts::parts;

/// Counts the changes of what is in a file; a file of another count is not read.
const FORMAT: u32 = 1;
/// The metadata's one key.
const KEY: &str = "transect.snapshot";

/// What a snapshot is made of and on, all of which must be the same where it is taken up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// The run.
    pub run: RunDigest,
    /// Training images.
    pub images: usize,
    /// Device, libtorch and instruction set: `cpu, libtorch 2.11.0, AVX2`.
    pub machine: String,
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot.
    #[error("it is not a readable snapshot: {0}")]
    Format(String),
    /// Written by another version of Transect.
    #[error("it is in format {found}, and this worker reads format {FORMAT}")]
    Version {
        /// The file's.
        found: u32,
    },
    /// Of another run, other data or another kind of machine.
    #[error("it was taken of {what} {found}, and this is {expected}")]
    Other {
        /// `run`, `training images`, `machine`.
        what: &'static str,
        /// The file's.
        found: String,
        /// The one here.
        expected: String,
    },
    /// Its bytes are not those that were written.
    #[error("it is damaged: its contents do not have the digest that it was given")]
    Damaged,
    /// A vector is missing, or has another length.
    #[error("its vector `{name}` holds {found} numbers, {expected} are needed")]
    Shape {
        /// The vector.
        name: String,
        /// Its length in the file; 0 when it is not there.
        found: usize,
        /// The length that is needed.
        expected: usize,
    },
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    made: Made,
    numbers: Numbers,
}

#[derive(Serialize, Deserialize)]
struct Stamped {
    /// Over the head as JSON, and every vector's name and bytes.
    digest: String,
    head: Head,
}

impl Snapshot {
    /// Writes the file of a snapshot. The same snapshot gives the same bytes.
    pub fn encode(&self, made: &Made) -> Vec<u8> {
        let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let mut vectors: BTreeMap<Cow<str>, Vec<u8>> =
            [("theta".into(), bytes(&self.state.theta)), ("buffers".into(), bytes(&self.state.buffers))].into();
        for (i, part) in self.parts.iter().enumerate() {
            vectors.extend(part.vectors.iter().map(|(slot, values)| (name(i, slot).into(), bytes(values))));
        }
        let head = Head { format: FORMAT, made: made.clone(), numbers: self.numbers() };
        let digest = digest(&head, vectors.iter().map(|(name, bytes)| (name.as_ref(), bytes.as_slice())));
        let stamped = serde_json::to_string(&Stamped { digest, head }).expect("plain data with text keys");
        let views = vectors.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            (name.as_ref(), view.expect("a vector has the length of its bytes"))
        });
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), stamped)])))
            .expect("the names of the vectors are distinct")
    }

    /// Reads a snapshot of `run`, whose model is `model`, that was made as `made` says.
    pub fn decode(bytes: &[u8], run: &RunSpec, model: &Description, made: &Made) -> Result<Self, SnapshotError> {
        let format = |e: &dyn ToString| SnapshotError::Format(e.to_string());
        let file = SafeTensors::deserialize(bytes).map_err(|e| format(&e))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| format(&e))?;
        let stamped = metadata.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let stamped = stamped.ok_or_else(|| format(&"it says nothing of itself"))?;
        let found = version(stamped)?;
        if found != FORMAT {
            return Err(SnapshotError::Version { found });
        }
        let Stamped { digest: written, head } = serde_json::from_str(stamped).map_err(|e| format(&e))?;
        let vectors: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
        if digest(&head, vectors.iter().map(|(name, view)| (name.as_str(), view.data()))) != written {
            return Err(SnapshotError::Damaged);
        }
        same("run", head.made.run.short(), made.run.short())?;
        same("machine", &head.made.machine, &made.machine)?;
        same("training images", &head.made.images.to_string(), &made.images.to_string())?;
        let Origin::Trained { train, .. } = &run.origin else { return Err(format(&"an imported run has none")) };
        let parts = parts(model, train).map_err(|e| format(&e))?;
        let Numbers { place, seconds, sums, part_steps } = head.numbers;
        if part_steps.len() != parts.len() {
            return Err(format(&"its parts are not the model's"));
        }
        let vector = |name: &str, len| read(&vectors, name, len);
        let state =
            Checkpoint { theta: vector("theta", model.theta_len())?, buffers: vector("buffers", model.buffers_len())? };
        let memory = |(i, (part, steps)): (usize, (_, i32))| {
            let part: &crate::train::parts::Part = part;
            let slots = slots(&part.manner.optimizer, steps).into_iter();
            let vectors = slots.map(|slot| Ok((slot, vector(&name(i, slot), part.range.len())?)));
            Ok(Memory { steps, vectors: vectors.collect::<Result<_, SnapshotError>>()? })
        };
        let parts = parts.iter().zip(part_steps).enumerate().map(memory).collect::<Result<_, SnapshotError>>()?;
        Ok(Self { place, seconds, sums, state, parts })
    }
}

/// The name of a part's vector.
fn name(part: usize, slot: &str) -> String {
    format!("part-{part}.{slot}")
}

fn version(stamped: &str) -> Result<u32, SnapshotError> {
    #[derive(Deserialize)]
    struct Head {
        format: u32,
    }
    #[derive(Deserialize)]
    struct Stamped {
        head: Head,
    }
    let stamped: Stamped = serde_json::from_str(stamped).map_err(|e| SnapshotError::Format(e.to_string()))?;
    Ok(stamped.head.format)
}

fn digest<'v>(head: &Head, vectors: impl Iterator<Item = (&'v str, &'v [u8])>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&serde_json::to_vec(head).expect("plain data with text keys"));
    for (name, bytes) in vectors {
        hasher.update(name.as_bytes()).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    }
    hasher.finalize().to_hex().to_string()
}

fn same(what: &'static str, found: &str, expected: &str) -> Result<(), SnapshotError> {
    if found == expected {
        return Ok(());
    }
    Err(SnapshotError::Other { what, found: found.to_owned(), expected: expected.to_owned() })
}

fn read(vectors: &BTreeMap<String, TensorView>, name: &str, expected: usize) -> Result<Vec<f32>, SnapshotError> {
    let shape = |found| SnapshotError::Shape { name: name.to_owned(), found, expected };
    let view = vectors.get(name).filter(|view| view.dtype() == Dtype::F32).ok_or_else(|| shape(0))?;
    let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    if values.len() == expected { Ok(values) } else { Err(shape(values.len())) }
}
