//! Reading sweeps: progress, results, curves and jobs. Each read is one statement.

use std::collections::HashMap;

use sqlx::FromRow;
use transect_common::data::Split;
use transect_common::digest::{LineDigest, RunDigest};
use transect_common::job::{ErrorClass, JobKind, JobState};
use transect_common::schedule::{Rate, Rest, seconds_left};

use super::db::{Db, sql};
use super::rows::{BATCH, count, json, label, optional_text, split, text, word};
use crate::store::{
    Activity, Attempt, AttemptError, CurveCursor, CurvePoint, Epoch, Job, JobId, JobTotals, LineLabel, LineMeasure,
    LinePoint, MeasureCursor, Page, PointCursor, Result, StoreError, Sweep, SweepId, SweepState,
};

fn unknown(name: &impl ToString) -> StoreError {
    StoreError::NotFound { what: "sweep", name: name.to_string() }
}

pub(super) async fn find(db: &Db, id_or_name: &str) -> Result<SweepId> {
    let id: Option<i64> = sqlx::query_scalar(sql!("find_sweep")).bind(id_or_name).fetch_one(&db.readers).await?;
    id.map(SweepId).ok_or_else(|| unknown(&id_or_name))
}

#[derive(FromRow)]
struct SweepRow {
    name: String,
    state: String,
    submitted_at: String,
    finished_at: Option<String>,
    runs: i64,
    jobs: i64,
    queued: i64,
    leased: i64,
    done: i64,
    failed: i64,
    cancelled: i64,
    points: i64,
    points_expected: i64,
    train_jobs: i64,
    train_done: i64,
    priority: i64,
    share: f64,
    max_workers: Option<i64>,
    workers: i64,
}

#[derive(FromRow)]
struct RestRow {
    kind: String,
    cost_left: f64,
    cost_done: f64,
    seconds: f64,
}

#[derive(FromRow)]
struct KindRow {
    kind: String,
    cost_done: f64,
    seconds: f64,
}

/// Seconds until a sweep is done, learned from what is done of it, and else of all sweeps.
async fn time_left(db: &Db, id: SweepId, workers: u64) -> Result<Option<f64>> {
    let rows: Vec<RestRow> = sqlx::query_as(sql!("rates_of_sweep")).bind(id.0).fetch_all(&db.readers).await?;
    let is_unknown = |row: &RestRow| row.cost_left > 0.0 && row.cost_done <= 0.0;
    let kinds: Vec<KindRow> =
        if rows.iter().any(is_unknown) { sqlx::query_as(sql!("rates")).fetch_all(&db.readers).await? } else { vec![] };
    let of_kind = |kind: &str| {
        let found = kinds.iter().find(|row| row.kind == kind);
        found.map_or_else(Rate::default, |row| Rate { cost: row.cost_done, seconds: row.seconds })
    };
    let rest: Vec<Rest> = rows
        .iter()
        .map(|row| Rest {
            cost: row.cost_left,
            own: Rate { cost: row.cost_done, seconds: row.seconds },
            kind: of_kind(&row.kind),
        })
        .collect();
    Ok(seconds_left(&rest, workers))
}

#[derive(FromRow)]
struct TotalsRow {
    kind: String,
    model: String,
    jobs: i64,
    queued: i64,
    leased: i64,
    done: i64,
    failed: i64,
    cancelled: i64,
}

pub(super) async fn totals(db: &Db, id: SweepId) -> Result<Vec<JobTotals>> {
    let rows: Vec<TotalsRow> = sqlx::query_as(sql!("totals_of_sweep")).bind(id.0).fetch_all(&db.readers).await?;
    rows.into_iter()
        .map(|row| {
            Ok(JobTotals {
                kind: word(&row.kind, JobKind::from_name)?,
                model: row.model,
                jobs: count(row.jobs)?,
                queued: count(row.queued)?,
                leased: count(row.leased)?,
                done: count(row.done)?,
                failed: count(row.failed)?,
                cancelled: count(row.cancelled)?,
            })
        })
        .collect()
}

pub(super) async fn sweep(db: &Db, id: SweepId) -> Result<Sweep> {
    let row: Option<SweepRow> = sqlx::query_as(sql!("sweep")).bind(id.to_string()).fetch_optional(&db.readers).await?;
    let row = row.ok_or_else(|| unknown(&id))?;
    let (state, workers) = (word(&row.state, SweepState::from_name)?, count(row.workers)?);
    let is_live = matches!(state, SweepState::Running | SweepState::Paused);
    Ok(Sweep {
        id,
        name: row.name,
        state,
        submitted_at: text(&row.submitted_at)?,
        finished_at: optional_text(row.finished_at.as_deref())?,
        runs: count(row.runs)?,
        jobs: count(row.jobs)?,
        queued: count(row.queued)?,
        leased: count(row.leased)?,
        done: count(row.done)?,
        failed: count(row.failed)?,
        cancelled: count(row.cancelled)?,
        points: count(row.points)?,
        points_expected: count(row.points_expected)?,
        train_jobs: count(row.train_jobs)?,
        train_done: count(row.train_done)?,
        priority: count(row.priority)?,
        share: row.share,
        max_workers: row.max_workers.map(count).transpose()?,
        workers,
        seconds_left: if is_live { time_left(db, id, workers).await? } else { None },
    })
}

pub(super) async fn file(db: &Db, id: SweepId) -> Result<String> {
    let file = sqlx::query_scalar(sql!("sweep_file")).bind(id.0).fetch_optional(&db.readers).await?;
    file.ok_or_else(|| unknown(&id))
}

pub(super) async fn page(db: &Db, before: Option<SweepId>, limit: u32) -> Result<Page<Sweep, SweepId>> {
    let ids: Vec<i64> = sqlx::query_scalar(sql!("sweep_ids"))
        .bind(before.map_or(i64::MAX, |id| id.0))
        .bind(i64::from(limit))
        .fetch_all(&db.readers)
        .await?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in &ids {
        rows.push(sweep(db, SweepId(*id)).await?);
    }
    let next = full(&rows, limit).map(|sweep| sweep.id);
    Ok(Page { rows, next })
}

pub(super) async fn at_work(db: &Db) -> Result<Vec<Sweep>> {
    let ids: Vec<i64> = sqlx::query_scalar(sql!("sweeps_at_work")).fetch_all(&db.readers).await?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.push(sweep(db, SweepId(id)).await?);
    }
    // Books are closed a few seconds late.
    found.retain(|sweep| sweep.state.is_at_work());
    Ok(found)
}

/// The last row of a page that is full: where the next may begin.
fn full<T>(rows: &[T], limit: u32) -> Option<&T> {
    rows.last().filter(|_| rows.len() >= limit as usize)
}

pub(super) async fn activity(db: &Db, id: SweepId) -> Result<Vec<Activity>> {
    type Row = (i64, String, String, Option<i64>, String, f64);
    let rows: Vec<Row> = sqlx::query_as(sql!("activity")).bind(id.0).fetch_all(&db.readers).await?;
    rows.into_iter()
        .map(|(job, worker, model, seed, text, fraction)| {
            let seed = seed.map(count).transpose()?;
            Ok(Activity { job: JobId(job), worker, model, seed, text, fraction })
        })
        .collect()
}

/// The columns that say which line it is.
#[derive(FromRow)]
struct LineRow {
    digest: String,
    model: String,
    seed: Option<i64>,
    settings: String,
    from_tag: String,
    to_tag: String,
    mask: String,
    hold: String,
    batch_norm: String,
    elsewhere: Option<String>,
    align: bool,
    normalize: String,
}

impl LineRow {
    fn label(self) -> Result<LineLabel> {
        Ok(LineLabel {
            run: label(&self.digest, self.model, self.seed, self.settings)?,
            from: self.from_tag,
            to: self.to_tag,
            mask: self.mask,
            hold: self.hold,
            batch_norm: self.batch_norm,
            elsewhere: self.elsewhere,
            align: self.align,
            normalize: self.normalize,
        })
    }
}

#[derive(FromRow)]
struct PointRow {
    position: i64,
    #[sqlx(flatten)]
    line: LineRow,
    split: String,
    place: i64,
    alpha: f64,
    loss: Option<f64>,
    accuracy: f64,
    count: i64,
    refined: bool,
}

pub(super) async fn points(
    db: &Db,
    id: SweepId,
    after: Option<PointCursor>,
    limit: u32,
) -> Result<Page<LinePoint, PointCursor>> {
    let after = after.unwrap_or(PointCursor { position: -1, split: Split::Test, index: 0 });
    let rows: Vec<PointRow> = sqlx::query_as(sql!("points_of_sweep"))
        .bind(id.0)
        .bind(after.position)
        .bind(after.split.name())
        .bind(i64::from(after.index))
        .bind(i64::from(limit))
        .fetch_all(&db.readers)
        .await?;
    let next = match full(&rows, limit) {
        Some(row) => Some(PointCursor { position: row.position, split: split(&row.split)?, index: count(row.place)? }),
        None => None,
    };
    let point = |row: PointRow| {
        Ok(LinePoint {
            line: row.line.label()?,
            split: split(&row.split)?,
            alpha: row.alpha,
            loss: row.loss.unwrap_or(f64::NAN),
            accuracy: row.accuracy,
            count: count(row.count)?,
            refined: row.refined,
        })
    };
    Ok(Page { rows: rows.into_iter().map(point).collect::<Result<_>>()?, next })
}

#[derive(FromRow)]
struct MeasureRow {
    position: i64,
    #[sqlx(flatten)]
    line: LineRow,
    split: String,
    name: String,
    value: f64,
}

pub(super) async fn measures(
    db: &Db,
    id: SweepId,
    after: Option<MeasureCursor>,
    limit: u32,
) -> Result<Page<LineMeasure, MeasureCursor>> {
    let after = after.unwrap_or(MeasureCursor { position: -1, split: String::new(), name: String::new() });
    let rows: Vec<MeasureRow> = sqlx::query_as(sql!("measures_of_sweep"))
        .bind(id.0)
        .bind(after.position)
        .bind(after.split)
        .bind(after.name)
        .bind(i64::from(limit))
        .fetch_all(&db.readers)
        .await?;
    let next = full(&rows, limit).map(|row| MeasureCursor {
        position: row.position,
        split: row.split.clone(),
        name: row.name.clone(),
    });
    let measure = |row: MeasureRow| {
        let split = if row.split.is_empty() { None } else { Some(split(&row.split)?) };
        Ok(LineMeasure { line: row.line.label()?, split, name: row.name, value: row.value })
    };
    Ok(Page { rows: rows.into_iter().map(measure).collect::<Result<_>>()?, next })
}

#[derive(FromRow)]
struct CurveRow {
    position: i64,
    digest: String,
    model: String,
    seed: Option<i64>,
    settings: String,
    epoch: i64,
    split: String,
    loss: f64,
    accuracy: f64,
    learning_rate: f64,
    seconds: f64,
}

pub(super) async fn curves(
    db: &Db,
    id: SweepId,
    after: Option<CurveCursor>,
    limit: u32,
) -> Result<Page<CurvePoint, CurveCursor>> {
    let after = after.unwrap_or(CurveCursor { position: -1, epoch: 0, split: Split::Test });
    let rows: Vec<CurveRow> = sqlx::query_as(sql!("curves_of_sweep"))
        .bind(id.0)
        .bind(after.position)
        .bind(i64::from(after.epoch))
        .bind(after.split.name())
        .bind(i64::from(limit))
        .fetch_all(&db.readers)
        .await?;
    let next = match full(&rows, limit) {
        Some(row) => Some(CurveCursor { position: row.position, epoch: count(row.epoch)?, split: split(&row.split)? }),
        None => None,
    };
    let point = |row: CurveRow| {
        Ok(CurvePoint {
            label: label(&row.digest, row.model, row.seed, row.settings)?,
            epoch: Epoch {
                epoch: count(row.epoch)?,
                split: split(&row.split)?,
                loss: row.loss,
                accuracy: row.accuracy,
                learning_rate: row.learning_rate,
                seconds: row.seconds,
            },
        })
    };
    Ok(Page { rows: rows.into_iter().map(point).collect::<Result<_>>()?, next })
}

#[derive(FromRow)]
pub(super) struct JobRow {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub attempt: i64,
    pub worker: Option<String>,
    pub run: String,
    pub model: String,
    pub seed: Option<i64>,
    pub mask: Option<String>,
    pub queued_at: String,
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    pub error: Option<String>,
}

pub(super) async fn jobs(
    db: &Db,
    id: SweepId,
    state: Option<JobState>,
    after: Option<JobId>,
    limit: u32,
) -> Result<Page<Job, JobId>> {
    let after = after.map_or(0, |job| job.0);
    // What failed is looked for often, and is little.
    let rows: Vec<JobRow> = match state {
        Some(JobState::Failed) => sqlx::query_as(sql!("failed_jobs_of_sweep")).bind(id.0).bind(after),
        state => sqlx::query_as(sql!("jobs_of_sweep")).bind(id.0).bind(after).bind(state.map(JobState::name)),
    }
    .bind(i64::from(limit))
    .fetch_all(&db.readers)
    .await?;
    let rows = with_errors(db, rows).await?;
    let next = full(&rows, limit).map(|job| job.id);
    Ok(Page { rows, next })
}

/// Jobs with what failed of them.
pub(super) async fn with_errors(db: &Db, rows: Vec<JobRow>) -> Result<Vec<Job>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let mut errors = errors(db, &ids).await?;
    let job = |row: JobRow| {
        Ok(Job {
            id: JobId(row.id),
            kind: word(&row.kind, JobKind::from_name)?,
            state: word(&row.state, JobState::from_name)?,
            attempt: Attempt(count(row.attempt)?),
            worker: row.worker,
            run: text(&row.run)?,
            model: row.model,
            seed: row.seed.map(count).transpose()?,
            mask: row.mask,
            queued_at: text(&row.queued_at)?,
            started_at: optional_text(row.started_at.as_deref())?,
            finished_at: optional_text(row.finished_at.as_deref())?,
            error: row.error,
            errors: errors.remove(&row.id).unwrap_or_default(),
        })
    };
    rows.into_iter().map(job).collect()
}

async fn errors(db: &Db, jobs: &[i64]) -> Result<HashMap<i64, Vec<AttemptError>>> {
    type Row = (i64, i64, String, String, String, String);
    let rows: Vec<Row> = sqlx::query_as(sql!("errors_of_jobs")).bind(json(jobs)).fetch_all(&db.readers).await?;
    let mut errors: HashMap<i64, Vec<AttemptError>> = HashMap::new();
    for (job, attempt, at, class, message, worker) in rows {
        errors.entry(job).or_default().push(AttemptError {
            attempt: Attempt(count(attempt)?),
            at: text(&at)?,
            class: word(&class, ErrorClass::from_name)?,
            message,
            worker,
        });
    }
    Ok(errors)
}

pub(super) async fn trained(db: &Db, runs: &[RunDigest]) -> Result<Vec<RunDigest>> {
    let mut found = vec![];
    for chunk in runs.chunks(BATCH).map(json) {
        let rows: Vec<String> = sqlx::query_scalar(sql!("trained")).bind(chunk).fetch_all(&db.readers).await?;
        for run in rows {
            found.push(text(&run)?);
        }
    }
    Ok(found)
}

pub(super) async fn measured(db: &Db, lines: &[(RunDigest, LineDigest)]) -> Result<Vec<(RunDigest, LineDigest)>> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        run: &'a RunDigest,
        line: &'a LineDigest,
    }
    let mut found = vec![];
    for chunk in lines.chunks(BATCH) {
        let chunk: Vec<Line> = chunk.iter().map(|(run, line)| Line { run, line }).collect();
        let rows: Vec<(String, String)> =
            sqlx::query_as(sql!("measured")).bind(json(&chunk)).fetch_all(&db.readers).await?;
        for (run, line) in rows {
            found.push((text(&run)?, text(&line)?));
        }
    }
    Ok(found)
}
