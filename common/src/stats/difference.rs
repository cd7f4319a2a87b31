//! Whether two settings differ, run by run.

use serde::Serialize;

use super::bootstrap::{self, Interval};
use super::student::t_quantile;
use super::{FEWEST_PAIRS, Silent, is_constant, mean, sd};

/// Difference of two settings over pairs of runs that share a seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Number of pairs.
    pub n: usize,
    /// Mean of the differences.
    pub mean: f64,
    /// Their standard deviation, with n - 1.
    pub sd: f64,
    /// Percentile bootstrap interval of the mean, pairs drawn as pairs.
    pub bootstrap: Option<Interval>,
    /// Student's interval of the mean: `mean ± t(0.975, n - 1) sd / sqrt(n)`. Exact for normal differences, and at the
    /// few pairs of most sweeps wider and safer than the bootstrap's.
    pub student: Interval,
    /// Effect size of paired values, `mean / sd` (Cohen 1988, d_z; 0.2 is called small, 0.5 medium, 0.8 large). None
    /// when all differences are equal.
    pub effect: Option<f64>,
}

/// The difference `b - a` over pairs `(a, b)`.
pub fn paired(pairs: &[(f64, f64)]) -> Result<Difference, Silent> {
    let n = pairs.len();
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    let (Some(centre), Some(spread), true) = (mean(&differences), sd(&differences), n >= FEWEST_PAIRS) else {
        return Err(Silent::TooFew { n, needed: FEWEST_PAIRS });
    };
    let all: Vec<usize> = (0..n).collect();
    let of_draw = |draw: &[usize]| Some(draw.iter().map(|&i| differences[i]).sum::<f64>() / n as f64);
    let half = t_quantile(1.0 - (1.0 - bootstrap::CONFIDENCE) / 2.0, n as u32 - 1) * spread / (n as f64).sqrt();
    Ok(Difference {
        n,
        mean: centre,
        sd: spread,
        bootstrap: bootstrap::interval(&[all], of_draw),
        student: Interval { low: centre - half, high: centre + half },
        effect: (!is_constant(&differences)).then(|| centre / spread),
    })
}

/// Effect size of two settings whose runs are not paired: `(mean b - mean a) / pooled sd`, times `1 - 3 / (4 df - 1)`
/// with `df = n_a + n_b - 2` against its bias in small samples (Hedges 1981). None with fewer than 2 runs on a side, or
/// without any spread.
pub fn hedges_g(a: &[f64], b: &[f64]) -> Option<f64> {
    let (spread_a, spread_b) = (sd(a)?, sd(b)?);
    if is_constant(a) && is_constant(b) {
        return None;
    }
    let (na, nb) = (a.len() as f64, b.len() as f64);
    let df = na + nb - 2.0;
    let pooled = (((na - 1.0) * spread_a.powi(2) + (nb - 1.0) * spread_b.powi(2)) / df).sqrt();
    Some((mean(b)? - mean(a)?) / pooled * (1.0 - 3.0 / (4.0 * df - 1.0)))
}
