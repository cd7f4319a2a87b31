//! A Postgres server of a round's own: crashed, frozen, started again.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::disk::Disk;
use crate::process::{children, is_root, send, tail};

/// Runs the server until its standard input closes, which happens at the latest when this program ends.
const RUN: &str = r#"
"$@" &
read -r _
kill -CONT $(head -n 1 "$DATA/postmaster.pid") 2>/dev/null
kill -QUIT $(head -n 1 "$DATA/postmaster.pid") 2>/dev/null
wait
"#;

/// Settings of a server that need not survive a crash of the machine.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "max_connections=100",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=32MB",
    "min_wal_size=32MB",
    "max_wal_size=64MB",
];

/// Mebibytes of a disk for the data that can be filled.
const DISK: u32 = 320;

/// A server. Stops when it is dropped.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// The command that runs another as the server's user; empty where that is this one.
    owner: Vec<String>,
    address: SocketAddr,
    /// Holds the data, where it can be filled.
    disk: Option<Disk>,
    is_full: bool,
    keeper: Option<Child>,
    frozen: Vec<Pid>,
}

impl Postgres {
    /// Makes a cluster in `folder`, which is made, and serves it at `address`; on a disk that can be filled if `is_small`.
    pub fn start(folder: PathBuf, address: SocketAddr, is_small: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let data = folder.join("data");
        std::fs::create_dir_all(&data)?;
        let disk = if is_small { Disk::mount(&data, DISK) } else { None };
        let mut owner = vec![];
        if is_root() {
            // Not runuser, which stays in between and stands still when its child does.
            owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
                .map(str::to_owned)
                .to_vec();
            let chown = Command::new("chown").arg("postgres").arg(&folder).arg(&data).status()?;
            ensure!(chown.success(), "the user postgres is missing: scripts/system.sh test installs Postgres");
        }
        let mut server =
            Self { folder, programs: programs()?, owner, address, disk, is_full: false, keeper: None, frozen: vec![] };
        let words = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        let made = server.tool("initdb").args(words).arg(data).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.revive()?;
        let port = address.port().to_string();
        let made = server
            .tool("createdb")
            .arg("-h")
            .arg(&server.folder)
            .args(["-U", "postgres", "-p", &port, "chaos"])
            .output()?;
        ensure!(made.status.success(), "createdb: {}", String::from_utf8_lossy(&made.stderr));
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn tool(&self, name: &str) -> Command {
        let mut words = self.owner.clone();
        words.push(self.programs.join(name).to_string_lossy().into_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        command
    }

    /// Where it answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the database is, as seen through what listens at `address`.
    pub fn url(address: SocketAddr) -> String {
        format!("postgres://postgres@{address}/chaos")
    }

    /// No byte is left for its data; false where its disk is none of its own.
    pub fn fill(&mut self) -> anyhow::Result<bool> {
        let Some(disk) = &self.disk else { return Ok(false) };
        self.is_full = true;
        disk.fill()?;
        Ok(true)
    }

    /// There is room again; where it gave up meanwhile, it is started.
    pub fn free(&mut self) -> anyhow::Result<()> {
        self.disk.iter().for_each(Disk::free);
        self.is_full = false;
        std::thread::sleep(Duration::from_millis(200));
        let has_ended = std::fs::metadata(self.data().join("postmaster.pid")).is_err();
        if has_ended && self.keeper.is_some() {
            self.let_go();
            self.revive()?;
        }
        Ok(())
    }

    /// Starts the server, if it does not run, and waits until it answers.
    pub fn revive(&mut self) -> anyhow::Result<()> {
        if self.keeper.is_some() {
            return Ok(());
        }
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = Command::new("sh");
        command
            .args(["-c", RUN, "sh"])
            .args(&self.owner)
            .arg(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data());
        command.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        command.args(["-p", &self.address.port().to_string()]);
        command.arg("-k").arg(&self.folder).env("DATA", self.data()).current_dir("/");
        self.keeper = Some(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()?);
        let began = Instant::now();
        loop {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            if ready.args(["-q", "-h", "127.0.0.1", "-p", &self.address.port().to_string()]).status()?.success() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < Duration::from_mins(1),
                "Postgres does not answer: {}",
                tail(&self.folder.join("log"), 10)
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Ends at once, as in a crash.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.thaw();
        let mut stop = self.tool("pg_ctl");
        stop.args(["stop", "-m", "immediate", "-w", "-s", "-D"]).arg(self.data());
        stop.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        self.let_go();
        Ok(())
    }

    /// True while nothing keeps it from serving.
    pub fn is_up(&self) -> bool {
        self.keeper.is_some() && self.frozen.is_empty() && !self.is_full
    }

    /// Every process of it stands still.
    pub fn freeze(&mut self) {
        let text = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = text.lines().next().and_then(|id| id.trim().parse().ok()).map(Pid::from_raw) else {
            return;
        };
        // First the one that starts others.
        send(postmaster, Signal::SIGSTOP);
        self.frozen = [vec![postmaster], children(postmaster)].concat();
        self.frozen.iter().for_each(|id| send(*id, Signal::SIGSTOP));
    }

    /// They go on.
    pub fn thaw(&mut self) {
        self.frozen.drain(..).rev().for_each(|id| send(id, Signal::SIGCONT));
    }

    fn let_go(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        format!("--- postgres\n{}", tail(&self.folder.join("log"), 15))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        self.let_go();
        // Only then is the disk no longer in use.
        drop(self.disk.take());
    }
}

/// Where the programs of the server are: on the path, or where Debian has them, newest first.
fn programs() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let has_all = |folder: &PathBuf| ["initdb", "postgres", "pg_ctl"].iter().all(|name| has(folder, name));
    folders.into_iter().find(has_all).context("Postgres is not installed: scripts/system.sh test installs it")
}

fn has(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}
