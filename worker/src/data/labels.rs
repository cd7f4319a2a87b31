//! Label noise: some training labels replaced by chance, the same ones for the same seed.

use crate::random::{Purpose, Stream};

/// Replaces a `share` (0 to 1) of `labels`, rounded to whole images and chosen by chance, by labels drawn uniformly from
/// `classes`; a draw may give the old label again. A larger share of the same labels begins with the same replacements.
///
/// # Panics
/// When `classes` is not 1 to 256.
pub fn add_noise(labels: &mut [u8], share: f64, classes: u32, seed: u64) {
    assert!((1..=256).contains(&classes), "labels are bytes");
    let replaced = (share * labels.len() as f64).round() as usize;
    if replaced == 0 {
        return;
    }
    let chosen = Stream::new(seed, Purpose::LabelNoise, 0).permutation(labels.len() as u32);
    let mut draws = Stream::new(seed, Purpose::LabelNoise, 1);
    for &index in chosen.iter().take(replaced) {
        labels[index as usize] = draws.below(classes.into()) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noisy(share: f64, seed: u64) -> Vec<u8> {
        // 255 is no label, so that every replacement shows.
        let mut labels = vec![255; 1000];
        add_noise(&mut labels, share, 10, seed);
        labels
    }

    #[test]
    fn exactly_the_share_is_replaced() {
        for (share, replaced) in [(0.0, 0), (0.0004, 0), (0.25, 250), (0.9996, 1000), (1.0, 1000)] {
            let kept = noisy(share, 1).into_iter().filter(|&label| label == 255);
            assert_eq!(kept.count(), 1000 - replaced, "{share}");
        }
    }

    #[test]
    fn noise_is_a_function_of_the_seed() {
        assert_eq!(noisy(0.5, 1), noisy(0.5, 1));
        assert_ne!(noisy(0.5, 1), noisy(0.5, 2));
    }

    #[test]
    fn new_labels_are_uniform_over_the_classes() {
        let mut counts = [0; 256];
        for label in noisy(1.0, 3) {
            counts[usize::from(label)] += 1;
        }
        assert!(counts[..10].iter().all(|count| (60..=140).contains(count)), "{counts:?}");
        assert!(counts[10..].iter().all(|&count| count == 0), "{counts:?}");
    }

    #[test]
    fn more_noise_keeps_what_less_noise_replaced() {
        let (little, much) = (noisy(0.1, 4), noisy(0.6, 4));
        assert!(little.iter().zip(&much).all(|(a, b)| *a == 255 || a == b));
    }
}
