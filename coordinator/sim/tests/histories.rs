//! A few histories in every test run; `make simulate` plays more.

use transect_coordinator::store::Bug;
use transect_simulate::play;

#[test]
fn what_is_promised_holds_in_a_few_histories() {
    for seed in 0..40 {
        let outcome = play(seed, None);
        assert_eq!(outcome.broken, None, "seed {seed}: replay it with `make simulate SEED={seed}`");
        assert!(outcome.jobs > 0, "seed {seed} did nothing");
    }
}

#[test]
fn a_seed_decides_everything() {
    for seed in [3, 1_000_003] {
        assert_eq!(play(seed, None), play(seed, None));
    }
}

#[test]
fn some_mistakes_are_found_at_once() {
    for bug in [Bug::AttemptNotRaised, Bug::LeasedTwice, Bug::ExpiryFreesFinished] {
        assert!((0..20).any(|seed| play(seed, Some(bug)).broken.is_some()), "{} survives", bug.name());
    }
}
