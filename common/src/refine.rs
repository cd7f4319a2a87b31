//! Adaptive grids: which further alphas a line is measured at, and what that saves.
//!
//! A curve is read as straight between its alphas. How far that is from the truth is estimated from how the curve bends,
//! and the intervals where it is too far are halved. Pure functions of what is measured: whoever asks again, with the same
//! numbers, gets the same alphas to the last bit, so an interrupted line goes on as if it had not been.

use serde::{Deserialize, Serialize};

/// Most alphas of the uniform grids that a curve is compared with.
const MOST_UNIFORM: u32 = 10_001;
/// A halved interval's error falls to a quarter where the curve is smooth, so its halves are due after whatever exceeds that.
const QUARTER: f64 = 0.25;
/// Differences of losses below this share of the largest loss are rounding.
const ROUNDING: f64 = 1e-12;

/// How a line's grid is refined.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refine {
    /// At most so many alphas are added to the grid, 1 or more.
    pub budget: u32,
    /// Intervals are halved until none is estimated to be further than this from a straight line, on any split: nats, above 0.
    pub tolerance: f64,
}

/// What is measured of one line: alphas that rise, and the loss at each of them on every split.
#[derive(Debug, Clone, PartialEq)]
pub struct Curves {
    alphas: Vec<f64>,
    /// By split, then by alpha; NaN or infinite where the loss is.
    losses: Vec<Vec<f64>>,
}

impl Curves {
    /// Sorts what is measured: an alpha with its loss on every split, the splits in the same order each time.
    ///
    /// # Panics
    /// When alphas have losses of different numbers of splits.
    pub fn new(mut measured: Vec<(f64, Vec<f64>)>) -> Self {
        measured.sort_by(|a, b| a.0.total_cmp(&b.0));
        let splits = measured.first().map_or(0, |(_, losses)| losses.len());
        let losses = (0..splits).map(|split| measured.iter().map(|(_, losses)| losses[split]).collect()).collect();
        Self { alphas: measured.iter().map(|(alpha, _)| *alpha).collect(), losses }
    }

    /// The next alphas to measure, rising, at most `left` of them; none when the line is fine enough, or cannot be made so.
    ///
    /// They are the midpoints of intervals: of those whose [error](Self::error) exceeds the tolerance and a quarter of the
    /// largest one, the largest first, of equal ones the one at the lower alpha. All alphas of an answer are measured in one
    /// pass over the data before the next is asked for.
    ///
    /// It comes to an end whatever the losses are, since `left` falls with every answer. A split with a loss that is not
    /// finite at either end of an interval has no say there: where that holds of every split, the interval is not halved.
    /// Nor is one between neighbouring floating-point numbers.
    pub fn next(&self, refine: &Refine, left: u32) -> Vec<f64> {
        let intervals: Vec<(f64, f64)> =
            (1..self.alphas.len()).filter_map(|i| Some((self.estimate(i)?, self.midpoint(i)?))).collect();
        let largest = intervals.iter().map(|(error, _)| *error).fold(0.0, f64::max);
        // Infinite ones exceed no quarter of the largest, which they are.
        let enough = |error: f64| error > refine.tolerance && (error == largest || error > largest * QUARTER);
        let mut due: Vec<(f64, f64)> = intervals.into_iter().filter(|(error, _)| enough(*error)).collect();
        // The sort is stable, so equal errors stay in the order of their alphas.
        due.sort_by(|a, b| b.0.total_cmp(&a.0));
        due.truncate(left as usize);
        let mut next: Vec<f64> = due.into_iter().map(|(_, alpha)| alpha).collect();
        next.sort_by(f64::total_cmp);
        next
    }

    /// How far the curves are estimated to be from straight between their alphas: the largest over all intervals and splits,
    /// in nats. `None` where nothing can be said: no split has three finite losses in a row.
    ///
    /// Between `a` and `b` a straight line is at most (b - a)^2 / 8 max |L''| from L (de Boor, A Practical Guide to Splines,
    /// chapter III, on broken lines). L'' is twice the second divided difference L[x0, x1, x2] at some place between x0 and
    /// x2; the larger of the two differences at the ends of the interval is taken, (b - a)^2 / 4 max |L[..]|. Curves that the
    /// grid resolves are mostly within it. What lies between two alphas and shows at neither, it cannot see.
    pub fn error(&self) -> Option<f64> {
        (1..self.alphas.len()).filter_map(|i| self.estimate(i)).filter(|error| error.is_finite()).reduce(f64::max)
    }

    /// Number of alphas of the smallest uniform grid from the first alpha to the last whose error is estimated to be no
    /// larger than `error`, from 3; it and every finer one, since a grid is chosen before the curve is known. `None` when
    /// that takes more than 10,001.
    ///
    /// A grid of step h is h^2 / 8 |L''| off as well, with L'' taken at that step: max over x, in whatever phase, of
    /// |L(x - h) - 2 L(x) + L(x + h)| / 8, where L is the measured curve, straight between its alphas. What touches a loss
    /// that is not finite is passed over.
    pub fn uniform(&self, error: f64) -> Option<u32> {
        let (first, last) = (*self.alphas.first()?, *self.alphas.last()?);
        let magnitude =
            self.losses.iter().flatten().filter(|loss| loss.is_finite()).fold(0.0, |m: f64, l| m.max(l.abs()));
        let bound = error + ROUNDING * magnitude;
        let suffices = |count: u32| self.error_at((last - first) / f64::from(count - 1)) <= bound;
        let finest = self.finest(bound).saturating_add(1).min(MOST_UNIFORM);
        let fails = (3..=finest).rev().find(|count| !suffices(*count));
        match fails {
            Some(MOST_UNIFORM) => None,
            Some(count) => Some(count + 1),
            None => Some(3),
        }
    }

    /// A number of alphas from which on every uniform grid suffices: steps of h see at most J h / 8, where J adds up all
    /// changes of slope.
    fn finest(&self, bound: f64) -> u32 {
        let turned =
            |losses: &Vec<f64>| (0..losses.len()).filter_map(|i| self.turn(losses, i)).map(f64::abs).sum::<f64>();
        let turned = self.losses.iter().map(turned).fold(0.0, f64::max);
        let range = self.alphas[self.alphas.len() - 1] - self.alphas[0];
        // A straight curve gives 0 / 0 at worst, which the cast makes 0, as it cuts off what is too large.
        (range * turned / (8.0 * bound)).ceil() as u32
    }

    /// The error that a uniform grid of this step is estimated to have, the largest over the splits.
    fn error_at(&self, step: f64) -> f64 {
        let (first, last) = (self.alphas[0], self.alphas[self.alphas.len() - 1]);
        let (low, high) = (first + step, (last - step).max(first + step));
        // What is straight between alphas bends most where one of the three places is an alpha, or at an end.
        let places = self.alphas.iter().flat_map(|alpha| [alpha - step, *alpha, alpha + step]);
        let places: Vec<f64> = places.map(|x| x.clamp(low, high)).collect();
        let bend = |losses: &[f64], x: f64| {
            let [left, here, right] = [x - step, x, (x + step).min(last)].map(|x| self.loss(losses, x));
            (left - 2.0 * here + right).abs() / 8.0
        };
        let all = self.losses.iter().flat_map(|losses| places.iter().map(|&x| bend(losses, x)));
        all.filter(|bend| bend.is_finite()).fold(0.0, f64::max)
    }

    /// The measured curve at any x within the range.
    fn loss(&self, losses: &[f64], x: f64) -> f64 {
        let after = self.alphas.partition_point(|alpha| *alpha < x).min(self.alphas.len() - 1);
        if self.alphas[after] <= x || after == 0 {
            return losses[after];
        }
        let share = (x - self.alphas[after - 1]) / (self.alphas[after] - self.alphas[after - 1]);
        losses[after - 1] + (losses[after] - losses[after - 1]) * share
    }

    /// The estimated error of the interval that ends at alpha `i`, the largest over the splits on which both its ends are
    /// finite; `None` if there is no such split. Infinite where neither end shows how the curve bends, as with two alphas.
    fn estimate(&self, i: usize) -> Option<f64> {
        let width = self.alphas[i] - self.alphas[i - 1];
        let on_split = |losses: &Vec<f64>| {
            (losses[i - 1].is_finite() && losses[i].is_finite()).then(|| {
                let bends = [i - 1, i].into_iter().filter_map(|at| self.bend(losses, at));
                bends.map(f64::abs).reduce(f64::max).map_or(f64::INFINITY, |bend| width * width / 4.0 * bend)
            })
        };
        self.losses.iter().filter_map(on_split).reduce(f64::max)
    }

    /// The second divided difference at alpha `i` and its neighbours, where all are finite. The first and the last alpha have
    /// one neighbour: where the difference grows toward them it is carried on as it grows, otherwise they have none.
    fn bend(&self, losses: &[f64], i: usize) -> Option<f64> {
        let last = self.alphas.len() - 1;
        let (next, after) = match i {
            0 if last >= 3 => (1, 2),
            _ if i == last && last >= 3 => (last - 1, last - 2),
            _ => return Some(self.turn(losses, i)? / (self.alphas[i + 1] - self.alphas[i - 1])),
        };
        let (next, after) = (self.bend(losses, next)?, self.bend(losses, after)?);
        (next * after > 0.0 && next.abs() > after.abs()).then_some(2.0 * next - after)
    }

    /// By how much the slope changes at alpha `i`.
    fn turn(&self, losses: &[f64], i: usize) -> Option<f64> {
        let slope = |i: usize| (losses[i] - losses[i - 1]) / (self.alphas[i] - self.alphas[i - 1]);
        let has_both = i > 0 && i + 1 < self.alphas.len();
        has_both.then(|| slope(i + 1) - slope(i)).filter(|turn| turn.is_finite())
    }

    /// Half way in the interval that ends at alpha `i`, rounded once; `None` when no number lies between its ends.
    fn midpoint(&self, i: usize) -> Option<f64> {
        let (start, stop) = (self.alphas[i - 1], self.alphas[i]);
        Some(start.midpoint(stop)).filter(|middle| start < *middle && *middle < stop)
    }
}

#[cfg(test)]
mod tests;
