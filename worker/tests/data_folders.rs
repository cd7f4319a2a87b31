//! Image folders: which are accepted, what is said of the others, in which order and as which bytes images come.

#![allow(clippy::unwrap_used, reason = "what fails to unwrap fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use image::{ExtendedColorType, ImageFormat};
use tch::Device;
use tempfile::TempDir;
use transect_common::data::{DataSet, DataSpec, Split};
use transect_worker::data::Data;

/// A PNG file of one grey value, 2 pixels high and 3 wide.
fn png(value: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(vec![]);
    image::write_buffer_with_format(&mut bytes, &[value; 6], 3, 2, ExtendedColorType::L8, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn put(data: &TempDir, file: &str, bytes: &[u8]) {
    let path = data.path().join("flowers").join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Three classes: 2, 1 and 3 training images, 1 test image each. Values say which image it is.
fn flowers() -> TempDir {
    let data = TempDir::new().unwrap();
    for (file, value) in [
        ("train/rose/2.png", 12),
        ("train/rose/1.png", 11),
        ("train/aster/only.PNG", 1),
        ("train/tulip/a.png", 21),
        ("train/tulip/b.png", 22),
        ("train/tulip/c.png", 23),
        ("train/.hidden", 0),
        ("train/rose/.hidden", 0),
        ("test/aster/x.png", 51),
        ("test/rose/x.png", 52),
        ("test/tulip/x.png", 53),
    ] {
        put(&data, file, &png(value));
    }
    data
}

/// Without normalisation, so that values are bytes / 255.
fn spec() -> DataSpec {
    DataSpec {
        folder: Some("flowers".into()),
        shape: Some([1, 2, 3]),
        classes: Some(3),
        mean: Some(vec![0.0]),
        std: Some(vec![1.0]),
        ..DataSpec::new(DataSet::ImageFolder)
    }
}

fn load(spec: &DataSpec, data: &Path) -> Result<Data, String> {
    Data::load(spec, data, Some(1), Device::Cpu).map_err(|error| error.to_string())
}

fn complaint(spec: &DataSpec, data: &TempDir) -> String {
    load(spec, data.path()).unwrap_err()
}

/// The first byte and the label of every image.
fn seen(data: &Data, split: Split) -> Vec<(u8, i64)> {
    let (x, y) = data.batch(split, 0..data.len(split));
    let bytes: Vec<f32> = (x.select(1, 0).select(1, 0).select(1, 0) * 255.0).round().try_into().unwrap();
    bytes.into_iter().map(|byte| byte as u8).zip(Vec::<i64>::try_from(y).unwrap()).collect()
}

#[test]
fn images_come_class_by_class_in_turn_sorted_by_name() {
    let data = flowers();
    let loaded = load(&spec(), data.path()).unwrap();
    assert_eq!(seen(&loaded, Split::Train), [(1, 0), (11, 1), (21, 2), (12, 1), (22, 2), (23, 2)]);
    assert_eq!(seen(&loaded, Split::Test), [(51, 0), (52, 1), (53, 2)]);
    assert_eq!(loaded.input(), [1, 2, 3]);
}

#[test]
fn a_subset_is_the_first_of_them_and_may_be_balanced() {
    let data = flowers();
    let first = load(&DataSpec { train_size: Some(4), test_size: Some(2), ..spec() }, data.path()).unwrap();
    assert_eq!(seen(&first, Split::Train), [(1, 0), (11, 1), (21, 2), (12, 1)]);
    assert_eq!(seen(&first, Split::Test), [(51, 0), (52, 1)]);
    let balanced = DataSpec { train_size: Some(3), balanced: true, ..spec() };
    assert_eq!(seen(&load(&balanced, data.path()).unwrap(), Split::Train), [(1, 0), (11, 1), (21, 2)]);
    let said = complaint(&DataSpec { train_size: Some(6), ..balanced }, &data);
    assert!(said.contains("class 0 has only 1 training image;"), "{said}");
    let said = complaint(&DataSpec { train_size: Some(7), ..spec() }, &data);
    assert!(said.contains("train_size = 7 asks for more than the 6 train images of image-folder in"), "{said}");
}

#[test]
fn images_that_a_subset_leaves_out_are_not_read() {
    let data = flowers();
    put(&data, "train/tulip/c.png", b"broken");
    assert!(load(&DataSpec { train_size: Some(5), ..spec() }, data.path()).is_ok());
    assert!(load(&spec(), data.path()).is_err());
}

#[test]
fn a_folder_that_is_not_there_is_answered_with_the_command() {
    let said = complaint(&spec(), &TempDir::new().unwrap());
    assert!(said.contains("flowers is no folder: put the images there"), "{said}");
    assert!(said.contains("scripts/data.sh unpack ARCHIVE.tar.gz "), "{said}");
}

#[test]
fn a_missing_split_and_a_wrong_number_of_classes_are_named() {
    let data = flowers();
    fs::remove_dir_all(data.path().join("flowers/test")).unwrap();
    let said = complaint(&spec(), &data);
    assert!(
        said.contains("flowers/test is no folder: the test images belong there, one folder for each class"),
        "{said}"
    );
    let data = flowers();
    let said = complaint(&DataSpec { classes: Some(4), ..spec() }, &data);
    assert!(said.contains("flowers/train has 3 class folders, but the run says classes = 4"), "{said}");
    fs::rename(data.path().join("flowers/test/rose"), data.path().join("flowers/test/roses")).unwrap();
    let said = complaint(&spec(), &data);
    assert!(said.contains("flowers/test has no class folder `rose`, but the other split has"), "{said}");
}

#[test]
fn an_empty_class_is_named() {
    let data = flowers();
    fs::remove_file(data.path().join("flowers/train/aster/only.PNG")).unwrap();
    let said = complaint(&spec(), &data);
    assert!(said.contains("flowers/train/aster is an empty class: it holds no image"), "{said}");
}

#[test]
fn a_broken_file_is_named() {
    let jpeg = fs::read(fixture("half.jpg")).unwrap();
    let whole = png(9);
    let cases: [(&[u8], &str); 5] = [
        (b"", "is a broken image: it begins like neither PNG nor JPEG"),
        (b"GIF89a", "is a broken image: it begins like neither PNG nor JPEG"),
        (&whole[..20], "is a broken image: "),
        (&whole[..whole.len() - 30], "is a broken image: "),
        (&jpeg[..jpeg.len() / 2], "is a broken image: it is truncated"),
    ];
    for (bytes, expected) in cases {
        let data = flowers();
        put(&data, "test/tulip/x.png", bytes);
        let said = complaint(&spec(), &data);
        assert!(said.contains("flowers/test/tulip/x.png ") && said.contains(expected), "{said}");
    }
}

#[test]
fn another_kind_of_file_and_another_size_are_named() {
    let data = flowers();
    put(&data, "train/rose/notes.txt", b"roses are red");
    let said = complaint(&spec(), &data);
    assert!(said.contains("flowers/train/rose/notes.txt is neither a .png nor a .jpg or .jpeg file"), "{said}");
    let data = flowers();
    let said = complaint(&DataSpec { shape: Some([1, 3, 2]), ..spec() }, &data);
    assert!(said.contains("only.PNG is 2 pixels high and 3 wide, but the run says 3 and 2; resize it first"), "{said}");
}

#[test]
fn content_that_differs_is_refused_with_what_was_found() {
    let data = flowers();
    let said = complaint(&DataSpec { content: Some("0".repeat(64)), ..spec() }, &data);
    let found = said.split("set content = \"").nth(1).unwrap().strip_suffix('"').unwrap().to_owned();
    assert_eq!(found.len(), 64, "{said}");
    let named = DataSpec { content: Some(found), ..spec() };
    assert!(load(&named, data.path()).is_ok());
    // Hidden files are no content; a changed byte and another name are.
    put(&data, "train/rose/.other", b"x");
    assert!(load(&named, data.path()).is_ok());
    put(&data, "test/rose/x.png", &png(99));
    assert!(load(&named, data.path()).is_err());
    put(&data, "test/rose/x.png", &png(52));
    assert!(load(&named, data.path()).is_ok());
    fs::rename(data.path().join("flowers/test/rose/x.png"), data.path().join("flowers/test/rose/y.png")).unwrap();
    assert!(load(&named, data.path()).is_err());
}

#[test]
fn settings_that_no_folder_can_have_are_refused() {
    let data = flowers();
    for (spec, expected) in [
        (DataSpec { folder: Some("../flowers".into()), ..spec() }, "below the data folder"),
        (DataSpec { folder: Some("/etc".into()), ..spec() }, "below the data folder"),
        (DataSpec { folder: None, ..spec() }, "needs folder, shape and classes"),
        (DataSpec { classes: Some(257), ..spec() }, "classes must be from 1 to 256"),
    ] {
        let said = complaint(&spec, &data);
        assert!(said.contains(expected), "{said}");
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images").join(name)
}

/// Values x 255 of the one training image `file`, in the channels asked for.
fn decoded(file: &str, channels: u32) -> Vec<f32> {
    let data = TempDir::new().unwrap();
    let name = format!("a/image.{}", file.rsplit('.').next().unwrap());
    for split in ["train", "test"] {
        put(&data, &format!("{split}/{name}"), &fs::read(fixture(file)).unwrap());
    }
    let (mean, std) = (Some(vec![0.0; channels as usize]), Some(vec![1.0; channels as usize]));
    let spec = DataSpec { shape: Some([channels, 24, 32]), classes: Some(1), mean, std, ..spec() };
    let (x, _) = load(&spec, data.path()).unwrap().batch(Split::Train, 0..1);
    (x * 255.0).round().flatten(0, -1).try_into().unwrap()
}

/// Mean and largest difference from what PIL decodes.
fn apart_from_pil(file: &str) -> (f32, f32) {
    let stem = file.split('.').next().unwrap();
    let pairs = [(3, "rgb"), (1, "grey")].map(|(channels, kind)| {
        decoded(file, channels).into_iter().zip(decoded(&format!("{stem}.{kind}.png"), channels)).collect::<Vec<_>>()
    });
    let apart: Vec<f32> = pairs.concat().into_iter().map(|(ours, theirs)| (ours - theirs).abs()).collect();
    (apart.iter().sum::<f32>() / apart.len() as f32, apart.iter().copied().fold(0.0, f32::max))
}

#[test]
fn png_files_are_decoded_as_pil_does() {
    for file in ["colour.png", "palette.png", "alpha.png"] {
        assert_eq!(apart_from_pil(file), (0.0, 0.0), "{file}");
    }
}

#[test]
fn jpeg_files_are_decoded_nearly_as_pil_does() {
    for file in ["full.jpg", "half.jpg", "progressive.jpg", "grey.jpg"] {
        let (mean, most) = apart_from_pil(file);
        assert!(mean <= 0.5 && most <= 4.0, "{file}: {mean} {most}");
    }
}
