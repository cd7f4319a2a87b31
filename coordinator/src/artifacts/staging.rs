//! Uploads on their way in: files of this machine, hashed as they grow, kept when a stream breaks so that the next goes on.
//!
//! ```text
//! FOLDER/DIGEST.part      what arrived so far of an artifact; at most one upload at a time holds it, with flock(2)
//! FOLDER/PID-N-DIGEST     another upload of the same artifact at the same time; it cannot be resumed
//! ```
//!
//! Invariants: a staged file is named to others only when its digest has been checked and it is on disk. What is kept of
//! a broken upload is known to this coordinator alone, and goes after an hour, when the digest turns out wrong, and when
//! the disk is full. All functions block: call them from a blocking thread.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use transect_common::digest::ArtifactDigest;

use super::error::{ArtifactError, failed};

/// What a broken upload left is kept so long after its last byte.
const KEPT: Duration = Duration::from_hours(1);
/// Bytes read at a time when hashing again.
const BUFFER: usize = 1 << 20;

/// Distinguishes uploads of this process.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The folder of uploads.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
}

impl Staging {
    /// Opens the folder, making it where it is missing, and removes what nobody goes on with.
    pub fn open(folder: PathBuf, now: SystemTime) -> Result<Self, ArtifactError> {
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let staging = Self { folder };
        staging.tidy(now)?;
        Ok(staging)
    }

    fn part(&self, artifact: &ArtifactDigest) -> PathBuf {
        self.folder.join(format!("{artifact}.part"))
    }

    /// Bytes kept of an upload that broke off.
    pub fn partial(&self, artifact: &ArtifactDigest) -> u64 {
        fs::metadata(self.part(artifact)).map_or(0, |metadata| metadata.len())
    }

    /// Removes what was left longer ago than it is kept, unless it is in use.
    pub fn tidy(&self, now: SystemTime) -> Result<(), ArtifactError> {
        for entry in fs::read_dir(&self.folder).map_err(failed("read", &self.folder))? {
            let path = entry.map_err(failed("read", &self.folder))?.path();
            // Others may remove it at the same time.
            let Ok(file) = File::open(&path) else { continue };
            let Ok(metadata) = file.metadata() else { continue };
            let idle = metadata.modified().ok().and_then(|then| now.duration_since(then).ok()).unwrap_or_default();
            let is_part = path.extension().is_some_and(|e| e == "part");
            if metadata.is_file() && (!is_part || idle > KEPT) && file.try_lock().is_ok() {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    /// Begins an upload, or goes on with one at `offset`.
    pub fn begin(&self, artifact: ArtifactDigest, offset: u64, now: SystemTime) -> Result<Upload, ArtifactError> {
        self.tidy(now)?;
        let part = self.part(&artifact);
        let held = hold(&part).map_err(failed("open", &part))?;
        let (mut file, path, is_shared) = match held {
            Some(file) => (file, part, true),
            None if offset > 0 => return Err(ArtifactError::Busy(artifact)),
            None => {
                let number = COUNT.fetch_add(1, Ordering::Relaxed);
                let path = self.folder.join(format!("{}-{number}-{}", std::process::id(), artifact.short()));
                let file = File::create_new(&path).map_err(failed("create", &path))?;
                file.try_lock().map_err(|e| failed("lock", &path)(lock_error(e)))?;
                (file, path, false)
            }
        };
        let have = file.metadata().map_err(failed("read", &path))?.len();
        if offset > have {
            return Err(ArtifactError::Gap { artifact, have, offset });
        }
        file.set_len(offset).map_err(failed("write", &path))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; if offset == 0 { 0 } else { BUFFER }];
        let mut left = offset;
        while left > 0 {
            let n = left.min(BUFFER as u64) as usize;
            file.read_exact(&mut buffer[..n]).map_err(failed("read", &path))?;
            hasher.update(&buffer[..n]);
            left -= n as u64;
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed("read", &path))?;
        Ok(Upload { artifact, file, path, is_shared, hasher, bytes: offset })
    }
}

/// Opens and locks the file at `path`, making it where it is missing; None while another holds it.
fn hold(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(error) => return Err(lock_error(error)),
        }
        // Its last holder may have renamed or removed it after it was opened here: then it is an artifact by now.
        let same = |there: fs::Metadata| file.metadata().is_ok_and(|held| held.ino() == there.ino());
        if fs::metadata(path).is_ok_and(same) {
            return Ok(Some(file));
        }
    }
}

fn lock_error(error: TryLockError) -> io::Error {
    match error {
        TryLockError::Error(error) => error,
        TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
    }
}

/// An artifact on its way in. Dropping it keeps what arrived.
#[derive(Debug)]
pub struct Upload {
    artifact: ArtifactDigest,
    file: File,
    path: PathBuf,
    is_shared: bool,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Upload {
    /// Appends bytes.
    pub fn write(&mut self, chunk: &[u8]) -> Result<(), ArtifactError> {
        let written = self.file.write_all(chunk).map_err(failed("write", &self.path));
        if let Err(ArtifactError::Full { .. }) = written {
            // What is kept would only be in the way of everything else.
            let _ = fs::remove_file(&self.path);
        }
        written?;
        self.hasher.update(chunk);
        self.bytes += chunk.len() as u64;
        Ok(())
    }

    /// Checks the digest, and that everything is on disk. Wrong bytes are removed.
    pub fn finish(self) -> Result<Staged, ArtifactError> {
        let found = digest(&self.hasher);
        if found != self.artifact {
            let (expected, bytes) = (self.artifact.clone(), self.bytes);
            self.discard();
            return Err(ArtifactError::Mismatch { expected, found, bytes });
        }
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        Ok(Staged(self))
    }

    /// Removes what arrived.
    pub fn discard(self) {
        // A file that cannot be removed goes with the next tidying.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // A file of its own cannot be found again. After a rename there is nothing to remove.
        if !self.is_shared || self.bytes == 0 {
            let is_ours = |there: fs::Metadata| self.file.metadata().is_ok_and(|held| held.ino() == there.ino());
            if fs::metadata(&self.path).is_ok_and(is_ours) {
                let _ = fs::remove_file(&self.path);
            }
        }
    }
}

/// A whole artifact, checked and on disk, not yet in its place. Dropping it keeps it as an upload that only lacks its end.
#[derive(Debug)]
pub struct Staged(Upload);

impl Staged {
    /// The name.
    pub fn artifact(&self) -> &ArtifactDigest {
        &self.0.artifact
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// Removes the staged file, once the artifact is in its place.
    pub fn discard(self) {
        self.0.discard();
    }

    /// Gives the staged file its lasting name.
    pub fn rename(self, to: &Path) -> io::Result<()> {
        fs::rename(&self.0.path, to)
    }
}

/// What a hasher has come to, as a name.
pub fn digest(hasher: &blake3::Hasher) -> ArtifactDigest {
    hasher.finalize().to_hex().parse().expect("BLAKE3 writes 64 lower-case hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staging() -> (tempfile::TempDir, Staging) {
        let folder = tempfile::tempdir().unwrap();
        let staging = Staging::open(folder.path().join("tmp"), SystemTime::now()).unwrap();
        (folder, staging)
    }

    fn begin(staging: &Staging, bytes: &[u8], offset: u64) -> Result<Upload, ArtifactError> {
        staging.begin(ArtifactDigest::of(bytes), offset, SystemTime::now())
    }

    fn files(staging: &Staging) -> usize {
        fs::read_dir(&staging.folder).unwrap().count()
    }

    #[test]
    fn a_broken_upload_goes_on_where_it_stopped_even_after_a_restart() {
        let (_folder, staging) = staging();
        let whole = vec![7_u8; 3 * BUFFER + 5];
        let mut upload = begin(&staging, &whole, 0).unwrap();
        upload.write(&whole[..2 * BUFFER]).unwrap();
        drop(upload);
        let staging = Staging::open(staging.folder, SystemTime::now()).unwrap();
        assert_eq!(staging.partial(&ArtifactDigest::of(&whole)), 2 * BUFFER as u64);

        // Where it goes on is for the sender to say, as long as nothing is left out.
        let offset = BUFFER + 3;
        let mut upload = begin(&staging, &whole, offset as u64).unwrap();
        upload.write(&whole[offset..]).unwrap();
        let staged = upload.finish().unwrap();
        assert_eq!(fs::read(staged.path()).unwrap(), whole);
        staged.discard();
        assert_eq!(files(&staging), 0);
    }

    #[test]
    fn nothing_may_be_left_out() {
        let (_folder, staging) = staging();
        let mut upload = begin(&staging, b"some weights", 0).unwrap();
        upload.write(b"some").unwrap();
        drop(upload);
        assert!(matches!(begin(&staging, b"some weights", 5), Err(ArtifactError::Gap { have: 4, offset: 5, .. })));
        assert_eq!(staging.partial(&ArtifactDigest::of(b"some weights")), 4, "and what is there stays");
    }

    #[test]
    fn wrong_bytes_are_not_kept() {
        let (_folder, staging) = staging();
        let mut upload = begin(&staging, b"some weights", 0).unwrap();
        upload.write(b"other weights").unwrap();
        assert!(matches!(upload.finish(), Err(ArtifactError::Mismatch { bytes: 13, .. })));
        assert!(matches!(begin(&staging, b"x", 0).unwrap().finish(), Err(ArtifactError::Mismatch { bytes: 0, .. })));
        assert_eq!(files(&staging), 0);
    }

    #[test]
    fn two_uploads_of_one_artifact_at_once_do_not_meet() {
        let (_folder, staging) = staging();
        let [mut one, mut two] = [0, 0].map(|offset| begin(&staging, b"some weights", offset).unwrap());
        one.write(b"some").unwrap();
        two.write(b"some weights").unwrap();
        one.write(b" weights").unwrap();
        assert!(begin(&staging, b"some weights", 4).is_err(), "what another writes cannot be gone on with");
        two.finish().unwrap();
        one.finish().unwrap().discard();
        assert_eq!(files(&staging), 0);
    }

    #[test]
    fn what_is_left_goes_after_an_hour_and_not_while_it_is_in_use() {
        let (_folder, staging) = staging();
        let mut upload = begin(&staging, b"some weights", 0).unwrap();
        upload.write(b"some").unwrap();
        let later = SystemTime::now() + KEPT + Duration::from_secs(10);
        staging.tidy(later).unwrap();
        assert_eq!(files(&staging), 1);
        drop(upload);
        staging.tidy(SystemTime::now()).unwrap();
        assert_eq!(files(&staging), 1);
        // A file of another shape is what an earlier version left.
        fs::write(staging.folder.join("0-abcdef"), b"x").unwrap();
        staging.tidy(later).unwrap();
        assert_eq!(files(&staging), 0);
    }

    #[test]
    fn a_full_disk_is_told_apart_and_keeps_nothing() {
        let (_folder, staging) = staging();
        let mut upload = begin(&staging, b"x", 0).unwrap();
        upload.file = File::options().write(true).open("/dev/full").unwrap();
        assert!(matches!(upload.write(b"x"), Err(ArtifactError::Full { .. })));
        drop(upload);
        assert_eq!(files(&staging), 0);
    }
}
