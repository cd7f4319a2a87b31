//! How users change when a sweep's jobs run, the books that are closed when it has none left, and workers let go from
//! quarantine.

use super::db::{Db, Tx, sql};
use super::workers;
use crate::store::{Adjust, Result, StoreError, SweepId, Timestamp, Worker, WorkerId};

pub(super) async fn pause(db: &Db, id: SweepId, now: Timestamp) -> Result<()> {
    let mut tx = db.begin_on_graph().await?;
    let found = sqlx::query(sql!("pause_sweep")).bind(id.0).bind(now.to_string()).execute(&mut *tx).await?;
    must_be_one(found.rows_affected(), id)?;
    hand_over(&mut tx, id).await?;
    db.commit(tx).await?;
    db.freed();
    Ok(())
}

pub(super) async fn unpause(db: &Db, id: SweepId) -> Result<()> {
    let mut tx = db.begin_on_graph().await?;
    let found = sqlx::query(sql!("unpause_sweep")).bind(id.0).execute(&mut *tx).await?;
    must_be_one(found.rows_affected(), id)?;
    adopt(&mut tx, id).await?;
    db.commit(tx).await?;
    db.freed();
    Ok(())
}

pub(super) async fn adjust(db: &Db, id: SweepId, adjust: Adjust) -> Result<()> {
    let mut tx = db.begin_on_graph().await?;
    let found = sqlx::query(sql!("adjust_sweep"))
        .bind(id.0)
        .bind(adjust.priority)
        .bind(adjust.share)
        .bind(adjust.max_workers.map(i64::from))
        .execute(&mut *tx)
        .await?;
    must_be_one(found.rows_affected(), id)?;
    if adjust.priority.is_some() {
        adopt(&mut tx, id).await?;
        hand_over(&mut tx, id).await?;
    }
    db.commit(tx).await?;
    db.freed();
    Ok(())
}

fn must_be_one(found: u64, id: SweepId) -> Result<()> {
    if found == 1 { Ok(()) } else { Err(StoreError::NotFound { what: "sweep", name: id.to_string() }) }
}

/// Jobs that others hold back, and that this sweep needs as well, wait in its name.
pub(super) async fn adopt(tx: &mut Tx, id: SweepId) -> Result<()> {
    sqlx::query(sql!("adopt_jobs")).bind(id.0).execute(&mut **tx).await?;
    Ok(())
}

/// Jobs that this sweep holds back, and that others need as well, wait in the name of one of those.
pub(super) async fn hand_over(tx: &mut Tx, id: SweepId) -> Result<()> {
    sqlx::query(sql!("hand_over_jobs")).bind(id.0).execute(&mut **tx).await?;
    Ok(())
}

pub(super) async fn roll_up(db: &Db, now: Timestamp) -> Result<u64> {
    let mut tx = db.begin_on_graph().await?;
    let closed: Vec<i64> = sqlx::query_scalar(sql!("roll_up_sweeps")).bind(now.to_string()).fetch_all(&mut *tx).await?;
    if closed.is_empty() {
        tx.rollback().await?;
    } else {
        db.commit(tx).await?;
    }
    Ok(closed.len() as u64)
}

pub(super) async fn release_worker(db: &Db, id_or_name: &str, now: Timestamp) -> Result<Worker> {
    let unknown = || StoreError::NotFound { what: "worker", name: id_or_name.to_owned() };
    let id = id_or_name.parse::<WorkerId>().ok().map(|id| id.0);
    let mut tx = db.begin().await?;
    let found: Option<i64> =
        sqlx::query_scalar(sql!("find_worker")).bind(id).bind(id_or_name).fetch_optional(&mut *tx).await?;
    let found = found.ok_or_else(unknown)?;
    sqlx::query(sql!("release_worker")).bind(found).bind(now.to_string()).execute(&mut *tx).await?;
    db.commit(tx).await?;
    db.freed();
    workers::workers(db, Some(WorkerId(found))).await?.pop().ok_or_else(unknown)
}
