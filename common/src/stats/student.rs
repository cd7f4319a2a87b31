//! Student's t distribution for whole degrees of freedom.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// The t below which a share `probability` (in (0, 1)) of the distribution with `df` degrees of freedom (at least 1)
/// lies: 2.776 for 0.975 and 4.
pub fn t_quantile(probability: f64, df: u32) -> f64 {
    // Within the angle theta = atan(t / sqrt(df)) the whole line is (-pi/2, pi/2), so bisection needs no bracket.
    let inside = (2.0 * probability - 1.0).abs();
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..200 {
        let middle = f64::midpoint(low, high);
        if share_within(middle, df) < inside {
            low = middle;
        } else {
            high = middle;
        }
    }
    (probability - 0.5).signum() * f64::midpoint(low, high).tan() * f64::from(df).sqrt()
}

/// Probability of `|T| < tan(theta) sqrt(df)`: Abramowitz & Stegun 1964, 26.7.3 (odd) and 26.7.4 (even).
fn share_within(theta: f64, df: u32) -> f64 {
    let (sin, cos) = theta.sin_cos();
    let odd = df % 2 == 1;
    // Terms of cos^0, cos^2, ... (even), or cos^1, cos^3, ... (odd), up to cos^(df - 2).
    let mut term = if odd { cos } else { 1.0 };
    let mut sum = 0.0;
    let mut power = u32::from(odd);
    while power + 2 <= df {
        sum += term;
        let (numerator, denominator) = (f64::from(power) + 1.0, f64::from(power) + 2.0);
        term *= cos * cos * numerator / denominator;
        power += 2;
    }
    if odd { FRAC_2_PI * (theta + sin * sum) } else { sin * sum }
}
