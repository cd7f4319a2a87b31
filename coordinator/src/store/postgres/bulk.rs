//! Statements over many rows, which Postgres takes as arrays, one for each column: exact, and read in a tenth of the time that
//! JSON takes. What they change is counted by a trigger, once for each statement.

use std::collections::{BTreeSet, HashSet};

use transect_common::job::JobKind;

use super::claim::{Claimed, LinesWanted};
use super::db::{Tx, sql};
use super::report::HeldRow;
use super::writes::{AdvanceRow, DoneRow, EpochRow, MeasureRow, PointRow};
use crate::store::Result;

/// One column.
fn column<R, T>(rows: &[R], value: impl Fn(&R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Lists training jobs for a sweep and stores those that are not there yet, which it counts. The statement is not kept
/// (`persistent`): each fills the tables that the next reads, and a plan for empty tables does not do for millions of rows.
pub(super) async fn list_train_jobs(tx: &mut Tx, rows: &str, now: &str, sweep: i64) -> Result<u64> {
    list_jobs(tx, sql!("list_train_jobs"), rows, now, sweep).await
}

/// Likewise for line jobs.
pub(super) async fn list_line_jobs(tx: &mut Tx, rows: &str, now: &str, sweep: i64) -> Result<u64> {
    list_jobs(tx, sql!("list_line_jobs"), rows, now, sweep).await
}

async fn list_jobs(tx: &mut Tx, statement: &'static str, rows: &str, now: &str, sweep: i64) -> Result<u64> {
    let new: i64 =
        sqlx::query_scalar(statement).persistent(false).bind(rows).bind(now).bind(sweep).fetch_one(&mut **tx).await?;
    Ok(new.unsigned_abs())
}

/// How the jobs in `ids` are. Those that are leased stay so until the transaction ends.
pub(super) async fn hold_jobs(tx: &mut Tx, ids: &[i64]) -> Result<Vec<HeldRow>> {
    let mut held: Vec<HeldRow> = sqlx::query_as(sql!("hold_jobs")).bind(ids).fetch_all(&mut **tx).await?;
    if held.len() < ids.len() {
        let known: HashSet<i64> = held.iter().map(|row| row.id).collect();
        let others: Vec<i64> = ids.iter().filter(|id| !known.contains(id)).copied().collect();
        let others: Vec<HeldRow> = sqlx::query_as(sql!("look_at_jobs")).bind(others).fetch_all(&mut **tx).await?;
        held.extend(others);
    }
    Ok(held)
}

/// Leases lines; none where none is due.
pub(super) async fn claim_lines(tx: &mut Tx, wanted: &LinesWanted<'_>) -> Result<Vec<Claimed>> {
    Ok(sqlx::query_as(sql!("claim_lines"))
        .bind(wanted.worker)
        .bind(wanted.run)
        .bind(wanted.now)
        .bind(wanted.until)
        .bind(i64::from(wanted.most))
        .bind(wanted.sweep)
        .bind(wanted.most_cost)
        .bind(wanted.avoid)
        .fetch_all(&mut **tx)
        .await?)
}

/// Returns how many were not there yet; all of them where `are_new` says so.
pub(super) async fn insert_points(tx: &mut Tx, rows: &[PointRow], are_new: bool) -> Result<u64> {
    let statement = if are_new { sql!("insert_new_points") } else { sql!("insert_points") };
    let jobs: BTreeSet<i64> = rows.iter().map(|row| row.job).collect();
    let done = sqlx::query(statement)
        .bind(column(rows, |row| row.job))
        .bind(column(rows, |row| row.attempt))
        .bind(column(rows, |row| row.split))
        .bind(column(rows, |row| row.place))
        .bind(column(rows, |row| row.alpha))
        .bind(column(rows, |row| row.loss))
        .bind(column(rows, |row| row.accuracy))
        .bind(column(rows, |row| row.count))
        .bind(column(rows, |row| row.worker))
        .bind(jobs.into_iter().collect::<Vec<i64>>())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}

pub(super) async fn insert_measures(tx: &mut Tx, rows: &[MeasureRow]) -> Result<()> {
    sqlx::query(sql!("insert_measures"))
        .bind(column(rows, |row| row.job))
        .bind(column(rows, |row| row.attempt))
        .bind(column(rows, |row| row.split))
        .bind(column(rows, |row| row.name.clone()))
        .bind(column(rows, |row| row.value))
        .bind(column(rows, |row| row.worker))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

pub(super) async fn upsert_epochs(tx: &mut Tx, rows: &[EpochRow]) -> Result<()> {
    sqlx::query(sql!("upsert_epochs"))
        .bind(column(rows, |row| row.job))
        .bind(column(rows, |row| row.attempt))
        .bind(column(rows, |row| row.epoch))
        .bind(column(rows, |row| row.split))
        .bind(column(rows, |row| row.loss))
        .bind(column(rows, |row| row.accuracy))
        .bind(column(rows, |row| row.learning_rate))
        .bind(column(rows, |row| row.seconds))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Returns how many lines that were.
pub(super) async fn add_points(tx: &mut Tx, rows: &[AdvanceRow]) -> Result<u64> {
    let done = sqlx::query(sql!("add_points"))
        .bind(column(rows, |row| row.job))
        .bind(column(rows, |row| row.attempt))
        .bind(column(rows, |row| row.points))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}

/// Returns how many jobs that were.
pub(super) async fn finish_jobs(tx: &mut Tx, _: JobKind, rows: &[DoneRow], now: &str) -> Result<u64> {
    let done = sqlx::query(sql!("finish_jobs"))
        .bind(column(rows, |row| row.of.job))
        .bind(column(rows, |row| row.of.attempt))
        .bind(column(rows, |row| row.of.points))
        .bind(column(rows, |row| row.seconds))
        .bind(column(rows, |row| row.threads))
        .bind(now.to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected())
}
