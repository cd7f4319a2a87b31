//! Reports: what workers measured, in one transaction. Rows are judged one by one, in order; what several of them store
//! is written by one statement for each kind ([`super::writes`]), which is fenced by itself.
//!
//! A job's rows before its end are written before the end is, and those after it are judged by what the end left: a
//! report is worked off in rounds, each of which ends every job at most once. Jobs do not depend on each other here.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use sqlx::FromRow;
use transect_common::data::Split;
use transect_common::job::{AfterFailure, ErrorClass, JobEvent, JobKind, JobState, after_failure};
use transect_common::line::LineSpec;
use transect_common::run::{Origin, RunSpec, Tag};
use transect_common::schedule::{QUARANTINE, QUARANTINE_FAILURES};

use super::db::{Db, Tx, keep_jobs, sql};
use super::lease::{keep_error, set_aside};
use super::refine;
use super::rows::{count, json, text, word};
use super::workers::{must_exist, touch};
use super::writes::Writes;
use crate::store::check::{JobSpec, check};
use crate::store::{
    JobAttempt, JobId, Refusal, RefusalReason, ReportRow, Reported, Result, Row, StoreError, Timestamp, WorkerId,
};

/// Longest error message that is kept, in characters.
const MAX_MESSAGE: usize = 16_384;

/// A job as it stands within the transaction.
struct Held {
    spec: JobSpec,
    state: JobState,
    attempt: u32,
    failures: u32,
    /// Who leased it last.
    worker: Option<WorkerId>,
}

/// Why a row is not stored.
type Refused = (RefusalReason, String);

/// What became of a row.
type Judged = std::result::Result<(), Refused>;

pub(super) async fn report(db: &Db, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
    must_exist(db, worker).await?;
    let specs = specs(db, &rows).await?;
    // The end of a training moves what waits for it, in whatever sweep.
    let moves_others = rows.iter().any(|row| {
        matches!(row.row, Row::Done { .. } | Row::Failed { .. })
            && matches!(specs.get(&row.job.job), Some(JobSpec::Train(_)))
    });
    let mut tx = if moves_others { db.begin_on_graph().await? } else { db.begin().await? };
    let jobs = held_jobs(&mut tx, specs).await?;
    let mut report = Report { tx, worker, now, max_attempts: db.terms.max_attempts, jobs, refused: vec![] };
    report.store(&rows).await?;
    let Report { mut tx, mut refused, .. } = report;
    touch(&mut tx, db, worker, None, now).await?;
    db.commit(tx).await?;
    if moves_others {
        db.freed();
    }
    refused.sort_by_key(|(place, _)| *place);
    let stored = (rows.len() - refused.len()) as u64;
    let refusal = |(place, (reason, message)): (usize, Refused)| Refusal {
        job: rows[place].job,
        place: rows[place].place,
        reason,
        message,
    };
    Ok(Reported { stored, refused: refused.into_iter().map(refusal).collect() })
}

#[derive(FromRow)]
struct SpecRow {
    id: i64,
    kind: String,
    run_spec: String,
    line_spec: Option<String>,
}

/// What the jobs are. That never changes, so it is read before anything is locked.
async fn specs(db: &Db, rows: &[ReportRow]) -> Result<HashMap<JobId, JobSpec>> {
    let ids: BTreeSet<i64> = rows.iter().map(|row| row.job.job.0).collect();
    let found: Vec<SpecRow> = sqlx::query_as(sql!("specs_of_jobs")).bind(json(&ids)).fetch_all(&db.readers).await?;
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
            Ok((JobId(row.id), spec))
        })
        .collect()
}

/// Keeps the jobs as they are for the length of the transaction, and says how they are.
async fn held_jobs(tx: &mut Tx, mut specs: HashMap<JobId, JobSpec>) -> Result<HashMap<JobId, Held>> {
    let ids = json(&specs.keys().map(|id| id.0).collect::<BTreeSet<i64>>());
    keep_jobs(tx, &ids).await?;
    let rows: Vec<(i64, String, i64, i64, Option<i64>)> =
        sqlx::query_as(sql!("reported_jobs")).bind(&ids).fetch_all(&mut **tx).await?;
    let mut held = HashMap::new();
    for (id, state, attempt, failures, worker) in rows {
        let Some(spec) = specs.remove(&JobId(id)) else { continue };
        let state = word(&state, JobState::from_name)?;
        held.insert(
            JobId(id),
            Held { spec, state, attempt: count(attempt)?, failures: count(failures)?, worker: worker.map(WorkerId) },
        );
    }
    Ok(held)
}

/// A line that is complete, if all its points are there.
#[derive(Serialize)]
struct DoneRow {
    job: i64,
    attempt: u32,
    seconds: f64,
    threads: u32,
}

/// One report under way.
struct Report {
    tx: Tx,
    worker: WorkerId,
    now: Timestamp,
    max_attempts: u32,
    jobs: HashMap<JobId, Held>,
    /// By place among the rows.
    refused: Vec<(usize, Refused)>,
}

impl Report {
    async fn store(&mut self, rows: &[ReportRow]) -> Result<()> {
        let mut waiting: Vec<usize> = (0..rows.len()).collect();
        while !waiting.is_empty() {
            waiting = self.round(rows, waiting).await?;
        }
        Ok(())
    }

    /// Stores rows up to the first end of each job; returns the places of those that come after it.
    async fn round(&mut self, rows: &[ReportRow], places: Vec<usize>) -> Result<Vec<usize>> {
        let (mut ends, mut later) = (vec![], vec![]);
        let mut ending: HashSet<JobId> = HashSet::new();
        let mut writes = Writes::default();
        for place in places {
            let row = &rows[place];
            if ending.contains(&row.job.job) {
                later.push(place);
                continue;
            }
            if let Err(refused) = self.judge(row).await? {
                self.refused.push((place, refused));
                continue;
            }
            // One that has ended is here because the row is stored already.
            if self.jobs.get(&row.job.job).is_none_or(|job| job.state != JobState::Leased) {
                continue;
            }
            match &row.row {
                Row::Point(point) => writes.point(row.job, point)?,
                Row::Measure { name, split, value } => writes.measure(row.job, name, *split, *value),
                Row::Epoch(epoch) => writes.epoch(row.job, epoch),
                Row::Checkpoint { tag, artifact, bytes } => {
                    writes.checkpoint(row.job, tag.as_str(), artifact.as_str(), *bytes)?;
                }
                Row::Snapshot(snapshot) => writes.snapshot(row.job, snapshot)?,
                Row::Done { .. } | Row::Failed { .. } => {
                    ending.insert(row.job.job);
                    ends.push(place);
                }
            }
        }
        writes.store(&mut self.tx, self.worker, self.now).await?;
        self.end(rows, &ends).await?;
        Ok(later)
    }

    /// Whether a row can be stored, or is stored already.
    async fn judge(&mut self, row: &ReportRow) -> Result<Judged> {
        let Some(job) = self.jobs.get(&row.job.job) else {
            return Ok(Err((RefusalReason::Unknown, format!("there is no job {}", row.job.job.0))));
        };
        let is_own = job.attempt == row.job.attempt.0;
        if is_own && job.worker.is_some_and(|holder| holder != self.worker) {
            let message = format!("attempt {} of job {} is another worker's", job.attempt, row.job.job.0);
            return Ok(Err((RefusalReason::Stale, message)));
        }
        if job.state != JobState::Leased || !is_own {
            // An answer that got lost is asked for again: what is there already counts as stored.
            if is_own && is_stored(&mut self.tx, job, row).await? {
                return Ok(Ok(()));
            }
            return Ok(Err((RefusalReason::Stale, stale(job, row))));
        }
        Ok(check(&job.spec, &row.row).map_err(|message| (RefusalReason::Invalid, message)))
    }

    /// Ends jobs: all lines that are done at once, everything else by itself.
    async fn end(&mut self, rows: &[ReportRow], places: &[usize]) -> Result<()> {
        let (mut lines, mut refined) = (vec![], vec![]);
        for &place in places {
            let row = &rows[place];
            let job = self.jobs.get(&row.job.job).expect("a job that is not there was refused");
            match (&row.row, &job.spec) {
                (Row::Done { seconds, threads }, JobSpec::Line(line)) => {
                    if line.refine.is_some() {
                        if let Err(message) = refine::is_complete(&mut self.tx, row.job.job, line).await? {
                            self.refused.push((place, (RefusalReason::Invalid, message)));
                            continue;
                        }
                        refined.push(row.job.job.0);
                    }
                    lines.push((place, done_row(row.job, *seconds, *threads)));
                }
                (Row::Done { seconds, threads }, JobSpec::Train(run)) => {
                    let required = required(run);
                    let done = done_row(row.job, *seconds, *threads);
                    if let Err(refused) = self.finish_training(row.job.job, &required, done).await? {
                        self.refused.push((place, refused));
                    }
                }
                (Row::Failed { class, message }, _) => self.fail(row.job, *class, message).await?,
                _ => {}
            }
        }
        refine::expect_stored_points(&mut self.tx, &refined).await?;
        let finished = self.finish(&lines.iter().map(|(_, done)| done).collect::<Vec<_>>()).await?;
        for (place, done) in lines {
            if !finished.contains(&done.job) {
                let message = "not complete: some of its points are not stored".to_owned();
                self.refused.push((place, (RefusalReason::Invalid, message)));
            }
        }
        Ok(())
    }

    /// Returns the jobs that were complete.
    async fn finish(&mut self, jobs: &[&DoneRow]) -> Result<HashSet<i64>> {
        if jobs.is_empty() {
            return Ok(HashSet::new());
        }
        let finished: Vec<i64> = sqlx::query_scalar(sql!("finish_jobs"))
            .bind(json(jobs))
            .bind(self.now.to_string())
            .fetch_all(&mut *self.tx)
            .await?;
        if !finished.is_empty() {
            let done = i64::try_from(finished.len()).unwrap_or_default();
            sqlx::query(sql!("worker_did"))
                .bind(self.worker.0)
                .bind(done)
                .bind(self.now.to_string())
                .execute(&mut *self.tx)
                .await?;
        }
        for job in &finished {
            self.ended(JobId(*job), JobEvent::Finish);
        }
        Ok(finished.into_iter().collect())
    }

    async fn finish_training(&mut self, job: JobId, required: &BTreeSet<Tag>, done: DoneRow) -> Result<Judged> {
        let stored: Vec<String> = sqlx::query_scalar(sql!("tags_of_job")).bind(job.0).fetch_all(&mut *self.tx).await?;
        let stored: BTreeSet<Tag> = stored.iter().map(|tag| text(tag)).collect::<Result<_>>()?;
        let missing: Vec<String> = required.difference(&stored).map(ToString::to_string).collect();
        if !missing.is_empty() {
            let message = format!("not complete: checkpoint {} is not stored", missing.join(", "));
            return Ok(Err((RefusalReason::Invalid, message)));
        }
        self.finish(&[&done]).await?;
        sqlx::query(sql!("drop_snapshot")).bind(job.0).execute(&mut *self.tx).await?;
        // What waits for a training goes on, or fails where it stopped before the checkpoint that it needs.
        let now = self.now.to_string();
        sqlx::query(sql!("ready_jobs")).bind(job.0).execute(&mut *self.tx).await?;
        let failed: Vec<i64> =
            sqlx::query_scalar(sql!("fail_missing_after")).bind(job.0).bind(&now).fetch_all(&mut *self.tx).await?;
        for failed in failed {
            sqlx::query(sql!("fail_waiting_for")).bind(failed).bind(&now).execute(&mut *self.tx).await?;
        }
        Ok(Ok(()))
    }

    async fn fail(&mut self, job: JobAttempt, class: ErrorClass, message: &str) -> Result<()> {
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        let failures = self.jobs.get(&job.job).map_or(0, |job| job.failures);
        match after_failure(class, failures + 1, self.max_attempts) {
            AfterFailure::SetAside => {
                set_aside(&mut self.tx, job, self.worker, class, &message, self.now).await?;
                self.ended(job.job, JobEvent::SetAside);
            }
            AfterFailure::RetryIn(pause) => {
                keep_error(&mut self.tx, job, self.worker, class, &message, &self.now.to_string()).await?;
                sqlx::query(sql!("try_again"))
                    .bind(job.job.0)
                    .bind(i64::from(job.attempt.0))
                    .bind(self.now.plus(pause).to_string())
                    .bind(&message)
                    .bind(class.name())
                    .execute(&mut *self.tx)
                    .await?;
                self.ended(job.job, JobEvent::GiveBack);
            }
        }
        if class == ErrorClass::Machine {
            sqlx::query(sql!("quarantine"))
                .bind(self.worker.0)
                .bind(self.now.plus(QUARANTINE).to_string())
                .bind(i64::from(QUARANTINE_FAILURES))
                .execute(&mut *self.tx)
                .await?;
        }
        Ok(())
    }

    /// The fence has let an event through: the job's state is the one after it.
    fn ended(&mut self, job: JobId, event: JobEvent) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.state = job
                .state
                .after(event)
                .expect("only a leased job gets here, and it may finish, be set aside or be given back");
        }
    }
}

fn done_row(job: JobAttempt, seconds: f64, threads: u32) -> DoneRow {
    DoneRow { job: job.job.0, attempt: job.attempt.0, seconds, threads }
}

/// Whether the row was stored by the same attempt before it ended.
async fn is_stored(tx: &mut Tx, job: &Held, row: &ReportRow) -> Result<bool> {
    let id = row.job.job.0;
    let query = match &row.row {
        Row::Done { .. } => return Ok(job.state == JobState::Done),
        Row::Snapshot(snapshot) => {
            sqlx::query_scalar(sql!("has_snapshot")).bind(id).bind(snapshot.artifact.to_string())
        }
        Row::Failed { .. } => sqlx::query_scalar(sql!("has_error")).bind(id).bind(i64::from(row.job.attempt.0)),
        Row::Point(point) => {
            sqlx::query_scalar(sql!("has_point")).bind(id).bind(point.split.name()).bind(i64::from(point.index))
        }
        Row::Measure { name, split, .. } => {
            sqlx::query_scalar(sql!("has_measure")).bind(id).bind(split.map_or("", Split::name)).bind(name)
        }
        Row::Epoch(epoch) => sqlx::query_scalar(sql!("has_epoch"))
            .bind(id)
            .bind(i64::from(epoch.epoch))
            .bind(epoch.split.name())
            .bind(epoch.loss),
        Row::Checkpoint { tag, artifact, .. } => {
            sqlx::query_scalar(sql!("has_checkpoint")).bind(id).bind(tag.to_string()).bind(artifact.to_string())
        }
    };
    Ok(query.fetch_one(&mut **tx).await?)
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
