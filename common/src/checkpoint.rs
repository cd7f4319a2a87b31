//! Checkpoints as safetensors: theta and buffers under `PyTorch`'s `state_dict` names.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::model::Description;

/// All state of a model at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// Parameters [P], in the description's order.
    pub theta: Vec<f32>,
    /// Buffers [B], in the description's order.
    pub buffers: Vec<f32>,
}

/// What is wrong with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not a safetensors file.
    #[error("not a readable safetensors file: {0}")]
    Format(String),
    /// Tensors that the model has are not there.
    #[error("{architecture} needs tensors that the file does not hold: {}", listed(names))]
    Missing {
        /// The architecture.
        architecture: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Tensors that the model does not have are there.
    #[error("the file holds tensors that {architecture} does not have: {}", listed(names))]
    Extra {
        /// The architecture.
        architecture: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` has shape {found:?}, {architecture} needs {expected:?}")]
    Shape {
        /// The architecture.
        architecture: String,
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// The shape that is needed.
        expected: Vec<usize>,
    },
    /// A tensor of another element type.
    #[error("tensor `{name}` holds {found}, F32 is needed")]
    Dtype {
        /// The tensor.
        name: String,
        /// Its element type in the file.
        found: String,
    },
    /// A NaN or an infinity.
    #[error("tensor `{name}` holds {value} at element {index}; every value must be finite")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first bad element.
        index: usize,
        /// Its value.
        value: String,
    },
}

/// The first few of `names`, and how many more there are.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `PyTorch` counts batches in batch norm; the count changes nothing that is measured, so it is accepted and dropped.
const BATCH_COUNTER: &str = "num_batches_tracked";

/// Names, shapes and offsets of every tensor of a model: parameters, then buffers.
fn tensors(model: &Description) -> impl Iterator<Item = (&str, Vec<usize>, std::ops::Range<usize>, bool)> {
    let shape = |s: &[u32]| s.iter().map(|&d| d as usize).collect::<Vec<_>>();
    let parameters =
        model.parameters.iter().map(move |p| (p.name.as_str(), shape(&p.shape), p.offset..p.offset + p.len, true));
    let buffers =
        model.buffers.iter().map(move |b| (b.name.as_str(), shape(&b.shape), b.offset..b.offset + b.len, false));
    parameters.chain(buffers)
}

/// Writes a checkpoint. The same state gives the same bytes.
///
/// # Panics
/// When the vectors do not have the description's lengths.
pub fn encode(model: &Description, checkpoint: &Checkpoint) -> Vec<u8> {
    assert_eq!(checkpoint.theta.len(), model.theta_len());
    assert_eq!(checkpoint.buffers.len(), model.buffers_len());
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (theta, buffers) = (bytes(&checkpoint.theta), bytes(&checkpoint.buffers));
    let views = tensors(model).map(|(name, shape, range, is_parameter)| {
        let source = if is_parameter { &theta } else { &buffers };
        let view = TensorView::new(Dtype::F32, shape, &source[range.start * 4..range.end * 4]);
        (name, view.expect("shape and range of a description agree"))
    });
    safetensors::serialize(views, None).expect("the names of a description are distinct and its tensors whole")
}

/// Reads a checkpoint of `model`, checking every tensor's name, shape, type and values.
pub fn decode(model: &Description, bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| CheckpointError::Format(e.to_string()))?;
    let architecture = || model.architecture.to_owned();
    let missing: Vec<String> =
        tensors(model).filter(|(name, ..)| file.tensor(name).is_err()).map(|(name, ..)| name.to_owned()).collect();
    if !missing.is_empty() {
        return Err(CheckpointError::Missing { architecture: architecture(), names: missing });
    }
    let known: std::collections::HashSet<&str> = tensors(model).map(|(name, ..)| name).collect();
    let mut extra: Vec<String> = file
        .names()
        .into_iter()
        .filter(|name| !known.contains(*name) && name.rsplit('.').next() != Some(BATCH_COUNTER))
        .map(ToString::to_string)
        .collect();
    if !extra.is_empty() {
        extra.sort();
        return Err(CheckpointError::Extra { architecture: architecture(), names: extra });
    }
    let mut checkpoint = Checkpoint { theta: vec![0.0; model.theta_len()], buffers: vec![0.0; model.buffers_len()] };
    for (name, expected, range, is_parameter) in tensors(model) {
        let view = file.tensor(name).map_err(|e| CheckpointError::Format(e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointError::Dtype { name: name.to_owned(), found: format!("{:?}", view.dtype()) });
        }
        if view.shape() != expected {
            let (name, found) = (name.to_owned(), view.shape().to_vec());
            return Err(CheckpointError::Shape { architecture: architecture(), name, found, expected });
        }
        let target = if is_parameter { &mut checkpoint.theta } else { &mut checkpoint.buffers };
        for (index, (slot, bytes)) in target[range].iter_mut().zip(view.data().as_chunks::<4>().0).enumerate() {
            let value = f32::from_le_bytes(*bytes);
            if !value.is_finite() {
                return Err(CheckpointError::NotFinite { name: name.to_owned(), index, value: value.to_string() });
            }
            *slot = value;
        }
    }
    Ok(checkpoint)
}
