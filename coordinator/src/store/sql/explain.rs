//! What there is to say about one job.

use sqlx::FromRow;
use transect_common::digest::RunDigest;
use transect_common::job::{JobKind, JobState};
use transect_common::schedule::{JobFacts, Queue, Requires, Schedule, Standing};

use super::claim::{count_workers, from_json, queues};
use super::db::{Db, Tx, sql};
use super::rows::{count, text, word};
use super::sweeps::{JobRow, with_errors};
use crate::store::{Explained, JobId, Result, StoreError, SweepId, Timestamp, WorkerId};

/// The worker that asks for nothing: no queue is without it.
const NOBODY: WorkerId = WorkerId(0);

#[derive(FromRow)]
struct Row {
    #[sqlx(flatten)]
    job: JobRow,
    ready: bool,
    due_at: String,
    fraction: f64,
    progress: String,
    sweep: Option<i64>,
}

#[derive(FromRow)]
struct SweepRow {
    name: String,
    priority: i64,
    share: f64,
    max_workers: Option<i64>,
    requires: String,
    is_paused: bool,
    workers: i64,
}

pub(super) async fn explain(db: &Db, id: JobId, now: Timestamp) -> Result<Explained> {
    // Several statements that should see one state; nothing is written.
    let mut tx = db.begin().await?;
    let row: Option<Row> = sqlx::query_as(sql!("job")).bind(id.0).fetch_optional(&mut *tx).await?;
    let row = row.ok_or_else(|| StoreError::NotFound { what: "job", name: id.0.to_string() })?;
    let state = word(&row.job.state, JobState::from_name)?;
    let mut facts = JobFacts {
        state,
        attempt: count(row.job.attempt)?,
        worker: row.job.worker.clone(),
        progress: (row.progress, row.fraction),
        error: row.job.error.clone(),
        waits_for: vec![],
        back_off: 0.0,
        standing: None,
        ahead: 0,
        queues: vec![],
    };
    if state == JobState::Queued {
        if !row.ready {
            facts.waits_for = sources(&mut tx, id).await?;
        }
        let due: Timestamp = text(&row.due_at)?;
        facts.back_off = due.as_millis().saturating_sub(now.as_millis()) as f64 / 1000.0;
        if let Some(sweep) = row.sweep {
            facts.standing = standing(&mut tx, sweep).await?;
        }
        facts.ahead = count(sqlx::query_scalar::<_, i64>(sql!("ahead_of_job")).bind(id.0).fetch_one(&mut *tx).await?)?;
        facts.queues = queues(&mut tx, now).await?;
        count_workers(&mut tx, NOBODY, &mut facts.queues).await?;
    }
    let sweeps: Vec<(i64, String)> = sqlx::query_as(sql!("sweeps_of_job")).bind(id.0).fetch_all(&mut *tx).await?;
    tx.rollback().await?;
    let job = with_errors(db, vec![row.job]).await?.pop().expect("one job goes in and comes out");
    Ok(Explained { job, sweeps: sweeps.into_iter().map(|(id, name)| (SweepId(id), name)).collect(), facts })
}

async fn sources(tx: &mut Tx, id: JobId) -> Result<Vec<(String, JobState)>> {
    let rows: Vec<(String, Option<i64>, String, String)> =
        sqlx::query_as(sql!("sources_of_job")).bind(id.0).fetch_all(&mut **tx).await?;
    rows.into_iter()
        .map(|(model, seed, digest, state)| {
            let seed = seed.map(|seed| format!(" seed {seed}")).unwrap_or_default();
            let run: RunDigest = text(&digest)?;
            let what = format!("the {} of {model}{seed} ({})", JobKind::Train, run.short());
            Ok((what, word(&state, JobState::from_name)?))
        })
        .collect()
}

async fn standing(tx: &mut Tx, sweep: i64) -> Result<Option<Standing>> {
    let row: Option<SweepRow> = sqlx::query_as(sql!("queue_of_sweep")).bind(sweep).fetch_optional(&mut **tx).await?;
    let Some(row) = row else { return Ok(None) };
    let schedule = Schedule {
        priority: count(row.priority)?,
        share: row.share,
        max_workers: row.max_workers.map(count).transpose()?,
        requires: from_json::<Requires>(&row.requires)?,
    };
    let queue = Queue { sweep, schedule, is_paused: row.is_paused, workers: count(row.workers)? };
    Ok(Some(Standing { name: format!("{} {}", SweepId(sweep), row.name), queue }))
}
