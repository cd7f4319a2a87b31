//! `transect-coordinator`: serves a home folder until it is told to stop.

use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Parser};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use transect_common::telemetry::{self, Logs};
use transect_coordinator::artifacts::Location;
use transect_coordinator::security::{Auth, Limits, Rate, Security, TlsFiles};
use transect_coordinator::store::StorePlace;
use transect_coordinator::{Config, Coordinator, start};

/// Keeps sweeps, leases their jobs to workers, and stores what they measure.
#[derive(Debug, Parser)]
#[command(name = "transect-coordinator", version)]
struct Options {
    /// Folder of the database and the artifacts; made when it is missing
    #[arg(long, env = "TRANSECT_HOME", default_value = ".transect")]
    home: PathBuf,
    /// Database, as sqlite:PATH or postgres://USER@HOST/DATABASE; without it, a file in the home folder. A URL with a password
    /// belongs into the variable or into a file (--store-file), since everybody sees a command line
    #[arg(long, env = "TRANSECT_STORE", hide_env_values = true, value_name = "URL")]
    store: Option<String>,
    /// File that holds what --store would say
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    store_file: Option<PathBuf>,
    /// Address of the gRPC services; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:7700")]
    listen: SocketAddr,
    /// Address of /healthz, /readyz and /metrics, or `off`
    #[arg(long, default_value = "127.0.0.1:7701", value_parser = http_address)]
    http: HttpAddress,
    /// Seconds after which the jobs of a silent worker are given to others, 1 to 3600
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    lease_seconds: u64,
    /// Failed attempts, for reasons that lie in the machine, before a job is set aside
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    max_attempts: u32,
    /// Where artifacts are kept: a folder [default: HOME/artifacts], or s3://BUCKET/PREFIX with endpoint, region and keys in
    /// the environment (AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; docs/artifacts.md)
    #[arg(long, env = "TRANSECT_ARTIFACTS", value_name = "FOLDER|s3://BUCKET/PREFIX")]
    artifacts: Option<String>,
    /// Once a day, remove artifacts that nothing names and that are older than this, such as 24h
    #[arg(long, value_name = "GRACE", num_args = 0..=1, default_missing_value = "24h", value_parser = humantime::parse_duration)]
    gc: Option<Duration>,
    /// Write log lines as JSON
    #[arg(long)]
    log_json: bool,
    #[command(flatten)]
    security: SecurityOptions,
}

/// Who may talk to it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security (docs/security.md)")]
struct SecurityOptions {
    /// Certificate (PEM, with those between it and its root), needed to listen where other machines reach it; read again when it changes
    #[arg(long, value_name = "FILE", env = "TRANSECT_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", env = "TRANSECT_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Mutual TLS: callers show a certificate of this authority (PEM) instead of a token
    #[arg(long, value_name = "FILE", env = "TRANSECT_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// `tokens` asks every caller for one; `auto` does where there is a certificate and callers need none themselves
    #[arg(long, value_name = "auto|tokens", default_value = "auto", value_parser = ["auto", "tokens"])]
    auth: String,
    /// Calls a second of one token
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate_per_token: u32,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_connections: u32,
    /// Listen where other machines reach it, although nothing is encrypted and nobody is asked who they are
    #[arg(long)]
    insecure: bool,
}

impl SecurityOptions {
    fn read(self) -> Security {
        let calls = f64::from(self.rate_per_token);
        let limits = Limits {
            calls: Rate { per_second: calls, burst: calls * 4.0 },
            connections: self.max_connections as usize,
            ..Limits::default()
        };
        let files = self.tls_cert.zip(self.tls_key);
        let tls = files.map(|(cert, key)| TlsFiles { cert, key, client_ca: self.tls_client_ca });
        let auth = if self.auth == "tokens" { Auth::Tokens } else { Auth::Auto };
        Security { tls, auth, insecure: self.insecure, limits }
    }
}

/// `off` is no address.
#[derive(Debug, Clone, Copy)]
struct HttpAddress(Option<SocketAddr>);

fn http_address(text: &str) -> Result<HttpAddress, String> {
    if text == "off" {
        return Ok(HttpAddress(None));
    }
    let address = text.parse().map_err(|_| format!("`{text}` is neither an address such as 127.0.0.1:7701 nor `off`"));
    address.map(|address| HttpAddress(Some(address)))
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let logs = Logs { program: "transect-coordinator", json: options.log_json, ansi: stderr().is_terminal() };
    let done = match telemetry::start(logs, stderr) {
        // Kept until the end: then the last spans are sent.
        Ok(_telemetry) => run(options).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transect-coordinator: {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, each said once: some say their causes themselves.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        _ if said.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

async fn run(options: Options) -> anyhow::Result<()> {
    // Listened for before anything is opened, so that no signal ends the process half-way.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let store = store_place(options.store, options.store_file.as_deref())?;
    let artifacts = options.artifacts.map(|text| Location::parse(&text, environment())).transpose()?;
    let config = Config {
        home: options.home,
        store,
        listen: options.listen,
        http: options.http.0,
        lease: Duration::from_secs(options.lease_seconds),
        artifacts,
        gc: options.gc,
        max_attempts: options.max_attempts,
        security: options.security.read(),
    };
    let coordinator = start(config).await?;
    tell_systemd(NotifyState::Ready);
    tokio::select! {
        () = signals.next() => {}
        () = coordinator.ended() => bail!("the server ended by itself; the log says why"),
        () = feed_watchdog(&coordinator) => {}
    }
    tell_systemd(NotifyState::Stopping);
    tokio::select! {
        () = coordinator.shutdown() => Ok(()),
        () = signals.next() => bail!("asked twice to stop: stopped at once; open requests were cut off"),
    }
}

/// Tells systemd that the coordinator answers, three times in each of the periods that it asks for. Never returns.
async fn feed_watchdog(coordinator: &Coordinator) {
    let Some(period) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        coordinator.answers().await;
        tell_systemd(NotifyState::Watchdog);
        tokio::time::sleep(period / 3).await;
    }
}

/// Does nothing where systemd has not started this.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told how the coordinator is");
    }
}

/// Where the database is. A password on the command line would be seen by everybody on this machine.
fn store_place(given: Option<String>, file: Option<&Path>) -> anyhow::Result<StorePlace> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        return text.parse().with_context(|| file.display().to_string());
    }
    let on_the_line = std::env::args().any(|word| word.starts_with("--store"));
    let Some(given) = given else { return Ok(StorePlace::Home) };
    // What cannot be read is not repeated: it may hold a password.
    let place: StorePlace = given.parse().context("--store or TRANSECT_STORE")?;
    if on_the_line && place.holds_a_secret() {
        bail!(
            "the password in --store is seen by everybody who lists processes; put the URL into TRANSECT_STORE or a file (--store-file)"
        );
    }
    Ok(place)
}

/// What is not text cannot be a setting.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The two signals that ask a program to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
