//! Convolutions in which each channel sees itself only.

use super::{
    Shape,
    isa::{Tile, per_isa},
    product::Epilogue,
};

per_isa! {
    /// Writes the convolution of `x` of `shape`, padded already, with `weights` [side x side, C] at `stride` to `out`
    /// [N, H, W, C], finished by `epilogue`.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn depthwise(
        x: &[f32],
        shape: Shape,
        weights: &[f32],
        side: usize,
        stride: usize,
        epilogue: &Epilogue,
        out: &mut [f32],
    ) = depthwise_by
}

#[inline(always)]
fn depthwise_by<T: Tile<ROWS>, const ROWS: usize>(
    x: &[f32],
    shape: Shape,
    weights: &[f32],
    side: usize,
    stride: usize,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let c = shape.c;
    let over = |size: usize| (size - side) / stride + 1;
    let (rows, columns) = (over(shape.h), over(shape.w));
    for (pixel, out) in out.chunks_exact_mut(c).enumerate() {
        let (image, place) = (pixel / (rows * columns), pixel % (rows * columns));
        let (y, column) = (place / columns * stride, place % columns * stride);
        out.fill(0.0);
        for (tap, weights) in weights.chunks_exact(c).enumerate() {
            let from = image * shape.len() + ((y + tap / side) * shape.w + column + tap % side) * c;
            for ((out, value), weight) in out.iter_mut().zip(&x[from..][..c]).zip(weights) {
                *out = value.mul_add(*weight, *out);
            }
        }
        if let Some((scale, shift)) = epilogue.scale_and_shift {
            for ((out, scale), shift) in out.iter_mut().zip(scale).zip(shift) {
                *out = out.mul_add(*scale, *shift);
            }
        }
        if let Some(residual) = epilogue.residual {
            for (out, residual) in out.iter_mut().zip(&residual[pixel * c..]) {
                *out += residual;
            }
        }
        for out in out {
            *out = epilogue.act.of(*out);
        }
    }
}
