//! Percentiles, and lines through measurements. Pure.

/// The value below which a share `p` (0 to 1) of `values` lies: the nearest rank, so always one of them. None for no values.
pub fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (p.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// The slope of the least-squares line through `points`; None where they do not tell one.
pub fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        (over + (point.0 - x) * (point.1 - y), under + (point.0 - x) * (point.0 - x))
    });
    (under > 0.0).then(|| over / under)
}

/// The exponent `b` of the power law `y = a * x^b` that fits best: 0 for what does not depend on x, 1 for what grows with it.
pub fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let logs: Vec<_> = points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).map(|(x, y)| (x.ln(), y.ln())).collect();
    slope(&logs)
}

/// What remains of samples in the order of time once the first quarter of the time is left out: a process that has just
/// started grows.
pub fn settled(samples: &[(f64, f64)]) -> &[(f64, f64)] {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return samples };
    let from = first.0 + (last.0 - first.0) / 4.0;
    &samples[samples.partition_point(|(at, _)| *at < from)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.99, 1.0].map(|p| percentile(&values, p).unwrap()), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(percentile(&[7.0], 0.99), Some(7.0));
        assert_eq!(percentile(&[], 0.5), None);
    }

    #[test]
    fn a_slope_is_that_of_the_best_line() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), Some(2.0));
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 2.0), (2.0, 0.0), (3.0, 1.0)]), Some(-0.2));
        assert_eq!((slope(&[]), slope(&[(1.0, 1.0)]), slope(&[(1.0, 1.0), (1.0, 2.0)])), (None, None, None));
    }

    #[test]
    fn an_exponent_tells_flat_from_linear() {
        let cost = |of: fn(f64) -> f64| exponent(&[1e4, 1e5, 1e6].map(|x| (x, of(x)))).unwrap();
        assert!(cost(|_| 3.0).abs() < 1e-12);
        assert!((cost(|x| 0.1 * x) - 1.0).abs() < 1e-12);
        assert!((cost(f64::sqrt) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_first_quarter_of_the_time_is_left_out() {
        let samples: Vec<_> = (0..=8).map(|at| (f64::from(at), 0.0)).collect();
        assert_eq!(settled(&samples).first(), Some(&(2.0, 0.0)));
        assert_eq!((settled(&samples).len(), settled(&[]).len()), (7, 0));
    }
}
