//! Points on spirals: see [`Spirals`]. Each point is a function of (seed, split, index), so that fewer points are the
//! first of more.

use std::f64::consts::TAU;

use transect_common::data::{DataSpec, Spirals, Split};

use super::Images;
use crate::random::{Purpose, Stream};

/// The points of a split, [N, 2, 1, 1].
pub(super) fn points(spec: &DataSpec, split: Split) -> Images<f32> {
    let count = spec.images(split).expect("the number of points is a setting");
    let mut images = Images { pixels: vec![], labels: vec![], shape: spec.input() };
    for index in 0..count {
        images.pixels.extend(point(&spec.spirals, split, index));
        images.labels.push((index % spec.spirals.classes) as u8);
    }
    images
}

fn point(spirals: &Spirals, split: Split, index: u32) -> [f32; 2] {
    let mut stream = Stream::new(spirals.seed, Purpose::Point, super::corrupt::stream_index(split, index));
    let class = f64::from(index % spirals.classes) / f64::from(spirals.classes);
    let t = stream.uniform();
    let (cos, sin) = cos_sin(spirals.turns * t + class);
    [t * cos, t * sin].map(|x| (x + spirals.noise * stream.normal()) as f32)
}

/// Cosine and sine of an angle of `turns` full turns (at least 0, below 2^40), within 1e-12 for few turns. Those of the C library may
/// differ in their last bit between machines.
fn cos_sin(turns: f64) -> (f64, f64) {
    // The nearest quarter turn, and what is left: at most an eighth of a turn.
    let quarter = (4.0 * turns).round();
    let x = (turns - quarter / 4.0) * TAU;
    let square = x * x;
    // x^n / n! summed from the smallest on.
    let series = |first: u32| {
        (0..10).rev().fold(0.0, |sum, k| 1.0 - square * sum / f64::from((2 * k + 1 + first) * (2 * k + 2 + first)))
    };
    let (cos, sin) = (series(0), x * series(1));
    match (quarter % 4.0) as u8 {
        0 => (cos, sin),
        1 => (-sin, cos),
        2 => (-cos, -sin),
        _ => (sin, -cos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_cosine_and_sine_are_cosine_and_sine() {
        for step in 0..10_000 {
            let turns = f64::from(step) * 0.000_737;
            let (cos, sin) = cos_sin(turns);
            let angle = turns * TAU;
            assert!((cos - angle.cos()).abs() < 1e-13 && (sin - angle.sin()).abs() < 1e-13, "{turns}: {cos} {sin}");
        }
    }

    #[test]
    fn points_without_noise_lie_on_their_spirals() {
        let spirals = Spirals { classes: 3, turns: 2.0, noise: 0.0, seed: 4 };
        for index in 0..300 {
            let [x, y] = point(&spirals, Split::Train, index).map(f64::from);
            let radius = x.hypot(y);
            let angle = TAU * (2.0 * radius + f64::from(index % 3) / 3.0);
            let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
            assert!(close(x, radius * angle.cos()) && close(y, radius * angle.sin()), "{index}: {x} {y}");
        }
    }
}
