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
fn a_plateau_s_level_is_its_mean_loss() {
    let flat = path(&[(0.0, 2.8), (0.1, 2.33), (0.5, 2.29), (0.9, 2.31), (1.0, 0.3)]);
    let level = flat.level(&flat.plateau(0.05).unwrap()).unwrap();
    assert!(near(level, (0.4 * 2.31 + 0.4 * 2.30) / 0.8), "{level}");
    assert!((level - uniform_loss(10)).abs() < 0.01);
    assert_eq!(flat.level(&(0.5..0.5)), None);
    assert!(near(flat.level(&(0.0..0.05)).unwrap(), f64::midpoint(2.8, 2.565)), "a stretch may end between points");
    let straight = shape(&[0.0, 1.0], &[2.0, 1.0]).unwrap();
    assert_eq!((straight.plateau, straight.level), (Some(0.0), None));
}

#[test]
fn a_layer_can_be_set_back_until_its_loss_first_rises_too_far() {
    // From 0.5 at alpha 1 the loss passes 0.6 half-way between 0.5 and 0.25, and comes back below it at 0.
    let layer = path(&[(0.0, 0.5), (0.25, 0.7), (0.5, 0.5), (1.0, 0.5)]);
    assert!(near(layer.set_back(0.1), 1.0 - 0.375));
    assert_eq!(layer.set_back(0.3), 1.0);
    let critical = path(&[(0.0, 5.0), (1.0, 0.0)]);
    assert!(near(critical.set_back(0.1), 0.02));
    let falling = path(&[(0.0, 0.0), (1.0, 1.0)]);
    assert_eq!(falling.set_back(0.0), 1.0);
}

#[test]
fn nonconvexity_is_the_greatest_height_over_any_chord() {
    assert_eq!(path(&[(0.0, 4.0), (0.5, 1.0), (1.0, 0.0)]).nonconvexity(), 0.0);
    // 1 above the chord between 0.25 and 0.75, though below that between the ends.
    let dented = path(&[(0.0, 8.0), (0.25, 1.0), (0.5, 2.0), (0.75, 1.0), (1.0, 1.0)]);
    assert_eq!((dented.nonconvexity(), dented.barrier()), (1.0, 0.0));
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
    fn nonconvexity_is_the_largest_violation_over_all_triples(curve in curve()) {
        let p = &curve.points;
        let mut largest = 0.0_f64;
        for i in 0..p.len() {
            for k in i + 2..p.len() {
                for j in i + 1..k {
                    let share = (p[j].0 - p[i].0) / (p[k].0 - p[i].0);
                    largest = largest.max(p[j].1 - (p[i].1 + share * (p[k].1 - p[i].1)));
                }
            }
        }
        prop_assert!((curve.nonconvexity() - largest).abs() < 1e-9, "{} {largest}", curve.nonconvexity());
        prop_assert!(curve.nonconvexity() >= curve.barrier() - 1e-12);
    }

    #[test]
    fn a_layer_goes_further_back_the_more_its_loss_may_rise(curve in curve(), a in 0.0..5.0_f64, b in 0.0..5.0_f64) {
        let (less, more) = (curve.set_back(a.min(b)), curve.set_back(a.max(b)));
        prop_assert!(0.0 <= less && less <= more && more <= 1.0);
        prop_assert_eq!(curve.set_back(10.0), 1.0);
    }

    #[test]
    fn a_plateau_s_level_lies_within_its_losses(curve in curve(), tolerance in 0.0..0.5_f64) {
        if let Some(level) = curve.plateau(tolerance).and_then(|flat| curve.level(&flat)) {
            prop_assert!(level <= curve.points.iter().map(|p| p.1).fold(0.0, f64::max) + 1e-12);
            prop_assert!(level >= f64::midpoint(curve.start(), curve.end()) - 1e-12);
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
        prop_assert_eq!(scaled.nonconvexity(), scale * curve.nonconvexity());
        prop_assert_eq!(scaled.set_back(scale * 0.1), curve.set_back(0.1));
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
