//! Why a data set could not be loaded, in sentences that say what to do.

use std::path::PathBuf;

use transect_common::data::Split;

use super::format::FormatError;

/// A data set could not be loaded. Trying again does not help before something is changed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// No folder holds any of the files.
    #[error("{set} is not there: no file of it in {}. Install it with: {install}", list(looked_in))]
    Absent {
        /// The data set.
        set: &'static str,
        /// Folders that were looked in.
        looked_in: Vec<PathBuf>,
        /// The command that installs it.
        install: String,
    },
    /// Some files are there, others are not.
    #[error("{set} in {} lacks {}. Install it with: {install}{}", folder.display(), missing.join(", "), partial_hint(*may_be_partial))]
    Incomplete {
        /// The data set.
        set: &'static str,
        /// The folder that holds the other files.
        folder: PathBuf,
        /// Files that it does not hold.
        missing: Vec<&'static str>,
        /// The command that installs it.
        install: String,
        /// True when `partial = true` would accept the files that are there.
        may_be_partial: bool,
    },
    /// A file cannot be read or decompressed.
    #[error("{} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} {source}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FormatError,
    },
    /// A file has the right form but not the published content.
    #[error(
        "{} is not the published file: its content has MD5 {found} instead of {expected}; fetch it again, or set `partial = true` to use another",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// MD5 of its content.
        found: String,
        /// MD5 of the published content.
        expected: &'static str,
    },
    /// As many images as labels are needed.
    #[error("{} holds {images} images but {} holds {labels} labels", images_path.display(), labels_path.display())]
    Disagree {
        /// The file of images.
        images_path: PathBuf,
        /// The file of labels.
        labels_path: PathBuf,
        /// Images in the one.
        images: usize,
        /// Labels in the other.
        labels: usize,
    },
    /// Fewer images than the published set has.
    #[error(
        "{} holds {found} images where the whole file has {whole}; fetch it again, or set `partial = true` to use what is there",
        path.display()
    )]
    TooFew {
        /// The file.
        path: PathBuf,
        /// Images that it holds.
        found: usize,
        /// Images that it should hold.
        whole: usize,
    },
    /// The run asks for more images than there are.
    #[error("{split}_size = {asked} asks for more than the {found} {split} images of {set} in {}", folder.display())]
    SizeOutOfReach {
        /// The data set.
        set: &'static str,
        /// Its folder.
        folder: PathBuf,
        /// The split.
        split: Split,
        /// Images asked for.
        asked: u32,
        /// Images there are.
        found: usize,
    },
    /// A class has fewer images than its share of a balanced training set.
    #[error(
        "a balanced train_size = {size} needs more of class {class} of {set} in {}: class {class} has only {found} training image{}; take a smaller train_size",
        folder.display(),
        if *found == 1 { "" } else { "s" }
    )]
    Unbalanced {
        /// The data set.
        set: &'static str,
        /// Its folder.
        folder: PathBuf,
        /// Images asked for.
        size: u32,
        /// The class.
        class: u32,
        /// Images of it that there are.
        found: usize,
    },
    /// An image folder is not there, or not as it should be.
    #[error("{} {problem}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// An image folder holds other images than the run names.
    #[error(
        "{} does not hold the images that the run names: their content is {found}, not {expected}; get the right ones, or set content = \"{found}\"",
        path.display()
    )]
    Content {
        /// The folder.
        path: PathBuf,
        /// BLAKE3 of what it holds.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A setting of the run's data makes no sense.
    #[error("{0}")]
    Setting(String),
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(" or ")
}

fn partial_hint(may_be_partial: bool) -> &'static str {
    if may_be_partial { " (or set `partial = true` to use the files that are there)" } else { "" }
}
