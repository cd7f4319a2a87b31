//! In which order an epoch sees the training images.

use std::ops::Range;

use crate::random::{Purpose, Stream};

/// The order of `images` images in an epoch (from 1): a permutation that depends on nothing but seed and epoch.
pub fn epoch_order(seed: u64, epoch: u32, images: usize) -> Vec<i64> {
    let order = Stream::new(seed, Purpose::Order, epoch.into()).permutation(images as u32);
    order.into_iter().map(i64::from).collect()
}

/// The batches of an epoch as ranges of its order; the last takes what is left.
pub fn batches(images: usize, batch_size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..images).step_by(batch_size).map(move |start| start..images.min(start + batch_size))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_image_is_seen_once_an_epoch(seed: u64, epoch: u32, images in 1..500_usize, batch_size in 1..600_usize) {
            let order = epoch_order(seed, epoch, images);
            let mut seen: Vec<i64> = batches(images, batch_size).flat_map(|range| order[range].to_vec()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..images as i64).collect::<Vec<_>>());
            let sizes: Vec<usize> = batches(images, batch_size).map(|range| range.len()).collect();
            prop_assert_eq!(sizes.len(), images.div_ceil(batch_size));
            prop_assert!(sizes[..sizes.len() - 1].iter().all(|&size| size == batch_size));
        }
    }

    #[test]
    fn epochs_and_seeds_differ_and_repeat_themselves() {
        assert_eq!(epoch_order(1, 2, 100), epoch_order(1, 2, 100));
        assert_ne!(epoch_order(1, 2, 100), epoch_order(1, 3, 100));
        assert_ne!(epoch_order(1, 2, 100), epoch_order(2, 2, 100));
    }
}
