//! `transect-coordinator`: serves a home folder until it is told to stop.

use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use transect_coordinator::store::StorePlace;
use transect_coordinator::{Config, start};

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
    store: Option<StorePlace>,
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
    /// Write log lines as JSON
    #[arg(long)]
    log_json: bool,
    /// Listen where other machines reach it, although nothing is encrypted and nobody is asked who they are
    #[arg(long)]
    insecure: bool,
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
    start_logging(options.log_json);
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transect-coordinator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    for address in [Some(options.listen), options.http.0].into_iter().flatten() {
        if !address.ip().is_loopback() && !options.insecure {
            bail!(
                "{address} can be reached by other machines, and the coordinator does not encrypt or ask for passwords yet. \
                 Listen on 127.0.0.1, or say --insecure if everyone on that network may use it"
            );
        }
    }
    // Listened for before anything is opened, so that no signal ends the process half-way.
    let mut signals = Signals::new().context("cannot listen for signals")?;
    let store = store_place(options.store, options.store_file.as_deref())?;
    let config = Config {
        home: options.home,
        store,
        listen: options.listen,
        http: options.http.0,
        lease: Duration::from_secs(options.lease_seconds),
        max_attempts: options.max_attempts,
    };
    let coordinator = start(config).await?;
    signals.next().await;
    tokio::select! {
        () = coordinator.shutdown() => Ok(()),
        () = signals.next() => bail!("asked twice to stop: stopped at once; open requests were cut off"),
    }
}

/// Where the database is. A password on the command line would be seen by everybody on this machine.
fn store_place(given: Option<StorePlace>, file: Option<&Path>) -> anyhow::Result<StorePlace> {
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        return text.parse().with_context(|| file.display().to_string());
    }
    let on_the_line = std::env::args().any(|word| word.starts_with("--store"));
    match given {
        Some(place) if on_the_line && place.holds_a_secret() => bail!(
            "the password in --store is seen by everybody who lists processes; put the URL into TRANSECT_STORE or a file (--store-file)"
        ),
        given => Ok(given.unwrap_or_default()),
    }
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

/// Logs to standard error, `info` and above unless `TRANSECT_LOG` says otherwise.
fn start_logging(as_json: bool) {
    let filter = EnvFilter::try_from_env("TRANSECT_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(stderr().is_terminal()).with_writer(stderr);
    if as_json {
        lines.json().init();
    } else {
        lines.with_target(false).init();
    }
}
