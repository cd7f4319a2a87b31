//! What a transformer does besides its linear layers: layer norm, attention, GELU.

use super::isa::{Tile, per_isa};
use super::product::{Epilogue, Rows, Weights, product};
use super::{Shape, choose, larger};

/// Sums side by side.
const LANES: usize = 16;

per_isa! {
    /// Writes layer norm of each token, its numbers as far from their mean as their deviation says, times `gamma` plus `beta`, of
    /// `x` [N, S, F] to `out` (Ba et al. 2016, equations 3 and 4).
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn layer_norm(x: &[f32], gamma: &[f32], beta: &[f32], eps: f64, out: &mut [f32]) = layer_norm_by
}

#[inline(always)]
fn layer_norm_by<T: Tile<ROWS>, const ROWS: usize>(x: &[f32], gamma: &[f32], beta: &[f32], eps: f64, out: &mut [f32]) {
    let features = gamma.len();
    let beta = &beta[..features];
    for (x, out) in x.chunks_exact(features).zip(out.chunks_exact_mut(features)) {
        let mean = total(x, |x| x) / features as f32;
        let variance = total(x, |x| (x - mean) * (x - mean)) / features as f32;
        let scale = (f64::from(variance) + eps).sqrt().recip() as f32;
        for i in 0..features {
            out[i] = ((x[i] - mean) * scale).mul_add(gamma[i], beta[i]);
        }
    }
}

per_isa! {
    /// Writes x times the probability that a normal number is below x, of each of `x`, to `out`: GELU (Hendrycks & Gimpel 2016).
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn gelu(x: &[f32], out: &mut [f32]) = gelu_by
}

#[inline(always)]
fn gelu_by<T: Tile<ROWS>, const ROWS: usize>(x: &[f32], out: &mut [f32]) {
    let x = &x[..out.len()];
    for i in 0..out.len() {
        out[i] = x[i] * below(x[i]);
    }
}

/// The probability that a normal number is below `x`, within 3e-7: half of erfc(-x / sqrt 2), by Abramowitz & Stegun 1964, equation
/// 7.1.26. Of a negative `x` nothing is taken from 1, so that small probabilities keep their digits.
#[inline(always)]
fn below(x: f32) -> f32 {
    let far = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 0.327_591_1f32.mul_add(far, 1.0).recip();
    let series = 1.061_405_4f32.mul_add(t, -1.453_152_1).mul_add(t, 1.421_413_8).mul_add(t, -0.284_496_72);
    let beyond = 0.5 * series.mul_add(t, 0.254_829_6) * t * exp(-far * far);
    choose(x < 0.0, beyond, 1.0 - beyond)
}

/// Writes scaled dot-product attention of `heads` heads, of `x` [N, S, 3 F], of which `shape` is one image (H = S), to `out`
/// [N, S, F]: softmax(q k^T / sqrt(d)) v with d = F / heads (Vaswani et al. 2017, equation 1).
///
/// # Panics
/// When lengths do not fit.
pub fn attention(x: &[f32], shape: Shape, heads: usize, out: &mut [f32]) {
    let (tokens, features) = (shape.h, shape.c / 3);
    let each = features / heads;
    let [mut queries, mut keys, mut values, mut mixed] = [(); 4].map(|()| vec![0.0; tokens * each]);
    let mut scores = vec![0.0; tokens * tokens];
    let [mut by_keys, mut by_values] = [(); 2].map(|()| Weights::room());
    let [rows, score_rows] = [each, tokens].map(|c| Rows::pixels(Shape { h: tokens, w: 1, c }));
    for (image, out) in x.chunks_exact(shape.len()).zip(out.chunks_exact_mut(tokens * features)) {
        for first in (0..features).step_by(each) {
            for (part, own) in [&mut queries, &mut keys, &mut values].into_iter().enumerate() {
                for (token, own) in image.chunks_exact(shape.c).zip(own.chunks_exact_mut(each)) {
                    own.copy_from_slice(&token[part * features + first..][..each]);
                }
            }
            by_keys.panels_mut(each, tokens).for_each(|panel| panel.take_transposed(&keys));
            by_values.panels_mut(tokens, each).for_each(|panel| panel.take(&values));
            product(&queries, &rows, &by_keys, &Epilogue::NONE, &mut scores);
            softmax(&mut scores, tokens, (each as f32).sqrt().recip());
            product(&scores, &score_rows, &by_values, &Epilogue::NONE, &mut mixed);
            for (token, own) in out.chunks_exact_mut(features).zip(mixed.chunks_exact(each)) {
                token[first..][..each].copy_from_slice(own);
            }
        }
    }
}

per_isa! {
    /// Makes each `len` numbers of `x`, times `factor`, probabilities in the proportion of their exponentials.
    pub fn softmax(x: &mut [f32], len: usize, factor: f32) = softmax_by
}

#[inline(always)]
fn softmax_by<T: Tile<ROWS>, const ROWS: usize>(x: &mut [f32], len: usize, factor: f32) {
    for row in x.chunks_exact_mut(len) {
        let max = row.iter().fold(f32::NEG_INFINITY, |max, &x| larger(max, x));
        for x in &mut *row {
            *x = exp((*x - max) * factor);
        }
        let part = total(row, |x| x).recip();
        for x in row {
            *x *= part;
        }
    }
}

/// The sum of `of` of each of `x`.
#[inline(always)]
fn total(x: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for x in whole {
        for lane in 0..LANES {
            sums[lane] += of(x[lane]);
        }
    }
    for (sum, &x) in sums.iter_mut().zip(rest) {
        *sum += of(x);
    }
    sums.iter().sum()
}

/// e to the power of `x`, at most 88, within two units of the last place; 0 below -87. With x = n ln 2 + r it is 2^n times the
/// exponential series of r, whose next term would be below 6e-9 of it.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// Added and taken off again it rounds to whole numbers, and its last bits are the whole number.
    const ROUNDS: f32 = 12_582_912.0;
    /// ln 2 in two parts, the first with so few digits that its products with n are exact.
    const LN_2: [f32; 2] = [355.0 / 512.0, -2.121_944_4e-4];
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDS);
    let n = shifted - ROUNDS;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let terms = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let mut series = 1.0 / 5040.0;
    for term in terms {
        series = r.mul_add(series, term);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1f32.to_bits()));
    choose(x < -87.0, 0.0, series * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_within_two_units_of_the_last_place() {
        for step in 0..=1_000_000u32 {
            let x = (f64::from(step) * (175.0 / 1e6) - 87.0) as f32;
            let truth = f64::from(x).exp();
            let unit = f64::from((truth as f32).next_up() - truth as f32);
            assert!((f64::from(exp(x)) - truth).abs() <= 2.0 * unit, "{x}: {} for {truth}", exp(x));
        }
        assert_eq!((exp(0.0), exp(-87.1), exp(-1e30), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }
}
