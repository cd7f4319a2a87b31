//! Statements over many rows. A row stands in their text once, as `VALUES (?, ?)`, and is repeated there: values that are bound
//! one by one are exact, and cost `SQLite` a sixth of what they cost as JSON.
//!
//! `SQLite` has no triggers for whole statements, and one for each row would take as long as all else together. So what is written
//! most often counts what it changes by a statement of its own.

use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite};
use transect_common::job::JobKind;

use super::claim::{Claimed, LinesWanted, from_json};
use super::db::{Tx, sql};
use super::report::HeldRow;
use super::rows::json;
use super::writes::{AdvanceRow, DoneRow, EpochRow, MeasureRow, PointRow};
use crate::store::Result;

/// Numbers of rows for which there are texts; rows that are missing are NULL, which is no job.
const SIZES: [usize; 4] = [1, 8, 64, 512];

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Values of one row of a statement.
type Bind<R> = fn(Query, &R) -> Query;

/// Lists training jobs for a sweep and stores those that are not there yet, which it counts.
pub(super) async fn list_train_jobs(tx: &mut Tx, rows: &str, now: &str, sweep: i64) -> Result<u64> {
    list_jobs(tx, [sql!("insert_train_jobs"), sql!("list_train_jobs")], rows, now, sweep).await
}

/// Likewise for line jobs.
pub(super) async fn list_line_jobs(tx: &mut Tx, rows: &str, now: &str, sweep: i64) -> Result<u64> {
    list_jobs(tx, [sql!("insert_line_jobs"), sql!("list_line_jobs")], rows, now, sweep).await
}

async fn list_jobs(tx: &mut Tx, [store, list]: [&'static str; 2], rows: &str, now: &str, sweep: i64) -> Result<u64> {
    let rows = rows.to_owned();
    let new = sqlx::query(store).bind(rows.clone()).bind(now.to_owned()).bind(sweep).execute(&mut **tx).await?;
    sqlx::query(list).bind(sweep).bind(rows).execute(&mut **tx).await?;
    Ok(new.rows_affected())
}

/// How the jobs in `ids` are; the write lock keeps them so.
pub(super) async fn hold_jobs(tx: &mut Tx, ids: &[i64]) -> Result<Vec<HeldRow>> {
    let rows: String = sqlx::query_scalar(sql!("hold_jobs")).bind(json(ids)).fetch_one(&mut **tx).await?;
    from_json(&rows)
}

/// Leases lines; none where none is due.
pub(super) async fn claim_lines(tx: &mut Tx, wanted: &LinesWanted<'_>) -> Result<Vec<Claimed>> {
    let rows: String = sqlx::query_scalar(sql!("due_lines"))
        .bind(wanted.run)
        .bind(wanted.now.to_owned())
        .bind(i64::from(wanted.most))
        .bind(wanted.sweep)
        .bind(wanted.most_cost)
        .bind(wanted.avoid.to_owned())
        .fetch_one(&mut **tx)
        .await?;
    let claimed: Vec<Claimed> = from_json(&rows)?;
    if claimed.is_empty() {
        return Ok(claimed);
    }
    let ids = json(&claimed.iter().map(|claimed| claimed.job).collect::<Vec<_>>());
    sqlx::query(sql!("claim_lines"))
        .bind(ids.clone())
        .bind(wanted.worker)
        .bind(wanted.now.to_owned())
        .bind(wanted.until.to_owned())
        .execute(&mut **tx)
        .await?;
    sqlx::query(sql!("count_claims")).bind(ids).execute(&mut **tx).await?;
    let number = i64::try_from(claimed.len()).unwrap_or(i64::MAX);
    sqlx::query(sql!("count_all_claims")).bind(number).execute(&mut **tx).await?;
    Ok(claimed)
}

/// Returns how many were not there yet. To look costs little here, so it makes no difference whether they `_are_new`.
pub(super) async fn insert_points(tx: &mut Tx, rows: &[PointRow], _are_new: bool) -> Result<u64> {
    let bind: Bind<PointRow> = |query, row| {
        let query = query.bind(row.job).bind(row.attempt).bind(row.split).bind(row.place).bind(row.alpha);
        query.bind(row.loss).bind(row.accuracy).bind(row.count).bind(row.worker)
    };
    over(tx, sql!("insert_points"), rows, (bind, 9), None).await
}

pub(super) async fn insert_measures(tx: &mut Tx, rows: &[MeasureRow]) -> Result<()> {
    let bind: Bind<MeasureRow> = |query, row| {
        let query = query.bind(row.job).bind(row.attempt).bind(row.split);
        query.bind(row.name.clone()).bind(row.value).bind(row.worker)
    };
    over(tx, sql!("insert_measures"), rows, (bind, 6), None).await.map(drop)
}

pub(super) async fn upsert_epochs(tx: &mut Tx, rows: &[EpochRow]) -> Result<()> {
    let bind: Bind<EpochRow> = |query, row| {
        let query = query.bind(row.job).bind(row.attempt).bind(row.epoch).bind(row.split);
        query.bind(row.loss).bind(row.accuracy).bind(row.learning_rate).bind(row.seconds)
    };
    over(tx, sql!("upsert_epochs"), rows, (bind, 8), None).await.map(drop)
}

/// Returns how many lines that were.
pub(super) async fn add_points(tx: &mut Tx, rows: &[AdvanceRow]) -> Result<u64> {
    let bind: Bind<AdvanceRow> = |query, row| query.bind(row.job).bind(row.attempt).bind(row.points);
    let changed = over(tx, sql!("add_points"), rows, (bind, 3), None).await?;
    let bind: Bind<AdvanceRow> = |query, row| query.bind(row.job).bind(row.added).bind(None::<f64>);
    over(tx, sql!("count_advances"), rows, (bind, 3), Some("")).await?;
    count_all(tx, JobKind::Line, rows.iter().map(|row| row.added).sum(), 0).await?;
    Ok(changed)
}

/// Returns how many jobs that were; all are of one kind.
pub(super) async fn finish_jobs(tx: &mut Tx, kind: JobKind, rows: &[DoneRow], now: &str) -> Result<u64> {
    let bind: Bind<DoneRow> = |query, row| {
        let query = query.bind(row.of.job).bind(row.of.attempt).bind(row.of.points);
        query.bind(row.seconds).bind(row.threads)
    };
    let changed = over(tx, sql!("finish_jobs"), rows, (bind, 5), Some(now)).await?;
    let bind: Bind<DoneRow> = |query, row| query.bind(row.of.job).bind(row.of.added).bind(row.seconds);
    over(tx, sql!("count_advances"), rows, (bind, 3), Some(now)).await?;
    count_all(tx, kind, rows.iter().map(|row| row.of.added).sum(), rows.len()).await?;
    Ok(changed)
}

async fn count_all(tx: &mut Tx, kind: JobKind, points: i64, done: usize) -> Result<()> {
    let done = i64::try_from(done).unwrap_or(i64::MAX);
    sqlx::query(sql!("count_all_advances")).bind(kind.name()).bind(points).bind(done).execute(&mut **tx).await?;
    Ok(())
}

/// Runs a statement over rows of so many values each, with `last` bound after them; returns how many rows it changed.
async fn over<R>(
    tx: &mut Tx,
    statement: &'static str,
    rows: &[R],
    (bind, values): (Bind<R>, usize),
    last: Option<&str>,
) -> Result<u64> {
    let mut changed = 0;
    for rows in rows.chunks(SIZES[SIZES.len() - 1]) {
        let size = SIZES.into_iter().find(|size| *size >= rows.len()).unwrap_or(rows.len());
        let mut query = rows.iter().fold(sqlx::query(AssertSqlSafe(repeated(statement, size))), bind);
        for _ in 0..(size - rows.len()) * values {
            query = query.bind(None::<i64>);
        }
        if let Some(last) = last {
            query = query.bind(last.to_owned());
        }
        changed += query.execute(&mut **tx).await?.rows_affected();
    }
    Ok(changed)
}

/// A statement with its one row of values repeated.
fn repeated(statement: &str, times: usize) -> String {
    const VALUES: &str = "VALUES (";
    let begin = statement.find(VALUES).map_or(0, |at| at + VALUES.len() - 1);
    let end = statement[begin..].find(')').map_or(begin, |at| begin + at + 1);
    let row = &statement[begin..end];
    let mut text = String::with_capacity(statement.len() + times * (row.len() + 1));
    text.push_str(&statement[..end]);
    for _ in 1..times {
        text.push(',');
        text.push_str(row);
    }
    text.push_str(&statement[end..]);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_repeated_where_it_stands() {
        assert_eq!(repeated("WITH v (a) AS (VALUES (?, ?)) SELECT 1", 1), "WITH v (a) AS (VALUES (?, ?)) SELECT 1");
        assert_eq!(
            repeated("WITH v (a) AS (VALUES (?, ?)) SELECT (1)", 3),
            "WITH v (a) AS (VALUES (?, ?),(?, ?),(?, ?)) SELECT (1)"
        );
    }
}
