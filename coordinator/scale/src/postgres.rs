//! A Postgres of its own: made in a folder, durable as a server that keeps results must be, gone with this process.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor as _};

/// What is set beside the server's defaults, among which are `fsync`, `synchronous_commit` and `full_page_writes`, all on.
pub const SETTINGS: [&str; 4] =
    ["listen_addresses=", "max_connections=100", "shared_buffers=512MB", "max_wal_size=4GB"];

/// Runs the server until standard input ends, which happens at the latest when this process does.
const RUN: &str = r#"
"$@" &
read -r _
kill -QUIT $(head -n 1 "$FOLDER/data/postmaster.pid") 2>/dev/null
wait
rm -rf "$FOLDER"
"#;

/// A running server.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    /// Process of the postmaster.
    pub pid: u32,
    input: ChildStdin,
}

impl Server {
    /// Makes a cluster in a new folder under `parent` and serves it on a socket there.
    pub fn start(parent: &Path) -> anyhow::Result<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("scale-pg-").tempdir_in(parent)?.keep();
        let mut owner = vec![];
        // What this process makes belongs to its user.
        if std::fs::metadata(&folder)?.uid() == 0 {
            owner = ["runuser", "-u", "postgres", "--"].map(str::to_owned).to_vec();
            let chown = Command::new("chown").arg("postgres").arg(&folder).status()?;
            ensure!(chown.success(), "the user postgres is missing: apt-get install postgresql");
        }
        let mut command = owner.clone();
        command.push(programs.join("initdb").to_string_lossy().into_owned());
        command.extend(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "-D"].map(str::to_owned));
        command.push(folder.join("data").to_string_lossy().into_owned());
        let made = Command::new(&command[0]).args(&command[1..]).current_dir("/").output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));

        let mut command = Command::new("sh");
        command.args(["-c", RUN, "sh"]).args(&owner).arg(programs.join("postgres")).arg("-D").arg(folder.join("data"));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command.arg("-k").arg(&folder).env("FOLDER", &folder).current_dir("/");
        let log = std::fs::File::create(folder.join("log"))?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn()?;
        let input = child.stdin.take().context("a pipe was asked for")?;
        let mut server = Self { folder, pid: 0, input };
        server.wait_until_it_answers(&programs)?;
        let pid = std::fs::read_to_string(server.folder.join("data/postmaster.pid"))?;
        server.pid = pid.lines().next().unwrap_or_default().trim().parse().context("postmaster.pid is odd")?;
        Ok(server)
    }

    fn wait_until_it_answers(&self, programs: &Path) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let mut ready = Command::new(programs.join("pg_isready"));
            if ready.arg("-q").arg("-h").arg(&self.folder).status()?.success() {
                return Ok(());
            }
            if began.elapsed() > Duration::from_mins(1) {
                let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("Postgres does not answer: {log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Where a database is.
    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }

    /// A new, empty database.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        let pool = PgPool::connect(&self.url("postgres")).await?;
        pool.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        pool.close().await;
        Ok(self.url(name))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.input.write_all(b"\n");
        // The folder goes when the server has gone.
        let began = Instant::now();
        while self.folder.exists() && began.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Where the server's programs are: where Debian puts them, newest first, or in PATH.
fn programs() -> anyhow::Result<PathBuf> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.context("Postgres is not installed: apt-get install postgresql, or measure --store sqlite alone")
}
