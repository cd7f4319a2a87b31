//! Image folders: PNG and JPEG files, `FOLDER/{train,test}/CLASS/NAME`.
//!
//! Classes are the folders of a split, sorted by name (by bytes); both splits have the same ones. The images of a split
//! come class by class in turn, those of a class sorted by name: the first of each class, then the second of each, and so
//! on, so that the first n of them hold all classes. Hidden files (names that begin with a dot) are passed over; any
//! other file in a class folder must be an image.
//!
//! The bytes of an image are those of the decoder: PNG is exact everywhere; JPEG leaves decoders some freedom, and the
//! one of the `image` crate is part of what results depend on.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use image::{DynamicImage, ImageFormat, ImageReader};
use transect_common::data::{DataSpec, Split};

use super::Images;
use super::error::DataError;

/// The files of an image folder, listed but not read.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    shape: [u32; 3],
    train: Vec<ImageFile>,
    test: Vec<ImageFile>,
}

/// One file.
#[derive(Debug)]
struct ImageFile {
    /// Below the folder, with `/`: `train/cat/0001.png`.
    name: String,
    label: u8,
}

impl Folder {
    /// Lists the images of a folder and, where the run names their content, checks it.
    pub fn open(spec: &DataSpec, data: &Path) -> Result<Self, DataError> {
        let path = data.join(spec.folder.as_deref().expect("settings were checked"));
        if !path.is_dir() {
            let unpack = format!("scripts/data.sh unpack ARCHIVE.tar.gz {}", path.display());
            return Err(wrong(&path, format!("is no folder: put the images there, for example with {unpack}")));
        }
        let classes = [Split::Train, Split::Test].map(|split| classes(&path, split, spec.classes()));
        let [train_classes, test_classes] = classes;
        let (train_classes, test_classes) = (train_classes?, test_classes?);
        if let Some(odd) = test_classes.symmetric_difference(&train_classes).next() {
            let lacking = if train_classes.contains(odd) { Split::Test } else { Split::Train };
            return Err(wrong(
                &path.join(lacking.name()),
                format!("has no class folder `{odd}`, but the other split has; both splits need the same classes"),
            ));
        }
        let files = |split: Split| images(&path, split, &train_classes);
        let (train, test) = (files(Split::Train)?, files(Split::Test)?);
        let folder = Self { shape: spec.input(), train, test, path };
        if let Some(expected) = &spec.content {
            let found = folder.content()?;
            if found != *expected {
                return Err(DataError::Content { path: folder.path, found, expected: expected.clone() });
            }
        }
        Ok(folder)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Classes of the images of a split.
    pub fn labels(&self, split: Split) -> Vec<u8> {
        self.files(split).iter().map(|file| file.label).collect()
    }

    /// Reads the images at `places` of a split, on all processors. Of several mistakes the first is told.
    pub fn read(&self, split: Split, places: &[u32]) -> Result<Images, DataError> {
        let threads = thread::available_parallelism().map_or(1, NonZero::get).min(16);
        let share = places.len().div_ceil(threads).max(1);
        let parts: Vec<Result<Images, DataError>> = thread::scope(|scope| {
            let readers: Vec<_> =
                places.chunks(share).map(|places| scope.spawn(move || self.read_some(split, places))).collect();
            readers.into_iter().map(|reader| reader.join().expect("a reader does not panic")).collect()
        });
        let mut all = Images { pixels: vec![], labels: vec![], shape: self.shape };
        for part in parts {
            let part = part?;
            all.pixels.extend(part.pixels);
            all.labels.extend(part.labels);
        }
        Ok(all)
    }

    fn read_some(&self, split: Split, places: &[u32]) -> Result<Images, DataError> {
        let image = self.shape.iter().product::<u32>() as usize;
        let mut images = Images { pixels: Vec::with_capacity(places.len() * image), labels: vec![], shape: self.shape };
        for &place in places {
            let file = &self.files(split)[place as usize];
            let path = self.path.join(&file.name);
            let bytes = read_file(&path)?;
            let pixels = decode(&bytes, self.shape).map_err(|problem| wrong(&path, problem))?;
            images.pixels.extend(pixels);
            images.labels.push(file.label);
        }
        Ok(images)
    }

    /// BLAKE3 over every image file, sorted by name: length of the name and of the content (8 bytes each, little-endian),
    /// then name and content.
    fn content(&self) -> Result<String, DataError> {
        let mut files: Vec<&str> = self.train.iter().chain(&self.test).map(|file| file.name.as_str()).collect();
        files.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for name in files {
            let bytes = read_file(&self.path.join(name))?;
            hasher.update(&(name.len() as u64).to_le_bytes()).update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes()).update(&bytes);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    fn files(&self, split: Split) -> &[ImageFile] {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }
}

fn wrong(path: &Path, problem: impl Into<String>) -> DataError {
    DataError::Folder { path: path.to_owned(), problem: problem.into() }
}

fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })
}

/// Names of the visible entries of a folder that `wanted` takes, sorted.
fn names(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<BTreeSet<String>, DataError> {
    let unreadable = |source| DataError::Read { path: folder.to_owned(), source };
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else {
            return Err(wrong(&entry.path(), "has a name that is not UTF-8; rename it"));
        };
        if !name.starts_with('.') && wanted(&entry.path()) {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The class folders of a split.
fn classes(folder: &Path, split: Split, expected: u32) -> Result<BTreeSet<String>, DataError> {
    let path = folder.join(split.name());
    if !path.is_dir() {
        return Err(wrong(&path, format!("is no folder: the {split} images belong there, one folder for each class")));
    }
    let classes = names(&path, Path::is_dir)?;
    if classes.len() != expected as usize {
        let (found, s) = (classes.len(), if classes.len() == 1 { "" } else { "s" });
        return Err(wrong(&path, format!("has {found} class folder{s}, but the run says classes = {expected}")));
    }
    Ok(classes)
}

/// The images of a split in their order.
fn images(folder: &Path, split: Split, classes: &BTreeSet<String>) -> Result<Vec<ImageFile>, DataError> {
    let mut by_class = vec![];
    for class in classes {
        let path = folder.join(split.name()).join(class);
        let files = names(&path, |_| true)?;
        if files.is_empty() {
            return Err(wrong(&path, "is an empty class: it holds no image; fill it, or remove it from both splits"));
        }
        if let Some(other) = files.iter().find(|file| !is_image(file)) {
            let path = path.join(other);
            return Err(wrong(&path, "is neither a .png nor a .jpg or .jpeg file; move it out of the class folder"));
        }
        by_class.push((class, files.into_iter().collect::<Vec<_>>()));
    }
    let longest = by_class.iter().map(|(_, files)| files.len()).max().unwrap_or(0);
    let mut all = vec![];
    for turn in 0..longest {
        for (label, (class, files)) in by_class.iter().enumerate() {
            if let Some(file) = files.get(turn) {
                all.push(ImageFile { name: format!("{split}/{class}/{file}"), label: label as u8 });
            }
        }
    }
    Ok(all)
}

fn is_image(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The bytes [C x H x W] of one file, or what is wrong with it.
fn decode(bytes: &[u8], [channels, height, width]: [u32; 3]) -> Result<Vec<u8>, String> {
    let broken = |error: image::ImageError| format!("is a broken image: {error}; replace it or remove it");
    let format = image::guess_format(bytes).ok();
    let Some(format @ (ImageFormat::Png | ImageFormat::Jpeg)) = format else {
        return Err("is a broken image: it begins like neither PNG nor JPEG; replace it or remove it".to_owned());
    };
    // The decoder fills what is missing at the end of a JPEG file with grey.
    let padding = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let end = bytes.iter().rposition(|byte| !padding(byte)).map_or(0, |last| last + 1);
    let is_cut = !bytes[..end].ends_with(&[0xff, 0xd9]);
    if format == ImageFormat::Jpeg && is_cut {
        return Err(
            "is a broken image: it is truncated, a JPEG file ends with the bytes ff d9; replace it or remove it"
                .to_owned(),
        );
    }
    let reader = || ImageReader::with_format(Cursor::new(bytes), format);
    // Before the pixels are unpacked: a small file may hold a huge image.
    let (found_width, found_height) = reader().into_dimensions().map_err(broken)?;
    if (found_height, found_width) != (height, width) {
        return Err(format!(
            "is {found_height} pixels high and {found_width} wide, but the run says {height} and {width}; resize it first"
        ));
    }
    let image = reader().decode().map_err(broken)?;
    Ok(planes(&image, channels))
}

/// Channel after channel. Colour becomes grey as in PIL's `convert("L")`: (19595 R + 38470 G + 7471 B + 2^15) / 2^16.
fn planes(image: &DynamicImage, channels: u32) -> Vec<u8> {
    if !image.color().has_color() {
        let grey = image.to_luma8().into_raw();
        return grey.repeat(channels as usize);
    }
    let rgb = image.to_rgb8().into_raw();
    if channels == 3 {
        return (0..3).flat_map(|channel| rgb.iter().skip(channel).step_by(3).copied()).collect();
    }
    let grey = |rgb: &[u8]| {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(u32::from);
        ((19_595 * r + 38_470 * g + 7_471 * b + 0x8000) >> 16) as u8
    };
    rgb.chunks_exact(3).map(grey).collect()
}
