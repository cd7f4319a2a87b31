//! What a layer gives at a point of a line, from what it gives at the ends.

use super::{
    Act, Shape,
    isa::{Tile, per_isa},
    larger,
};

/// Coefficients repeat at least so long, so that the innermost loops are long whatever the number of channels.
const PERIOD: usize = 512;

/// Writes `act($value)`, of place `$i`, to each place of `$out`: one loop for each function. A macro, because a closure is
/// compiled for no instruction set in particular and may stay a call.
macro_rules! each {
    ($out:expr, $act:expr, |$i:ident| $value:expr) => {
        match $act {
            Act::None => each!(@loop $out, Act::None, $i, $value),
            Act::Relu => each!(@loop $out, Act::Relu, $i, $value),
            Act::Relu6 => each!(@loop $out, Act::Relu6, $i, $value),
            Act::LeakyRelu => each!(@loop $out, Act::LeakyRelu, $i, $value),
        }
    };
    (@loop $out:expr, $act:expr, $i:ident, $value:expr) => {
        for $i in 0..$out.len() {
            $out[$i] = $act.of($value);
        }
    };
}

/// Numbers of a vector.
const WIDE: usize = 8;

/// The coefficients of each channel in `act(first * a + second * (b - a) + shift + residual)`, where a and b are a layer's
/// results with the weights of either end. In this form what is equal at both ends is so between them, to the last bit.
#[derive(Debug, Clone)]
pub struct Blend {
    /// Each for channels 0, 1, ... again and again.
    first: Vec<f32>,
    second: Option<Vec<f32>>,
    shift: Vec<f32>,
}

impl Blend {
    /// From one coefficient for each channel; without `second` there is one end only.
    pub fn new(first: &[f32], second: Option<&[f32]>, shift: &[f32]) -> Self {
        let channels = first.len();
        let times = PERIOD.div_ceil(channels);
        let times = if channels < PERIOD && !channels.is_multiple_of(8) { times.next_multiple_of(8) } else { times };
        Self { first: first.repeat(times), second: second.map(|s| s.repeat(times)), shift: shift.repeat(times) }
    }

    /// Numbers after which the coefficients begin again.
    fn period(&self) -> usize {
        self.first.len()
    }
}

per_isa! {
    /// Writes the blend of `a` and `b` (nothing where there is one end), [N, H, W, C], to `out`.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn blend(
        a: &[f32],
        b: Option<&[f32]>,
        blend: &Blend,
        residual: Option<&[f32]>,
        act: Act,
        out: &mut [f32],
    ) = blend_by
}

#[inline(always)]
fn blend_by<T: Tile<ROWS>, const ROWS: usize>(
    a: &[f32],
    b: Option<&[f32]>,
    blend: &Blend,
    residual: Option<&[f32]>,
    act: Act,
    out: &mut [f32],
) {
    let mut place = 0;
    for out in out.chunks_mut(blend.period()) {
        let len = out.len();
        let a = &a[place..][..len];
        let (first, shift) = (&blend.first[..len], &blend.shift[..len]);
        let ends = b.zip(blend.second.as_deref()).map(|(b, second)| (&b[place..][..len], &second[..len]));
        let residual = residual.map(|residual| &residual[place..][..len]);
        match (ends, residual) {
            (Some((b, second)), Some(residual)) => {
                each!(out, act, |i| (b[i] - a[i]).mul_add(second[i], a[i].mul_add(first[i], shift[i])) + residual[i]);
            }
            (Some((b, second)), None) => {
                each!(out, act, |i| (b[i] - a[i]).mul_add(second[i], a[i].mul_add(first[i], shift[i])));
            }
            (None, Some(residual)) => each!(out, act, |i| a[i].mul_add(first[i], shift[i]) + residual[i]),
            (None, None) => each!(out, act, |i| a[i].mul_add(first[i], shift[i])),
        }
        place += len;
    }
}

per_isa! {
    /// The same, and then the maximum over windows of `side` x `side` pixels that touch, in one pass. The value's shape
    /// is that before pooling; rows and columns that fill no window are left out. Every [`Act`] is monotone, so it is
    /// applied to the maxima.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn blend_and_pool(
        a: &[f32],
        b: Option<&[f32]>,
        blend: &Blend,
        act: Act,
        shape: Shape,
        side: usize,
        out: &mut [f32],
    ) = blend_and_pool_by
}

#[inline(always)]
fn blend_and_pool_by<T: Tile<ROWS>, const ROWS: usize>(
    a: &[f32],
    b: Option<&[f32]>,
    blend: &Blend,
    act: Act,
    shape: Shape,
    side: usize,
    out: &mut [f32],
) {
    let (row, c) = (shape.w * shape.c, shape.c);
    let (rows, columns) = (shape.h / side, shape.w / side);
    let mut buffers = [vec![0.0f32; row + WIDE], vec![0.0f32; row + WIDE]];
    let mut kept = vec![0.0f32; columns * c + WIDE];
    for (window_row, out) in out.chunks_exact_mut(columns * c).enumerate() {
        let (image, y) = (window_row / rows, window_row % rows);
        // The maxima down the rows of a window, for every column.
        for down in 0..side {
            let start = image * shape.len() + (y * side + down) * row;
            let [tallest, before] = &mut buffers;
            std::mem::swap(tallest, before);
            for from in (0..row).step_by(blend.period()) {
                let len = blend.period().min(row - from);
                let place = start + from..start + from + len;
                let (tallest, before) = (&mut tallest[from..][..len], &before[from..][..len]);
                let (a, first, shift) = (&a[place.clone()], &blend.first[..len], &blend.shift[..len]);
                let ends = b.zip(blend.second.as_deref()).map(|(b, second)| (&b[place], &second[..len]));
                match (ends, down) {
                    (Some((b, second)), 0) => {
                        each!(tallest, Act::None, |i| (b[i] - a[i])
                            .mul_add(second[i], a[i].mul_add(first[i], shift[i])));
                    }
                    (Some((b, second)), _) => each!(tallest, Act::None, |i| larger(
                        before[i],
                        (b[i] - a[i]).mul_add(second[i], a[i].mul_add(first[i], shift[i]))
                    )),
                    (None, 0) => each!(tallest, Act::None, |i| a[i].mul_add(first[i], shift[i])),
                    (None, _) => each!(tallest, Act::None, |i| larger(before[i], a[i].mul_add(first[i], shift[i]))),
                }
            }
        }
        // The maxima of every column and those to its right, whether a window begins there or not: long loops.
        for right in 1..side {
            let [widest, before] = &mut buffers;
            std::mem::swap(widest, before);
            let len = row - right * c;
            // `before` holds the maxima so far in its first numbers; the plain column to the right is no longer there
            // unchanged, but the maximum of maxima is the same.
            let (widest, so_far, shifted) = (&mut widest[..len], &before[..len], &before[c..][..len]);
            each!(widest, Act::None, |i| larger(so_far[i], shifted[i]));
        }
        keep_each(&buffers[0], side * c, c, &mut kept[..columns * c + WIDE]);
        let kept = &kept[..out.len()];
        each!(out, act, |i| kept[i]);
    }
}

/// Writes the first `c` of every `step` numbers of `x` to `out`. Both are longer by [`WIDE`] than what is read and written.
#[inline(always)]
fn keep_each(x: &[f32], step: usize, c: usize, out: &mut [f32]) {
    let len = out.len() - WIDE;
    for (place, from) in (0..len).step_by(c).zip((0..).step_by(step)) {
        // Whole vectors, of which the next overwrites what is too much: a copy of a few numbers would be a call.
        for i in (0..c).step_by(WIDE) {
            let wide: [f32; WIDE] = *x[from + i..].first_chunk().expect("x is longer");
            out[place + i..][..WIDE].copy_from_slice(&wide);
        }
    }
}

/// Mean and biased variance of each of `channels`, over all else, in f64; the mean first, so that nothing is lost where it is
/// far from 0.
pub fn moments(x: &[f32], channels: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (x.len() / channels) as f64;
    let mean_of = |power: Option<&[f64]>| {
        let mut sums = vec![0.0; channels];
        add_up(x, power, &mut sums);
        for sum in &mut sums {
            *sum /= count;
        }
        sums
    };
    let means = mean_of(None);
    let variances = mean_of(Some(&means));
    (means, variances)
}

per_isa! {
    /// Adds every number of `x`, or with `means` its squared distance from its channel's mean, to its channel's sum.
    pub fn add_up(x: &[f32], means: Option<&[f64]>, sums: &mut [f64]) = add_up_by
}

#[inline(always)]
fn add_up_by<T: Tile<ROWS>, const ROWS: usize>(x: &[f32], means: Option<&[f64]>, sums: &mut [f64]) {
    for pixel in x.chunks_exact(sums.len()) {
        for c in 0..sums.len() {
            let value = f64::from(pixel[c]);
            sums[c] += means.map_or(value, |means| (value - means[c]) * (value - means[c]));
        }
    }
}

per_isa! {
    /// Moves each number of `from` to where it is at `alpha` on the way to `to`: as libtorch's `lerp`, from the nearer end.
    pub fn lerp(from: &mut [f32], to: &[f32], alpha: f32) = lerp_by
}

#[inline(always)]
fn lerp_by<T: Tile<ROWS>, const ROWS: usize>(from: &mut [f32], to: &[f32], alpha: f32) {
    if alpha.abs() < 0.5 {
        from.iter_mut().zip(to).for_each(|(from, &to)| *from = alpha.mul_add(to - *from, *from));
    } else {
        from.iter_mut().zip(to).for_each(|(from, &to)| *from = to - (to - *from) * (1.0 - alpha));
    }
}

per_isa! {
    /// Adds |to - from|^2, |from|^2, |to|^2 and from . to to `sums`, in f64; of each, eight sums side by side.
    pub fn apart(from: &[f32], to: &[f32], sums: &mut [f64; 4]) = apart_by
}

#[inline(always)]
fn apart_by<T: Tile<ROWS>, const ROWS: usize>(from: &[f32], to: &[f32], sums: &mut [f64; 4]) {
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks(), to.as_chunks());
    let [mut last_from, mut last_to] = [[0.0; WIDE]; 2];
    last_from[..from_rest.len()].copy_from_slice(from_rest);
    last_to[..to_rest.len()].copy_from_slice(to_rest);
    let mut lanes = [[0.0; WIDE]; 4];
    for (from, to) in from.iter().zip(to).chain([(&last_from, &last_to)]) {
        for lane in 0..WIDE {
            let (from, to) = (f64::from(from[lane]), f64::from(to[lane]));
            lanes[0][lane] += (to - from) * (to - from);
            lanes[1][lane] += from * from;
            lanes[2][lane] += to * to;
            lanes[3][lane] += from * to;
        }
    }
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum += lanes.iter().sum::<f64>();
    }
}
