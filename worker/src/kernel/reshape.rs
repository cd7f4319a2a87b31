//! Moving numbers about.

use super::Shape;

/// Writes `x` [N, H, W, C] of `shape` to `out`, of shape `padded`, from row `top` and column `left` on, with zeros around.
///
/// # Panics
/// When lengths do not fit.
pub fn pad(x: &[f32], shape: Shape, padded: Shape, (top, left): (usize, usize), out: &mut [f32]) {
    let (row, wide) = (shape.w * shape.c, padded.w * padded.c);
    for (image, out) in x.chunks_exact(shape.len()).zip(out.chunks_exact_mut(padded.len())) {
        out[..top * wide].fill(0.0);
        out[(top + shape.h) * wide..].fill(0.0);
        for (from, to) in image.chunks_exact(row).zip(out[top * wide..].chunks_exact_mut(wide)) {
            let left = left * padded.c;
            to[..left].fill(0.0);
            to[left..left + row].copy_from_slice(from);
            to[left + row..].fill(0.0);
        }
    }
}

/// Writes every second row and column of `x` [N, H, W, C] to `out`, with `before` channels of zeros before its own and as many
/// after as `out` has room for.
///
/// # Panics
/// When lengths do not fit.
pub fn subsample_and_pad(x: &[f32], shape: Shape, before: usize, channels: usize, out: &mut [f32]) {
    let columns = shape.w.div_ceil(2);
    let per_image = shape.h.div_ceil(2) * columns;
    for (pixel, out) in out.chunks_exact_mut(channels).enumerate() {
        let (image, place) = (pixel / per_image, pixel % per_image);
        let from = image * shape.len() + (place / columns * 2 * shape.w + place % columns * 2) * shape.c;
        out.fill(0.0);
        out[before..][..shape.c].copy_from_slice(&x[from..][..shape.c]);
    }
}
