//! Room on the disk that holds the home. A sweep whose checkpoints cannot fit is refused before it begins. And someone must
//! hear of it when the disk is nearly full: workers then keep what they measured and send it again and again, so a full
//! disk costs time and nothing else.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

use crate::args::Global;
use crate::output::bytes;

/// Less free space than this is called full: a checkpoint or a database page may not fit.
const LITTLE: u64 = 16 << 20;
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// The home whose disk takes the checkpoints of a sweep, when that is known: not for a coordinator that was named, nor for
/// one that keeps artifacts elsewhere.
pub fn holding(global: &Global) -> Option<&Path> {
    let is_here = global.coordinator.is_none() && !transect_coordinator::home::keeps_elsewhere(&global.home);
    is_here.then_some(global.home.as_path())
}

/// Bytes that may still be written to the disk that holds `home`, which need not be there yet; none where that cannot be
/// seen.
pub fn free(home: &Path) -> Option<u64> {
    let there = std::path::absolute(home).ok()?;
    let disk = there.ancestors().find_map(|folder| statvfs(folder).ok())?;
    Some(disk.blocks_available() * disk.fragment_size())
}

/// Says that checkpoints of `needed` bytes do not fit into `free` bytes.
pub fn no_room(home: &Path, needed: u64, free: Option<u64>) -> Option<String> {
    let free = free.filter(|&free| needed > 0 && free < needed.saturating_add(LITTLE))?;
    Some(format!(
        "the checkpoints of this sweep need {}, and the disk that holds {} has {} left: free some space, choose another \
         --home, or keep fewer checkpoints (`train.keep`)",
        bytes(needed),
        home.display(),
        bytes(free)
    ))
}

/// Looks at one disk now and then.
#[derive(Debug)]
pub struct Disk {
    home: PathBuf,
    next: Instant,
    is_full: bool,
}

impl Disk {
    /// The disk that holds `home`.
    pub fn of(home: &Path, now: Instant) -> Self {
        Self { home: home.to_owned(), next: now, is_full: false }
    }

    /// What to tell the user, when the disk has become full.
    pub fn look(&mut self, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        let disk = statvfs(&self.home).ok()?;
        let free = disk.blocks_available() * disk.fragment_size();
        let was_full = std::mem::replace(&mut self.is_full, free < LITTLE);
        (self.is_full && !was_full).then(|| {
            format!(
                "the disk that holds {} is nearly full ({:.1} MB left): free some space and the sweep goes on by itself; \
                 nothing measured is lost",
                self.home.display(),
                free as f64 / 1e6
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_room_and_one_that_cannot_be_seen_are_not_mentioned() {
        let now = Instant::now();
        let mut disk = Disk::of(&std::env::temp_dir(), now);
        assert_eq!(disk.look(now), None, "the tests themselves need more room than this");
        assert_eq!(Disk::of(Path::new("/does/not/exist"), now).look(now), None);
    }

    #[test]
    fn checkpoints_that_cannot_fit_are_told_with_both_sizes() {
        let home = Path::new("/data/home");
        let said = no_room(home, 3_000_000_000, Some(2_000_000_000)).unwrap();
        for part in ["need 3.0 GB", "/data/home has 2.0 GB left", "--home", "train.keep"] {
            assert!(said.contains(part), "{said} lacks {part}");
        }
        assert!(no_room(home, 1 << 30, Some(1 << 30)).is_some(), "the database needs some room, too");
        assert_eq!(no_room(home, 1 << 30, Some(2 << 30)), None);
        assert_eq!(no_room(home, 0, Some(0)), None, "what is stored can be shown on a full disk");
        assert_eq!(no_room(home, u64::MAX, None), None, "what cannot be seen is not judged");
    }

    #[test]
    fn room_is_found_for_a_home_that_is_not_there_yet() {
        assert!(free(&std::env::temp_dir().join("not/there/yet")).is_some_and(|free| free > 0));
    }

    #[test]
    fn a_full_disk_is_mentioned_once() {
        // A file system of no size at all.
        let now = Instant::now();
        let mut disk = Disk::of(Path::new("/proc"), now);
        assert!(disk.look(now).is_some_and(|said| said.contains("nearly full")));
        assert_eq!(disk.look(now + PAUSE), None);
    }
}
