//! A Postgres server of a round's own: crashed, frozen, started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

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
const SETTINGS: [&str; 5] =
    ["listen_addresses=", "max_connections=100", "fsync=off", "full_page_writes=off", "shared_buffers=32MB"];

/// A server. Stops when it is dropped.
pub struct Postgres {
    folder: PathBuf,
    programs: PathBuf,
    /// The command that runs another as the server's user; empty where that is this one.
    owner: Vec<String>,
    keeper: Option<Child>,
    frozen: Vec<Pid>,
}

impl Postgres {
    /// Makes a cluster in `folder`, which is made, and serves it on a socket there.
    pub fn start(folder: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut owner = vec![];
        if is_root() {
            // Not runuser, which stays in between and stands still when its child does.
            owner = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", "--"]
                .map(str::to_owned)
                .to_vec();
            let chown = Command::new("chown").arg("postgres").arg(&folder).status()?;
            ensure!(chown.success(), "the user postgres is missing: scripts/system.sh test installs Postgres");
        }
        let mut server = Self { folder, programs: programs()?, owner, keeper: None, frozen: vec![] };
        let data = server.data();
        let words = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        let made = server.tool("initdb").args(words).arg(data).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.revive()?;
        let made = server.tool("createdb").arg("-h").arg(&server.folder).args(["-U", "postgres", "chaos"]).output()?;
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

    /// Where the database is.
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/chaos?host={}", self.folder.display())
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
        command.arg("-k").arg(&self.folder).env("DATA", self.data()).current_dir("/");
        self.keeper = Some(command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()?);
        let began = Instant::now();
        loop {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            if ready.arg("-q").arg("-h").arg(&self.folder).status()?.success() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < Duration::from_secs(60),
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

    /// True while it serves.
    pub fn is_up(&self) -> bool {
        self.keeper.is_some() && self.frozen.is_empty()
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
