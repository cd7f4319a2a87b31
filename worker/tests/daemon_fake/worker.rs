//! The real worker binary in a folder of its own.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::wait_for;

pub struct Worker {
    folder: TempDir,
    process: Child,
}

impl Worker {
    /// A worker on the tiny data set for the coordinator at `url`.
    pub fn start(url: &str) -> Self {
        Self::start_with(url, &[])
    }

    pub fn start_with(url: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        super::write_tiny_mnist(&folder.path().join("data"));
        let process = Command::new(env!("CARGO_BIN_EXE_transect-worker"))
            .args(["--coordinator", url])
            .arg("--home")
            .arg(folder.path())
            .args(if more.contains(&"--threads") { &[][..] } else { &["--threads", "1"] })
            .args(more)
            .env_remove("TRANSECT_DATA")
            .env_remove("TRANSECT_CACHE")
            .env_remove("TRANSECT_DEVICE")
            .env_remove("TRANSECT_LABELS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    pub fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Process id of the executor, once there is one.
    pub fn executor(&self) -> i32 {
        let pid = self.process.id();
        let path = format!("/proc/{pid}/task/{pid}/children");
        wait_for("an executor", || std::fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok())
    }

    pub fn signal(&self, signal: Signal) {
        send(self.process.id() as i32, signal);
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let process = &mut self.process;
        wait_for("the worker to end", || process.try_wait().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the worker's log:\n{}", self.log());
        }
    }
}

/// Sends a signal.
pub fn send(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// True while a process lives; one that is dead and not yet reaped does not.
pub fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}
