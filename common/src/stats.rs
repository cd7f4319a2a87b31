//! Statistics of runs: how values spread, whether two of them go together, whether two settings differ, and how sure
//! that is at the number of runs there are.
//!
//! Every function is pure; the bootstrap draws its resamples from a counter ([`bootstrap`]), so the same values give the
//! same interval to the last bit, anywhere. What too few runs cannot say is not said: [`Silent`] tells why.
//!
//! Point estimates agree with NumPy and SciPy (tests hold them against both). Intervals are for one number looked at by
//! itself; of twenty that are looked at together, one in a 95 % interval misses by chance.

pub mod bootstrap;
mod correlation;
mod difference;
mod student;

pub use bootstrap::Interval;
pub use correlation::{Correlation, Method, across, between, ranks, within};
pub use difference::{Difference, hedges_g, paired};
pub use student::t_quantile;

/// Fewest runs (or settings, for means of settings) of which a correlation is stated. With 4 the order of the values
/// alone gives a rank correlation of 1 in 1 of 24 cases by chance; with 5 in 1 of 120.
pub const FEWEST_FOR_CORRELATION: usize = 5;

/// Fewest pairs of runs of which a difference has an interval.
pub const FEWEST_PAIRS: usize = 3;

/// Why a number is not stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Silent {
    /// Too few values to say anything.
    #[error("n = {n} is too small to say anything, at least {needed} are needed")]
    TooFew {
        /// How many there are.
        n: usize,
        /// How many there would have to be.
        needed: usize,
    },
    /// One of the two is the same for all, so that nothing can go together with it.
    #[error("it is the same in all of them")]
    Constant,
}

/// Arithmetic mean. None of no values.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Standard deviation of the sample, with n - 1. None of fewer than two values.
pub fn sd(values: &[f64]) -> Option<f64> {
    let mean = mean(values).filter(|_| values.len() > 1)?;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}

/// True when all values are equal, which rounding in a mean would hide.
fn is_constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests;
