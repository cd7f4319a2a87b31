//! Says when the disk that holds the home is nearly full: workers then keep what they measured and send it again and
//! again, so a full disk costs time and nothing else, but someone must hear of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;

/// Less free space than this is called full: a checkpoint or a database page may not fit.
const LITTLE: u64 = 16 << 20;
/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(2);

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
    fn a_full_disk_is_mentioned_once() {
        // A file system of no size at all.
        let now = Instant::now();
        let mut disk = Disk::of(Path::new("/proc"), now);
        assert!(disk.look(now).is_some_and(|said| said.contains("nearly full")));
        assert_eq!(disk.look(now + PAUSE), None);
    }
}
