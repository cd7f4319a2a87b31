//! The home folder: where one coordinator keeps its database and artifacts, and how others find it.
//!
//! ```text
//! HOME/transect.db       everything that is known
//! HOME/artifacts/        checkpoints, named by their digests
//! HOME/plots/ logs/ cache/
//! HOME/coordinator.lock  held with flock(2) while a coordinator owns the folder: {"address": "127.0.0.1:7700", "pid": 42}
//! ```
//!
//! Invariant: at most one coordinator owns a home. The kernel lets go of the lock when its holder dies, however it dies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Tries before an address counts as unknown: a coordinator that starts takes the lock before it knows its address.
const TRIES: u32 = 50;
/// Tries before the lock counts as held: [`running`] holds it for an instant.
const LOCK_TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// A home folder that exists and can be written.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

/// Who holds a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Where it answers gRPC.
    pub address: SocketAddr,
    /// Its process id.
    pub pid: u32,
    /// True when artifacts are kept elsewhere than in the home.
    #[serde(default)]
    pub keeps_elsewhere: bool,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder cannot be made or written.
    #[error(
        "the home folder {} cannot be used: {} cannot be written ({source}). Choose a folder that you may write with --home or TRANSECT_HOME",
        home.display(),
        path.display()
    )]
    NotWritable {
        /// The home.
        home: PathBuf,
        /// What could not be written.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another coordinator owns it.
    #[error("the home folder {} is in use by {}. Talk to that one, stop it, or choose another folder with --home", home.display(), describe(*holder))]
    Held {
        /// The home.
        home: PathBuf,
        /// Who holds it; unknown while it starts.
        holder: Option<Holder>,
    },
}

fn describe(holder: Option<Holder>) -> String {
    match holder {
        Some(Holder { address, pid, .. }) => format!("the coordinator at {address} (process {pid})"),
        None => "another coordinator".to_owned(),
    }
}

impl Home {
    /// Opens a home, making its folders where they are missing.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let home = Self { path: path.to_owned() };
        for folder in [path, &home.artifacts()] {
            fs::create_dir_all(folder).map_err(|source| home.not_writable(folder, source))?;
        }
        Ok(home)
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.path.join("transect.db")
    }

    /// The folder of the artifacts.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// Takes the home for this process, until the lock is dropped.
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        let path = lock_path(&self.path);
        for _ in 0..LOCK_TRIES {
            let mut options = OpenOptions::new();
            let file = options.read(true).write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(|source| self.not_writable(&path, source))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => {
                    // The former holder's address is not ours.
                    file.set_len(0).map_err(|source| self.not_writable(&path, source))?;
                    return Ok(HomeLock { file, home: self.clone() });
                }
                Err((_, Errno::EWOULDBLOCK)) => {}
                Err((_, errno)) => return Err(self.not_writable(&path, errno.into())),
            }
            sleep(BETWEEN_TRIES);
        }
        Err(HomeError::Held { home: self.path.clone(), holder: holder(&self.path) })
    }

    fn not_writable(&self, path: &Path, source: io::Error) -> HomeError {
        HomeError::NotWritable { home: self.path.clone(), path: path.to_owned(), source }
    }
}

/// Holds a home; dropping it lets go.
#[derive(Debug)]
pub struct HomeLock {
    file: Flock<File>,
    home: Home,
}

impl HomeLock {
    /// Writes down where this process answers, so that others find it.
    pub fn publish(&mut self, address: SocketAddr, keeps_elsewhere: bool) -> Result<(), HomeError> {
        let holder = Holder { address, pid: std::process::id(), keeps_elsewhere };
        let text = serde_json::to_string(&holder).expect("an address and a number are plain data");
        let file = &mut *self.file;
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{text}"));
        written.map_err(|source| self.home.not_writable(&lock_path(&self.home.path), source))
    }
}

/// The coordinator that owns `home` now: where it answers. None when there is none. Blocks, up to a second while one
/// is starting.
pub fn running(home: &Path) -> Option<SocketAddr> {
    for _ in 0..TRIES {
        let file = File::open(lock_path(home)).ok()?;
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Err((_, Errno::EWOULDBLOCK)) => {}
            // Nobody holds it, or it cannot be told.
            Ok(_) | Err(_) => return None,
        }
        if let Some(holder) = holder(home) {
            return Some(holder.address);
        }
        sleep(BETWEEN_TRIES);
    }
    None
}

/// True when the coordinator that owned `home` last, perhaps this process, keeps artifacts elsewhere.
pub fn keeps_elsewhere(home: &Path) -> bool {
    holder(home).is_some_and(|holder| holder.keeps_elsewhere)
}

fn lock_path(home: &Path) -> PathBuf {
    home.join("coordinator.lock")
}

fn holder(home: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(lock_path(home)).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_owner_and_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("new/home")).unwrap();
        assert_eq!(running(home.path()), None);

        let mut lock = home.lock().unwrap();
        let address: SocketAddr = "127.0.0.1:7700".parse().unwrap();
        lock.publish(address, true).unwrap();
        assert!(keeps_elsewhere(home.path()));
        assert_eq!(running(home.path()), Some(address));

        let refusal = home.lock().unwrap_err().to_string();
        assert!(refusal.contains("127.0.0.1:7700"), "{refusal}");
        assert!(refusal.contains(&format!("process {}", std::process::id())), "{refusal}");

        drop(lock);
        assert_eq!(running(home.path()), None);
        home.lock().unwrap();
    }

    #[test]
    fn looking_for_a_coordinator_does_not_keep_one_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        drop(home.lock().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| (0..200).for_each(|_| assert_eq!(running(folder.path()), None)));
            (0..200).for_each(|_| drop(home.lock().unwrap()));
        });
    }

    #[test]
    fn a_home_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Home::open(&file.join("home")).unwrap_err().to_string();
        assert!(error.contains("file/home cannot be written"), "{error}");
        assert!(error.contains("--home"), "{error}");
        assert!(matches!(Home::open(Path::new("/proc/transect")), Err(HomeError::NotWritable { .. })));
    }
}
