//! Data sets on disk: which files are accepted, what is said of the others, and what a run gets of them.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]
#![expect(clippy::float_cmp, reason = "normalisation is exact")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tch::{Device, Tensor};
use tempfile::TempDir;
use transect_common::data::{DataSet, DataSpec, Split};
use transect_worker::data::{Data, DataError};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_be_bytes()).collect()
}

fn idx_images(count: u32) -> Vec<u8> {
    let mut bytes = words(&[2051, count, 28, 28]);
    bytes.extend((0..count * 784).map(|i| (i * 7 % 251) as u8));
    bytes
}

fn idx_labels(count: u32) -> Vec<u8> {
    let mut bytes = words(&[2049, count]);
    bytes.extend((0..count).map(|i| (i % 10) as u8));
    bytes
}

/// A data folder in which MNIST has so many training and test images.
fn mnist(train: u32, test: u32) -> TempDir {
    let data = TempDir::new().unwrap();
    let folder = data.path().join("mnist");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("train-images-idx3-ubyte"), idx_images(train)).unwrap();
    fs::write(folder.join("train-labels-idx1-ubyte"), idx_labels(train)).unwrap();
    fs::write(folder.join("t10k-images-idx3-ubyte"), idx_images(test)).unwrap();
    fs::write(folder.join("t10k-labels-idx1-ubyte"), idx_labels(test)).unwrap();
    data
}

fn put(data: &TempDir, file: &str, bytes: &[u8]) {
    fs::write(data.path().join("mnist").join(file), bytes).unwrap();
}

fn partial() -> DataSpec {
    DataSpec { partial: true, ..DataSpec::new(DataSet::Mnist) }
}

fn load(spec: &DataSpec, folder: &Path) -> Result<Data, DataError> {
    Data::load(spec, folder, Some(1), Device::Cpu)
}

fn complaint(spec: &DataSpec, data: &TempDir) -> String {
    load(spec, data.path()).unwrap_err().to_string()
}

fn labels(data: &Data, split: Split) -> Vec<i64> {
    Vec::try_from(data.batch(split, 0..data.len(split)).1).unwrap()
}

#[test]
fn plain_and_gzipped_files_give_the_same_images() {
    let plain = mnist(30, 20);
    let zipped = mnist(30, 20);
    let folder = zipped.path().join("mnist");
    for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>() {
        let bytes = gzip(&fs::read(&entry).unwrap());
        // Half of them keep their name: what a file is, is in its bytes.
        let name = entry.file_name().unwrap().to_str().unwrap();
        let name = if name.contains("images") { format!("{name}.gz") } else { name.to_owned() };
        fs::remove_file(&entry).unwrap();
        fs::write(folder.join(name), bytes).unwrap();
    }
    let (plain, zipped) = (load(&partial(), plain.path()).unwrap(), load(&partial(), zipped.path()).unwrap());
    for split in [Split::Train, Split::Test] {
        let ((x, y), (x2, y2)) = (plain.batch(split, 0..20), zipped.batch(split, 0..20));
        assert_eq!((x, y), (x2, y2));
    }
}

#[test]
fn images_are_normalised_as_torchvision_does() {
    let folder = mnist(3, 2);
    let data = load(&partial(), folder.path()).unwrap();
    let (x, _) = data.batch(Split::Train, 1..3);
    assert_eq!(x.size(), [2, 1, 28, 28]);
    let values = Vec::<f32>::try_from(x.view([-1])).unwrap();
    for (i, value) in values.iter().enumerate() {
        let byte = ((784 + i as u32) * 7 % 251) as f32;
        assert_eq!(*value, (byte / 255.0 - 0.1307) / 0.3081);
    }
}

#[test]
fn a_selection_is_what_the_batch_holds_at_those_places() {
    let folder = mnist(9, 2);
    let data = load(&partial(), folder.path()).unwrap();
    let (x, y) = data.select(Split::Train, &Tensor::from_slice(&[7_i64, 0, 7]));
    let (all_x, all_y) = data.batch(Split::Train, 0..9);
    for (row, place) in [7, 0, 7].into_iter().enumerate() {
        assert_eq!(x.get(row as i64), all_x.get(place));
        assert_eq!(y.get(row as i64), all_y.get(place));
    }
}

#[test]
fn an_absent_set_is_answered_with_the_folders_and_the_command() {
    let data = TempDir::new().unwrap();
    let home = data.path().join("mnist");
    let said = complaint(&partial(), &data);
    assert!(said.contains(&format!("no file of it in {}", home.display())), "{said}");
    assert!(said.contains("Install it with: scripts/data.sh mnist"), "{said}");
    let said = complaint(&DataSpec::new(DataSet::Cifar10), &data);
    let folder = data.path().join("cifar10").display().to_string();
    assert!(said.contains(&format!("mkdir -p {folder} && tar")), "{said}");
    assert!(!said.contains("{dir}"), "{said}");
}

#[test]
fn missing_files_are_named() {
    let data = mnist(3, 2);
    fs::remove_file(data.path().join("mnist/t10k-labels-idx1-ubyte")).unwrap();
    for spec in [partial(), DataSpec::new(DataSet::Mnist)] {
        let said = complaint(&spec, &data);
        assert!(said.contains("lacks t10k-labels-idx1-ubyte. Install it with"), "{said}");
        assert!(!said.contains("partial"), "labels cannot be done without: {said}");
    }
}

#[test]
fn damaged_files_are_named_with_what_is_wrong() {
    let file = "train-images-idx3-ubyte";
    let whole = idx_images(3);
    let zipped = gzip(&whole);
    let mut flipped = zipped.clone();
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    let cases: [(Vec<u8>, &str); 8] = [
        (vec![], "is truncated: it ends after 0 bytes, 16 are needed"),
        (whole[..whole.len() - 1].to_vec(), "is truncated: it ends after 2367 bytes, 2368 are needed"),
        ([whole.clone(), vec![0]].concat(), "goes on after the 2368 bytes"),
        (idx_labels(3), "begins with the number 2049 where a file of images begins with 2051"),
        (words(&[2051, 3, 32, 32]), "holds images of 32x32 pixels where 28x28 belong"),
        (words(&[2051, 60_001, 28, 28]), "holds 60001 images where the whole file has 60000"),
        (zipped[..zipped.len() - 9].to_vec(), "cannot be read: "),
        (flipped, "cannot be read: "),
    ];
    for (bytes, expected) in cases {
        let data = mnist(3, 2);
        put(&data, file, &bytes);
        let said = complaint(&partial(), &data);
        assert!(said.contains(expected), "{said} should say: {expected}");
        assert!(said.contains(&data.path().join("mnist").join(file).display().to_string()), "{said}");
    }
}

#[test]
fn a_small_file_that_unpacks_to_too_much_is_not_unpacked() {
    let data = mnist(3, 2);
    let bomb = [words(&[2049, 2]), vec![0; 100_000_000]].concat();
    put(&data, "t10k-labels-idx1-ubyte", &gzip(&bomb));
    let said = complaint(&partial(), &data);
    assert!(said.contains("goes on after the 10 bytes"), "{said}");
}

#[test]
fn labels_out_of_range_and_counts_that_disagree_are_refused() {
    let data = mnist(3, 2);
    put(&data, "train-labels-idx1-ubyte", &[words(&[2049, 3]), vec![1, 2, 10]].concat());
    let said = complaint(&partial(), &data);
    assert!(said.contains("gives image 2 the label 10, but the labels are 0 to 9"), "{said}");
    put(&data, "train-labels-idx1-ubyte", &idx_labels(4));
    let said = complaint(&partial(), &data);
    assert!(said.contains("holds 3 images but ") && said.contains("holds 4 labels"), "{said}");
}

#[test]
fn a_whole_set_must_be_whole_and_the_published_one() {
    let data = mnist(59_999, 10_000);
    let said = complaint(&DataSpec::new(DataSet::Mnist), &data);
    assert!(said.contains("holds 59999 images where the whole file has 60000"), "{said}");
    assert!(said.contains("`partial = true`"), "{said}");
    let data = mnist(60_000, 10_000);
    let error = load(&DataSpec::new(DataSet::Mnist), data.path()).unwrap_err();
    assert!(matches!(error, DataError::Checksum { .. }), "{error}");
    assert!(error.to_string().contains("instead of 6bbc9ace898e44ae57da46a324031adb"), "{error}");
}

#[test]
fn a_subset_is_the_first_images_in_the_files_order() {
    let folder = mnist(30, 20);
    let spec = DataSpec { train_size: Some(12), test_size: Some(20), ..partial() };
    let data = load(&spec, folder.path()).unwrap();
    assert_eq!((data.len(Split::Train), data.len(Split::Test)), (12, 20));
    let whole = load(&partial(), folder.path()).unwrap();
    assert_eq!(data.batch(Split::Train, 0..12), whole.batch(Split::Train, 0..12));
    assert_eq!(labels(&data, Split::Train), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
}

#[test]
fn a_size_beyond_the_files_names_both() {
    let data = mnist(30, 20);
    let said = complaint(&DataSpec { train_size: Some(31), ..partial() }, &data);
    assert!(said.contains("train_size = 31 asks for more than the 30 train images of mnist in"), "{said}");
    let said = complaint(&DataSpec { test_size: Some(21), ..partial() }, &data);
    assert!(said.contains("test_size = 21 asks for more than the 20 test images"), "{said}");
}

#[test]
fn label_noise_changes_training_labels_only_and_by_the_seed() {
    let folder = mnist(1000, 100);
    let spec = DataSpec { label_noise: 0.5, ..partial() };
    let noisy = |seed| Data::load(&spec, folder.path(), Some(seed), Device::Cpu).unwrap();
    let clean = load(&partial(), folder.path()).unwrap();
    let changed = |data: &Data, split| {
        labels(data, split).iter().zip(labels(&clean, split)).filter(|(noisy, clean)| **noisy != *clean).count()
    };
    // 500 are replaced, a tenth of them by what they were.
    assert!((410..=490).contains(&changed(&noisy(1), Split::Train)), "{}", changed(&noisy(1), Split::Train));
    assert_eq!(changed(&noisy(1), Split::Test), 0);
    assert_eq!(labels(&noisy(1), Split::Train), labels(&noisy(1), Split::Train));
    assert_ne!(labels(&noisy(1), Split::Train), labels(&noisy(2), Split::Train));
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = mnist(3, 2);
    let refused = |spec: DataSpec, seed| Data::load(&spec, folder.path(), seed, Device::Cpu).unwrap_err().to_string();
    let said = refused(DataSpec { label_noise: 0.1, ..partial() }, None);
    assert!(said.contains("an imported run has no seed"), "{said}");
    let said = refused(DataSpec { label_noise: f64::NAN, ..partial() }, Some(1));
    assert!(said.contains("label_noise = NaN"), "{said}");
    let said = refused(DataSpec { mean: Some(vec![0.5; 3]), ..partial() }, Some(1));
    assert!(said.contains("mnist has 1 channels, but 3 means and 1 standard deviations"), "{said}");
    let said = refused(DataSpec { std: Some(vec![0.0]), ..partial() }, Some(1));
    assert!(said.contains("above 0"), "{said}");
    let said = refused(DataSpec { train_size: Some(0), ..partial() }, Some(1));
    assert!(said.contains("at least 1"), "{said}");
    assert!(Data::load(&partial(), folder.path(), None, Device::Cpu).is_ok());
}

fn cifar_records(count: usize, first_label: usize) -> Vec<u8> {
    (0..count).flat_map(|i| std::iter::once(((first_label + i) % 10) as u8).chain([i as u8; 3072])).collect()
}

#[test]
fn a_partial_cifar_set_takes_the_batches_that_are_there() {
    let data = TempDir::new().unwrap();
    let folder = data.path().join("cifar10");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data_batch_1.bin.gz"), gzip(&cifar_records(4, 0))).unwrap();
    fs::write(folder.join("data_batch_2.bin"), cifar_records(3, 7)).unwrap();
    let spec = DataSpec { partial: true, ..DataSpec::new(DataSet::Cifar10) };
    let said = complaint(&spec, &data);
    assert!(said.contains("lacks data_batch_3.bin, data_batch_4.bin, data_batch_5.bin, test_batch.bin"), "{said}");

    fs::write(folder.join("test_batch.bin"), cifar_records(2, 5)).unwrap();
    let said = complaint(&DataSpec { partial: false, ..spec.clone() }, &data);
    assert!(said.contains("or set `partial = true` to use the files that are there"), "{said}");
    let loaded = load(&spec, data.path()).unwrap();
    assert_eq!(labels(&loaded, Split::Train), [0, 1, 2, 3, 7, 8, 9]);
    assert_eq!(labels(&loaded, Split::Test), [5, 6]);
    assert_eq!(loaded.input(), [3, 32, 32]);
    let (x, _) = loaded.batch(Split::Train, 6..7);
    let expected = [(0.4914, 0.2470), (0.4822, 0.2435), (0.4465, 0.2616)].map(|(mean, std)| (2.0 / 255.0 - mean) / std);
    for (channel, value) in expected.into_iter().enumerate() {
        assert!((x.double_value(&[0, channel as i64, 31, 31]) - value).abs() < 1e-6);
    }
}

/// The folder of shared test data beside the project, if this machine has one.
fn shared_data() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    folder.is_dir().then_some(folder)
}

#[test]
fn true_cifar_images_are_read() {
    let Some(shared) = shared_data() else {
        eprintln!("skipped: there is no ../shared/data beside the project");
        return;
    };
    let data = TempDir::new().unwrap();
    std::os::unix::fs::symlink(shared.join("cifar10-part"), data.path().join("cifar10")).unwrap();
    let spec = DataSpec { partial: true, ..DataSpec::new(DataSet::Cifar10) };
    let loaded = load(&spec, data.path()).unwrap();
    assert_eq!((loaded.len(Split::Train), loaded.len(Split::Test)), (4000, 1000));
    // The published training set begins with a frog and two trucks.
    assert_eq!(labels(&loaded, Split::Train)[..3], [6, 9, 9]);
    // Normalised by the whole set's statistics, 4,000 images are close to mean 0 and standard deviation 1.
    let (x, _) = loaded.batch(Split::Train, 0..4000);
    for channel in 0..3 {
        let x = x.select(1, channel);
        let (mean, std) = (x.mean(None).double_value(&[]), x.std(false).double_value(&[]));
        assert!(mean.abs() < 0.05 && (std - 1.0).abs() < 0.05, "channel {channel}: {mean} {std}");
    }
}

#[test]
fn fashion_mnist_of_the_system_package_is_found_and_is_the_published_one() {
    let data = TempDir::new().unwrap();
    let loaded = match load(&DataSpec::new(DataSet::FashionMnist), data.path()) {
        Ok(loaded) => loaded,
        Err(error @ DataError::Absent { .. }) => {
            assert!(error.to_string().contains("/usr/share/datasets/fashion-mnist"), "{error}");
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!((loaded.len(Split::Train), loaded.len(Split::Test)), (60_000, 10_000));
    let (x, _) = loaded.batch(Split::Train, 0..60_000);
    let (mean, std) = (x.mean(None).double_value(&[]), x.std(false).double_value(&[]));
    assert!(mean.abs() < 1e-3 && (std - 1.0).abs() < 1e-3, "{mean} {std}");
    for class in 0..10 {
        assert_eq!(labels(&loaded, Split::Train).iter().filter(|&&label| label == class).count(), 6000);
    }
}
