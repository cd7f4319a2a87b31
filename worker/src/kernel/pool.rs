//! Pooling.

use super::{
    Shape,
    isa::{Tile, per_isa},
    larger,
};

per_isa! {
    /// Writes the maxima over windows of `side` x `side` pixels, `stride` apart, of `x` [N, H, W, C] to `out`. What lies in
    /// the `padding` on all sides is never the maximum; a NaN always is.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn max_pool(x: &[f32], shape: Shape, side: usize, stride: usize, padding: usize, out: &mut [f32]) = max_pool_by
}

#[inline(always)]
fn max_pool_by<T: Tile<ROWS>, const ROWS: usize>(
    x: &[f32],
    shape: Shape,
    side: usize,
    stride: usize,
    padding: usize,
    out: &mut [f32],
) {
    let c = shape.c;
    let over = |size: usize| (size + 2 * padding - side) / stride + 1;
    let (rows, columns) = (over(shape.h), over(shape.w));
    let inside = |at: usize, size: usize| {
        let first = at * stride;
        first.max(padding) - padding..(first + side - padding).min(size)
    };
    for (pixel, out) in out.chunks_exact_mut(c).enumerate() {
        let (image, place) = (pixel / (rows * columns), pixel % (rows * columns));
        out.fill(f32::NEG_INFINITY);
        for y in inside(place / columns, shape.h) {
            for column in inside(place % columns, shape.w) {
                let from = image * shape.len() + (y * shape.w + column) * c;
                for (max, value) in out.iter_mut().zip(&x[from..][..c]) {
                    *max = larger(*max, *value);
                }
            }
        }
    }
}

per_isa! {
    /// Writes each image's mean over its pixels, of `x` [N, H, W, C], to `out` [N, C].
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn mean_over_pixels(x: &[f32], shape: Shape, out: &mut [f32]) = mean_over_pixels_by
}

#[inline(always)]
fn mean_over_pixels_by<T: Tile<ROWS>, const ROWS: usize>(x: &[f32], shape: Shape, out: &mut [f32]) {
    let count = shape.pixels() as f32;
    for (image, out) in x.chunks_exact(shape.len()).zip(out.chunks_exact_mut(shape.c)) {
        out.fill(0.0);
        for pixel in image.chunks_exact(shape.c) {
            for (sum, value) in out.iter_mut().zip(pixel) {
                *sum += value;
            }
        }
        for sum in out {
            *sum /= count;
        }
    }
}
