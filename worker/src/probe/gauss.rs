//! Gauss length: how much the paths of the logits turn along a line (Lucas et al. 2021, arXiv 2104.11044, section 4.2).

use tch::{Kind, Tensor};

/// Of the larger of two logit vectors; a shorter step between them is rounding, and its direction means nothing.
const ROUNDING: f64 = 1e-6;

/// Adds up, for every example, the length of the path of n = v/|v| with v = dz/dalpha and z the logits.
///
/// v is taken as constant between neighbouring alphas, (z[k+1] - z[k]) / (alpha[k+1] - alpha[k]), so n jumps at the alphas
/// between; the length of a jump is the angle that n turns by, the arc that it would move along. The sum of the angles of
/// a path of straight pieces comes from below to the integral of |dn/dalpha| as the grid becomes finer (Milnor 1950, "On
/// the total curvature of knots"). Pieces along which the logits rest have no direction and are passed over.
///
/// Holds one logit vector and one direction for each example, in f64.
#[derive(Debug, Default)]
pub(super) struct Gauss {
    logits: Option<Tensor>,
    /// [N, classes]; 0 for an example whose logits did not move yet.
    direction: Option<Tensor>,
    /// [N]; there from the second piece on.
    length: Option<Tensor>,
}

impl Gauss {
    /// Takes the `logits` [N, classes] at the next alpha.
    pub fn add(&mut self, logits: &Tensor) {
        let logits = logits.to_kind(Kind::Double);
        if let Some(before) = self.logits.replace(logits.copy()) {
            let step = &logits - &before;
            let moves = norm(&step).gt_tensor(&(norm(&logits).maximum(&norm(&before)) * ROUNDING));
            let direction = (&step / norm(&step)).where_self(&moves, &step.zeros_like());
            self.direction = Some(match self.direction.take() {
                None => direction,
                Some(old) => {
                    let has_both = moves.logical_and(&norm(&old).gt(0.5));
                    // Stable for small and for large angles, unlike the cosine.
                    let angle = norm(&(&direction - &old)).atan2(&norm(&(&direction + &old))) * 2.0;
                    let turned = angle.where_self(&has_both, &angle.zeros_like()).squeeze_dim(1);
                    self.length = Some(match self.length.take() {
                        None => turned,
                        Some(length) => length + turned,
                    });
                    direction.where_self(&moves, &old)
                }
            });
        }
    }

    /// The mean over examples, in radians; `None` with fewer than three alphas.
    pub fn length(&self) -> Option<f64> {
        self.length.as_ref().map(|length| length.mean(Kind::Double).double_value(&[]))
    }
}

/// Euclidean norm of each row: [N, 1].
fn norm(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist([1i64].as_slice(), true, Kind::Double).sqrt()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    /// Of one example whose two logits follow `path` over `n` pieces of [0, 1].
    fn length(n: u32, path: impl Fn(f64) -> [f64; 2]) -> Option<f64> {
        let mut gauss = Gauss::default();
        for k in 0..=n {
            gauss.add(&Tensor::from_slice(&path(f64::from(k) / f64::from(n))).view([1, 2]));
        }
        gauss.length()
    }

    #[test]
    fn a_straight_path_has_none_at_any_speed() {
        assert_eq!(length(10, |a| [a * a, 3.0 * a * a]).map(|l| l < 1e-12), Some(true));
        assert_eq!(length(10, |_| [1.0, 2.0]), Some(0.0), "logits that rest");
        assert_eq!(length(1, |a| [a, 0.0]), None, "one piece cannot turn");
    }

    #[test]
    fn a_circle_has_its_angle() {
        let arc = |a: f64| [(PI * a).cos(), (PI * a).sin()];
        for n in [10, 100, 1000] {
            // n pieces meet at n - 1 corners.
            let expected = PI * f64::from(n - 1) / f64::from(n);
            assert!((length(n, arc).unwrap() - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn turning_back_is_half_a_turn_and_rests_are_passed_over() {
        let there_and_back = |a: f64| [(a - 0.5).abs(), 0.0];
        assert!((length(10, there_and_back).unwrap() - PI).abs() < 1e-12);
        let rest_at_the_corner = |a: f64| [a.min(0.4), (a - 0.6).max(0.0)];
        assert!((length(10, rest_at_the_corner).unwrap() - PI / 2.0).abs() < 1e-9);
    }

    #[test]
    fn examples_are_averaged() {
        let mut gauss = Gauss::default();
        for logits in [[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 2.0, 0.0]] {
            gauss.add(&Tensor::from_slice(&logits).view([2, 2]));
        }
        assert!((gauss.length().unwrap() - PI / 4.0).abs() < 1e-12);
    }
}
