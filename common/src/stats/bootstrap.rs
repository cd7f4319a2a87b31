//! Percentile bootstrap (Efron 1979): the spread of a number when the runs are drawn again, with replacement, from the
//! runs there are.
//!
//! Draws are a pure function of (seed, resample, place): SplitMix64 (Steele, Lea & Flood 2014) read at a counter, its
//! 64 bits scaled to an index by multiplication (Lemire 2019, without rejection: the bias is below n / 2^64).

use serde::Serialize;

/// Number of resamples behind every interval.
pub const RESAMPLES: usize = 10_000;

/// Seed of every interval. Fixed, so that a report is the same whoever makes it.
pub const SEED: u64 = 2022;

/// Coverage of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// An interval that holds the true value with a probability of about [`CONFIDENCE`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// True when `value` lies outside.
    pub fn excludes(&self, value: f64) -> bool {
        value < self.low || self.high < value
    }
}

/// The interval of `statistic`, which gets the indices of a resample: as many as there are runs, drawn within each of
/// `strata` (the indices of its runs) so that every resample has each stratum at its size. One stratum holds all runs
/// when nothing else is said.
///
/// The ends are the 2.5 % and 97.5 % quantiles over [`RESAMPLES`] resamples. A resample on which the statistic does not
/// exist (all values drawn alike) is left out. When those are more than a tail, 2.5 %, the statistic hangs on so few runs
/// that what is left is no picture of its spread, and there is no interval.
pub fn interval(strata: &[Vec<usize>], mut statistic: impl FnMut(&[usize]) -> Option<f64>) -> Option<Interval> {
    let size: usize = strata.iter().map(Vec::len).sum();
    let mut draw = Vec::with_capacity(size);
    let mut values = Vec::with_capacity(RESAMPLES);
    for resample in 0..RESAMPLES {
        draw.clear();
        for stratum in strata {
            for _ in 0..stratum.len() {
                let counter = (resample * size + draw.len()) as u64;
                draw.push(stratum[index(counter, stratum.len())]);
            }
        }
        values.extend(statistic(&draw).filter(|value| value.is_finite()));
    }
    let tail = (1.0 - CONFIDENCE) / 2.0;
    if (values.len() as f64) < (1.0 - tail) * RESAMPLES as f64 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) })
}

/// The quantile of sorted values, linear between neighbours: Hyndman & Fan 1996, type 7, NumPy's default.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}

/// Number `counter` of the stream, as an index below `n`.
fn index(counter: u64, n: usize) -> usize {
    ((u128::from(bits(SEED, counter)) * n as u128) >> 64) as usize
}

/// 64 bits, a pure function of (seed, counter): output number `counter` of SplitMix64 started at `seed`.
pub fn bits(seed: u64, counter: u64) -> u64 {
    let z = seed.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
