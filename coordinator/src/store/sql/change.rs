//! What users do to a sweep that is there: cancel it, or have its failed jobs tried again.

use std::collections::BTreeSet;

use super::db::{Db, Tx, sql};
use super::rows::json;
use super::scheduling;
use crate::store::{Result, Retry, StoreError, SweepId, Timestamp};

pub(super) async fn cancel(db: &Db, id: SweepId, now: Timestamp) -> Result<u64> {
    let mut tx = db.begin_on_graph().await?;
    let sweeps = on_sweep(&mut tx, sql!("cancel_sweep"), id, now).await?;
    if sweeps == 0 {
        return Err(StoreError::NotFound { what: "sweep", name: id.to_string() });
    }
    let cancelled = on_sweep(&mut tx, sql!("cancel_jobs"), id, now).await?;
    scheduling::hand_over(&mut tx, id).await?;
    db.commit(tx).await?;
    db.freed();
    db.stopped();
    Ok(cancelled)
}

pub(super) async fn retry(db: &Db, id: SweepId, which: Retry, now: Timestamp) -> Result<u64> {
    let mut tx = db.begin_on_graph().await?;
    let known: Option<String> = sqlx::query_scalar(sql!("sweep_file")).bind(id.0).fetch_optional(&mut *tx).await?;
    if known.is_none() {
        return Err(StoreError::NotFound { what: "sweep", name: id.to_string() });
    }
    let own = sqlx::query(sql!("retry_jobs"))
        .bind(id.0)
        .bind(which.machine_errors_only)
        .bind(which.cancelled)
        .bind(now.to_string())
        .execute(&mut *tx)
        .await?
        .rows_affected();
    let waiting = on_sweep(&mut tx, sql!("retry_waiting_of_sweep"), id, now).await?;
    let elsewhere = ids_on_sweep(&mut tx, sql!("retry_waiting_elsewhere"), id, now).await?;
    // A sweep that was cancelled while some of it had failed: what failed needs what was cancelled.
    let cancelled = ids_on_sweep(&mut tx, sql!("requeue_sources"), id, now).await?;
    // A job that was cancelled is of no use while a training that it waits for stays failed, or has stopped too early.
    let missing = on_sweep(&mut tx, sql!("fail_missing_of_sweep"), id, now).await?;
    let failed_again = on_sweep(&mut tx, sql!("fail_waiting_of_sweep"), id, now).await?;
    // What came back elsewhere may wait for another training that stays failed.
    sqlx::query(sql!("fail_waiting_anywhere")).bind(now.to_string()).execute(&mut *tx).await?;
    let queued = (own + waiting + cancelled.len() as u64).saturating_sub(missing + failed_again);
    if queued > 0 {
        sqlx::query(sql!("revive_sweep")).bind(id.0).execute(&mut *tx).await?;
    }
    // What is queued again waits in the name of a sweep that goes on.
    scheduling::adopt(&mut tx, id).await?;
    scheduling::hand_over(&mut tx, id).await?;
    let others: BTreeSet<i64> = elsewhere.into_iter().chain(cancelled).collect();
    sqlx::query(sql!("rehome_jobs")).bind(json(&others)).execute(&mut *tx).await?;
    db.commit(tx).await?;
    db.freed();
    Ok(queued)
}

/// A statement about one sweep at one moment; returns the jobs that it changed.
async fn ids_on_sweep(tx: &mut Tx, statement: &'static str, id: SweepId, now: Timestamp) -> Result<Vec<i64>> {
    Ok(sqlx::query_scalar(statement).bind(id.0).bind(now.to_string()).fetch_all(&mut **tx).await?)
}

/// A statement about one sweep at one moment; returns how many rows it changed.
async fn on_sweep(tx: &mut Tx, statement: &'static str, id: SweepId, now: Timestamp) -> Result<u64> {
    Ok(sqlx::query(statement).bind(id.0).bind(now.to_string()).execute(&mut **tx).await?.rows_affected())
}
