//! Every random number of Transect: a pure function of (seed, purpose, index).
//!
//! There is no generator state to save or to disturb. Whoever needs numbers opens the [`Stream`] of that name and draws
//! from its beginning; no other draw, before or after, on this thread or another, changes what comes out. A stream is
//! `ChaCha8` whose key is BLAKE3 of (seed, purpose) and whose nonce is the index, so two streams share nothing.
//!
//! Everything is computed with integer arithmetic and with additions, multiplications, divisions and square roots of
//! IEEE 754, which give the same bits on every machine; so the numbers never depend on a device or a C library. What a
//! stream gives is part of what a run's digest names: the pinned tests below fail when it changes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What random numbers are drawn for. Each purpose has streams of its own, told apart by an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Initial values of a parameter; the index is the parameter's place in the description.
    Init,
    /// Order of the training images; the index is the epoch.
    Order,
    /// Augmentation of one image in one epoch; the index is epoch x 2^32 + image.
    Augment,
    /// Which training labels are replaced (index 0) and by what (index 1).
    LabelNoise,
    /// Noise on the values of one image, whatever the run; the index is split x 2^32 + the image's place in the files.
    PixelNoise,
    /// Where pixels or blocks go, whatever the run (index 0).
    Shuffle,
    /// One generated point, whatever the run; the index is split x 2^32 + point.
    Point,
    /// Which numbers are dropped; the index is step x 2^16 + operation.
    Dropout,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 8] = [
        Self::Init,
        Self::Order,
        Self::Augment,
        Self::LabelNoise,
        Self::PixelNoise,
        Self::Shuffle,
        Self::Point,
        Self::Dropout,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Order => "order",
            Self::Augment => "augment",
            Self::LabelNoise => "label-noise",
            Self::PixelNoise => "pixel-noise",
            Self::Shuffle => "shuffle",
            Self::Point => "point",
            Self::Dropout => "dropout",
        }
    }
}

/// A sequence of random numbers that depends on nothing but its name.
#[derive(Debug, Clone)]
pub struct Stream {
    generator: ChaCha8Rng,
}

impl Stream {
    /// The stream of that name, at its beginning.
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("transect v1 random stream");
        hasher.update(&seed.to_le_bytes()).update(purpose.name().as_bytes());
        let mut generator = ChaCha8Rng::from_seed(hasher.finalize().into());
        generator.set_stream(index);
        Self { generator }
    }

    /// Uniform over all 64-bit integers.
    pub fn bits(&mut self) -> u64 {
        self.generator.next_u64()
    }

    /// Uniform in [0, 1): a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (-53_f64).exp2()
    }

    /// Uniform in [0, 1): a multiple of 2^-24.
    pub fn uniform_f32(&mut self) -> f32 {
        (self.generator.next_u32() >> 8) as f32 * (-24_f32).exp2()
    }

    /// Uniform over 0, 1, ..., `n` - 1 without bias (Lemire 2019, "Fast random integer generation in an interval").
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "there is no integer below 0");
        // The lowest 2^64 mod n values of the low half would make some results likelier than others.
        let biased = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= biased {
                return (product >> 64) as u64;
            }
        }
    }

    /// Normal with mean 0 and variance 1, by Marsaglia's polar method; the second number of each pair is not used.
    pub fn normal(&mut self) -> f64 {
        loop {
            let (u, v) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = u * u + v * v;
            if 0.0 < square && square < 1.0 {
                return u * (-2.0 * ln(square) / square).sqrt();
            }
        }
    }

    /// A permutation of 0, 1, ..., `n` - 1, all equally likely (Fisher-Yates).
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut items: Vec<u32> = (0..n).collect();
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
        items
    }
}

/// Natural logarithm of a normal number above 0 within 2e-15. The one of the C library may differ in its last bit between machines.
fn ln(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    const ONE: u64 = 1023 << 52;
    // x = m * 2^e with m in [0.75, 1.5), so that |s| <= 1/5 below.
    let bits = x.to_bits();
    let mut exponent = (bits >> 52) as i32 - 1023;
    let mut m = f64::from_bits(bits & MANTISSA | ONE);
    if m >= 1.5 {
        m *= 0.5;
        exponent += 1;
    }
    // ln m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...) with s = (m - 1) / (m + 1).
    let s = (m - 1.0) / (m + 1.0);
    let square = s * s;
    let series = (0..13).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    f64::from(exponent) * std::f64::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn first(seed: u64, purpose: Purpose, index: u64) -> [u64; 4] {
        let mut stream = Stream::new(seed, purpose, index);
        std::array::from_fn(|_| stream.bits())
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "every bit counts")]
    fn first_values_are_pinned() {
        // Computed by an independent implementation of BLAKE3, ChaCha8 and the formulas above, in Python. They name what
        // a seed means: a change here changes every run that was ever trained.
        let init = [4_723_837_438_593_492_415, 1_287_175_301_301_098_476, 3_936_805_196_794_579_435];
        assert_eq!(first(0, Purpose::Init, 0)[..3], init);
        let order = [15_151_293_464_290_568_418, 7_800_365_443_332_461_273, 15_057_662_704_346_256_655];
        assert_eq!(first(1, Purpose::Order, 3)[..3], order);
        let mut stream = Stream::new(7, Purpose::Init, 2);
        assert_eq!(stream.uniform(), 0.509_578_825_559_507_4);
        assert_eq!(stream.uniform_f32(), 0.284_045_4);
        assert_eq!(stream.normal(), -0.216_158_287_502_981_47);
        assert_eq!(stream.permutation(8), [3, 0, 7, 2, 1, 5, 4, 6]);
    }

    #[test]
    fn two_streams_never_share_their_beginnings() {
        let mut seen = HashSet::new();
        for seed in 0..20 {
            for purpose in Purpose::ALL {
                for index in [0, 1, 2, 1 << 32, (1 << 32) + 1, u64::MAX] {
                    for value in first(seed, purpose, index) {
                        assert!(seen.insert(value), "seed {seed} {purpose:?} {index} repeats {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_thousand_unrelated_draws_change_nothing() {
        let before = first(5, Purpose::Augment, 9);
        let mut other = Stream::new(5, Purpose::Augment, 8);
        for _ in 0..1000 {
            other.normal();
        }
        assert_eq!(first(5, Purpose::Augment, 9), before);
    }

    #[test]
    fn uniform_numbers_fill_the_interval_evenly() {
        let mut stream = Stream::new(1, Purpose::Init, 0);
        let mut bins = [0_u32; 10];
        for _ in 0..10_000 {
            let (wide, narrow) = (stream.uniform(), stream.uniform_f32());
            assert!((0.0..1.0).contains(&wide) && (0.0..1.0).contains(&narrow));
            bins[(wide * 10.0) as usize] += 1;
            bins[(narrow * 10.0) as usize] += 1;
        }
        // 2,000 are expected in each; the standard deviation is 42.
        assert!(bins.iter().all(|&n| (1790..=2210).contains(&n)), "{bins:?}");
    }

    #[test]
    fn integers_below_n_are_all_reached_and_no_other() {
        let mut stream = Stream::new(2, Purpose::Init, 0);
        for n in [1, 2, 3, 7, 10] {
            let seen: HashSet<u64> = (0..400).map(|_| stream.below(n)).collect();
            assert_eq!(seen, (0..n).collect());
        }
        // Two thirds of the draws below 3 * 2^62 would fall into the lower half if the excess were not thrown away.
        let n = 3 << 62;
        let low = (0..9000).filter(|_| stream.below(n) < n / 2).count();
        assert!((4260..=4740).contains(&low), "{low}");
    }

    #[test]
    fn normal_numbers_have_mean_0_variance_1_and_the_tails_of_a_normal() {
        let mut stream = Stream::new(3, Purpose::Init, 0);
        let draws: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 20_000.0;
        let beyond_two = draws.iter().filter(|x| x.abs() > 2.0).count();
        assert!(mean.abs() < 0.035, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        // 4.55 % of 20,000 is 910; the standard deviation is 29.
        assert!((760..=1060).contains(&beyond_two), "{beyond_two}");
    }

    #[test]
    fn our_logarithm_is_the_logarithm() {
        let mut stream = Stream::new(4, Purpose::Init, 0);
        for x in (0..10_000).map(|_| stream.uniform() + f64::MIN_POSITIVE).chain([1e-300, 0.5, 0.75, 1.0, 1.5, 2.0]) {
            assert!((ln(x) - x.ln()).abs() <= 2e-15 * x.ln().abs().max(1.0), "ln {x}");
        }
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_every_order_occurs() {
        let mut stream = Stream::new(6, Purpose::Order, 0);
        let mut sorted = stream.permutation(1000);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        let orders: HashSet<Vec<u32>> = (0..200).map(|_| stream.permutation(3)).collect();
        assert_eq!(orders.len(), 6);
        assert!(stream.permutation(0).is_empty());
    }
}
