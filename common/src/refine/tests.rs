use proptest::prelude::*;

use super::*;

/// A line that is refined as a worker does it: rounds until nothing is left to do. Returns its curves and the rounds.
fn refined(grid: &[f64], refine: Refine, losses: &dyn Fn(f64) -> Vec<f64>) -> (Curves, Vec<Vec<f64>>) {
    let mut measured: Vec<(f64, Vec<f64>)> = grid.iter().map(|&alpha| (alpha, losses(alpha))).collect();
    let mut rounds = vec![];
    let mut left = refine.budget;
    loop {
        let curves = Curves::new(measured.clone());
        let next = curves.next(&refine, left);
        if next.is_empty() {
            return (curves, rounds);
        }
        left -= next.len() as u32;
        measured.extend(next.iter().map(|&alpha| (alpha, losses(alpha))));
        rounds.push(next);
    }
}

fn uniform_grid(count: u32) -> Vec<f64> {
    (0..count).map(|i| f64::from(i) / f64::from(count - 1)).collect()
}

/// How far `loss` is from straight between these alphas, looked at in many places.
fn true_error(alphas: &[f64], loss: &dyn Fn(f64) -> f64) -> f64 {
    let inside = |pair: &[f64]| {
        let (a, b) = (pair[0], pair[1]);
        let at = |k: u32| {
            let share = f64::from(k) / 64.0;
            (loss(a + (b - a) * share) - (loss(a) + (loss(b) - loss(a)) * share)).abs()
        };
        (0..=64).map(at).fold(0.0, f64::max)
    };
    alphas.windows(2).map(inside).fold(0.0, f64::max)
}

const fn to(budget: u32, tolerance: f64) -> Refine {
    Refine { budget, tolerance }
}

#[test]
fn a_straight_line_is_not_refined() {
    let (curves, rounds) = refined(&uniform_grid(5), to(20, 1e-6), &|x| vec![3.0 - 2.5 * x, 7.0]);
    assert_eq!((rounds, curves.uniform(curves.error().unwrap())), (vec![], Some(3)));
    assert!(curves.error().unwrap() < 1e-14);
}

#[test]
fn a_parabola_stays_uniform_and_its_estimate_is_the_truth() {
    // L'' = 4, so an interval of h is h^2 / 2 off: 1/32 for four of them, 1/128 for eight.
    let parabola = |x: f64| 2.0 * x * x;
    let (curves, rounds) = refined(&uniform_grid(5), to(20, 0.01), &|x| vec![parabola(x)]);
    assert_eq!(rounds, [[0.125, 0.375, 0.625, 0.875]]);
    assert_eq!(curves.alphas, uniform_grid(9));
    assert_eq!(curves.error(), Some(1.0 / 128.0));
    assert_eq!(true_error(&curves.alphas, &parabola), 1.0 / 128.0);
    assert_eq!(curves.uniform(1.0 / 128.0), Some(9), "it saved nothing");
    assert_eq!(curves.uniform(1.0 / 32.0), Some(5));
}

#[test]
fn alphas_gather_at_a_corner() {
    // The slope turns by 2 at 1/4: steps of h see 2 h / 8 there, and so does a uniform grid.
    let corner = |x: f64| (x - 0.25).abs();
    let (curves, rounds) = refined(&uniform_grid(5), to(20, 0.01), &|x| vec![corner(x)]);
    assert_eq!(rounds[0], [0.125, 0.375]);
    assert_eq!(rounds.len(), 3);
    let near = [0.0, 0.125, 0.1875, 0.21875, 0.25, 0.28125, 0.3125, 0.375, 0.5, 0.75, 1.0];
    assert_eq!(curves.alphas, near);
    assert_eq!(curves.error(), Some(2.0 / 32.0 / 8.0));
    assert_eq!(curves.uniform(2.0 / 32.0 / 8.0), Some(33), "11 alphas instead of 33");
}

#[test]
fn a_step_takes_the_budget_and_is_found() {
    // Between two neighbours it is half the step off at any width, and is said to be an eighth of it.
    let step = |x: f64| if x < 0.3 { 2.0 } else { 0.0 };
    let (curves, _) = refined(&uniform_grid(5), to(30, 0.01), &|x| vec![step(x)]);
    assert_eq!(curves.alphas.len(), 35);
    let after = curves.alphas.partition_point(|&x| x < 0.3);
    assert!(curves.alphas[after] - curves.alphas[after - 1] < 1.0 / 1024.0);
    let error = curves.error().unwrap();
    assert!(error >= 0.25, "{error}");
    assert_eq!(curves.uniform(error), Some(3), "no uniform grid is better than the smallest");
}

#[test]
fn the_worse_split_decides() {
    let (flat, steep) = (|_| 1.0, |x: f64| (-20.0 * x).exp());
    let refine = to(40, 0.005);
    let (both, _) = refined(&uniform_grid(5), refine, &|x| vec![flat(x), steep(x)]);
    let (one, _) = refined(&uniform_grid(5), refine, &|x| vec![steep(x)]);
    assert_eq!(both.alphas, one.alphas);
}

#[test]
fn the_largest_error_is_halved_first_and_of_equal_ones_the_first() {
    let corners = |x: f64| 4.0 * (x - 0.25).abs() + (x - 0.75).abs();
    let curves = |alphas: &[f64]| Curves::new(alphas.iter().map(|&x| (x, vec![corners(x)])).collect());
    let grid = uniform_grid(9);
    assert_eq!(curves(&grid).next(&to(9, 0.001), 1), [0.1875]);
    assert_eq!(curves(&grid).next(&to(9, 0.001), 9), [0.1875, 0.3125], "a quarter of that waits for the next round");
    assert_eq!(curves(&grid).next(&to(9, 0.2), 9), [0.0; 0], "below the tolerance");
    assert_eq!(curves(&grid).next(&to(9, 0.001), 0), [0.0; 0], "nothing is left");
}

#[test]
fn two_alphas_show_no_bend_so_they_are_halved() {
    let curves = Curves::new(vec![(0.0, vec![2.0]), (1.0, vec![1.0])]);
    assert_eq!((curves.error(), curves.next(&to(3, 0.5), 3)), (None, vec![0.5]));
}

#[test]
fn where_no_split_is_finite_nothing_is_refined() {
    let wild = |x: f64| if x > 0.6 { f64::NAN } else { (-30.0 * x).exp() };
    let (curves, _) = refined(&uniform_grid(5), to(50, 0.001), &|x| vec![wild(x)]);
    assert!(curves.alphas.iter().all(|&x| x <= 0.5 || x >= 0.75), "{:?}", curves.alphas);
    assert!(curves.error().unwrap() <= 0.001);
    assert!(curves.uniform(0.001).is_some_and(|count| count > curves.alphas.len() as u32));
    // One split that is finite has its say.
    let (both, _) = refined(&uniform_grid(5), to(9, 0.001), &|x| vec![wild(x), (8.0 * (x - 1.0)).exp()]);
    assert!(both.alphas.iter().any(|&x| x > 0.75 && x < 1.0), "{:?}", both.alphas);
    for nothing in [vec![], vec![(0.0, vec![1.0])], vec![(0.0, vec![f64::NAN]), (1.0, vec![f64::INFINITY])]] {
        let curves = Curves::new(nothing);
        assert_eq!((curves.next(&to(5, 0.1), 5), curves.error()), (vec![], None));
    }
}

#[test]
fn midpoints_are_numbers_between() {
    let close = 1.0 + f64::EPSILON;
    let curves = Curves::new(vec![(0.0, vec![0.0]), (1.0, vec![1.0]), (close, vec![5.0])]);
    let next = curves.next(&to(5, 1e-300), 5);
    assert!(next.iter().all(|x| *x > 0.0 && *x < 1.0), "{next:?}");
}

/// Curves as lines have them: a fall, a wall, a bump, with any losses at all at a few places.
fn curve() -> impl Strategy<Value = [f64; 7]> {
    [0.0..3.0, 1.0..30.0, 0.0..3.0, 0.0..1.0, 4.0..30.0, -1.0..1.0, 0.5..4.0]
}

fn loss([fall, rate, wall, place, steep, bump, width]: [f64; 7], x: f64) -> f64 {
    fall * (-rate * x).exp() + wall / (1.0 + (steep * (x - place)).exp()) + bump * (-((x - 0.5) * width).powi(2)).exp()
}

fn any_loss() -> impl Strategy<Value = f64> {
    prop_oneof![5 => -5.0..5.0, 1 => proptest::num::f64::ANY]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn with_budget_enough_the_truth_is_near_the_tolerance(shape in curve(), base in 17_u32..40, tolerance in 0.002..0.1) {
        let (curves, _) = refined(&uniform_grid(base), to(5000, tolerance), &|x| vec![loss(shape, x)]);
        prop_assert!(curves.error().unwrap() <= tolerance);
        // It is an estimate: of 6,000 such curves 86 were further off than it said, the worst 2.4 times as far.
        let off = true_error(&curves.alphas, &|x| loss(shape, x));
        prop_assert!(off <= 4.0 * tolerance, "{off} of {tolerance}");
    }

    #[test]
    fn a_uniform_grid_of_that_size_is_as_good_and_a_smaller_one_is_not(shape in curve(), tolerance in 0.002..0.1) {
        let (curves, _) = refined(&uniform_grid(9), to(5000, tolerance), &|x| vec![loss(shape, x)]);
        let error = curves.error().unwrap();
        let Some(count) = curves.uniform(error) else { return Ok(()) };
        let at = |count: u32| curves.error_at(1.0 / f64::from(count - 1));
        let bound = error * (1.0 + 1e-6) + 1e-9;
        for finer in (count..count + 200).chain([2 * count, 3 * count, 10_001]) {
            prop_assert!(at(finer) <= bound, "{finer} alphas are {} off, not {error}", at(finer));
        }
        prop_assert!(count == 3 || at(count - 1) > error);
    }

    #[test]
    fn any_losses_come_to_an_end_within_the_budget(
        losses in prop::collection::vec(any_loss(), 64),
        more in prop::collection::vec(any_loss(), 64),
        count in 2_u32..12,
        budget in 1_u32..40,
        tolerance in 1e-6..2.0,
    ) {
        // Any loss at any alpha, but always the same one there.
        let at = |x: f64| {
            let place = (x.to_bits() ^ (x.to_bits() >> 32)) as usize % 64;
            vec![losses[place], more[place]]
        };
        let refine = to(budget, tolerance);
        let (curves, rounds) = refined(&uniform_grid(count), refine, &at);
        prop_assert!(curves.alphas.len() <= (count + budget) as usize);
        prop_assert!(curves.alphas.windows(2).all(|pair| pair[0] < pair[1]), "each once, and rising");
        prop_assert!(rounds.iter().all(|round| !round.is_empty() && round.is_sorted()));
        prop_assert_eq!(refined(&uniform_grid(count), refine, &at).1, rounds, "and again the same");
        let _ = curves.error().map(|error| curves.uniform(error));
    }

    #[test]
    fn the_order_in_which_points_came_does_not_matter(shape in curve(), seed in any::<u64>()) {
        let measured: Vec<(f64, Vec<f64>)> = uniform_grid(12).iter().map(|&x| (x, vec![loss(shape, x)])).collect();
        let mut other = measured.clone();
        other.sort_by_key(|(x, _)| x.to_bits().wrapping_mul(seed | 1));
        prop_assert_eq!(Curves::new(measured), Curves::new(other));
    }
}
