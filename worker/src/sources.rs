//! Files that a job needs beside its own run's checkpoints: checkpoints of other runs, and imported files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use transect_common::digest::{ArtifactDigest, RunDigest};
use transect_common::run::Tag;

/// Where those files lie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Checkpoints of other runs.
    pub checkpoints: BTreeMap<(RunDigest, Tag), PathBuf>,
    /// Imported files.
    pub artifacts: BTreeMap<ArtifactDigest, PathBuf>,
}

/// A file is not there, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It was not handed over.
    #[error("{0} is needed and was not handed to the worker")]
    Absent(String),
    /// The machine cannot read it.
    #[error("{what} at {} cannot be read: {reason}", path.display())]
    Unreadable {
        /// What it is.
        what: String,
        /// Where it lies.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

impl Sources {
    /// Bytes of a checkpoint of another run.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn checkpoint(&self, run: &RunDigest, tag: &Tag) -> Result<Vec<u8>, SourceError> {
        let path = self.checkpoints.get(&(run.clone(), tag.clone())).map(PathBuf::as_path);
        read(&format!("checkpoint `{tag}` of run {}", run.short()), path)
    }

    /// Bytes of an imported file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn artifact(&self, digest: &ArtifactDigest) -> Result<Vec<u8>, SourceError> {
        read(&format!("imported file {}", digest.short()), self.artifacts.get(digest).map(PathBuf::as_path))
    }
}

fn read(what: &str, path: Option<&Path>) -> Result<Vec<u8>, SourceError> {
    let path = path.ok_or_else(|| SourceError::Absent(what.to_owned()))?;
    std::fs::read(path).map_err(|error| SourceError::Unreadable {
        what: what.to_owned(),
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
