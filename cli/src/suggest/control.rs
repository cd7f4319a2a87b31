//! A rule's control: the same overrides, dealt out to other layers. Whatever the control gains as well is not due to
//! the choice of layers.

use transect_common::stats::bootstrap::bits;

use super::rules::Override;

/// Shuffles that are tried before the overrides count as the same for all layers.
const TRIES: u64 = 100;

/// `overrides` in another order, a pure function of (overrides, seed, rule): Fisher & Yates' shuffle (Durstenfeld 1964)
/// on SplitMix64. None when no shuffle changes anything, because all are alike.
pub fn shuffled(overrides: &[Option<Override>], seed: u64, rule: usize) -> Option<Vec<Option<Override>>> {
    (0..TRIES)
        .map(|attempt| shuffle(overrides, bits(seed, rule as u64 * TRIES + attempt)))
        .find(|dealt| dealt != overrides)
}

fn shuffle(overrides: &[Option<Override>], seed: u64) -> Vec<Option<Override>> {
    let mut dealt = overrides.to_vec();
    for i in (1..dealt.len()).rev() {
        let other = (u128::from(bits(seed, i as u64)) * (i as u128 + 1)) >> 64;
        dealt.swap(i, other as usize);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_control_has_the_same_overrides_on_other_layers() {
        let overrides: Vec<_> = (0..10).map(|i| Some(Override::Lr(f64::from(i)))).collect();
        let dealt = shuffled(&overrides, 0, 1).unwrap();
        assert_ne!(dealt, overrides);
        assert!(overrides.iter().all(|one| dealt.contains(one)) && dealt.len() == 10);
        assert_eq!(shuffled(&overrides, 0, 1), Some(dealt.clone()));
        assert!(shuffled(&overrides, 1, 1) != Some(dealt.clone()) && shuffled(&overrides, 0, 2) != Some(dealt));
    }

    #[test]
    fn overrides_that_are_alike_have_no_control() {
        assert_eq!(shuffled(&[Some(Override::Frozen); 4], 0, 0), None);
        assert!(shuffled(&[Some(Override::Frozen), None], 0, 0).is_some());
    }
}
