//! The coordinator that is measured: the real program, as a process of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use tempfile::TempDir;
use transect_common::client::{Channel, Endpoints};
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_coordinator::home;

use crate::postgres::Server;
use crate::process;

/// Answers may be as large as a plan of a million jobs.
const LARGEST_ANSWER: usize = 256 << 20;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Store {
    /// A file in the coordinator's home.
    Sqlite,
    /// A server that is started for this.
    Postgres,
}

impl Store {
    /// As figures say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A running coordinator with a home and a database of its own.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
    home: TempDir,
    endpoints: Endpoints,
    /// Where `/metrics` is.
    pub http: SocketAddr,
    /// URL of the database.
    pub database: String,
    /// Process of the database's server, where it has one.
    pub server: Option<u32>,
}

impl Coordinator {
    /// Starts one on a new database, in new folders under `folder`.
    pub async fn start(folder: &Path, server: Option<&Server>, name: &str) -> anyhow::Result<Self> {
        let home = tempfile::Builder::new().prefix("scale-home-").tempdir_in(folder)?;
        let database = match server {
            Some(server) => server.database(name).await?,
            None => format!("sqlite:{}", home.path().join("transect.db").display()),
        };
        let log = std::fs::OpenOptions::new().append(true).create(true).open(home.path().join("log"))?;
        let mut command = Command::new(beside("transect-coordinator")?);
        let http = free_address()?;
        command.args(["--listen", "127.0.0.1:0", "--http", &http.to_string(), "--home"]).arg(home.path());
        command.env("TRANSECT_STORE", &database).env("RUST_LOG", "warn").env_remove("TRANSECT_ARTIFACTS");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
        let server = server.map(|server| server.pid);
        let endpoints = Endpoints::parse(&["127.0.0.1:1"])?;
        let mut coordinator = Self { child, home, endpoints, http, database, server };
        let began = Instant::now();
        let address = loop {
            if let Some(address) = home::running(coordinator.home.path()) {
                break address;
            }
            let gone = coordinator.child.try_wait()?;
            if gone.is_some() || began.elapsed() > Duration::from_mins(1) {
                bail!("the coordinator did not start: {}", coordinator.log());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        coordinator.endpoints = Endpoints::parse(&[address.to_string()])?;
        Ok(coordinator)
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Where its files are.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where it answers.
    pub fn address(&self) -> String {
        self.endpoints.to_string()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection to it.
    pub async fn connect(&self) -> anyhow::Result<Channel> {
        Ok(Channel::connect(&self.endpoints).await?)
    }

    /// A client for users on a new connection.
    pub async fn sweeps(&self) -> anyhow::Result<SweepServiceClient<Channel>> {
        Ok(SweepServiceClient::new(self.connect().await?).max_decoding_message_size(LARGEST_ANSWER))
    }

    /// A client for artifacts, likewise.
    pub async fn artifacts(&self) -> anyhow::Result<ArtifactServiceClient<Channel>> {
        Ok(ArtifactServiceClient::new(self.connect().await?))
    }

    /// A connection that reads its database, where that is a file.
    pub async fn sqlite(&self) -> anyhow::Result<SqliteConnection> {
        let options = SqliteConnectOptions::new().filename(self.home.path().join("transect.db")).read_only(true);
        Ok(options.connect().await?)
    }

    /// Seconds of processor time so far: its own, and its database server's.
    pub fn cpu(&self) -> anyhow::Result<(f64, f64)> {
        let server = self.server.map_or(Ok(0.0), process::cpu_with_children)?;
        Ok((process::cpu(self.pid())?, server))
    }

    /// Has the database server write what it still keeps in memory of a large sweep, which it would otherwise do over the
    /// minutes after, beside what is measured then.
    pub async fn settle(&self) -> anyhow::Result<()> {
        if self.server.is_some() {
            let mut database = PgConnection::connect(&self.database).await?;
            database.execute("CHECKPOINT").await?;
            database.close().await?;
        }
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGTERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the coordinator ended with {status}: {}", self.log());
                return Ok(());
            }
            ensure!(began.elapsed() < Duration::from_mins(1), "the coordinator does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Coordinator {
    /// One that has ended by itself, or was ended by others, says so.
    fn drop(&mut self) {
        let ended = self.child.try_wait().ok().flatten().filter(|status| !status.success());
        if let Some(status) = ended {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("scale: the coordinator ended with {status}; the last that it said:");
            last.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address at which nobody listens now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// A program that was built together with this one.
pub fn beside(program: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies is not known")?;
    let path = own.with_file_name(program);
    ensure!(path.exists(), "{} is missing; build it: cargo build --release --workspace --bins", path.display());
    Ok(path)
}
