//! What training moves: the parameter vector, and batch norm's running statistics.

use tch::{Device, Tensor};
use transect_common::checkpoint::Checkpoint;

/// A run's state on its device.
#[derive(Debug)]
pub struct State {
    /// Parameters [P].
    pub theta: Tensor,
    /// Buffers [B].
    pub buffers: Tensor,
}

impl State {
    /// A checkpoint's state, brought to `device`.
    pub fn new(checkpoint: &Checkpoint, device: Device) -> Self {
        Self {
            theta: Tensor::from_slice(&checkpoint.theta).to_device(device),
            buffers: Tensor::from_slice(&checkpoint.buffers).to_device(device),
        }
    }

    /// A copy of the state as it is now; its values may be anything.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { theta: values(&self.theta), buffers: values(&self.buffers) }
    }
}

/// A vector's numbers.
pub(super) fn values(vector: &Tensor) -> Vec<f32> {
    let mut values = vec![0.0; vector.numel()];
    vector.detach().copy_data(&mut values, vector.numel());
    values
}
