//! Numbers marked NumPy or SciPy were computed with NumPy 2 and SciPy 1 from the values below.

use proptest::prelude::*;

use super::*;

const X: [f64; 8] = [0.10, 0.25, 0.25, 0.40, 0.55, 0.70, 0.85, 0.95];
const Y: [f64; 8] = [0.90, 0.91, 0.905, 0.92, 0.90, 0.93, 0.925, 0.94];
const SETTINGS: [usize; 8] = [0, 0, 0, 1, 1, 1, 2, 2];

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12 * (1.0 + a.abs().max(b.abs()))
}

fn holds(interval: Option<Interval>, low: f64, high: f64) -> bool {
    interval.is_some_and(|i| (i.low - low).abs() < 1e-7 && (i.high - high).abs() < 1e-7)
}

#[test]
fn mean_and_deviation_are_numpy_s() {
    assert_eq!((mean(&X), mean(&[])), (Some(0.50625), None));
    assert!(near(sd(&X).unwrap(), 0.307_568_227_041_926_9));
    assert_eq!((sd(&[1.0]), sd(&[2.0, 2.0])), (None, Some(0.0)));
}

#[test]
fn ties_share_their_mean_rank() {
    assert_eq!(ranks(&X), [1.0, 2.5, 2.5, 4.0, 5.0, 6.0, 7.0, 8.0]);
}

#[test]
fn correlations_are_scipy_s() {
    let pearson = across(&X, &Y, Method::Pearson).unwrap();
    let spearman = across(&X, &Y, Method::Spearman).unwrap();
    assert!(near(pearson.value, 0.820_721_837_023_291_6), "{pearson:?}");
    assert!(near(spearman.value, 0.783_132_530_120_481_8), "{spearman:?}");
    assert_eq!((pearson.n, spearman.n), (8, 8));
}

#[test]
fn bootstrap_intervals_are_numpy_s_of_the_same_draws() {
    assert!(holds(across(&X, &Y, Method::Pearson).unwrap().interval, 0.348_155_31, 0.991_577_58));
    assert!(holds(across(&X, &Y, Method::Spearman).unwrap().interval, 0.101_912_90, 1.0));
    // SplitMix64's published outputs for the seed 1234567.
    let first = [0, 1, 2].map(|i| bootstrap::bits(1_234_567, i));
    assert_eq!(first, [0x599e_d017_fb08_fc85, 0x2c73_f084_5854_0fa5, 0x883e_bce5_a3f2_7c77]);
}

#[test]
fn within_settings_only_differences_inside_a_setting_count() {
    let pearson = within(&X, &Y, &SETTINGS, Method::Pearson).unwrap();
    let spearman = within(&X, &Y, &SETTINGS, Method::Spearman).unwrap();
    assert!(near(pearson.value, 0.469_117_596_567_286_6), "{pearson:?}");
    assert!(near(spearman.value, 0.707_106_781_186_546_5), "{spearman:?}");
    assert!(holds(spearman.interval, -std::f64::consts::FRAC_1_SQRT_2, 1.0), "{spearman:?}");
    // The better setting has the larger x, but inside each setting x works against y.
    let x = [0.0, 1.0, 2.0, 10.0, 11.0, 12.0];
    let y = [3.0, 2.0, 1.0, 13.0, 12.0, 11.0];
    let settings = [0, 0, 0, 1, 1, 1];
    assert!(across(&x, &y, Method::Spearman).unwrap().value > 0.5);
    assert_eq!(within(&x, &y, &settings, Method::Spearman).unwrap().value, -1.0);
}

#[test]
fn between_settings_each_counts_once() {
    let x = [0.0, 0.0, 1.0, 2.0, 3.0, 4.0];
    let y = [9.0, 1.0, 6.0, 7.0, 8.0, 9.0];
    let means = between(&x, &y, &[0, 0, 1, 2, 3, 4], Method::Spearman).unwrap();
    assert_eq!((means.n, means.value), (5, 1.0));
    assert_eq!(between(&X, &Y, &SETTINGS, Method::Spearman), Err(Silent::TooFew { n: 3, needed: 5 }));
}

#[test]
fn too_few_runs_say_nothing() {
    assert_eq!(across(&X[..4], &Y[..4], Method::Pearson), Err(Silent::TooFew { n: 4, needed: 5 }));
    assert_eq!(within(&X, &Y, &[0, 1, 2, 3, 4, 5, 6, 7], Method::Pearson), Err(Silent::TooFew { n: 0, needed: 5 }));
    assert_eq!(within(&X[..5], &Y[..5], &[0, 0, 1, 1, 1], Method::Pearson), Err(Silent::TooFew { n: 5, needed: 6 }));
    assert_eq!(paired(&[(0.0, 1.0), (0.0, 2.0)]), Err(Silent::TooFew { n: 2, needed: 3 }));
    assert_eq!(paired(&[]), Err(Silent::TooFew { n: 0, needed: 3 }));
}

#[test]
fn what_never_varies_goes_with_nothing() {
    assert_eq!(across(&[0.1; 6], &Y[..6], Method::Pearson), Err(Silent::Constant));
    assert_eq!(
        within(&[0.1, 0.1, 0.1, 0.3, 0.3, 0.3], &Y[..6], &SETTINGS[..6], Method::Spearman),
        Err(Silent::Constant)
    );
    // One run differs: a third of the resamples never draw it, so nothing is known of the spread.
    let lone = across(&[0.0, 0.0, 0.0, 0.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0], Method::Pearson).unwrap();
    assert!(lone.value > 0.5 && lone.interval.is_none());
}

#[test]
fn paired_differences_and_effect_sizes_are_scipy_s() {
    let (a, b) = ([90.0, 90.4, 89.7, 90.1, 90.3], [91.1, 91.0, 90.9, 91.5, 91.2]);
    let pairs: Vec<(f64, f64)> = a.into_iter().zip(b).collect();
    let found = paired(&pairs).unwrap();
    assert_eq!(found.n, 5);
    assert!(near(found.mean, 1.04) && near(found.sd, 0.304_959_013_639_541_3));
    assert!((found.effect.unwrap() - 3.410_294_346).abs() < 1e-8);
    assert!(holds(Some(found.student), 0.661_343_371_836_051_3, 1.418_656_628_163_949_7), "{found:?}");
    assert!(holds(found.bootstrap, 0.78, 1.26), "{found:?}");
    assert!((hedges_g(&a, &b).unwrap() - 3.713_126_026_778_333).abs() < 1e-10);
    assert_eq!((hedges_g(&a, &[1.0]), hedges_g(&[1.0, 1.0], &[2.0, 2.0])), (None, None));
    let same = paired(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]).unwrap();
    assert_eq!((same.mean, same.effect), (1.0, None));
}

#[test]
fn student_s_quantiles_are_scipy_s() {
    let known = [
        (1, 12.706_204_736_174_694),
        (2, 4.302_652_729_749_462),
        (3, 3.182_446_305_283_708),
        (4, 2.776_445_105_197_793),
        (9, 2.262_157_162_798_205),
        (10, 2.228_138_851_986_274),
        (29, 2.045_229_642_132_703),
        (100, 1.983_971_518_523_552),
    ];
    for (df, t) in known {
        assert!((t_quantile(0.975, df) - t).abs() < 1e-9 * t, "{df}");
    }
    assert!((t_quantile(0.05, 7) + 1.894_578_605_090_006_6).abs() < 1e-10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_correlation_is_symmetric_in_range_and_blind_to_units(
        pairs in prop::collection::vec((-5.0..5.0_f64, -5.0..5.0_f64), 5..12), factor in 0.5..4.0_f64,
    ) {
        let (x, y): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for method in Method::ALL {
            let found = across(&x, &y, method).unwrap();
            prop_assert!((-1.0..=1.0).contains(&found.value));
            prop_assert!((across(&y, &x, method).unwrap().value - found.value).abs() < 1e-12);
            let scaled: Vec<f64> = x.iter().map(|v| factor * v - 3.0).collect();
            prop_assert!((across(&scaled, &y, method).unwrap().value - found.value).abs() < 1e-9);
            let against: Vec<f64> = x.iter().map(|v| -v).collect();
            prop_assert!((across(&against, &y, method).unwrap().value + found.value).abs() < 1e-9);
        }
    }

    #[test]
    fn spearman_is_pearson_of_the_ranks(x in prop::collection::vec(0_u8..6, 6), y in prop::collection::vec(0_u8..6, 6)) {
        let (x, y): (Vec<f64>, Vec<f64>) = (x.into_iter().map(f64::from).collect(), y.into_iter().map(f64::from).collect());
        let spearman = across(&x, &y, Method::Spearman).map(|c| c.value);
        let pearson = across(&ranks(&x), &ranks(&y), Method::Pearson).map(|c| c.value);
        match (spearman, pearson) {
            (Ok(a), Ok(b)) => prop_assert!((a - b).abs() < 1e-12),
            (a, b) => prop_assert_eq!(a, b),
        }
    }
}
