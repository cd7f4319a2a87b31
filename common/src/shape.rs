//! What the shape of a loss curve along a line is called, in numbers.
//!
//! A curve is `L(alpha)`: mean cross-entropy in nats, measured at increasing alphas and taken as straight between them.
//! Every number here describes the part with alpha in [0, 1], from one checkpoint to the other; points outside only help
//! to find `L(0)` and `L(1)` where the grid does not hit them. The *drop* is `L(0) - L(1)`; the numbers that are fractions
//! of it ([`Path::plateau`], [`Path::half_drop`], [`Path::area`]) exist only where it is positive.
//!
//! Under `L -> c L + d` with `c > 0`, barrier, bump and nonconvexity are multiplied by `c`, and so is the height of a
//! plateau's level above `L(1)`; the other numbers stay as they are. Only [`Path::set_back`] has a height of its own.

mod convex;

use std::ops::Range;

use serde::Serialize;

/// Largest bump, in nats, of a curve that [`Shape`] still calls monotonic: the figure of Lucas et al. 2021
/// (arXiv 2104.11044, released code) for MNIST. Their CIFAR tables use 0.
pub const MONOTONIC_TOLERANCE: f64 = 1e-3;

/// Share of the drop within which [`Shape`] calls a stretch flat.
pub const PLATEAU_TOLERANCE: f64 = 0.05;

/// Rise in nats that [`Path::set_back`] allows unless said otherwise: a loss that grows by 0.1 multiplies the geometric
/// mean of the probabilities given to the right classes by 0.90.
pub const CRITICAL_RISE: f64 = 0.1;

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
    /// [`Path::level`] of that plateau in nats. None without a drop or a plateau.
    pub level: Option<f64>,
    /// [`Path::nonconvexity`] in nats, at least 0.
    pub nonconvexity: f64,
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
    let plateau = path.plateau(PLATEAU_TOLERANCE);
    Ok(Shape {
        start: path.start(),
        end: path.end(),
        barrier: path.barrier(),
        bump: path.bump(),
        monotonic: path.is_monotonic(MONOTONIC_TOLERANCE),
        plateau: plateau.as_ref().map(|flat| flat.end - flat.start),
        half_drop: path.half_drop(),
        area: path.area(),
        level: plateau.and_then(|flat| path.level(&flat)),
        nonconvexity: path.nonconvexity(),
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

    /// Mean loss in nats on `stretch` of [0, 1], by the trapezoid rule. None when the stretch is empty.
    ///
    /// Of the plateau it is the plateau's level. A network that gives each of C classes the same probability has a loss
    /// of exactly `ln C` ([`uniform_loss`]), and the plateaus of Vlaar & Frankle 2022 (arXiv 2106.16004) lie there: at
    /// 2.30 to 2.32 for 10 classes, against ln 10 = 2.303.
    pub fn level(&self, stretch: &Range<f64>) -> Option<f64> {
        let (mut area, mut length) = (0.0, 0.0);
        for ends in self.points.windows(2) {
            let (from, to) = (ends[0].0.max(stretch.start), ends[1].0.min(stretch.end));
            if from < to {
                area += (to - from) * f64::midpoint(self.at(from), self.at(to));
                length += to - from;
            }
        }
        (length > 0.0).then(|| area / length)
    }

    /// How far one can go back from alpha = 1 before the loss first exceeds `L(1) + rise`: `1 - alpha` at that crossing,
    /// linear between points; in [0, 1], and 1 when the loss stays within `rise` all the way to alpha = 0.
    ///
    /// For a line along which one layer moves and the rest is held at the trained state, it says how far the layer can
    /// be set back towards its initial values. A layer is *critical* when it is small; `1 - set_back` is its criticality.
    /// After the one-layer lines of Vlaar & Frankle 2022 (arXiv 2106.16004) and the module criticality of Neyshabur,
    /// Sedghi & Zhang 2020 (arXiv 2008.11687), of which it is the case without noise and without the factor of the
    /// layer's distance: how small alpha may become while the loss stays within epsilon.
    pub fn set_back(&self, rise: f64) -> f64 {
        let highest = self.end() + rise;
        for ends in self.points.windows(2).rev() {
            let ((a, before), (b, after)) = (ends[0], ends[1]);
            if before > highest {
                let crossing = a + (b - a) * ((before - highest) / (before - after));
                return 1.0 - crossing;
            }
        }
        1.0
    }

    /// Largest height of the curve above its lower convex envelope, in nats: the most by which a point lies above a
    /// chord between any two others, `max over a1 <= a <= a2 of L(a) - chord(a1, a2)(a)`. 0 exactly for convex curves,
    /// and never below the barrier, which knows the chord between the ends alone. The definition is ours.
    pub fn nonconvexity(&self) -> f64 {
        let envelope = convex::envelope(&self.points);
        let mut segment = 0;
        let mut highest = 0.0_f64;
        for &(alpha, loss) in &self.points {
            while envelope[segment + 1].0 < alpha {
                segment += 1;
            }
            let ((a, from), (b, to)) = (envelope[segment], envelope[segment + 1]);
            highest = highest.max(loss - (from + (to - from) * ((alpha - a) / (b - a))));
        }
        highest
    }

    /// The loss at `alpha` in [0, 1], linear between points.
    fn at(&self, alpha: f64) -> f64 {
        let after = self.points.partition_point(|p| p.0 < alpha).min(self.points.len() - 1);
        if after == 0 {
            return self.start();
        }
        let ((a, from), (b, to)) = (self.points[after - 1], self.points[after]);
        from + (to - from) * ((alpha - a) / (b - a))
    }

    /// `L(0) - L(1)` where it is positive.
    fn drop(&self) -> Option<f64> {
        Some(self.start() - self.end()).filter(|&drop| drop > 0.0)
    }

    fn midpoint(&self) -> f64 {
        f64::midpoint(self.start(), self.end())
    }
}

/// Loss in nats of a network that gives each of `classes` classes the same probability: ln(classes).
pub fn uniform_loss(classes: u32) -> f64 {
    f64::from(classes).ln()
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
mod tests;
