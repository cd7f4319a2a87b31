//! What people and monitors ask for, with a large sweep stored.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use transect_common::pb;

use crate::coordinator::{Coordinator, Store, beside};
use crate::report::Report;
use crate::stats::percentile;

/// Each is asked so often.
const TIMES: usize = 20;
/// What a person would type.
const VIEW: &str = "SELECT jobs, done FROM sweep_progress";

/// Measures with the sweep of that id.
pub async fn measure(coordinator: &Coordinator, store: Store, sweep: &str, report: &mut Report) -> anyhow::Result<()> {
    let mut sweeps = coordinator.sweeps().await?;
    let mut times = vec![];
    for _ in 0..TIMES {
        let asked = Instant::now();
        sweeps.get(pb::GetRequest { sweep: sweep.to_owned() }).await.context("get")?;
        times.push(milliseconds(asked));
    }
    add(report, "status_rpc", &times, Some(100.0), "SweepService.Get");

    if let Ok(program) = beside("transect") {
        let mut times = vec![];
        for _ in 0..TIMES {
            let mut command = Command::new(&program);
            command.args(["--coordinator", &coordinator.address(), "status", sweep]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).env_remove("TRANSECT_COORDINATOR");
            let asked = Instant::now();
            ensure!(command.status()?.success(), "`transect status` failed");
            times.push(milliseconds(asked));
        }
        add(report, "status_command", &times, Some(100.0), "`transect status`, the whole command");
    }

    let times = match store {
        Store::Sqlite => {
            let path = coordinator.home().join("transect.db");
            let mut db: SqliteConnection = SqliteConnectOptions::new().filename(path).read_only(true).connect().await?;
            let mut times = vec![];
            for _ in 0..TIMES {
                let asked = Instant::now();
                let _: (i64, i64) = sqlx::query_as(VIEW).fetch_one(&mut db).await?;
                times.push(milliseconds(asked));
            }
            times
        }
        Store::Postgres => {
            let mut db = PgConnection::connect(&coordinator.database).await?;
            let mut times = vec![];
            for _ in 0..TIMES {
                let asked = Instant::now();
                let _: (i64, i64) = sqlx::query_as(VIEW).fetch_one(&mut db).await?;
                times.push(milliseconds(asked));
            }
            times
        }
    };
    add(report, "sweep_progress", &times, Some(100.0), "the SQL view, read beside the coordinator");

    let mut times = vec![];
    for _ in 0..TIMES {
        let asked = Instant::now();
        let mut stream = TcpStream::connect(coordinator.http).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").await?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await?;
        ensure!(page.contains("transect_jobs"), "/metrics answers {page}");
        times.push(milliseconds(asked));
    }
    add(report, "metrics_page", &times, Some(100.0), "/metrics");
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The slowest but one: one may have met something else that this machine does.
fn add(report: &mut Report, figure: &str, times: &[f64], target: Option<f64>, what: &str) {
    let p95 = percentile(times, 0.95).unwrap_or(f64::NAN);
    let p50 = percentile(times, 0.5).unwrap_or(f64::NAN);
    report.add(figure, p95, "ms", target, &format!("{what}: p95 of {TIMES}; median {p50:.1}"));
}
