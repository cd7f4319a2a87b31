//! What the shape of a loss curve along a line is called, in numbers.
//!
//! A curve is `L(alpha)`: mean cross-entropy in nats, measured at increasing alphas and taken as straight between them.
//! Every number here describes the part with alpha in [0, 1], from one checkpoint to the other; points outside only help
//! to find `L(0)` and `L(1)` where the grid does not hit them. The *drop* is `L(0) - L(1)`; the numbers that are fractions
//! of it ([`Path::plateau`], [`Path::half_drop`], [`Path::area`]) exist only where it is positive.
//!
//! Under `L -> c L + d` with `c > 0`, barrier and bump are multiplied by `c`; the other numbers stay as they are.

use std::ops::Range;

use serde::Serialize;

/// Largest bump, in nats, of a curve that [`Shape`] still calls monotonic: the figure of Lucas et al. 2021
/// (arXiv 2104.11044, released code) for MNIST. Their CIFAR tables use 0.
pub const MONOTONIC_TOLERANCE: f64 = 1e-3;

/// Share of the drop within which [`Shape`] calls a stretch flat.
pub const PLATEAU_TOLERANCE: f64 = 0.05;

/// All numbers of one curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shape {
    /// `L(0)` in nats.
    pub start: f64,
    /// `L(1)` in nats.
    pub end: f64,
    /// [`Path::barrier`] in nats, at least 0.
    pub barrier: f64,
    /// [`Path::bump`] in nats, at least 0.
    pub bump: f64,
    /// [`Path::is_monotonic`] within [`MONOTONIC_TOLERANCE`].
    pub monotonic: bool,
    /// [`Path::plateau`] within [`PLATEAU_TOLERANCE`]: its length in alpha, 0 to 1. None without a drop.
    pub plateau: Option<f64>,
    /// [`Path::half_drop`] in alpha, 0 to 1. None without a drop.
    pub half_drop: Option<f64>,
    /// [`Path::area`], no unit. None without a drop.
    pub area: Option<f64>,
}

/// A curve whose shape cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ShapeError {
    /// One loss for every alpha, please.
    #[error("{alphas} alphas and {losses} losses: a curve needs one loss for every alpha")]
    Lengths {
        /// Number of alphas.
        alphas: usize,
        /// Number of losses.
        losses: usize,
    },
    /// Fewer than two points.
    #[error("a curve needs at least 2 points, here are {points}")]
    TooShort {
        /// Number of points.
        points: usize,
    },
    /// Alphas that do not increase, or are not finite.
    #[error("alphas must be finite and increase, but number {index} does not follow the one before it")]
    Order {
        /// Index of the alpha at fault.
        index: usize,
    },
    /// The grid starts after 0 or ends before 1.
    #[error(
        "the curve runs from alpha {first} to {last}; its shape is told on [0, 1], so measure at least from 0 to 1"
    )]
    Span {
        /// Smallest alpha.
        first: f64,
        /// Largest alpha.
        last: f64,
    },
    /// A loss on [0, 1] that is infinite or not a number, so that no number below would mean anything.
    #[error("the loss at alpha {alpha} is not finite")]
    NotFinite {
        /// Where.
        alpha: f64,
    },
}

/// All numbers of the curve through `alphas` (increasing) and `losses` (nats, finite on [0, 1]).
pub fn shape(alphas: &[f64], losses: &[f64]) -> Result<Shape, ShapeError> {
    let path = Path::new(alphas, losses)?;
    Ok(Shape {
        start: path.start(),
        end: path.end(),
        barrier: path.barrier(),
        bump: path.bump(),
        monotonic: path.is_monotonic(MONOTONIC_TOLERANCE),
        plateau: path.plateau(PLATEAU_TOLERANCE).map(|flat| flat.end - flat.start),
        half_drop: path.half_drop(),
        area: path.area(),
    })
}

/// A checked curve on [0, 1]: at least two points with increasing alpha, the first at 0, the last at 1, all losses finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Path {
    points: Vec<(f64, f64)>,
}

impl Path {
    /// Checks a curve and cuts it to [0, 1]; where 0 or 1 is not on the grid, its loss is interpolated linearly.
    pub fn new(alphas: &[f64], losses: &[f64]) -> Result<Self, ShapeError> {
        if alphas.len() != losses.len() {
            return Err(ShapeError::Lengths { alphas: alphas.len(), losses: losses.len() });
        }
        let (&[first, .., last], [_, _, ..]) = (alphas, losses) else {
            return Err(ShapeError::TooShort { points: alphas.len() });
        };
        let increases = |i: usize| alphas[i].is_finite() && (i == 0 || alphas[i - 1] < alphas[i]);
        if let Some(index) = (0..alphas.len()).find(|&i| !increases(i)) {
            return Err(ShapeError::Order { index });
        }
        if first > 0.0 || last < 1.0 {
            return Err(ShapeError::Span { first, last });
        }
        let mut points = vec![(0.0, loss_at(alphas, losses, 0.0))];
        let inside = alphas.iter().zip(losses).filter(|&(&alpha, _)| 0.0 < alpha && alpha < 1.0);
        points.extend(inside.map(|(&alpha, &loss)| (alpha, loss)));
        points.push((1.0, loss_at(alphas, losses, 1.0)));
        match points.iter().find(|(_, loss)| !loss.is_finite()) {
            Some(&(alpha, _)) => Err(ShapeError::NotFinite { alpha }),
            None => Ok(Self { points }),
        }
    }

    /// `L(0)` in nats.
    pub fn start(&self) -> f64 {
        self.points[0].1
    }

    /// `L(1)` in nats.
    pub fn end(&self) -> f64 {
        self.points[self.points.len() - 1].1
    }

    /// Height of the barrier in nats: `max over alpha of L(alpha) - ((1 - alpha) L(0) + alpha L(1))`, at least 0 because
    /// both ends give 0. The loss barrier of Entezari et al. 2021 (arXiv 2110.06296), which measures from the chord
    /// between the ends and so also makes sense for ends of very different loss, as init and final are.
    pub fn barrier(&self) -> f64 {
        let (start, end) = (self.start(), self.end());
        let above = |&(alpha, loss): &(f64, f64)| loss - ((1.0 - alpha) * start + alpha * end);
        self.points.iter().map(above).fold(0.0, f64::max)
    }

    /// Height of the largest rise in nats: `max over a1 < a2 of L(a2) - L(a1)`, 0 if it never rises.
    /// Bump height of Lucas et al. 2021 (arXiv 2104.11044, released code).
    pub fn bump(&self) -> f64 {
        let mut lowest = f64::INFINITY;
        let mut bump = 0.0_f64;
        for &(_, loss) in &self.points {
            lowest = lowest.min(loss);
            bump = bump.max(loss - lowest);
        }
        bump
    }

    /// True when the loss falls all the way but for rises of at most `tolerance` nats: `bump <= tolerance`.
    /// Lucas et al. 2021 (released code) call a run non-monotone above 1e-3 (MNIST) or 0 (CIFAR).
    pub fn is_monotonic(&self, tolerance: f64) -> bool {
        self.bump() <= tolerance
    }

    /// The plateau before the fall: the longest stretch `[a, b]` between two grid points on which
    /// `max L - min L <= tolerance (L(0) - L(1))` and no loss is below the midpoint `(L(0) + L(1)) / 2`; the first of
    /// equals, empty (`0..0`) when there is none. Its length is within [0, 1] and as fine as the grid. None without a drop.
    ///
    /// Puts a number to what Vlaar & Frankle 2022 (arXiv 2106.16004) show for weight decay: the loss stays flat over most
    /// of the line and falls at its end. They give no formula; this one is ours.
    pub fn plateau(&self, tolerance: f64) -> Option<Range<f64>> {
        let width = tolerance * self.drop()?;
        let mut longest = 0.0..0.0;
        for (i, &(a, _)) in self.points.iter().enumerate() {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for &(b, loss) in &self.points[i..] {
                (low, high) = (low.min(loss), high.max(loss));
                if low < self.midpoint() || high - low > width {
                    break;
                }
                if b - a > longest.end - longest.start {
                    longest = a..b;
                }
            }
        }
        Some(longest)
    }

    /// The smallest alpha at which the loss reaches the midpoint `(L(0) + L(1)) / 2`, linear between points; in [0, 1].
    /// 1/2 for a straight line, near 1 for a plateau that falls at its end. None without a drop.
    pub fn half_drop(&self) -> Option<f64> {
        self.drop()?;
        let middle = self.midpoint();
        let ends = self.points.windows(2).find(|ends| ends[1].1 <= middle)?;
        let ((a, above), (b, below)) = (ends[0], ends[1]);
        Some(a + (b - a) * ((above - middle) / (above - below)))
    }

    /// Area under the normalised curve: the integral over [0, 1] of `(L(alpha) - L(1)) / (L(0) - L(1))` by the trapezoid
    /// rule. 1/2 for a straight line, near 1 for a plateau, above 1 where the curve rises far above its start, below 0
    /// where it dips far below its end. None without a drop.
    pub fn area(&self) -> Option<f64> {
        let drop = self.drop()?;
        let height = |loss: f64| (loss - self.end()) / drop;
        Some(self.points.windows(2).map(|p| (p[1].0 - p[0].0) * f64::midpoint(height(p[0].1), height(p[1].1))).sum())
    }

    /// `L(0) - L(1)` where it is positive.
    fn drop(&self) -> Option<f64> {
        Some(self.start() - self.end()).filter(|&drop| drop > 0.0)
    }

    fn midpoint(&self) -> f64 {
        f64::midpoint(self.start(), self.end())
    }
}

/// The loss at `alpha`, which lies within the grid.
fn loss_at(alphas: &[f64], losses: &[f64], alpha: f64) -> f64 {
    let after = alphas.partition_point(|&a| a < alpha);
    if alphas[after] <= alpha {
        return losses[after];
    }
    let share = (alpha - alphas[after - 1]) / (alphas[after] - alphas[after - 1]);
    losses[after - 1] + share * (losses[after] - losses[after - 1])
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these numbers are exact in binary")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(points: &[(f64, f64)]) -> Path {
        let (alphas, losses): (Vec<_>, Vec<_>) = points.iter().copied().unzip();
        Path::new(&alphas, &losses).unwrap()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * (1.0 + a.abs().max(b.abs()))
    }

    #[test]
    fn a_hill_has_a_barrier_above_the_chord_and_a_bump_above_the_lowest_loss_before() {
        let hill = path(&[(0.0, 2.0), (0.25, 1.0), (0.5, 3.0), (1.0, 0.0)]);
        assert_eq!(hill.barrier(), 2.0); // 3 above the chord's 1
        assert_eq!(hill.bump(), 2.0); // from 1 to 3
        assert!(!hill.is_monotonic(1.999));
        assert!(hill.is_monotonic(2.0));
        assert_eq!(hill.half_drop(), Some(0.25));
        assert_eq!(hill.area(), Some((0.25 * 1.5 + 0.25 * 2.0 + 0.5 * 1.5) / 2.0));
    }

    #[test]
    fn a_plateau_is_measured_before_the_fall_only() {
        let flat = path(&[(0.0, 2.8), (0.1, 2.33), (0.5, 2.30), (0.98, 2.31), (1.0, 0.3)]);
        assert_eq!(flat.plateau(0.05), Some(0.1..0.98));
        assert!(flat.half_drop().unwrap() > 0.98);
        let floor = path(&[(0.0, 2.1), (0.1, 1.3), (0.2, 0.3), (1.0, 0.3)]);
        assert_eq!(floor.plateau(0.05), Some(0.0..0.0));
    }

    #[test]
    fn half_drop_is_the_first_crossing_between_points() {
        let line = path(&[(0.0, 4.0), (0.5, 1.0), (0.75, 3.0), (1.0, 0.0)]);
        assert!(near(line.half_drop().unwrap(), 1.0 / 3.0));
    }

    #[test]
    fn fractions_of_the_drop_need_a_drop() {
        let rising = shape(&[0.0, 1.0], &[1.0, 2.0]).unwrap();
        assert_eq!((rising.plateau, rising.half_drop, rising.area), (None, None, None));
        assert_eq!((rising.barrier, rising.bump, rising.monotonic), (0.0, 1.0, false));
        let level = shape(&[0.0, 1.0], &[1.0, 1.0]).unwrap();
        assert_eq!((level.area, level.monotonic), (None, true));
    }

    #[test]
    fn the_paper_s_lines_are_told_apart() {
        // Vlaar & Frankle 2022: mean lines for weight decay 0 and 5e-4, digitised from their figures.
        let alphas = [0.0, 0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.96, 0.98, 1.0];
        let none = [2.88, 2.41, 2.43, 2.65, 2.76, 2.50, 2.04, 1.31, 0.77, 0.52, 0.46, 0.49, 0.50, 0.52];
        let mut decayed = [2.31; 14];
        (decayed[0], decayed[1], decayed[2], decayed[13]) = (2.77, 2.54, 2.32, 0.324);
        let (none, decayed) = (shape(&alphas, &none).unwrap(), shape(&alphas, &decayed).unwrap());
        assert!(decayed.plateau > Some(0.8) && none.plateau < Some(0.2), "{decayed:?} {none:?}");
        assert!(decayed.half_drop > none.half_drop && decayed.area > none.area);
        assert!(near(none.bump, 2.76 - 2.41) && !none.monotonic && decayed.monotonic);
    }

    #[test]
    fn what_is_no_curve_is_refused() {
        assert_eq!(shape(&[0.0, 1.0], &[1.0]), Err(ShapeError::Lengths { alphas: 2, losses: 1 }));
        assert_eq!(shape(&[0.0], &[1.0]), Err(ShapeError::TooShort { points: 1 }));
        assert_eq!(shape(&[], &[]), Err(ShapeError::TooShort { points: 0 }));
        assert_eq!(shape(&[0.0, 0.5, 0.5, 1.0], &[1.0; 4]), Err(ShapeError::Order { index: 2 }));
        assert_eq!(shape(&[0.0, f64::NAN, 1.0], &[1.0; 3]), Err(ShapeError::Order { index: 1 }));
        assert_eq!(shape(&[0.0, 0.9], &[1.0; 2]), Err(ShapeError::Span { first: 0.0, last: 0.9 }));
        assert_eq!(shape(&[0.0, 0.5, 1.0], &[1.0, f64::NAN, 0.0]), Err(ShapeError::NotFinite { alpha: 0.5 }));
        assert_eq!(shape(&[0.0, 1.0], &[f64::INFINITY, 0.0]), Err(ShapeError::NotFinite { alpha: 0.0 }));
    }

    #[test]
    fn points_outside_0_and_1_count_only_for_the_ends() {
        let wide = shape(&[-1.0, 0.0, 1.0, 2.0], &[f64::NAN, 2.0, 1.0, 9.0]).unwrap();
        assert_eq!(Ok(wide), shape(&[0.0, 1.0], &[2.0, 1.0]));
        let between = shape(&[-0.5, 0.5, 1.5], &[3.0, 1.0, 1.0]).unwrap();
        assert_eq!((between.start, between.end), (2.0, 1.0));
    }

    prop_compose! {
        /// A curve with losses from 0 to 10 on an even grid of 2 to 40 points.
        fn curve()(losses in prop::collection::vec(0.0..10.0_f64, 2..40)) -> Path {
            let last = (losses.len() - 1) as f64;
            let alphas: Vec<f64> = (0..losses.len()).map(|i| i as f64 / last).collect();
            Path::new(&alphas, &losses).unwrap()
        }
    }

    proptest! {
        #[test]
        fn a_straight_fall_has_no_barrier_half_its_area_and_its_half_drop_in_the_middle(
            start in 1.0..10.0_f64, drop in 0.1..1.0_f64, steps in 1_usize..50,
        ) {
            let at = |i: usize| i as f64 / steps as f64;
            let points: Vec<_> = (0..=steps).map(|i| (at(i), start - drop * at(i))).collect();
            let line = path(&points);
            prop_assert!(line.barrier() < 1e-12 && line.is_monotonic(1e-12));
            prop_assert!(near(line.area().unwrap(), 0.5));
            prop_assert!((line.half_drop().unwrap() - 0.5).abs() < 1e-9);
            let flat = line.plateau(0.05).unwrap();
            prop_assert!(flat.end - flat.start <= 0.05 + 1e-9);
        }

        #[test]
        fn every_number_is_in_its_range(curve in curve(), tolerance in 0.0..0.5_f64) {
            prop_assert!(curve.barrier() >= 0.0 && curve.bump() >= 0.0);
            let highest = curve.points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(highest - curve.start().max(curve.end()) <= curve.barrier() + 1e-12);
            prop_assert!(curve.bump() >= curve.end() - curve.start());
            if curve.start() > curve.end() {
                let flat = curve.plateau(tolerance).unwrap();
                prop_assert!((0.0..=1.0).contains(&(flat.end - flat.start)));
                prop_assert!((0.0..=1.0).contains(&curve.half_drop().unwrap()));
                prop_assert!(curve.area().unwrap().is_finite());
            }
        }

        #[test]
        fn the_unit_of_loss_scales_heights_and_leaves_fractions_alone(curve in curve(), power in -4_i32..5) {
            // A power of two, so that rounding cannot tip a comparison.
            let scale = 2.0_f64.powi(power);
            let scaled = Path { points: curve.points.iter().map(|&(a, l)| (a, scale * l)).collect() };
            prop_assert_eq!(scaled.barrier(), scale * curve.barrier());
            prop_assert_eq!(scaled.bump(), scale * curve.bump());
            prop_assert_eq!(scaled.plateau(0.05), curve.plateau(0.05));
            prop_assert_eq!(scaled.half_drop(), curve.half_drop());
            prop_assert_eq!(scaled.area(), curve.area());
        }

        #[test]
        fn a_constant_added_to_the_loss_changes_no_number(curve in curve(), shift in -5.0..5.0_f64) {
            prop_assume!((curve.start() - curve.end()).abs() > 0.1);
            let shifted = Path { points: curve.points.iter().map(|&(a, l)| (a, l + shift)).collect() };
            prop_assert!((shifted.barrier() - curve.barrier()).abs() < 1e-9);
            prop_assert!((shifted.bump() - curve.bump()).abs() < 1e-9);
            if let (Some(a), Some(b)) = (shifted.area(), curve.area()) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }

        #[test]
        fn points_added_on_the_curve_change_no_height_nor_area(curve in curve()) {
            let mut finer = vec![];
            for p in curve.points.windows(2) {
                finer.extend([p[0], (f64::midpoint(p[0].0, p[1].0), f64::midpoint(p[0].1, p[1].1))]);
            }
            finer.push((1.0, curve.end()));
            let finer = path(&finer);
            prop_assert!(near(finer.barrier(), curve.barrier()) && near(finer.bump(), curve.bump()));
            if let (Some(a), Some(b)) = (finer.area(), curve.area()) {
                prop_assert!((a - b).abs() < 1e-9 * (1.0 + a.abs()));
            }
        }
    }
}
