//! How many jobs, or points, a second a coordinator takes in: leased, reported, and on the disk when it answers.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use futures::TryStreamExt as _;
use serde::Serialize;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, FromRow, PgConnection};
use transect_common::pb;

use super::submit;
use crate::coordinator::{Coordinator, Store};
use crate::load::{self, Load};
use crate::postgres::Server;
use crate::stats::percentile;
use crate::sweep::Points;

/// Rows of a report that a coordinator takes at most.
const MOST_ROWS: usize = 10_000;

/// What is to be taken in.
#[derive(Debug, Clone, Args)]
pub struct Wanted {
    /// Database
    #[arg(long, value_enum, default_value_t = Store::Sqlite)]
    pub store: Store,
    /// Jobs in all
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(10..=1_100_000))]
    pub count: u64,
    /// Workers, each on a connection of its own
    #[arg(long, default_value_t = 4)]
    pub workers: usize,
    /// Lines that a worker leases together, at most
    #[arg(long, default_value_t = 1000)]
    pub jobs_per_lease: u32,
    /// Lines that it reports together; as many as it leased unless given
    #[arg(long)]
    pub jobs_per_report: Option<usize>,
    /// Values of alpha of each line; the fewest that a line can have unless given
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(2..=5000))]
    pub alphas: u64,
    /// Splits on which each is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=2))]
    pub splits: u64,
    /// Writes every stored point to this file as CSV, in the order of the primary key
    #[arg(long)]
    pub rows: Option<PathBuf>,
    /// Folder for databases; a temporary one unless given
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

/// What the database itself is to take in.
#[derive(Debug, Clone, Args)]
pub struct Copied {
    /// Rows as `throughput --rows` writes them
    #[arg(long)]
    pub rows: PathBuf,
    /// Folder for databases; a temporary one unless given
    #[arg(long)]
    pub folder: Option<PathBuf>,
}

/// What came of it; printed as one JSON object.
#[derive(Debug, Serialize)]
struct Taken {
    store: &'static str,
    jobs: usize,
    points: usize,
    /// From the first lease asked for to the last report answered.
    seconds: f64,
    jobs_per_second: f64,
    points_per_second: f64,
    workers: usize,
    jobs_per_lease: u32,
    points_per_job: usize,
    lease_p99_ms: f64,
    report_p99_ms: f64,
    /// Processor time of the coordinator, and of the database's server, for each job.
    cpu_us_per_job: f64,
    cpu_us_per_job_database: f64,
    /// One write of 4 KiB to the same file system and its `fdatasync`: the median.
    synced_write_us: f64,
    /// What one job took, over that.
    job_over_synced_write: f64,
}

/// What is stored, as the database itself says.
#[derive(Debug, FromRow)]
struct Stored {
    done: i64,
    points: i64,
    loss: f64,
}

const STORED: &str = "SELECT (SELECT count(*) FROM jobs WHERE state = 'done' AND points = points_expected) AS done, \
                      count(*) AS points, coalesce(sum(loss), 0.0) AS loss FROM points";

/// Takes it in and prints what came of it.
pub async fn measure(wanted: &Wanted, folder: &Path) -> anyhow::Result<()> {
    let server = match wanted.store {
        Store::Sqlite => None,
        Store::Postgres => Some(Server::start(folder)?),
    };
    let coordinator = Coordinator::start(folder, server.as_ref(), "taken").await?;
    let points = Points { alphas: wanted.alphas as usize, splits: wanted.splits as usize };
    let sweep = submit::quietly(&coordinator, "taken", wanted.count as usize, points).await?;
    coordinator.settle().await?;
    let most = (MOST_ROWS / (points.number() + 1)).max(1);
    let load = Load {
        workers: wanted.workers.max(1),
        jobs_per_lease: wanted.jobs_per_lease,
        jobs_per_report: wanted.jobs_per_report.unwrap_or(most).min(most),
        job: Duration::ZERO,
        jobs: None,
        time: Duration::from_mins(10),
        until_empty: true,
    };
    let (own, database) = coordinator.cpu()?;
    let done = load::run(&coordinator, load).await?;
    let (own_after, database_after) = coordinator.cpu()?;

    let jobs = sweep.jobs as usize;
    let stored = stored(&coordinator, wanted.store).await?;
    let loss: f64 = load::losses(points.alphas).iter().sum::<f64>() * (points.splits * jobs) as f64;
    ensure!(
        done.jobs == jobs && stored.done == jobs as i64 && stored.points == (jobs * points.number()) as i64,
        "{jobs} jobs were there; workers ended {}, and stored are {stored:?}",
        done.jobs
    );
    ensure!((stored.loss - loss).abs() <= 1e-9 * loss, "the sum of the losses is {}, not {loss}", stored.loss);
    let seen = coordinator.sweeps().await?.get(pb::GetRequest { sweep: sweep.sweep_id }).await?.into_inner();
    let seen = seen.sweep.context("the sweep is gone")?;
    ensure!(seen.done == sweep.jobs && seen.state == "done", "the coordinator says {seen:?}");
    if let Some(file) = &wanted.rows {
        write_rows(&coordinator, wanted.store, file).await?;
    }
    coordinator.stop().await?;

    let (each, synced) = (done.seconds * 1e6 / jobs as f64, synced_write(folder)?);
    let at_p99 = |values: &[f64]| percentile(values, 0.99).unwrap_or(f64::NAN);
    let taken = Taken {
        store: wanted.store.name(),
        jobs,
        points: jobs * points.number(),
        seconds: done.seconds,
        jobs_per_second: jobs as f64 / done.seconds,
        points_per_second: (jobs * points.number()) as f64 / done.seconds,
        workers: load.workers,
        jobs_per_lease: load.jobs_per_lease,
        points_per_job: points.number(),
        lease_p99_ms: at_p99(&done.leases),
        report_p99_ms: at_p99(&done.reports),
        cpu_us_per_job: (own_after - own) * 1e6 / jobs as f64,
        cpu_us_per_job_database: (database_after - database) * 1e6 / jobs as f64,
        synced_write_us: synced,
        job_over_synced_write: each / synced,
    };
    println!("{}", serde_json::to_string(&taken)?);
    Ok(())
}

async fn stored(coordinator: &Coordinator, store: Store) -> anyhow::Result<Stored> {
    Ok(match store {
        Store::Sqlite => sqlx::query_as(STORED).fetch_one(&mut coordinator.sqlite().await?).await?,
        Store::Postgres => {
            sqlx::query_as(STORED).fetch_one(&mut PgConnection::connect(&coordinator.database).await?).await?
        }
    })
}

type Row = (i64, String, i64, f64, Option<f64>, f64, i64, i64);

const ROWS: &str =
    "SELECT job, split, place, alpha, loss, accuracy, count, worker FROM points ORDER BY job, split, place";

async fn write_rows(coordinator: &Coordinator, store: Store, file: &Path) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(file).with_context(|| format!("{} cannot be made", file.display()))?);
    let mut write = |(job, split, place, alpha, loss, accuracy, count, worker): Row| {
        let loss = loss.map(|loss| loss.to_string()).unwrap_or_default();
        writeln!(out, "{job},{split},{place},{alpha},{loss},{accuracy},{count},{worker}")
    };
    match store {
        Store::Sqlite => {
            let mut database = coordinator.sqlite().await?;
            let mut rows = sqlx::query_as(ROWS).fetch(&mut database);
            while let Some(row) = rows.try_next().await? {
                write(row)?;
            }
        }
        Store::Postgres => {
            let mut database = PgConnection::connect(&coordinator.database).await?;
            let mut rows = sqlx::query_as(ROWS).fetch(&mut database);
            while let Some(row) = rows.try_next().await? {
                write(row)?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Microseconds of one small write that is on the disk when it is answered: the median of many.
fn synced_write(folder: &Path) -> anyhow::Result<f64> {
    let file = tempfile::tempfile_in(folder)?;
    let (block, mut times) = ([7_u8; 4096], vec![]);
    for place in 0..200 {
        let began = Instant::now();
        file.write_all_at(&block, place * block.len() as u64)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    percentile(&times, 0.5).context("times were taken")
}

/// The columns and the key of ours, without its references and checks.
const TABLE: &str = "CREATE TABLE points (job bigint NOT NULL, split text COLLATE \"C\" NOT NULL, place bigint NOT NULL, \
                     alpha double precision NOT NULL, loss double precision, accuracy double precision NOT NULL, \
                     count bigint NOT NULL, worker bigint NOT NULL, PRIMARY KEY (job, split, place))";

/// Has Postgres, set as durably as ever, take rows in by `COPY` from a file, and prints how long that took.
pub async fn copy(wanted: &Copied, folder: &Path) -> anyhow::Result<()> {
    let server = Server::start(folder)?;
    let mut database = PgConnection::connect(&server.database("copied").await?).await?;
    database.execute(TABLE).await?;
    database.execute("CHECKPOINT").await?;
    let rows = std::path::absolute(&wanted.rows)?.display().to_string().replace('\'', "''");
    let began = Instant::now();
    let copied = database.execute(AssertSqlSafe(format!("COPY points FROM '{rows}' (FORMAT csv)"))).await?;
    let seconds = began.elapsed().as_secs_f64();
    let loss: f64 = sqlx::query_scalar("SELECT coalesce(sum(loss), 0) FROM points").fetch_one(&mut database).await?;
    database.close().await?;
    println!("{}", serde_json::json!({ "seconds": seconds, "rows": copied.rows_affected(), "loss": loss }));
    Ok(())
}
