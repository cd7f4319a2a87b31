//! Reports: what workers measured, in one transaction, row by row, each fenced by the statement that writes it.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use sqlx::{FromRow, Sqlite, Transaction};
use transect_common::data::Split;
use transect_common::job::{AfterFailure, JobEvent, JobKind, JobState, after_failure};
use transect_common::line::LineSpec;
use transect_common::run::{Origin, RunSpec, Tag};

use super::db::{Db, sql};
use super::lease::{keep_error, set_aside};
use super::rows::{count, integer, json, text, word};
use super::workers::{must_exist, touch};
use crate::store::check::{JobSpec, check};
use crate::store::{
    JobId, Point, Refusal, RefusalReason, ReportRow, Reported, Result, Row, StoreError, Timestamp, WorkerId,
};

/// Longest error message that is kept, in characters.
const MAX_MESSAGE: usize = 16_384;

/// A job as it stands within the transaction.
struct Held {
    spec: JobSpec,
    state: JobState,
    attempt: u32,
    failures: u32,
    /// Points stored by this report that `jobs.points` does not count yet.
    uncounted: i64,
}

/// Why a row is not stored.
type Refused = (RefusalReason, String);

pub(super) async fn report(db: &Db, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
    must_exist(db, worker).await?;
    let mut tx = db.begin().await?;
    touch(&mut tx, db, worker, None, now).await?;
    let mut jobs = held_jobs(&mut tx, &rows).await?;
    let mut report = Report { tx, worker, now, max_attempts: db.terms.max_attempts };
    let mut answer = Reported::default();
    for row in &rows {
        let stored = match jobs.get_mut(&row.job.job) {
            None => Err((RefusalReason::Unknown, format!("there is no job {}", row.job.job.0))),
            Some(job) => report.store(job, row).await?,
        };
        match stored {
            Ok(()) => answer.stored += 1,
            Err((reason, message)) => {
                answer.refused.push(Refusal { job: row.job, place: row.place, reason, message });
            }
        }
    }
    for (id, job) in &mut jobs {
        report.count_points(*id, job).await?;
    }
    db.commit(report.tx).await?;
    Ok(answer)
}

#[derive(FromRow)]
struct HeldRow {
    id: i64,
    kind: String,
    state: String,
    attempt: i64,
    failures: i64,
    run_spec: String,
    line_spec: Option<String>,
}

async fn held_jobs(tx: &mut Transaction<'_, Sqlite>, rows: &[ReportRow]) -> Result<HashMap<JobId, Held>> {
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.job.job.0).collect();
    let found: Vec<HeldRow> = sqlx::query_as(sql!("reported_jobs")).bind(json(&ids)).fetch_all(&mut **tx).await?;
    let damaged = |error: transect_common::run::CanonicalError| StoreError::Damaged(error.to_string());
    found
        .into_iter()
        .map(|row| {
            let spec = match (word(&row.kind, JobKind::from_name)?, &row.line_spec) {
                (JobKind::Line, Some(line)) => {
                    JobSpec::Line(Box::new(LineSpec::from_canonical(line).map_err(damaged)?))
                }
                _ => JobSpec::Train(Box::new(RunSpec::from_canonical(&row.run_spec).map_err(damaged)?)),
            };
            let job = Held {
                spec,
                state: word(&row.state, JobState::from_name)?,
                attempt: count(row.attempt)?,
                failures: count(row.failures)?,
                uncounted: 0,
            };
            Ok((JobId(row.id), job))
        })
        .collect()
}

/// One report under way.
struct Report {
    tx: Transaction<'static, Sqlite>,
    worker: WorkerId,
    now: Timestamp,
    max_attempts: u32,
}

impl Report {
    /// Stores one row, or says why not.
    async fn store(&mut self, job: &mut Held, row: &ReportRow) -> Result<std::result::Result<(), Refused>> {
        let is_own = job.attempt == row.job.attempt.0;
        if job.state != JobState::Leased || !is_own {
            // An answer that got lost is asked for again: what is there already counts as stored.
            if is_own && self.is_stored(job, row).await? {
                return Ok(Ok(()));
            }
            return Ok(Err((RefusalReason::Stale, stale(job, row))));
        }
        if let Err(message) = check(&job.spec, &row.row) {
            return Ok(Err((RefusalReason::Invalid, message)));
        }
        match &row.row {
            Row::Point(point) => self.store_point(job, row, point).await?,
            Row::Measure { name, split, value } => {
                sqlx::query(sql!("insert_measure"))
                    .bind(row.job.job.0)
                    .bind(row.job.attempt.0)
                    .bind(split.map_or("", Split::name))
                    .bind(name)
                    .bind(value)
                    .bind(self.worker.0)
                    .execute(&mut *self.tx)
                    .await?;
            }
            Row::Epoch(epoch) => {
                sqlx::query(sql!("upsert_epoch"))
                    .bind(row.job.job.0)
                    .bind(row.job.attempt.0)
                    .bind(epoch.epoch)
                    .bind(epoch.split.name())
                    .bind(epoch.loss)
                    .bind(epoch.accuracy)
                    .bind(epoch.learning_rate)
                    .bind(epoch.seconds)
                    .execute(&mut *self.tx)
                    .await?;
            }
            Row::Checkpoint { tag, artifact, bytes } => {
                sqlx::query(sql!("upsert_checkpoint"))
                    .bind(row.job.job.0)
                    .bind(row.job.attempt.0)
                    .bind(tag.as_str())
                    .bind(artifact.as_str())
                    .bind(integer(*bytes, "the size of a checkpoint")?)
                    .bind(self.now.to_string())
                    .execute(&mut *self.tx)
                    .await?;
            }
            Row::Snapshot(_) => return Ok(Err((RefusalReason::Invalid, "snapshots are not kept yet".to_owned()))),
            Row::Done { seconds, threads } => return self.finish(job, row, *seconds, *threads).await,
            Row::Failed { class, message } => {
                let message: String = message.chars().take(MAX_MESSAGE).collect();
                self.count_points(row.job.job, job).await?;
                match after_failure(*class, job.failures + 1, self.max_attempts) {
                    AfterFailure::SetAside => {
                        set_aside(&mut self.tx, row.job, self.worker, *class, &message, self.now).await?;
                        job.state = next(job.state, JobEvent::SetAside);
                    }
                    AfterFailure::RetryIn(pause) => {
                        let now = self.now.to_string();
                        keep_error(&mut self.tx, row.job, self.worker, *class, &message, &now).await?;
                        sqlx::query(sql!("try_again"))
                            .bind(row.job.job.0)
                            .bind(row.job.attempt.0)
                            .bind(self.now.plus(pause).to_string())
                            .bind(&message)
                            .bind(class.name())
                            .execute(&mut *self.tx)
                            .await?;
                        job.state = next(job.state, JobEvent::GiveBack);
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    async fn store_point(&mut self, job: &mut Held, row: &ReportRow, point: &Point) -> Result<()> {
        let inserted = sqlx::query(sql!("insert_point"))
            .bind(row.job.job.0)
            .bind(row.job.attempt.0)
            .bind(point.split.name())
            .bind(point.index)
            .bind(point.alpha)
            // SQLite keeps infinities, and stores what is not a number as NULL.
            .bind(Some(point.loss).filter(|loss| !loss.is_nan()))
            .bind(point.accuracy)
            .bind(integer(point.count, "the number of images")?)
            .bind(self.worker.0)
            .execute(&mut *self.tx)
            .await?
            .rows_affected();
        job.uncounted += i64::try_from(inserted).unwrap_or_default();
        Ok(())
    }

    /// Adds the points stored so far to the job's count. Must come before the job's state changes: it is fenced, too.
    async fn count_points(&mut self, id: JobId, job: &mut Held) -> Result<()> {
        if job.uncounted > 0 {
            sqlx::query(sql!("count_points"))
                .bind(id.0)
                .bind(job.attempt)
                .bind(job.uncounted)
                .execute(&mut *self.tx)
                .await?;
            job.uncounted = 0;
        }
        Ok(())
    }

    async fn finish(
        &mut self,
        job: &mut Held,
        row: &ReportRow,
        seconds: f64,
        threads: u32,
    ) -> Result<std::result::Result<(), Refused>> {
        self.count_points(row.job.job, job).await?;
        if let JobSpec::Train(run) = &job.spec {
            let stored: Vec<String> =
                sqlx::query_scalar(sql!("tags_of_job")).bind(row.job.job.0).fetch_all(&mut *self.tx).await?;
            let stored: BTreeSet<Tag> = stored.iter().map(|tag| text(tag)).collect::<Result<_>>()?;
            let missing: Vec<String> = required(run).difference(&stored).map(ToString::to_string).collect();
            if !missing.is_empty() {
                let message = format!("not complete: checkpoint {} is not stored", missing.join(", "));
                return Ok(Err((RefusalReason::Invalid, message)));
            }
        }
        let finished = sqlx::query(sql!("finish_job"))
            .bind(row.job.job.0)
            .bind(row.job.attempt.0)
            .bind(self.now.to_string())
            .bind(seconds)
            .bind(threads)
            .execute(&mut *self.tx)
            .await?
            .rows_affected();
        if finished == 0 {
            return Ok(Err((RefusalReason::Invalid, "not complete: some of its points are not stored".to_owned())));
        }
        if matches!(job.spec, JobSpec::Train(_)) {
            self.training_is_done(row.job.job).await?;
        }
        sqlx::query(sql!("worker_did")).bind(self.worker.0).execute(&mut *self.tx).await?;
        job.state = next(job.state, JobEvent::Finish);
        Ok(Ok(()))
    }

    /// What waits for a training goes on, or fails where the training stopped before the checkpoint that it needs.
    async fn training_is_done(&mut self, job: JobId) -> Result<()> {
        let now = self.now.to_string();
        sqlx::query(sql!("ready_jobs")).bind(job.0).execute(&mut *self.tx).await?;
        let failed: Vec<i64> =
            sqlx::query_scalar(sql!("fail_missing_after")).bind(job.0).bind(&now).fetch_all(&mut *self.tx).await?;
        for failed in failed {
            sqlx::query(sql!("fail_waiting_for")).bind(failed).bind(&now).execute(&mut *self.tx).await?;
        }
        Ok(())
    }

    /// Whether the row was stored by the same attempt before it ended.
    async fn is_stored(&mut self, job: &Held, row: &ReportRow) -> Result<bool> {
        let id = row.job.job.0;
        let query = match &row.row {
            Row::Done { .. } => return Ok(job.state == JobState::Done),
            Row::Snapshot(_) => return Ok(false),
            Row::Failed { .. } => sqlx::query_scalar(sql!("has_error")).bind(id).bind(row.job.attempt.0),
            Row::Point(point) => {
                sqlx::query_scalar(sql!("has_point")).bind(id).bind(point.split.name()).bind(point.index)
            }
            Row::Measure { name, split, .. } => {
                sqlx::query_scalar(sql!("has_measure")).bind(id).bind(split.map_or("", Split::name)).bind(name)
            }
            Row::Epoch(epoch) => sqlx::query_scalar(sql!("has_epoch"))
                .bind(id)
                .bind(epoch.epoch)
                .bind(epoch.split.name())
                .bind(epoch.loss),
            Row::Checkpoint { tag, artifact, .. } => {
                sqlx::query_scalar(sql!("has_checkpoint")).bind(id).bind(tag.to_string()).bind(artifact.to_string())
            }
        };
        Ok(query.fetch_one(&mut *self.tx).await?)
    }
}

/// Checkpoints without which a run is not trained. One that may stop early may never reach those in between.
fn required(run: &RunSpec) -> BTreeSet<Tag> {
    let mut tags = run.tags();
    if let Origin::Trained { train, .. } = &run.origin
        && train.stop.is_some()
    {
        tags.retain(|tag| [Tag::init(), Tag::last()].contains(tag));
    }
    tags
}

/// The state after an event that the fence has let through.
fn next(state: JobState, event: JobEvent) -> JobState {
    state.after(event).expect("only a leased job gets here, and it may finish, be set aside or be given back")
}

fn stale(job: &Held, row: &ReportRow) -> String {
    let (id, own, now) = (row.job.job.0, row.job.attempt.0, job.attempt);
    match own.cmp(&now) {
        Ordering::Equal => format!("attempt {own} of job {id} has ended: the job is {}", job.state),
        Ordering::Less => format!("attempt {own} of job {id} has ended: it is at attempt {now}, and {}", job.state),
        Ordering::Greater => {
            format!("job {id} was never leased as attempt {own}: its last is {now}, and it is {}", job.state)
        }
    }
}
