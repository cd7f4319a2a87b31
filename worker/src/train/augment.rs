//! Augmentation of training images. What happens to an image in an epoch depends on seed, epoch and the image's index.

use tch::{Device, Kind, Tensor};
use transect_common::data::Augment;

use crate::data::View;
use crate::random::{Purpose, Stream};

/// What `augment` does to training image `index` in `epoch`. The mirror does not depend on whether images are cropped.
pub fn change(augment: Augment, seed: u64, epoch: u32, index: u32) -> View {
    let mut stream = Stream::new(seed, Purpose::Augment, u64::from(epoch) << 32 | u64::from(index));
    let flip = stream.below(2) == 1 && augment.flip;
    let places = 2 * u64::from(augment.crop) + 1;
    let (top, left) = (stream.below(places) as u32, stream.below(places) as u32);
    View { flip, top, left }
}

/// Applies one change to each image of `x` [N, C, H, W], padding with `crop` zeros on every side first.
///
/// # Panics
/// When there is not one change for each image.
pub fn apply(x: &Tensor, changes: &[View], crop: u32) -> Tensor {
    let (n, channels, height, width) = x.size4().expect("images are [N, C, H, W]");
    assert_eq!(changes.len() as i64, n, "one change for each image");
    let device = x.device();
    let crop = i64::from(crop);
    let column = |value: &dyn Fn(&View) -> i64| {
        Tensor::from_slice(&changes.iter().map(value).collect::<Vec<i64>>()).view([n, 1]).to_device(device)
    };
    // A mirrored row runs backwards from its last column.
    let first_row = column(&|change| change.top.into());
    let first_column = column(&|change| i64::from(change.left) + if change.flip { width - 1 } else { 0 });
    let direction = column(&|change| if change.flip { -1 } else { 1 });
    let rows = first_row + count_to(height, device);
    let columns = first_column + direction * count_to(width, device);
    let places = rows.unsqueeze(2) * (width + 2 * crop) + columns.unsqueeze(1);
    let places = places.view([n, 1, height * width]).expand([n, channels, height * width], false);
    let padded = x.constant_pad_nd([crop, crop, crop, crop]);
    padded.view([n, channels, -1]).gather(2, &places, false).view([n, channels, height, width])
}

/// A batch of epoch `epoch` as the network sees it. `indices` are the images' places in the training split.
pub fn augmented(x: Tensor, augment: Augment, (seed, epoch): (u64, u32), indices: &[i64]) -> Tensor {
    if augment == Augment::default() {
        return x;
    }
    let changes: Vec<_> = indices.iter().map(|&index| change(augment, seed, epoch, index as u32)).collect();
    apply(&x, &changes, augment.crop)
}

fn count_to(end: i64, device: Device) -> Tensor {
    Tensor::arange(end, (Kind::Int64, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(rows: &[&[f32]]) -> Tensor {
        let values: Vec<f32> = rows.iter().flat_map(|row| row.iter().copied()).collect();
        Tensor::from_slice(&values).view([1, 1, rows.len() as i64, -1])
    }

    #[test]
    fn images_are_mirrored_and_shifted_with_zeros_moving_in() {
        let x = image(&[&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]]);
        let changed = |flip, top, left| apply(&x, &[View { flip, top, left }], 1);
        assert_eq!(changed(false, 1, 1), x);
        assert_eq!(changed(true, 1, 1), image(&[&[3.0, 2.0, 1.0], &[6.0, 5.0, 4.0]]));
        assert_eq!(changed(false, 0, 2), image(&[&[0.0, 0.0, 0.0], &[2.0, 3.0, 0.0]]));
        assert_eq!(changed(true, 0, 2), image(&[&[0.0, 0.0, 0.0], &[0.0, 3.0, 2.0]]));
    }

    #[test]
    fn each_image_of_a_batch_gets_its_own_change_in_all_channels() {
        let x = Tensor::arange(2 * 3 * 4 * 5, (Kind::Float, Device::Cpu)).view([2, 3, 4, 5]);
        let still = View { flip: false, top: 0, left: 0 };
        let y = apply(&x, &[still, View { flip: true, ..still }], 0);
        assert_eq!(y.get(0), x.get(0));
        assert_eq!(y.get(1), x.get(1).flip([2]));
    }

    #[test]
    fn a_change_is_a_function_of_seed_epoch_and_index() {
        let augment = Augment { flip: true, crop: 4 };
        let all = |seed, epoch| (0..2000).map(|index| change(augment, seed, epoch, index)).collect::<Vec<_>>();
        assert_eq!(all(1, 1), all(1, 1));
        assert_ne!(all(1, 1), all(1, 2));
        assert_ne!(all(1, 1), all(2, 1));
        let flips = all(1, 1).iter().filter(|change| change.flip).count();
        assert!((900..=1100).contains(&flips), "{flips}");
        for place in 0..=8 {
            let count = all(1, 1).iter().filter(|change| change.top == place).count();
            assert!((160..=285).contains(&count), "top {place}: {count}");
        }
        assert!(all(1, 1).iter().all(|change| change.left <= 8));
    }

    #[test]
    fn what_is_not_asked_for_does_not_happen() {
        let none = |index| change(Augment { flip: false, crop: 0 }, 1, 1, index);
        assert!((0..100).all(|index| none(index) == View { flip: false, top: 0, left: 0 }));
        let flips = |crop| (0..100).map(|i| change(Augment { flip: true, crop }, 1, 1, i).flip).collect::<Vec<_>>();
        assert_eq!(flips(0), flips(4));
    }
}
