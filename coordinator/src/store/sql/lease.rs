//! Leases: taking, extending, giving back and losing them.
//!
//! Jobs are written before workers, and jobs by id, in every transaction: so two of them never wait for each other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::Serialize;
use transect_common::digest::{ArtifactDigest, RunDigest};
use transect_common::job::{AfterFailure, ErrorClass, after_lost_lease};
use transect_common::run::{RunSpec, Tag};

use super::beats::beat;
use super::claim::{Claim, Claimed, claim};
use super::db::{Db, Tx, sql};
use super::needs;
use super::refine;
use super::rows::{count, json, split, text};
use super::specs;
use super::workers::{must_exist, touch};
use crate::store::{
    Attempt, JobAttempt, JobId, JobProgress, Lease, LeaseWish, LeasedJob, Result, Snapshot, Timestamp, WorkerId,
    WorkerState,
};

pub(super) async fn lease(db: &Db, wish: LeaseWish, now: Timestamp) -> Result<Option<Lease>> {
    // A look that takes no lock: idle workers ask often, and mostly for nothing.
    if !due(db, now).await? {
        must_exist(db, wish.worker).await?;
        return Ok(None);
    }
    let mut tx = db.begin().await?;
    let Some(Claim { jobs: mut claimed, is_training }) = claim(&mut tx, &wish, now, now.plus(db.terms.lease)).await?
    else {
        tx.rollback().await?;
        return Ok(None);
    };
    claimed.sort_unstable_by_key(|claimed| claimed.job);
    let Claimed { job: first, run, .. } = *claimed.first().expect("a claim has a job");
    let (digest, run_spec): (String, String) = sqlx::query_as(sql!("run_spec")).bind(run).fetch_one(&mut *tx).await?;
    let lines = specs::lines(db, &mut tx, &claimed.iter().filter_map(|claimed| claimed.line).collect()).await?;
    let jobs = leased_jobs(&mut tx, &claimed, &lines).await?;
    let elsewhere = if is_training || lines.values().any(|line| line.spec.needs().is_some()) {
        needs::elsewhere(&mut tx, &ids(claimed.iter())).await?
    } else {
        vec![]
    };
    let checkpoints = if is_training { vec![] } else { checkpoints(&mut tx, run).await? };
    let artifacts = if is_training { artifacts(&run_spec)? } else { vec![] };
    let snapshot = if is_training { snapshot(&mut tx, first, wish.worker).await? } else { None };
    let run = text::<RunDigest>(&digest)?;
    let lease = Lease { run, run_spec, checkpoints, elsewhere, artifacts, jobs, snapshot };
    touch(&mut tx, db, wish.worker, None, now).await?;
    db.commit(tx).await?;
    Ok(Some(lease))
}

/// The ids of jobs as JSON.
fn ids<'a>(jobs: impl Iterator<Item = &'a Claimed>) -> String {
    json(&jobs.map(|claimed| claimed.job).collect::<Vec<_>>())
}

/// Whether anything may be leased, by whomever.
pub(super) async fn due(db: &Db, now: Timestamp) -> Result<bool> {
    Ok(sqlx::query_scalar(sql!("something_due")).bind(now.to_string()).fetch_one(&db.readers).await?)
}

/// Where a training goes on, when it was begun on a device like the worker's.
async fn snapshot(tx: &mut Tx, job: i64, worker: WorkerId) -> Result<Option<Snapshot>> {
    let row: Option<(String, i64, i64, i64)> =
        sqlx::query_as(sql!("snapshot_of_job")).bind(job).bind(worker.0).fetch_optional(&mut **tx).await?;
    let Some((artifact, bytes, step, threads)) = row else { return Ok(None) };
    Ok(Some(Snapshot {
        artifact: text(&artifact)?,
        bytes: count(bytes)?,
        step: count(step)?,
        threads: count(threads)?,
    }))
}

async fn leased_jobs(
    tx: &mut Tx,
    claimed: &[Claimed],
    lines: &HashMap<i64, Arc<specs::Line>>,
) -> Result<Vec<LeasedJob>> {
    let mut curves = HashMap::new();
    let mut done: HashMap<i64, BTreeSet<_>> = HashMap::new();
    if claimed.iter().any(|claimed| claimed.points > 0) {
        let begun = ids(claimed.iter().filter(|claimed| claimed.points > 0));
        let points: Vec<(i64, String, i64)> =
            sqlx::query_as(sql!("points_of_jobs")).bind(&begun).fetch_all(&mut **tx).await?;
        for (job, name, place) in points {
            done.entry(job).or_default().insert((split(&name)?, count(place)?));
        }
        if lines.values().any(|line| line.spec.refine.is_some()) {
            curves = refine::curves(tx, &begun).await?;
        }
    }
    claimed
        .iter()
        .map(|&Claimed { job, attempt, line, .. }| {
            Ok(LeasedJob {
                job: JobAttempt { job: JobId(job), attempt: Attempt(count(attempt)?) },
                line_spec: line.and_then(|line| lines.get(&line)).map(|line| line.text.clone()),
                done_points: done.remove(&job).unwrap_or_default(),
                curve: curves.remove(&job).unwrap_or_default(),
            })
        })
        .collect()
}

async fn checkpoints(tx: &mut Tx, run: i64) -> Result<Vec<(Tag, ArtifactDigest)>> {
    type Row = (i64, String, String, Option<i64>, String, String, i64);
    let rows: Vec<Row> = sqlx::query_as(sql!("checkpoints_of_run")).bind(run).fetch_all(&mut **tx).await?;
    let mut found: Vec<(Tag, ArtifactDigest)> =
        rows.iter().map(|(_, _, _, _, tag, artifact, _)| Ok((text(tag)?, text(artifact)?))).collect::<Result<_>>()?;
    found.sort();
    Ok(found)
}

/// Imported files that a training starts from, each once.
fn artifacts(run_spec: &str) -> Result<Vec<ArtifactDigest>> {
    let run = RunSpec::from_canonical(run_spec)?;
    let files: BTreeSet<ArtifactDigest> = needs::artifacts(&run).cloned().collect();
    Ok(files.into_iter().collect())
}

#[derive(Serialize)]
struct ProgressRow<'a> {
    job: i64,
    attempt: u32,
    fraction: f64,
    text: &'a str,
}

pub(super) async fn heartbeat(
    db: &Db,
    worker: WorkerId,
    jobs: &[JobProgress],
    draining: bool,
    now: Timestamp,
) -> Result<Vec<JobAttempt>> {
    if jobs.is_empty() && !draining && beat(db, worker, now).await? {
        return Ok(vec![]);
    }
    must_exist(db, worker).await?;
    let mut tx = db.begin().await?;
    let state = if draining { WorkerState::Draining } else { WorkerState::Live };
    let rows: Vec<ProgressRow> = jobs
        .iter()
        .map(|progress| ProgressRow {
            job: progress.job.job.0,
            attempt: progress.job.attempt.0,
            fraction: if progress.fraction.is_nan() { 0.0 } else { progress.fraction.clamp(0.0, 1.0) },
            text: &progress.text,
        })
        .collect();
    let held: Vec<(i64, i64)> = sqlx::query_as(sql!("extend_leases"))
        .bind(json(&rows))
        .bind(now.plus(db.terms.lease).to_string())
        .bind(worker.0)
        .fetch_all(&mut *tx)
        .await?;
    touch(&mut tx, db, worker, Some(state), now).await?;
    db.commit(tx).await?;
    let is_held = |job: &JobAttempt| held.contains(&(job.job.0, i64::from(job.attempt.0)));
    Ok(jobs.iter().map(|progress| progress.job).filter(|job| !is_held(job)).collect())
}

pub(super) async fn leave(db: &Db, worker: WorkerId, now: Timestamp) -> Result<u64> {
    must_exist(db, worker).await?;
    let mut tx = db.begin().await?;
    let given_back =
        sqlx::query(sql!("give_back")).bind(worker.0).bind(now.to_string()).execute(&mut *tx).await?.rows_affected();
    sqlx::query(sql!("worker_left")).bind(worker.0).bind(now.to_string()).execute(&mut *tx).await?;
    db.commit(tx).await?;
    if given_back > 0 {
        db.freed();
    }
    Ok(given_back)
}

/// A lease that ran out, and when its job may be tried again.
#[derive(Serialize)]
struct LostRow {
    job: i64,
    attempt: i64,
    worker: i64,
    due: String,
}

pub(super) async fn expire(db: &Db, now: Timestamp) -> Result<Vec<JobAttempt>> {
    let any: bool = sqlx::query_scalar(sql!("something_expired")).bind(now.to_string()).fetch_one(&db.readers).await?;
    if !any {
        return Ok(vec![]);
    }
    // Where a training is set aside, what waits for it is, too.
    let mut tx = db.begin_on_graph().await?;
    let expired: Vec<(i64, i64, i64, i64)> =
        sqlx::query_as(sql!("expired_leases")).bind(now.to_string()).fetch_all(&mut *tx).await?;
    let (mut lost, mut queued_again) = (vec![], vec![]);
    for (job, attempt, lost_before, worker) in expired {
        let lease = JobAttempt { job: JobId(job), attempt: Attempt(count(attempt)?) };
        match after_lost_lease(count::<u32>(lost_before)?.saturating_add(1)) {
            AfterFailure::RetryIn(pause) => {
                queued_again.push(LostRow { job, attempt, worker, due: now.plus(pause).to_string() });
            }
            AfterFailure::SetAside => {
                let message = format!(
                    "{} leases in a row ran out: its workers fell silent each time (killed, out of memory, or cut off)",
                    lost_before + 1
                );
                set_aside(&mut tx, lease, WorkerId(worker), ErrorClass::Machine, &message, now).await?;
            }
        }
        lost.push(lease);
    }
    lose(&mut tx, &queued_again, now).await?;
    for statement in [sql!("workers_gone"), sql!("end_quarantines")] {
        sqlx::query(statement).bind(now.to_string()).execute(&mut *tx).await?;
    }
    db.commit(tx).await?;
    db.freed();
    Ok(lost)
}

/// Queues jobs again whose leases ran out, and remembers why. A rack that falls silent loses thousands at once.
async fn lose(tx: &mut Tx, leases: &[LostRow], now: Timestamp) -> Result<()> {
    if leases.is_empty() {
        return Ok(());
    }
    let rows = json(leases);
    sqlx::query(sql!("insert_lost"))
        .bind(&rows)
        .bind(now.to_string())
        .bind("the lease ran out: the worker fell silent (killed, out of memory, or cut off)")
        .execute(&mut **tx)
        .await?;
    sqlx::query(sql!("lose_leases")).bind(&rows).execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn resume(db: &Db, now: Timestamp) -> Result<()> {
    let until = now.plus(db.terms.lease).to_string();
    // Workers are heard three times in a lease, so one that was heard since shows that a coordinator is there.
    let heard = now.minus(db.terms.lease / 3).to_string();
    let mut tx = db.begin().await?;
    for statement in [sql!("extend_all_leases"), sql!("extend_all_workers")] {
        sqlx::query(statement).bind(&until).bind(&heard).execute(&mut *tx).await?;
    }
    db.commit(tx).await
}

/// Sets a leased job aside with its error, and with a training job whatever waits for it.
pub(super) async fn set_aside(
    tx: &mut Tx,
    lease: JobAttempt,
    worker: WorkerId,
    class: ErrorClass,
    message: &str,
    now: Timestamp,
) -> Result<()> {
    let now = now.to_string();
    keep_error(tx, lease, worker, class, message, &now).await?;
    sqlx::query(sql!("set_aside"))
        .bind(lease.job.0)
        .bind(i64::from(lease.attempt.0))
        .bind(&now)
        .bind(message)
        .bind(class.name())
        .execute(&mut **tx)
        .await?;
    sqlx::query(sql!("fail_waiting_for")).bind(lease.job.0).bind(&now).execute(&mut **tx).await?;
    Ok(())
}

/// Remembers what ended an attempt.
pub(super) async fn keep_error(
    tx: &mut Tx,
    lease: JobAttempt,
    worker: WorkerId,
    class: ErrorClass,
    message: &str,
    now: &str,
) -> Result<()> {
    sqlx::query(sql!("insert_error"))
        .bind(lease.job.0)
        .bind(i64::from(lease.attempt.0))
        .bind(now)
        .bind(class.name())
        .bind(message)
        .bind(worker.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
