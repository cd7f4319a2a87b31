//! Checkpoint files on this machine, by digest, so that a run's probes do not fetch them again.
//!
//! Invariants: a file's digest is checked each time before it is lent, and a spoilt one is dropped. What is lent is a hard link of
//! its own in this daemon's scratch folder, so that neither eviction, by this daemon or by another that shares the cache, nor
//! the end of another loan takes away a file in use. Everything here blocks on the file system only; the wire is in `transfer`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::Mutex;

use transect_common::digest::ArtifactDigest;

/// The cache folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cache folder {folder} cannot be used: {source}; name another with --cache")]
pub struct CacheError {
    /// The folder.
    pub folder: PathBuf,
    /// What is wrong.
    pub source: io::Error,
}

/// A cache of artifacts with a limit in bytes, least recently used out first.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    scratch: PathBuf,
    limit: u64,
    loans: AtomicU64,
    /// Held by whoever downloads: two jobs may need the same file.
    pub downloading: Mutex<()>,
}

impl Cache {
    /// Opens `folder` for the daemon `pid` on `host`, clearing what dead daemons of this host left there.
    pub fn open(folder: &Path, limit: u64, host: &str, pid: u32) -> Result<Self, CacheError> {
        let scratch = folder.join("scratch").join(format!("{host}-{pid}"));
        let open = || -> io::Result<PathBuf> {
            clear_the_dead(&folder.join("scratch"), host)?;
            if scratch.exists() {
                fs::remove_dir_all(&scratch)?;
            }
            fs::create_dir_all(&scratch)?;
            fs::canonicalize(folder)
        };
        let folder = open().map_err(|source| CacheError { folder: folder.to_owned(), source })?;
        let scratch = folder.join("scratch").join(format!("{host}-{pid}"));
        Ok(Self { folder, scratch, limit, loans: AtomicU64::new(0), downloading: Mutex::new(()) })
    }

    /// The folder for files in use, this daemon's alone. Absolute.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Where an artifact lies during one more loan.
    fn loan(&self, digest: &ArtifactDigest) -> PathBuf {
        self.scratch.join(format!("{digest}-{}", self.loans.fetch_add(1, Ordering::Relaxed)))
    }

    fn place(&self, digest: &ArtifactDigest) -> PathBuf {
        self.folder.join(digest.as_str())
    }

    /// Lends an artifact: a path that stays until [`Cache::release`]. Nothing when the cache does not hold it, or held
    /// only a spoilt copy, which is dropped.
    pub fn lend(&self, digest: &ArtifactDigest) -> io::Result<Option<PathBuf>> {
        let (place, lent) = (self.place(digest), self.loan(digest));
        match link_new(&place, &lent) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            linked => linked?,
        }
        if digest_of(&lent)? == *digest {
            // A file that cannot be touched is evicted early, which harms nobody.
            let _ = File::options().append(true).open(&place).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Some(lent));
        }
        tracing::warn!(artifact = digest.short(), "the cached copy is spoilt; it is fetched again");
        fs::remove_file(&lent)?;
        remove_if_there(&place)?;
        Ok(None)
    }

    /// Keeps a scratch file of these contents, which the caller has checked, and lends it: the file takes its lent place.
    pub fn adopt(&self, digest: &ArtifactDigest, file: &Path) -> io::Result<PathBuf> {
        let lent = self.loan(digest);
        fs::rename(file, &lent)?;
        // Another daemon may have put it there first: the contents are the same.
        match link_new(&lent, &self.place(digest)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        self.evict()?;
        Ok(lent)
    }

    /// Ends the loan of the file at `lent`.
    #[allow(clippy::unused_self, reason = "only the cache that lent a file ends its loan")]
    pub fn release(&self, lent: &Path) {
        if let Err(error) = remove_if_there(lent) {
            tracing::warn!(%error, path = %lent.display(), "a file in the scratch folder cannot be removed");
        }
    }

    /// Drops the least recently used files until the rest fits. Files in use count but are passed over: dropping their
    /// names would free nothing.
    pub fn evict(&self) -> io::Result<()> {
        self.evict_to(self.limit)
    }

    /// Drops every file that is not in use: the disk is full.
    pub fn make_room(&self) -> io::Result<()> {
        self.evict_to(0)
    }

    fn evict_to(&self, limit: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            // Another daemon may evict at the same time.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                files.push((metadata.modified()?, metadata.len(), metadata.nlink() > 1, entry.path()));
            }
        }
        let mut total: u64 = files.iter().map(|(_, len, ..)| len).sum();
        files.sort();
        for (_, len, in_use, path) in files {
            if total <= limit {
                break;
            }
            if !in_use {
                remove_if_there(&path)?;
                total -= len;
            }
        }
        Ok(())
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        // What stays behind is cleared by the next daemon on this host.
        let _ = fs::remove_dir_all(&self.scratch);
    }
}

/// Removes scratch folders whose daemons are gone.
fn clear_the_dead(scratch: &Path, host: &str) -> io::Result<()> {
    let entries = match fs::read_dir(scratch) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.strip_prefix(host)?.strip_prefix('-')?.parse::<i32>().ok());
        let Some(pid) = pid else { continue };
        let gone = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(nix::errno::Errno::ESRCH);
        if gone {
            match fs::remove_dir_all(entry.path()) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A hard link, or a copy on file systems that have none.
fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists) => Err(e),
        Err(_) => {
            let copy = to.with_extension("copy");
            fs::copy(from, &copy)?;
            fs::rename(copy, to)
        }
        Ok(()) => Ok(()),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The digest of a file's bytes.
pub fn digest_of(path: &Path) -> io::Result<ArtifactDigest> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().as_str().parse().expect("BLAKE3 writes 64 lower-case digits"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NO_ONE: u32 = i32::MAX as u32;

    fn open(folder: &Path, limit: u64) -> Cache {
        Cache::open(folder, limit, "here", std::process::id()).unwrap()
    }

    /// Puts 100 bytes of `fill` in the cache, last used `age` seconds ago, and ends the loan.
    fn put(cache: &Cache, fill: u8, age: u64) -> ArtifactDigest {
        let bytes = [fill; 100];
        let (digest, path) = (ArtifactDigest::of(&bytes), cache.scratch().join("new"));
        fs::write(&path, bytes).unwrap();
        let then = SystemTime::now() - Duration::from_secs(age);
        File::options().append(true).open(&path).unwrap().set_modified(then).unwrap();
        cache.release(&cache.adopt(&digest, &path).unwrap());
        digest
    }

    #[test]
    fn what_was_adopted_is_lent_and_what_was_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1000);
        let digest = put(&cache, 1, 0);
        let path = cache.lend(&digest).unwrap().unwrap();
        assert!(path.is_absolute());
        assert_eq!(fs::read(path).unwrap(), [1; 100]);
        assert_eq!(cache.lend(&ArtifactDigest::of(b"other")).unwrap(), None);
    }

    #[test]
    fn a_spoilt_file_is_dropped_instead_of_lent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1000);
        let digest = put(&cache, 1, 0);
        fs::write(cache.place(&digest), [2; 100]).unwrap();
        assert_eq!(cache.lend(&digest).unwrap(), None);
        assert!(!cache.place(&digest).exists() && fs::read_dir(cache.scratch()).unwrap().next().is_none());
    }

    #[test]
    fn the_least_recently_used_go_first_until_the_rest_fits() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 300);
        let [old, older, new] = [(1, 20), (2, 30), (3, 10)].map(|(fill, age)| put(&cache, fill, age));
        cache.release(&cache.lend(&older).unwrap().unwrap());
        put(&cache, 4, 5);
        let is_there = |digest: &ArtifactDigest| cache.place(digest).exists();
        assert_eq!([is_there(&old), is_there(&older), is_there(&new)], [false, true, true]);
    }

    #[test]
    fn a_file_in_use_outlives_eviction_even_by_another_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1000);
        let digest = put(&cache, 1, 50);
        let path = cache.lend(&digest).unwrap().unwrap();
        let other = Cache::open(folder.path(), 0, "elsewhere", 1).unwrap();
        other.evict().unwrap();
        fs::remove_file(cache.place(&digest)).unwrap();
        assert_eq!(fs::read(path).unwrap(), [1; 100]);
    }

    #[test]
    fn the_end_of_one_loan_leaves_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 1000);
        let digest = put(&cache, 1, 0);
        let [one, other] = [(); 2].map(|()| cache.lend(&digest).unwrap().unwrap());
        cache.release(&one);
        assert!(!one.exists());
        assert_eq!(fs::read(other).unwrap(), [1; 100]);
    }

    #[test]
    fn a_limit_of_nothing_still_lends() {
        let folder = tempfile::tempdir().unwrap();
        let cache = open(folder.path(), 0);
        fs::write(cache.scratch().join("new"), b"x").unwrap();
        let digest = ArtifactDigest::of(b"x");
        let path = cache.adopt(&digest, &cache.scratch().join("new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        cache.release(&path);
        cache.evict().unwrap();
        assert_eq!(cache.lend(&digest).unwrap(), None);
    }

    #[test]
    fn leftovers_of_dead_daemons_are_cleared_and_those_of_the_living_and_of_other_hosts_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: String| folder.path().join("scratch").join(name);
        let [dead, elsewhere, alive] =
            [format!("here-{NO_ONE}"), format!("there-{NO_ONE}"), format!("here-{}", std::process::id())].map(place);
        for path in [&dead, &elsewhere, &alive] {
            fs::create_dir_all(path).unwrap();
        }
        Cache::open(folder.path(), 0, "here", 1).unwrap();
        assert_eq!([dead, elsewhere, alive].map(|path| path.exists()), [false, true, true]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let error = Cache::open(&file.join("cache"), 0, "here", 1).unwrap_err().to_string();
        assert!(error.contains("file/cache") && error.contains("--cache"), "{error}");
    }
}
