//! The numbers of `scripts/fixtures/formula.py`, bit for bit: weights and images that need not be stored.

use transect_common::checkpoint::Checkpoint;
use transect_common::model::{Description, LayerKind, Role};

/// One 32-bit integer of stream `seed`: `MurmurHash3`'s finaliser over a counter.
pub fn bits(seed: u32, index: usize) -> u32 {
    let mut h = (index as u32).wrapping_add(seed.wrapping_mul(0x9E37_79B9));
    h ^= h >> 16;
    h = h.wrapping_mul(0x85EB_CA6B);
    h ^= h >> 13;
    h = h.wrapping_mul(0xC2B2_AE35);
    h ^ (h >> 16)
}

/// One number in [-1, 1) of stream `seed`; an f32 holds it exactly.
pub fn unit(seed: u32, index: usize) -> f64 {
    f64::from(bits(seed, index) >> 8) / f64::from(1 << 23) - 1.0
}

/// The formula network of stream `seed`.
pub fn checkpoint(model: &Description, seed: u32) -> Checkpoint {
    let mut theta = Vec::with_capacity(model.theta_len());
    for parameter in &model.parameters {
        let layer = &model.layers[parameter.layer];
        let value = |u: f64| match (layer.kind, parameter.role) {
            (LayerKind::BatchNorm2d | LayerKind::LayerNorm, Role::Weight) => 1.0 + 0.2 * u,
            (LayerKind::BatchNorm2d | LayerKind::LayerNorm, Role::Bias) => 0.2 * u,
            (LayerKind::Scalar | LayerKind::Embedding, _) => 0.5 * u,
            (_, Role::Weight) => u * (3.0 / f64::from(layer.fan_in)).sqrt(),
            (_, Role::Bias) => u * 0.1,
        };
        theta.extend((parameter.offset..parameter.offset + parameter.len).map(|i| value(unit(seed, i)) as f32));
    }
    let mut buffers = Vec::with_capacity(model.buffers_len());
    for buffer in &model.buffers {
        let is_mean = buffer.name.ends_with("mean");
        let value = |u: f64| if is_mean { 0.2 * u } else { 1.0 + 0.5 * u };
        buffers.extend((buffer.offset..buffer.offset + buffer.len).map(|i| value(unit(seed + 1000, i)) as f32));
    }
    Checkpoint { theta, buffers }
}

/// `count` numbers of a stream as f32: normalised-looking images.
pub fn floats(seed: u32, count: usize) -> Vec<f32> {
    (0..count).map(|i| unit(seed, i) as f32).collect()
}

/// `count` bytes of a stream: pixels.
pub fn bytes(seed: u32, count: usize) -> Vec<u8> {
    (0..count).map(|i| (bits(seed, i) >> 24) as u8).collect()
}

/// `count` labels of a stream, below `classes`.
pub fn labels(seed: u32, count: usize, classes: u32) -> Vec<u8> {
    (0..count).map(|i| (bits(seed, i) % classes) as u8).collect()
}
