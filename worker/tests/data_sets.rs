//! CIFAR-100, spirals, and what a run changes about its data: each setting changes what it should and nothing else.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

use std::fs;

use tch::{Device, Kind, Tensor};
use tempfile::TempDir;
use transect_common::data::{Corruption, DataSet, DataSpec, Spirals, Split};
use transect_worker::data::Data;

const SPLITS: [Split; 2] = [Split::Train, Split::Test];

/// A data folder with a part of CIFAR-10 (60 and 20 images) and of CIFAR-100 (30 and 10).
fn data() -> TempDir {
    let data = TempDir::new().unwrap();
    // Smooth images, all different; labels go round.
    let pixels = |i: usize| (0..3072).map(move |p| ((p % 32) * 4 + (p / 32 % 32) * 3 + i * 2 + p / 1024 * 9) as u8);
    let cifar10 = |count: usize| (0..count).flat_map(|i| [(i * 7 % 10) as u8].into_iter().chain(pixels(i))).collect();
    let cifar100 = |count: usize| -> Vec<u8> {
        (0..count).flat_map(|i| [(i % 20) as u8, (99 - i) as u8].into_iter().chain(pixels(i))).collect()
    };
    let files: [(&str, Vec<u8>); 4] = [
        ("cifar10/data_batch_1.bin", cifar10(60)),
        ("cifar10/test_batch.bin", cifar10(20)),
        ("cifar100/train.bin", cifar100(30)),
        ("cifar100/test.bin", cifar100(10)),
    ];
    for (name, bytes) in files {
        let path = data.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    data
}

/// Without normalisation, so that values are on the [0, 1] scale.
fn cifar10() -> DataSpec {
    DataSpec { partial: true, mean: Some(vec![0.0; 3]), std: Some(vec![1.0; 3]), ..DataSpec::new(DataSet::Cifar10) }
}

fn load(spec: &DataSpec, data: &TempDir) -> Data {
    Data::load(spec, data.path(), Some(1), Device::Cpu).unwrap()
}

fn complaint(spec: &DataSpec, data: &TempDir) -> String {
    Data::load(spec, data.path(), Some(1), Device::Cpu).unwrap_err().to_string()
}

fn images(data: &Data, split: Split) -> Tensor {
    data.batch(split, 0..data.len(split)).0
}

fn labels(data: &Data, split: Split) -> Vec<i64> {
    Vec::try_from(data.batch(split, 0..data.len(split)).1).unwrap()
}

#[test]
fn the_fine_labels_of_cifar100_are_its_classes() {
    let data = data();
    let spec = DataSpec { partial: true, ..DataSpec::new(DataSet::Cifar100) };
    let loaded = load(&spec, &data);
    assert_eq!(labels(&loaded, Split::Train), (0..30).map(|i| 99 - i).collect::<Vec<_>>());
    assert_eq!((loaded.len(Split::Test), loaded.input(), spec.classes()), (10, [3, 32, 32], 100));
    let (x, _) = loaded.batch(Split::Train, 2..3);
    let expected = [(0.5071, 0.2673), (0.4865, 0.2564), (0.4409, 0.2762)];
    for (channel, (mean, std)) in expected.into_iter().enumerate() {
        let byte = 4.0 + 9.0 * channel as f64;
        assert!((x.double_value(&[0, channel as i64, 0, 0]) - (byte / 255.0 - mean) / std).abs() < 1e-6);
    }
    let said = complaint(&DataSpec::new(DataSet::Cifar100), &data);
    assert!(said.contains("train.bin holds 30 images where the whole file has 50000"), "{said}");
}

#[test]
fn spirals_need_no_files_and_fewer_points_are_the_first_of_more() {
    let nowhere = TempDir::new().unwrap();
    let spec = DataSpec::new(DataSet::Spirals);
    let all = load(&spec, &nowhere);
    assert_eq!((all.len(Split::Train), all.len(Split::Test), all.input()), (2000, 2000, [2, 1, 1]));
    let sized = |train| load(&DataSpec { train_size: Some(train), test_size: Some(10), ..spec.clone() }, &nowhere);
    assert_eq!(sized(50).batch(Split::Train, 0..50), all.batch(Split::Train, 0..50));
    assert_eq!(sized(2500).batch(Split::Train, 0..2000), all.batch(Split::Train, 0..2000));
    // Reading a batch does not change the points.
    assert_eq!(images(&all, Split::Train), images(&all, Split::Train));
    assert_eq!(labels(&sized(5), Split::Train), [0, 1, 0, 1, 0]);
    assert_ne!(images(&all, Split::Train), images(&all, Split::Test));
    let said = complaint(&DataSpec { train_size: Some(1_000_001), ..spec }, &nowhere);
    assert!(said.contains("more than the 1000000 points"), "{said}");
}

#[test]
fn first_points_are_pinned() {
    // They name what a seed of the data means.
    let nowhere = TempDir::new().unwrap();
    let x: Vec<f32> = images(&load(&DataSpec::new(DataSet::Spirals), &nowhere), Split::Train)
        .narrow(0, 0, 2)
        .view([-1])
        .try_into()
        .unwrap();
    assert_eq!(x, [-0.343_818_55, -0.188_371_32, 0.145_775_78, 0.426_902_5]);
}

#[test]
fn each_setting_of_spirals_changes_the_points() {
    let nowhere = TempDir::new().unwrap();
    let plain = Spirals::default();
    let points =
        |spirals| images(&load(&DataSpec { spirals, ..DataSpec::new(DataSet::Spirals) }, &nowhere), Split::Test);
    for other in [
        Spirals { classes: 3, ..plain },
        Spirals { turns: 2.0, ..plain },
        Spirals { noise: 0.1, ..plain },
        Spirals { seed: 1, ..plain },
    ] {
        assert_ne!(points(other), points(plain), "{other:?}");
    }
    let three =
        DataSpec { spirals: Spirals { classes: 3, ..plain }, train_size: Some(6), ..DataSpec::new(DataSet::Spirals) };
    assert_eq!(labels(&load(&three, &nowhere), Split::Train), [0, 1, 2, 0, 1, 2]);
    let one = DataSpec { spirals: Spirals { classes: 1, ..plain }, ..three };
    assert!(complaint(&one, &nowhere).contains("spirals.classes = 1 is not in 2 to 256"));
}

#[test]
fn label_noise_leaves_pixels_alone_and_all_of_it_is_random() {
    let data = data();
    let (clean, noisy) = (load(&cifar10(), &data), load(&DataSpec { label_noise: 1.0, ..cifar10() }, &data));
    for split in SPLITS {
        assert_eq!(images(&clean, split), images(&noisy, split));
    }
    assert_eq!(labels(&clean, Split::Test), labels(&noisy, Split::Test));
    let same = labels(&clean, Split::Train).iter().zip(labels(&noisy, Split::Train)).filter(|(a, b)| *a == b).count();
    assert!(same <= 20, "a tenth of 60 is expected to stay: {same}");
    // Spirals take label noise too.
    let spirals = |label_noise| load(&DataSpec { label_noise, ..DataSpec::new(DataSet::Spirals) }, &data);
    assert_eq!(images(&spirals(0.0), Split::Train), images(&spirals(0.5), Split::Train));
    assert_ne!(labels(&spirals(0.0), Split::Train), labels(&spirals(0.5), Split::Train));
}

#[test]
fn a_balanced_training_set_has_equally_many_of_each_class_in_file_order() {
    let data = data();
    let balanced = |size| DataSpec { train_size: Some(size), balanced: true, test_size: Some(7), ..cifar10() };
    let loaded = load(&balanced(23), &data);
    let count = |class| labels(&loaded, Split::Train).into_iter().filter(|&label| label == class).count();
    assert_eq!((0..10).map(count).collect::<Vec<_>>(), [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]);
    // The test split is as it was: its first images.
    assert_eq!(images(&loaded, Split::Test), images(&load(&cifar10(), &data), Split::Test).narrow(0, 0, 7));
    // The first 20 images have two of each class already.
    assert_eq!(images(&load(&balanced(20), &data), Split::Train), images(&loaded, Split::Train).narrow(0, 0, 20));
    let said = complaint(&DataSpec { train_size: Some(61), ..balanced(0) }, &data);
    assert!(said.contains("train_size = 61 asks for more"), "{said}");
}

const CORRUPTIONS: [Corruption; 4] = [
    Corruption::GaussianNoise { level: 0.1, seed: 0 },
    Corruption::Blur { sigma: 1.0 },
    Corruption::PixelShuffle { seed: 0 },
    Corruption::BlockShuffle { blocks: 4, seed: 0 },
];

#[test]
fn corruptions_change_images_of_both_splits_and_leave_labels_alone() {
    let data = data();
    let clean = load(&cifar10(), &data);
    for corruption in CORRUPTIONS {
        let corrupted = load(&DataSpec { corruption, ..cifar10() }, &data);
        for split in SPLITS {
            let (before, after) = (images(&clean, split), images(&corrupted, split));
            assert_eq!((after.size(), after.kind()), (before.size(), Kind::Float));
            assert_ne!(before, after, "{corruption:?}");
            assert_eq!(labels(&clean, split), labels(&corrupted, split));
            assert!(after.min().double_value(&[]) >= 0.0 && after.max().double_value(&[]) <= 1.0);
        }
    }
}

#[test]
fn an_image_is_corrupted_the_same_way_in_every_subset() {
    let data = data();
    for corruption in CORRUPTIONS {
        let whole = load(&DataSpec { corruption, ..cifar10() }, &data);
        let few = load(&DataSpec { corruption, train_size: Some(9), ..cifar10() }, &data);
        assert_eq!(images(&few, Split::Train), images(&whole, Split::Train).narrow(0, 0, 9));
        let balanced = DataSpec { corruption, train_size: Some(52), balanced: true, ..cifar10() };
        let balanced = images(&load(&balanced, &data), Split::Train);
        // Classes go round with step 7, so the last ten are images 50 to 59 without those of classes 2 to 9.
        let kept = (0..60).filter(|i| *i < 50 || i * 7 % 10 < 2).collect::<Vec<i64>>();
        assert_eq!(balanced, images(&whole, Split::Train).index_select(0, &Tensor::from_slice(&kept)));
    }
}

#[test]
fn a_corruption_depends_on_its_own_seed_and_not_on_the_runs() {
    let data = data();
    let made = |corruption, seed| {
        let spec = DataSpec { corruption, ..cifar10() };
        images(&Data::load(&spec, data.path(), seed, Device::Cpu).unwrap(), Split::Train)
    };
    for corruption in CORRUPTIONS {
        assert_eq!(made(corruption, Some(1)), made(corruption, Some(2)));
        assert_eq!(made(corruption, Some(1)), made(corruption, None));
    }
    for other in [
        Corruption::GaussianNoise { level: 0.1, seed: 1 },
        Corruption::GaussianNoise { level: 0.2, seed: 0 },
        Corruption::Blur { sigma: 2.0 },
        Corruption::PixelShuffle { seed: 1 },
        Corruption::BlockShuffle { blocks: 4, seed: 1 },
        Corruption::BlockShuffle { blocks: 8, seed: 0 },
    ] {
        assert!(CORRUPTIONS.iter().all(|&one| made(one, None) != made(other, None)), "{other:?}");
    }
}

#[test]
fn shuffles_keep_every_value_and_come_before_normalisation() {
    let data = data();
    let clean = images(&load(&cifar10(), &data), Split::Train).view([60, 3, -1]);
    for corruption in [CORRUPTIONS[2], CORRUPTIONS[3]] {
        let spec = DataSpec { corruption, ..cifar10() };
        let shuffled = images(&load(&spec, &data), Split::Train);
        let sorted = |x: &Tensor| x.view([60, 3, -1]).sort(-1, false).0;
        assert_eq!(sorted(&shuffled), sorted(&clean));
        let normalised = load(&DataSpec { mean: Some(vec![0.25; 3]), std: Some(vec![0.5; 3]), ..spec }, &data);
        assert_eq!(images(&normalised, Split::Train), (&shuffled - 0.25) / 0.5);
    }
}

#[test]
fn corruptions_that_no_image_can_have_are_refused() {
    let data = data();
    for (corruption, expected) in [
        (Corruption::GaussianNoise { level: f64::NAN, seed: 0 }, "corruption.level = NaN"),
        (Corruption::Blur { sigma: 17.0 }, "corruption.sigma = 17 is not above 0 and at most 16"),
        (Corruption::BlockShuffle { blocks: 5, seed: 0 }, "corruption.blocks = 5 does not divide images of 32x32"),
    ] {
        let said = complaint(&DataSpec { corruption, ..cifar10() }, &data);
        assert!(said.contains(expected), "{said}");
    }
    let spec = DataSpec { corruption: Corruption::Blur { sigma: 1.0 }, ..DataSpec::new(DataSet::Spirals) };
    assert!(complaint(&spec, &data).contains("spirals are points of the plane"));
}
