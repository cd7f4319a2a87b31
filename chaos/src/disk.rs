//! A small disk that can be filled: a tmpfs, which only root may mount.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is mounted. Unmounted when it is dropped.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// Mounts one of `mebibytes` at an empty folder; None where that may not be done.
    pub fn mount(folder: &Path, mebibytes: u32) -> Option<Self> {
        let size = format!("size={mebibytes}m,mode=755");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "transect-chaos"]).arg(folder);
        let is_done = mount.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        is_done.then(|| Self { folder: folder.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Leaves not a byte.
    pub fn fill(&self) -> std::io::Result<()> {
        let mut file = File::create(self.filler())?;
        let mut piece = vec![0x55_u8; 1 << 20];
        while !piece.is_empty() {
            // Smaller and smaller, until the last page is taken.
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 4);
            }
        }
        Ok(())
    }

    /// Gives the room back.
    pub fn free(&self) {
        // Not there: it was freed already.
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.folder).stderr(Stdio::null()).status();
    }
}
