//! The artifact store: immutable blobs in a folder, named by the BLAKE3 digest of their bytes.
//!
//! ```text
//! ROOT/ab/abcdef...   an artifact: ROOT / first two digits / all 64 digits
//! ROOT/tmp/           uploads that have not ended; emptied at the start
//! ```
//!
//! Invariants: a file under its digest's name was whole and on disk before it got that name (written to `tmp`, hashed,
//! synced, renamed, its folder synced), and its bytes are checked again each time they are read. All functions block:
//! call them from a blocking thread.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use transect_common::digest::ArtifactDigest;

/// Bytes read or sent at a time.
pub const CHUNK_BYTES: usize = 1 << 20;

/// The artifact store.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: Arc<Path>,
    uploads: Arc<AtomicU64>,
    /// Sizes of what a simulation pretends is stored, in place of the folder.
    pretended: Option<Pretended>,
}

/// Sizes of artifacts that a simulation pretends to have stored.
pub type Pretended = Arc<Mutex<BTreeMap<ArtifactDigest, u64>>>;

/// Why an artifact cannot be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The bytes sent are not those that the name stands for.
    #[error(
        "the bytes sent are not artifact {expected}: their digest is {found} ({bytes} bytes). Nothing was stored; send it again"
    )]
    Mismatch {
        /// The name.
        expected: ArtifactDigest,
        /// The digest of what was sent.
        found: ArtifactDigest,
        /// Number of bytes sent.
        bytes: u64,
    },
    /// The bytes stored have changed since.
    #[error(
        "artifact {artifact} is damaged: the bytes of {} have digest {found}. Put the file back from a copy, or delete it and make the artifact again",
        path.display()
    )]
    Damaged {
        /// The name.
        artifact: ArtifactDigest,
        /// The file.
        path: PathBuf,
        /// The digest of its bytes.
        found: ArtifactDigest,
    },
    /// No such artifact.
    #[error("artifact {0} is not stored; upload it first")]
    NotFound(ArtifactDigest),
    /// No space left.
    #[error("no space left to write {}: {source}. Nothing was stored; free some space and send it again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArtifactError {
    move |source| {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                ArtifactError::Full { path, source }
            }
            _ => ArtifactError::Io { what, path, source },
        }
    }
}

impl Artifacts {
    /// Opens the store, making its folders where they are missing and removing what a crashed process left of uploads.
    /// The caller owns `root`: no other process writes there.
    pub fn open(root: &Path) -> Result<Self, ArtifactError> {
        let unfinished = root.join("tmp");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(failed("remove", &unfinished))?;
        }
        fs::create_dir_all(&unfinished).map_err(failed("create", &unfinished))?;
        Ok(Self { root: root.into(), uploads: Arc::default(), pretended: None })
    }

    /// A store that only knows sizes, for simulations: what is in `sizes` counts as stored, and nothing can be read.
    pub fn pretend(sizes: Pretended) -> Self {
        Self { root: Path::new("pretended").into(), uploads: Arc::default(), pretended: Some(sizes) }
    }

    /// Where an artifact lies, or would lie.
    pub fn path(&self, artifact: &ArtifactDigest) -> PathBuf {
        self.root.join(&artifact.as_str()[..2]).join(artifact.as_str())
    }

    /// Size of an artifact in bytes; None when it is not stored.
    pub fn size(&self, artifact: &ArtifactDigest) -> Result<Option<u64>, ArtifactError> {
        if let Some(sizes) = &self.pretended {
            return Ok(sizes.lock().unwrap_or_else(PoisonError::into_inner).get(artifact).copied());
        }
        let path = self.path(artifact);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(failed("look up", &path)(e)),
        }
    }

    /// Begins to store an artifact.
    pub fn upload(&self, artifact: ArtifactDigest) -> Result<Upload, ArtifactError> {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("tmp").join(format!("{number}-{}", artifact.short()));
        let file = File::create_new(&path).map_err(failed("create", &path))?;
        let temporary = Temporary { path };
        Ok(Upload { store: self.clone(), artifact, file, temporary, hasher: blake3::Hasher::new(), bytes: 0 })
    }

    /// Opens an artifact for reading, after checking all of its bytes.
    pub fn open_checked(&self, artifact: &ArtifactDigest) -> Result<File, ArtifactError> {
        let path = self.path(artifact);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ArtifactError::NotFound(artifact.clone())),
            Err(e) => return Err(failed("open", &path)(e)),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file).map_err(failed("read", &path))?;
        let found = digest(&hasher);
        if found != *artifact {
            return Err(ArtifactError::Damaged { artifact: artifact.clone(), path, found });
        }
        file.rewind().map_err(failed("read", &path))?;
        Ok(file)
    }

    /// All bytes of an artifact, checked.
    pub fn read(&self, artifact: &ArtifactDigest) -> Result<Vec<u8>, ArtifactError> {
        let mut bytes = Vec::new();
        self.open_checked(artifact)?.read_to_end(&mut bytes).map_err(failed("read", &self.path(artifact)))?;
        Ok(bytes)
    }
}

fn digest(hasher: &blake3::Hasher) -> ArtifactDigest {
    hasher.finalize().to_hex().parse().expect("BLAKE3 writes 64 lower-case hexadecimal digits")
}

/// An artifact on its way in. Dropping it stores nothing.
#[derive(Debug)]
pub struct Upload {
    store: Artifacts,
    artifact: ArtifactDigest,
    file: File,
    temporary: Temporary,
    hasher: blake3::Hasher,
    bytes: u64,
}

/// What became of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Size in bytes.
    pub bytes: u64,
    /// False when the artifact was there already.
    pub created: bool,
}

impl Upload {
    /// Appends bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ArtifactError> {
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        self.file.write_all(chunk).map_err(failed("write", &self.temporary.path))
    }

    /// Stores the artifact if its bytes are those that its name stands for. One that is there already is replaced by
    /// the same bytes, which mends a damaged file.
    pub fn finish(self) -> Result<Stored, ArtifactError> {
        let found = digest(&self.hasher);
        if found != self.artifact {
            return Err(ArtifactError::Mismatch { expected: self.artifact, found, bytes: self.bytes });
        }
        self.file.sync_all().map_err(failed("sync", &self.temporary.path))?;
        let path = self.store.path(&self.artifact);
        let folder = path.parent().expect("an artifact lies in a folder");
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(failed("create", folder))?;
            sync_folder(&self.store.root)?;
        }
        let created = !path.exists();
        fs::rename(&self.temporary.path, &path).map_err(failed("create", &path))?;
        sync_folder(folder)?;
        Ok(Stored { bytes: self.bytes, created })
    }
}

/// A new name in a folder is on disk only once the folder is.
fn sync_folder(path: &Path) -> Result<(), ArtifactError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

/// A file that goes away unless it has been renamed.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; a file that cannot be removed goes at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let store = Artifacts::open(folder.path()).unwrap();
        (folder, store)
    }

    fn put(store: &Artifacts, artifact: &ArtifactDigest, bytes: &[u8]) -> Result<Stored, ArtifactError> {
        let mut upload = store.upload(artifact.clone())?;
        bytes.chunks(3).try_for_each(|chunk| upload.write(chunk))?;
        upload.finish()
    }

    fn unfinished(folder: &tempfile::TempDir) -> usize {
        fs::read_dir(folder.path().join("tmp")).unwrap().count()
    }

    #[test]
    fn what_was_stored_is_read_back_and_storing_it_again_changes_nothing() {
        let (folder, store) = store();
        let artifact = ArtifactDigest::of(b"some weights");
        assert_eq!(store.size(&artifact).unwrap(), None);
        assert!(matches!(store.read(&artifact), Err(ArtifactError::NotFound(_))));

        assert_eq!(put(&store, &artifact, b"some weights").unwrap(), Stored { bytes: 12, created: true });
        assert_eq!(put(&store, &artifact, b"some weights").unwrap(), Stored { bytes: 12, created: false });
        assert_eq!(store.size(&artifact).unwrap(), Some(12));
        assert_eq!(store.read(&artifact).unwrap(), b"some weights");
        assert_eq!(unfinished(&folder), 0);
    }

    #[test]
    fn bytes_that_do_not_match_their_name_are_not_stored() {
        let (folder, store) = store();
        let artifact = ArtifactDigest::of(b"some weights");
        assert!(matches!(put(&store, &artifact, b"other weights"), Err(ArtifactError::Mismatch { bytes: 13, .. })));
        assert!(matches!(put(&store, &artifact, b""), Err(ArtifactError::Mismatch { bytes: 0, .. })));
        assert_eq!(store.size(&artifact).unwrap(), None);
        assert_eq!(unfinished(&folder), 0);
    }

    #[test]
    fn a_damaged_artifact_is_named_and_mended_by_storing_it_again() {
        let (_folder, store) = store();
        let artifact = ArtifactDigest::of(b"some weights");
        put(&store, &artifact, b"some weights").unwrap();
        fs::write(store.path(&artifact), b"some weighty").unwrap();
        let error = store.open_checked(&artifact).unwrap_err().to_string();
        assert!(error.contains(artifact.as_str()), "{error}");
        assert!(error.contains(&store.path(&artifact).display().to_string()), "{error}");
        assert_eq!(put(&store, &artifact, b"some weights").unwrap(), Stored { bytes: 12, created: false });
        assert_eq!(store.read(&artifact).unwrap(), b"some weights");
    }

    #[test]
    fn uploads_that_a_crash_left_are_removed_at_the_start() {
        let (folder, store) = store();
        let mut upload = store.upload(ArtifactDigest::of(b"x")).unwrap();
        upload.write(b"half").unwrap();
        std::mem::forget(upload);
        assert_eq!(unfinished(&folder), 1);
        Artifacts::open(folder.path()).unwrap();
        assert_eq!(unfinished(&folder), 0);
    }

    #[test]
    fn a_full_disk_is_told_apart_and_leaves_nothing() {
        let (folder, store) = store();
        let mut upload = store.upload(ArtifactDigest::of(b"x")).unwrap();
        upload.file = File::options().write(true).open("/dev/full").unwrap();
        assert!(matches!(upload.write(b"x"), Err(ArtifactError::Full { .. })));
        drop(upload);
        assert_eq!(unfinished(&folder), 0);
    }

    #[test]
    fn two_uploads_of_one_artifact_at_once_both_succeed() {
        let (folder, store) = store();
        let bytes = vec![7_u8; 3 * CHUNK_BYTES + 1];
        let artifact = ArtifactDigest::of(&bytes);
        let mut uploads = [store.upload(artifact.clone()).unwrap(), store.upload(artifact.clone()).unwrap()];
        for upload in &mut uploads {
            upload.write(&bytes).unwrap();
        }
        let stored = uploads.map(|upload| upload.finish().unwrap().created);
        assert_eq!(stored, [true, false]);
        assert_eq!(store.read(&artifact).unwrap().len(), bytes.len());
        assert_eq!(unfinished(&folder), 0);
    }
}
