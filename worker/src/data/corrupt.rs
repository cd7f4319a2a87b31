//! Corruptions of images: see [`transect_common::data::Corruption`].
//!
//! Invariants: an image comes out the same whatever other images are there; labels are never touched. Only arithmetic of
//! IEEE 754 is used, so the values are the same on every machine.

use std::num::NonZero;
use std::thread;

use transect_common::data::Split;

use super::Images;
use crate::random::{Purpose, Stream};

/// The index of the stream of one image (or point) of a split.
pub(super) fn stream_index(split: Split, place: u32) -> u64 {
    let split: u64 = match split {
        Split::Train => 0,
        Split::Test => 1,
    };
    split << 32 | u64::from(place)
}

/// Images on the [0, 1] scale with normal noise of standard deviation `level` on every value, clipped to [0, 1]. `places`
/// are the images' places in the files.
pub(super) fn noisy(images: &Images, split: Split, places: &[u32], level: f64, seed: u64) -> Images<f32> {
    let by_image = |i: usize, bytes: &[u8], out: &mut [f32]| {
        let mut stream = Stream::new(seed, Purpose::PixelNoise, stream_index(split, places[i]));
        for (out, &byte) in out.iter_mut().zip(bytes) {
            *out = (f64::from(byte) / 255.0 + level * stream.normal()).clamp(0.0, 1.0) as f32;
        }
    };
    each(images, by_image)
}

/// Images on the [0, 1] scale, blurred along rows and then along columns; beyond the border the border repeats.
pub(super) fn blurred(images: &Images, sigma: f64) -> Images<f32> {
    let kernel = kernel(sigma);
    let [_, height, width] = images.shape.map(|n| n as usize);
    let by_image = |_: usize, bytes: &[u8], out: &mut [f32]| {
        for (bytes, out) in bytes.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width)) {
            let plane: Vec<f64> = bytes.iter().map(|&byte| f64::from(byte) / 255.0).collect();
            let rows = convolved(&plane, width, 1, &kernel);
            let both = convolved(&rows, height, width, &kernel);
            for (out, value) in out.iter_mut().zip(both) {
                *out = value as f32;
            }
        }
    };
    each(images, by_image)
}

/// Sums of `kernel` over the neighbours of each value along an axis of `len` values, `stride` apart.
fn convolved(plane: &[f64], len: usize, stride: usize, kernel: &[f64]) -> Vec<f64> {
    let radius = kernel.len() / 2;
    let value = |place: usize| {
        let along = place / stride % len;
        let first = place - along * stride;
        let neighbour = |k: usize| plane[first + (along + k).saturating_sub(radius).min(len - 1) * stride];
        kernel.iter().enumerate().map(|(k, weight)| weight * neighbour(k)).sum()
    };
    (0..plane.len()).map(value).collect()
}

/// The normal density at whole distances up to ceil(3 sigma), normalised to sum 1.
fn kernel(sigma: f64) -> Vec<f64> {
    let radius = (3.0 * sigma).ceil() as i32;
    let weight = |d: i32| exp_minus(f64::from(d * d) / (2.0 * sigma * sigma));
    let weights: Vec<f64> = (-radius..=radius).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// exp(-x) for x of at least 0, within 1e-14 of it relatively; 0 where that is below 1e-17. The one of the C library may
/// differ in its last bit between machines.
fn exp_minus(x: f64) -> f64 {
    if x > 40.0 {
        return 0.0;
    }
    let small = x / 64.0;
    let root = (1..20).rev().fold(1.0, |sum, k| 1.0 - small / f64::from(k) * sum);
    // The 64th power.
    (0..6).fold(root, |power, _| power * power)
}

/// For each pixel of a shuffled image, the pixel of the true image that it shows: all equally likely.
pub(super) fn pixel_order([_, height, width]: [u32; 3], seed: u64) -> Vec<u32> {
    Stream::new(seed, Purpose::Shuffle, 0).permutation(height * width)
}

/// The same where `blocks` x `blocks` blocks keep their insides.
pub(super) fn block_order([_, height, width]: [u32; 3], blocks: u32, seed: u64) -> Vec<u32> {
    let order = Stream::new(seed, Purpose::Shuffle, 0).permutation(blocks * blocks);
    let (high, wide) = (height / blocks, width / blocks);
    let shown = |place: u32| {
        let (row, column) = (place / width, place % width);
        let block = order[(row / high * blocks + column / wide) as usize];
        (block / blocks * high + row % high) * width + block % blocks * wide + column % wide
    };
    (0..height * width).map(shown).collect()
}

/// Images whose pixel p, in every channel, is pixel `order[p]` of the true one.
pub(super) fn shuffled(images: &Images, order: &[u32]) -> Images {
    let plane = |plane: &[u8]| order.iter().map(|&from| plane[from as usize]).collect::<Vec<u8>>();
    let pixels = images.pixels.chunks_exact(order.len()).flat_map(plane).collect();
    Images { pixels, labels: images.labels.clone(), shape: images.shape }
}

/// Makes each image with `make(number, bytes, values)`, on all processors: no image depends on another.
fn each(images: &Images, make: impl Fn(usize, &[u8], &mut [f32]) + Sync) -> Images<f32> {
    let image = images.shape.iter().product::<u32>() as usize;
    let mut pixels = vec![0.0; images.pixels.len()];
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(16);
    let share = images.len().div_ceil(threads).max(1);
    let make = &make;
    thread::scope(|scope| {
        let shares = images.pixels.chunks(share * image).zip(pixels.chunks_mut(share * image));
        for (number, (bytes, values)) in shares.enumerate() {
            scope.spawn(move || {
                let each = bytes.chunks_exact(image).zip(values.chunks_exact_mut(image));
                for (i, (bytes, values)) in each.enumerate() {
                    make(number * share + i, bytes, values);
                }
            });
        }
    });
    Images { pixels, labels: images.labels.clone(), shape: images.shape }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize, shape: [u32; 3]) -> Images {
        let image = shape.iter().product::<u32>() as usize;
        let pixels = (0..count * image).map(|i| (i * 31 % 256) as u8).collect();
        Images { pixels, labels: (0..count).map(|i| (i % 10) as u8).collect(), shape }
    }

    #[test]
    fn noise_has_its_level_and_stays_within_bounds() {
        let grey = Images { pixels: vec![128; 40_000], labels: vec![0; 4], shape: [1, 100, 100] };
        let noise = noisy(&grey, Split::Train, &[0, 1, 2, 3], 0.1, 0);
        let off: Vec<f64> = noise.pixels.iter().map(|&x| f64::from(x) - 128.0 / 255.0).collect();
        let mean = off.iter().sum::<f64>() / 40_000.0;
        let std = (off.iter().map(|x| x * x).sum::<f64>() / 40_000.0).sqrt();
        assert!(mean.abs() < 0.002 && (std - 0.1).abs() < 0.002, "{mean} {std}");
        let strong = noisy(&grey, Split::Train, &[0, 1, 2, 3], 2.0, 0);
        assert!(strong.pixels.iter().all(|x| (0.0..=1.0).contains(x)));
        assert!(strong.pixels.contains(&0.0) && strong.pixels.contains(&1.0));
    }

    #[test]
    fn the_noise_of_an_image_depends_on_seed_split_and_place_alone() {
        let all = images(50, [3, 4, 5]);
        let noise = |split, seed| noisy(&all, split, &(0..50).collect::<Vec<_>>(), 0.2, seed);
        let places = [3, 17, 40];
        let some = noisy(&all.select(&places), Split::Train, &places, 0.2, 1);
        assert_eq!(some, noise(Split::Train, 1).select(&places));
        assert_ne!(noise(Split::Train, 1).pixels, noise(Split::Test, 1).pixels);
        assert_ne!(noise(Split::Train, 1).pixels, noise(Split::Train, 2).pixels);
        assert_eq!(noise(Split::Train, 1).labels, all.labels);
    }

    #[test]
    fn our_exponential_is_the_exponential() {
        for step in 0..4000 {
            let x = f64::from(step) * 0.01;
            assert!((exp_minus(x) / (-x).exp() - 1.0).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn a_blurred_point_is_the_normal_density_and_blur_keeps_what_is_flat() {
        let mut point = Images { pixels: vec![0; 81], labels: vec![0], shape: [1, 9, 9] };
        point.pixels[40] = 255;
        let out = blurred(&point, 1.0);
        // Radius 3; the sum of exp(-d^2 / 2) for |d| <= 3 is 2.506 (to four digits).
        let density = |d: f64| (-d * d / 2.0).exp();
        let sum = density(0.0) + 2.0 * (density(1.0) + density(2.0) + density(3.0));
        for row in 0..9 {
            for column in 0..9 {
                let (dy, dx) = ((row as f64 - 4.0).abs(), (column as f64 - 4.0).abs());
                let expected = if dy > 3.0 || dx > 3.0 { 0.0 } else { density(dy) * density(dx) / (sum * sum) };
                let found = f64::from(out.pixels[row * 9 + column]);
                assert!((found - expected).abs() < 1e-7, "{row} {column}: {found} {expected}");
            }
        }
        let flat = Images { pixels: vec![51; 3 * 4 * 6], labels: vec![3], shape: [3, 4, 6] };
        assert!(blurred(&flat, 2.5).pixels.iter().all(|&x| (x - 0.2).abs() < 1e-6));
    }

    #[test]
    fn a_permutation_of_pixels_is_one_for_all_images_and_channels() {
        let all = images(3, [3, 4, 5]);
        let order = pixel_order(all.shape, 1);
        let out = shuffled(&all, &order);
        for plane in 0..9 {
            for (place, &from) in order.iter().enumerate() {
                assert_eq!(out.pixels[plane * 20 + place], all.pixels[plane * 20 + from as usize]);
            }
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_ne!(order, pixel_order(all.shape, 2));
        assert_eq!(out.labels, all.labels);
    }

    #[test]
    fn blocks_move_whole() {
        let shape = [1, 4, 8];
        let order = block_order(shape, 2, 3);
        let blocks = Stream::new(3, Purpose::Shuffle, 0).permutation(4);
        for (row, column) in (0..4).flat_map(|row| (0..8).map(move |column| (row, column))) {
            let from = order[row * 8 + column] as usize;
            assert_eq!((from / 8 % 2, from % 8 % 4), (row % 2, column % 4), "a pixel keeps its place in its block");
            let block = from / 8 / 2 * 2 + from % 8 / 4;
            assert_eq!(block, blocks[row / 2 * 2 + column / 4] as usize);
        }
        assert_eq!(block_order(shape, 1, 3), (0..32).collect::<Vec<_>>());
    }
}
