//! Named tensors of a file: what layers start from. Only what is taken is checked, so that a file may hold more.

use safetensors::{Dtype, SafeTensors};
use transect_common::checkpoint::CheckpointError;

/// A safetensors file, opened.
#[derive(Debug)]
pub(super) struct Named<'b>(SafeTensors<'b>);

impl<'b> Named<'b> {
    /// Opens a file's bytes.
    ///
    /// # Errors
    /// When they are not a safetensors file.
    pub(super) fn open(bytes: &'b [u8]) -> Result<Self, CheckpointError> {
        SafeTensors::deserialize(bytes).map(Self).map_err(|e| CheckpointError::Format(e.to_string()))
    }

    /// The shape of a tensor, if there is one of that name.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.0.tensor(name).ok().map(|view| view.shape().to_vec())
    }

    /// Copies a tensor's numbers.
    ///
    /// # Errors
    /// When it is not there, not of f32, or holds a number that is not finite.
    ///
    /// # Panics
    /// When it has not as many numbers as `target`.
    pub(super) fn copy(&self, name: &str, target: &mut [f32]) -> Result<(), CheckpointError> {
        let view = self.0.tensor(name).map_err(|e| CheckpointError::Format(e.to_string()))?;
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointError::Dtype { name: name.to_owned(), found: format!("{:?}", view.dtype()) });
        }
        let numbers = view.data().as_chunks::<4>().0;
        assert_eq!(numbers.len(), target.len(), "{name}: shapes were compared");
        for (index, (slot, bytes)) in target.iter_mut().zip(numbers).enumerate() {
            *slot = f32::from_le_bytes(*bytes);
            if !slot.is_finite() {
                return Err(CheckpointError::NotFinite { name: name.to_owned(), index, value: slot.to_string() });
            }
        }
        Ok(())
    }
}
