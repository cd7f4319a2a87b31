//! Reports: what workers measured. Those that come while others are being stored share the next transaction. Rows are judged one
//! by one, in order; what several of them store is written by one statement for each kind ([`super::writes`]), which is
//! fenced by itself.
//!
//! A job's rows before its end are written before the end is, and those after it are judged by what the end left:
//! reports are worked off in rounds, each of which ends every job at most once. Jobs do not depend on each other here.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use transect_common::data::Split;
use transect_common::job::{AfterFailure, ErrorClass, JobEvent, JobKind, JobState, after_failure};
use transect_common::line::LineSpec;
use transect_common::run::{Origin, RunSpec, Tag};
use transect_common::schedule::{QUARANTINE, QUARANTINE_FAILURES};

use super::bulk::{add_points, finish_jobs, hold_jobs};
use super::db::{Db, Tx, sql};
use super::lease::{keep_error, set_aside};
use super::refine;
use super::rows::{count, json, text, word};
use super::specs;
use super::together::Together;
use super::writes::{AdvanceRow, DoneRow, Writes};
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
    points: i64,
    points_expected: i64,
}

impl Held {
    fn kind(&self) -> JobKind {
        match self.spec {
            JobSpec::Train(_) => JobKind::Train,
            JobSpec::Line(_) => JobKind::Line,
        }
    }

    /// The end of an attempt that holds it and has got so many points.
    fn done(&self, job: JobAttempt, added: i64, seconds: f64, threads: u32) -> DoneRow {
        let of = AdvanceRow { job: job.job.0, attempt: job.attempt.0.into(), points: self.points, added };
        DoneRow { of, seconds, threads: threads.into() }
    }
}

/// Jobs that a worker has done.
#[derive(Serialize)]
struct WorkerDid {
    worker: i64,
    done: i64,
}

/// Why a row is not stored.
type Refused = (RefusalReason, String);

/// What became of a row.
type Judged = std::result::Result<(), Refused>;

/// Most rows that are stored in one transaction, beside those of the report that goes over it.
const MOST_ROWS: usize = 20_000;

/// A report on its way into the store.
#[derive(Debug)]
pub(super) struct Sent {
    worker: WorkerId,
    rows: Vec<ReportRow>,
    now: Timestamp,
}

/// Reports that wait for their turn.
pub(super) type Reports = Together<Sent, Reported>;

/// None waits yet; `turns` may be stored at once.
pub(super) fn reports(turns: usize) -> Reports {
    Together::new(store, |sent| sent.rows.len(), MOST_ROWS, turns)
}

pub(super) async fn report(db: &Db, worker: WorkerId, rows: Vec<ReportRow>, now: Timestamp) -> Result<Reported> {
    db.reports.add(db, Sent { worker, rows, now }).await
}

fn store<'a>(db: &'a Db, sent: &'a [Sent]) -> BoxFuture<'a, Result<Vec<Result<Reported>>>> {
    store_all(db, sent).boxed()
}

/// Stores reports in one transaction.
async fn store_all(db: &Db, sent: &[Sent]) -> Result<Vec<Result<Reported>>> {
    let all: Vec<(usize, &ReportRow)> =
        (0..).zip(sent).flat_map(|(of, sent)| sent.rows.iter().map(move |row| (of, row))).collect();
    let Some(now) = sent.iter().map(|sent| sent.now).max() else { return Ok(vec![]) };
    let ids: Vec<i64> = all.iter().map(|(_, row)| row.job.job.0).collect::<BTreeSet<i64>>().into_iter().collect();
    let mut tx = db.begin().await?;
    let mut jobs = held_jobs(db, &mut tx, &ids).await?;
    // The end of a training moves what waits for it, in whatever sweep.
    let is_end = |row: &ReportRow| matches!(row.row, Row::Done { .. } | Row::Failed { .. });
    let is_training = |row: &ReportRow| jobs.get(&row.job.job).is_some_and(|job| job.kind() == JobKind::Train);
    let moves_others = all.iter().any(|(_, row)| is_end(row) && is_training(row));
    if moves_others {
        tx.rollback().await?;
        tx = db.begin_on_graph().await?;
        jobs = held_jobs(db, &mut tx, &ids).await?;
    }
    let workers: BTreeSet<i64> = sent.iter().map(|sent| sent.worker.0).collect();
    let known = hear(db, &mut tx, &workers, now).await?;
    let rows: Vec<(usize, &ReportRow)> =
        all.into_iter().filter(|(of, _)| known.contains(&sent[*of].worker.0)).collect();
    let mut report = Report { tx, now, max_attempts: db.terms.max_attempts, sent, jobs, refused: vec![] };
    report.store(&rows).await?;
    let Report { tx, mut refused, .. } = report;
    db.commit(tx).await?;
    if moves_others {
        db.freed();
    }
    refused.sort_by_key(|(place, _)| *place);
    let mut answers: Vec<Result<Reported>> = vec![];
    for Sent { worker, rows, .. } in sent {
        answers.push(if known.contains(&worker.0) {
            Ok(Reported { stored: rows.len() as u64, refused: vec![] })
        } else {
            Err(StoreError::NotFound { what: "worker", name: worker.to_string() })
        });
    }
    for (place, (reason, message)) in refused {
        let (of, row) = rows[place];
        if let Some(Ok(answer)) = answers.get_mut(of) {
            answer.stored -= 1;
            answer.refused.push(Refusal { job: row.job, place: row.place, reason, message });
        }
    }
    Ok(answers)
}

/// Notes that workers were heard; returns those that ever registered.
async fn hear(db: &Db, tx: &mut Tx, workers: &BTreeSet<i64>, now: Timestamp) -> Result<HashSet<i64>> {
    let known: Vec<i64> = sqlx::query_scalar(sql!("hear_workers"))
        .bind(json(workers))
        .bind(now.to_string())
        .bind(now.plus(db.terms.lease).to_string())
        .fetch_all(&mut **tx)
        .await?;
    Ok(known.into_iter().collect())
}

/// A job as the database has it.
#[derive(FromRow, Deserialize)]
pub(super) struct HeldRow {
    pub id: i64,
    run: i64,
    line: Option<i64>,
    state: String,
    attempt: i64,
    failures: i64,
    worker: Option<i64>,
    points: i64,
    points_expected: i64,
}

/// Keeps the jobs as they are for the length of the transaction, and says how they are.
async fn held_jobs(db: &Db, tx: &mut Tx, ids: &[i64]) -> Result<HashMap<JobId, Held>> {
    let rows = hold_jobs(tx, ids).await?;
    let lines = specs::lines(db, tx, &rows.iter().filter_map(|row| row.line).collect()).await?;
    let trainings = rows.iter().filter(|row| row.line.is_none()).map(|row| row.run);
    let runs = specs::runs(db, tx, &trainings.collect()).await?;
    let mut held = HashMap::with_capacity(rows.len());
    for row in rows {
        let spec = match row.line {
            Some(line) => lines.get(&line).map(|line| JobSpec::Line(line.spec.clone())),
            None => runs.get(&row.run).map(|run| JobSpec::Train(run.clone())),
        };
        let job = Held {
            spec: spec.ok_or_else(|| StoreError::Damaged(format!("job {} is of nothing that is stored", row.id)))?,
            state: word(&row.state, JobState::from_name)?,
            attempt: count(row.attempt)?,
            failures: count(row.failures)?,
            worker: row.worker.map(WorkerId),
            points: row.points,
            points_expected: row.points_expected,
        };
        held.insert(JobId(row.id), job);
    }
    Ok(held)
}

/// Reports under way.
struct Report<'a> {
    tx: Tx,
    now: Timestamp,
    max_attempts: u32,
    sent: &'a [Sent],
    jobs: HashMap<JobId, Held>,
    /// By place among the rows.
    refused: Vec<(usize, Refused)>,
}

/// A row, and which of the reports it is of.
type Of<'a> = (usize, &'a ReportRow);

impl Report<'_> {
    async fn store(&mut self, rows: &[Of<'_>]) -> Result<()> {
        let mut waiting: Vec<usize> = (0..rows.len()).collect();
        while !waiting.is_empty() {
            waiting = self.round(rows, waiting).await?;
        }
        Ok(())
    }

    fn worker(&self, (of, _): Of<'_>) -> WorkerId {
        self.sent[of].worker
    }

    /// Stores rows up to the first end of each job; returns the places of those that come after it.
    async fn round(&mut self, rows: &[Of<'_>], places: Vec<usize>) -> Result<Vec<usize>> {
        let (mut ends, mut later) = (vec![], vec![]);
        let mut ending: HashSet<JobId> = HashSet::new();
        let mut writes = Writes::default();
        for place in places {
            let (worker, row) = (self.worker(rows[place]), rows[place].1);
            if ending.contains(&row.job.job) {
                later.push(place);
                continue;
            }
            if let Err(refused) = self.judge(worker, row).await? {
                self.refused.push((place, refused));
                continue;
            }
            // One that has ended is here because the row is stored already.
            if self.jobs.get(&row.job.job).is_none_or(|job| job.state != JobState::Leased) {
                continue;
            }
            match &row.row {
                Row::Point(point) => writes.point(row.job, worker, point)?,
                Row::Measure { name, split, value } => writes.measure(row.job, worker, name, *split, *value),
                Row::Epoch(epoch) => writes.epoch(row.job, epoch),
                Row::Checkpoint { tag, artifact, bytes } => {
                    writes.checkpoint(row.job, tag.as_str(), artifact.as_str(), *bytes)?;
                }
                Row::Snapshot(snapshot) => writes.snapshot(row.job, worker, snapshot)?,
                Row::Done { .. } | Row::Failed { .. } => {
                    ending.insert(row.job.job);
                    ends.push(place);
                }
            }
        }
        let jobs = &self.jobs;
        let before = |job| jobs.get(&JobId(job)).map_or(0, |job| job.points);
        let added = writes.store(&mut self.tx, before, self.now).await?;
        self.end(rows, &ends, added).await?;
        Ok(later)
    }

    /// Whether a row can be stored, or is stored already.
    async fn judge(&mut self, worker: WorkerId, row: &ReportRow) -> Result<Judged> {
        let Some(job) = self.jobs.get(&row.job.job) else {
            return Ok(Err((RefusalReason::Unknown, format!("there is no job {}", row.job.job.0))));
        };
        let is_own = job.attempt == row.job.attempt.0;
        if is_own && job.worker.is_some_and(|holder| holder != worker) {
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

    /// Ends jobs: all lines that are done at once, everything else by itself; and counts the points that jobs have got.
    async fn end(&mut self, rows: &[Of<'_>], places: &[usize], mut added: HashMap<i64, i64>) -> Result<()> {
        for (job, points) in &added {
            if let Some(job) = self.jobs.get_mut(&JobId(*job)) {
                job.points += points;
            }
        }
        let refined = self.refined(rows, places);
        let mut lacking = refine::lacking(&mut self.tx, &refined).await?;
        // Lines that are done are counted with their end, and come last; those that are refined have got their points before,
        // which then are all that is expected of them.
        let (mut done, mut complete) = (vec![], vec![]);
        for &place in places {
            let row = rows[place].1;
            let Some(job) = self.jobs.get(&row.job.job) else { continue };
            let Row::Done { seconds, threads } = row.row else { continue };
            if job.kind() == JobKind::Train {
                continue;
            }
            let id = row.job.job.0;
            let lacks = if refined.contains_key(&id) {
                lacking.remove(&id)
            } else {
                let is_complete = job.points == job.points_expected;
                (!is_complete).then(|| "not complete: some of its points are not stored".to_owned())
            };
            if let Some(message) = lacks {
                self.refused.push((place, (RefusalReason::Invalid, message)));
                continue;
            }
            let added = if refined.contains_key(&id) {
                complete.push(id);
                0
            } else {
                added.remove(&id).unwrap_or(0)
            };
            done.push((self.worker(rows[place]), job.done(row.job, added, seconds, threads)));
        }
        let further = |(job, points): (&i64, &i64)| {
            let held = self.jobs.get(&JobId(*job)).filter(|_| *points > 0)?;
            Some(AdvanceRow { job: *job, attempt: held.attempt.into(), points: held.points, added: *points })
        };
        let mut further: Vec<AdvanceRow> = added.iter().filter_map(further).collect();
        further.sort_unstable_by_key(|row| row.job);
        if !further.is_empty() {
            all_written(further.len(), add_points(&mut self.tx, &further).await?)?;
        }
        refine::expect_stored_points(&mut self.tx, &complete).await?;
        for &place in places {
            let (worker, row) = (self.worker(rows[place]), rows[place].1);
            let job = self.jobs.get(&row.job.job).expect("a job that is not there was refused");
            match (&row.row, &job.spec) {
                (Row::Done { seconds, threads }, JobSpec::Train(run)) => {
                    let done = job.done(row.job, 0, *seconds, *threads);
                    let required = required(run);
                    if let Err(refused) = self.finish_training(worker, row.job.job, &required, done).await? {
                        self.refused.push((place, refused));
                    }
                }
                (Row::Failed { class, message }, _) => self.fail(worker, row.job, *class, message).await?,
                _ => {}
            }
        }
        self.finish(JobKind::Line, &done).await
    }

    /// Those of the jobs that are said to be done whose grids are refined.
    fn refined(&self, rows: &[Of<'_>], places: &[usize]) -> BTreeMap<i64, Arc<LineSpec>> {
        let line = |place: &usize| {
            let row = rows[*place].1;
            match (&row.row, &self.jobs.get(&row.job.job)?.spec) {
                (Row::Done { .. }, JobSpec::Line(line)) if line.refine.is_some() => Some((row.job.job.0, line.clone())),
                _ => None,
            }
        };
        places.iter().filter_map(line).collect()
    }

    /// Ends jobs that are complete, in the order of their ids.
    async fn finish(&mut self, kind: JobKind, done: &[(WorkerId, DoneRow)]) -> Result<()> {
        if done.is_empty() {
            return Ok(());
        }
        let mut rows: Vec<DoneRow> = done.iter().map(|(_, row)| *row).collect();
        rows.sort_unstable_by_key(|row| row.of.job);
        all_written(rows.len(), finish_jobs(&mut self.tx, kind, &rows, &self.now.to_string()).await?)?;
        let mut did: BTreeMap<i64, i64> = BTreeMap::new();
        for (worker, row) in done {
            *did.entry(worker.0).or_default() += 1;
            self.ended(JobId(row.of.job), JobEvent::Finish);
        }
        let did: Vec<WorkerDid> = did.into_iter().map(|(worker, done)| WorkerDid { worker, done }).collect();
        sqlx::query(sql!("workers_did")).bind(json(&did)).bind(self.now.to_string()).execute(&mut *self.tx).await?;
        Ok(())
    }

    async fn finish_training(
        &mut self,
        worker: WorkerId,
        job: JobId,
        required: &BTreeSet<Tag>,
        done: DoneRow,
    ) -> Result<Judged> {
        let stored: Vec<String> = sqlx::query_scalar(sql!("tags_of_job")).bind(job.0).fetch_all(&mut *self.tx).await?;
        let stored: BTreeSet<Tag> = stored.iter().map(|tag| text(tag)).collect::<Result<_>>()?;
        let missing: Vec<String> = required.difference(&stored).map(ToString::to_string).collect();
        if !missing.is_empty() {
            let message = format!("not complete: checkpoint {} is not stored", missing.join(", "));
            return Ok(Err((RefusalReason::Invalid, message)));
        }
        self.finish(JobKind::Train, &[(worker, done)]).await?;
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

    async fn fail(&mut self, worker: WorkerId, job: JobAttempt, class: ErrorClass, message: &str) -> Result<()> {
        let message: String = message.chars().take(MAX_MESSAGE).collect();
        let failures = self.jobs.get(&job.job).map_or(0, |job| job.failures);
        match after_failure(class, failures + 1, self.max_attempts) {
            AfterFailure::SetAside => {
                set_aside(&mut self.tx, job, worker, class, &message, self.now).await?;
                self.ended(job.job, JobEvent::SetAside);
            }
            AfterFailure::RetryIn(pause) => {
                keep_error(&mut self.tx, job, worker, class, &message, &self.now.to_string()).await?;
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
                .bind(worker.0)
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

/// The fence lets everything pass that is held.
fn all_written(held: usize, written: u64) -> Result<()> {
    if written == held as u64 {
        return Ok(());
    }
    Err(StoreError::Damaged(format!("of {held} jobs that are held {written} could be written")))
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
