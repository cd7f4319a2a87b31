//! Workers: who they are and when they were heard last; and the numbers for metrics.

use sqlx::FromRow;
use transect_common::job::{JobKind, JobState};

use super::claim::from_json;
use super::db::{Db, Tx, sql};
use super::rows::{count, integer, json, optional_text, text, word};
use crate::store::{Counts, MOST_GONE, Result, StoreError, Timestamp, Worker, WorkerId, WorkerInfo, WorkerState};

pub(super) async fn register(db: &Db, info: WorkerInfo, now: Timestamp) -> Result<WorkerId> {
    let mut tx = db.begin().await?;
    let id: i64 = sqlx::query_scalar(sql!("insert_worker"))
        .bind(format!("{}/{}/{}", info.host, info.device, info.pid))
        .bind(info.host)
        .bind(i64::from(info.pid))
        .bind(info.device)
        .bind(info.device_name)
        .bind(integer(info.memory_bytes, "the device's memory")?)
        .bind(info.libtorch)
        .bind(info.cpu_capability)
        .bind(i64::from(info.threads))
        .bind(info.version)
        .bind(now.to_string())
        .bind(now.plus(db.terms.lease).to_string())
        .bind(json(&info.labels))
        .fetch_one(&mut *tx)
        .await?;
    db.commit(tx).await?;
    Ok(WorkerId(id))
}

/// `NotFound` for a worker that never registered.
pub(super) async fn must_exist(db: &Db, worker: WorkerId) -> Result<()> {
    let exists: bool = sqlx::query_scalar(sql!("worker_exists")).bind(worker.0).fetch_one(&db.readers).await?;
    if exists { Ok(()) } else { Err(StoreError::NotFound { what: "worker", name: worker.to_string() }) }
}

/// Notes that a worker was heard; `state` as it says, or as it was.
pub(super) async fn touch(
    tx: &mut Tx,
    db: &Db,
    worker: WorkerId,
    state: Option<WorkerState>,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(sql!("touch_worker"))
        .bind(worker.0)
        .bind(now.to_string())
        .bind(state.map(WorkerState::name))
        .bind(now.plus(db.terms.lease).to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

#[derive(FromRow)]
struct WorkerRow {
    id: i64,
    name: String,
    state: String,
    host: String,
    pid: i64,
    device: String,
    device_name: String,
    memory_bytes: i64,
    libtorch: String,
    cpu_capability: String,
    threads: i64,
    version: String,
    registered_at: String,
    seen_at: String,
    leased: i64,
    done: i64,
    labels: String,
    quarantined_until: Option<String>,
    failures: i64,
}

/// Those that are there and the newest that are gone; or `only` one.
pub(super) async fn workers(db: &Db, only: Option<WorkerId>) -> Result<Vec<Worker>> {
    let rows: Vec<WorkerRow> = sqlx::query_as(sql!("workers"))
        .bind(i64::from(MOST_GONE))
        .bind(only.map(|worker| worker.0))
        .fetch_all(&db.readers)
        .await?;
    let worker = |row: WorkerRow| {
        Ok(Worker {
            id: WorkerId(row.id),
            name: row.name,
            state: word(&row.state, WorkerState::from_name)?,
            info: WorkerInfo {
                host: row.host,
                pid: count(row.pid)?,
                device: row.device,
                device_name: row.device_name,
                memory_bytes: count(row.memory_bytes)?,
                libtorch: row.libtorch,
                cpu_capability: row.cpu_capability,
                threads: count(row.threads)?,
                version: row.version,
                labels: from_json(&row.labels)?,
            },
            registered_at: text(&row.registered_at)?,
            seen_at: text(&row.seen_at)?,
            leased: count(row.leased)?,
            done: count(row.done)?,
            failures: count(row.failures)?,
            quarantined_until: optional_text(row.quarantined_until.as_deref())?,
        })
    };
    rows.into_iter().map(worker).collect()
}

#[derive(FromRow)]
struct JobsRow {
    kind: String,
    queued: i64,
    leased: i64,
    done: i64,
    failed: i64,
    cancelled: i64,
    points: i64,
}

pub(super) async fn counts(db: &Db) -> Result<Counts> {
    let jobs: Vec<JobsRow> = sqlx::query_as(sql!("count_jobs")).fetch_all(&db.readers).await?;
    let (sweeps, workers): (i64, i64) = sqlx::query_as(sql!("count_rest")).fetch_one(&db.readers).await?;
    let mut counts = Counts { sweeps: count(sweeps)?, workers: count(workers)?, ..Counts::default() };
    for row in jobs {
        let kind = word(&row.kind, JobKind::from_name)?;
        for (state, jobs) in [
            (JobState::Queued, row.queued),
            (JobState::Leased, row.leased),
            (JobState::Done, row.done),
            (JobState::Failed, row.failed),
            (JobState::Cancelled, row.cancelled),
        ] {
            if jobs != 0 {
                counts.jobs.insert((kind, state), count(jobs)?);
            }
        }
        counts.points += count::<u64>(row.points)?;
    }
    Ok(counts)
}
