//! From folders to images: which folder holds a data set, and whether its files are the published ones.

use std::fmt::Write;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use md5::{Digest, Md5};
use transect_common::data::{DataFile, DataSpec, Layout, Split};

use super::error::DataError;
use super::format::FormatError;
use super::{Images, cifar, idx};

/// A folder and the files of a data set that it holds.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) folder: PathBuf,
    files: Vec<(&'static DataFile, PathBuf)>,
}

/// Finds the files of a data set: in `data/NAME`, else in the folders where system packages put them. The first folder
/// that holds any of them must hold all that are needed: for a partial set, some of each split.
pub(super) fn locate(spec: &DataSpec, data: &Path) -> Result<Found, DataError> {
    let info = spec.set.info();
    let home = data.join(info.name);
    let install = info.install.replace("{dir}", &home.display().to_string());
    let looked_in: Vec<PathBuf> = std::iter::once(home).chain(info.system_folders.iter().map(PathBuf::from)).collect();
    for folder in &looked_in {
        let files: Vec<_> = info.files.iter().filter_map(|file| Some((file, path_of(folder, file.name)?))).collect();
        if files.is_empty() {
            continue;
        }
        let is_there = |file: &DataFile| files.iter().any(|(found, _)| found.name == file.name);
        let missing: Vec<_> = info.files.iter().filter(|file| !is_there(file)).map(|file| file.name).collect();
        let enough_for_partial = match info.layout {
            // Images without their labels are of no use.
            Layout::Idx => missing.is_empty(),
            Layout::CifarBinary { .. } | Layout::Generated | Layout::Folder => {
                [Split::Train, Split::Test].iter().all(|split| files.iter().any(|(file, _)| file.split == *split))
            }
        };
        if missing.is_empty() || (spec.partial && enough_for_partial) {
            return Ok(Found { folder: folder.clone(), files });
        }
        return Err(DataError::Incomplete {
            set: info.name,
            folder: folder.clone(),
            missing,
            install,
            may_be_partial: enough_for_partial,
        });
    }
    Err(DataError::Absent { set: info.name, looked_in, install })
}

fn path_of(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|path| path.is_file())
}

/// Reads one split, checking every file against its layout and, unless the set may be partial, against what was
/// published. A partial set has at most as many images as the whole.
pub(super) fn read_split(spec: &DataSpec, found: &Found, split: Split) -> Result<Images, DataError> {
    let whole = spec.default_size(split).expect("a set of published files has a size");
    let wanted = Wanted { input: spec.input(), classes: spec.classes(), whole, partial: spec.partial };
    let info = spec.set.info();
    let files: Vec<_> = found.files.iter().filter(|(file, _)| file.split == split).collect();
    match (info.layout, files.as_slice()) {
        (Layout::Idx, [images, labels]) => read_idx(&wanted, images, labels),
        (Layout::CifarBinary { label_bytes }, files) => {
            // The published files of a split are equally long.
            let published = info.files.iter().filter(|file| file.split == split).count() as u32;
            read_cifar(&Wanted { whole: wanted.whole / published, ..wanted }, label_bytes, files)
        }
        (layout, _) => unreachable!("`locate` demands the files that {layout:?} needs"),
    }
}

/// What the files of a split must hold.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    input: [u32; 3],
    classes: u32,
    /// Images of a whole file.
    whole: u32,
    /// Fewer will do.
    partial: bool,
}

type Located = (&'static DataFile, PathBuf);

fn read_idx(
    wanted: &Wanted,
    (images_file, images_path): &Located,
    (labels_file, labels_path): &Located,
) -> Result<Images, DataError> {
    let Wanted { input: [channels, height, width], classes, whole, partial } = *wanted;
    let pixels = (channels * height * width) as usize;
    let most = u64::from(whole);
    let images_bytes = read_file(images_path, idx::IMAGES_HEADER + most * pixels as u64)?;
    let images = idx::images(&images_bytes, [height, width], whole).map_err(at(images_path))?;
    let labels_bytes = read_file(labels_path, idx::LABELS_HEADER + most)?;
    let labels = idx::labels(&labels_bytes, classes, whole).map_err(at(labels_path))?;
    let count = images.len() / pixels;
    if count != labels.len() {
        return Err(DataError::Disagree {
            images_path: images_path.clone(),
            labels_path: labels_path.clone(),
            images: count,
            labels: labels.len(),
        });
    }
    if !partial {
        check_whole(images_path, count, whole)?;
        check_md5(images_path, &images_bytes, images_file)?;
        check_md5(labels_path, &labels_bytes, labels_file)?;
    }
    Ok(Images { pixels: images.to_vec(), labels: labels.to_vec(), shape: wanted.input })
}

fn read_cifar(wanted: &Wanted, label_bytes: usize, files: &[&Located]) -> Result<Images, DataError> {
    let Wanted { input, classes, whole, partial } = *wanted;
    let image = input.iter().product::<u32>() as usize;
    let mut all = Images { pixels: vec![], labels: vec![], shape: input };
    for (file, path) in files {
        let bytes = read_file(path, u64::from(whole) * (image + label_bytes) as u64)?;
        let (labels, pixels) = cifar::records(&bytes, (label_bytes, image), classes, whole).map_err(at(path))?;
        if !partial {
            check_whole(path, labels.len(), whole)?;
            check_md5(path, &bytes, file)?;
        }
        all.labels.extend(labels);
        all.pixels.extend(pixels);
    }
    Ok(all)
}

fn check_whole(path: &Path, found: usize, whole: u32) -> Result<(), DataError> {
    let whole = whole as usize;
    if found < whole { Err(DataError::TooFew { path: path.to_owned(), found, whole }) } else { Ok(()) }
}

fn check_md5(path: &Path, bytes: &[u8], file: &DataFile) -> Result<(), DataError> {
    let Some(expected) = file.md5 else { return Ok(()) };
    let mut found = String::with_capacity(32);
    for byte in Md5::digest(bytes) {
        write!(found, "{byte:02x}").expect("writing to a string succeeds");
    }
    if found == expected { Ok(()) } else { Err(DataError::Checksum { path: path.to_owned(), found, expected }) }
}

fn at(path: &Path) -> impl Fn(FormatError) -> DataError {
    move |source| DataError::Format { path: path.to_owned(), source }
}

/// The content of a file, decompressed where its first bytes say that it is gzipped. No more than one byte above `most` is read:
/// enough to see that it is too long, so that no file, however it is compressed, can fill the memory.
fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, DataError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = io::BufReader::with_capacity(1 << 16, File::open(path)?);
        let is_gzip = io::BufRead::fill_buf(&mut file)?.starts_with(&[0x1f, 0x8b]);
        // All of it at once: pages that nothing is written to cost nothing.
        let mut bytes = Vec::with_capacity(usize::try_from(most + 1).unwrap_or(0));
        if is_gzip {
            MultiGzDecoder::new(file).take(most + 1).read_to_end(&mut bytes)?;
        } else {
            file.take(most + 1).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    };
    read().map_err(|source| DataError::Read { path: path.to_owned(), source })
}
