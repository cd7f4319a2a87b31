//! `transect-coordinator`: serves a home folder until it is told to stop.

use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use transect_common::telemetry::{self, Logs};
use transect_coordinator::{Config, Coordinator, start};

/// Keeps sweeps, leases their jobs to workers, and stores what they measure.
#[derive(Debug, Parser)]
#[command(name = "transect-coordinator", version)]
struct Options {
    /// Folder of the database and the artifacts; made when it is missing
    #[arg(long, env = "TRANSECT_HOME", default_value = ".transect")]
    home: PathBuf,
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
    let logs = Logs { program: "transect-coordinator", json: options.log_json, ansi: stderr().is_terminal() };
    let done = match telemetry::start(logs, stderr) {
        // Kept until the end: then the last spans are sent.
        Ok(_telemetry) => run(options).await,
        Err(error) => Err(error.into()),
    };
    match done {
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
    let config = Config {
        home: options.home,
        listen: options.listen,
        http: options.http.0,
        lease: Duration::from_secs(options.lease_seconds),
        max_attempts: options.max_attempts,
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
