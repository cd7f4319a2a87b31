//! What a report stores beside the ends of jobs: points, measures, epochs, checkpoints, each kind in one statement.
//!
//! Every statement compares the attempt with the job's and asks whether the job is leased, so that nothing that is
//! stale can be written even if the rows were judged wrongly.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::Serialize;
use transect_common::data::Split;

use super::bulk;
use super::db::{Tx, sql};
use super::rows::{integer, json};
use crate::store::{Epoch, JobAttempt, Point, Result, Snapshot, Timestamp, WorkerId};

/// A point.
pub(super) struct PointRow {
    pub job: i64,
    pub attempt: i64,
    pub split: &'static str,
    pub place: i64,
    pub alpha: f64,
    /// None where it is not a number, in every store.
    pub loss: Option<f64>,
    pub accuracy: f64,
    pub count: i64,
    pub worker: i64,
}

/// A number of a whole line.
pub(super) struct MeasureRow {
    pub job: i64,
    pub attempt: i64,
    /// Empty for none.
    pub split: &'static str,
    pub name: String,
    pub value: f64,
    pub worker: i64,
}

/// One epoch on one split.
pub(super) struct EpochRow {
    pub job: i64,
    pub attempt: i64,
    pub epoch: i64,
    pub split: &'static str,
    pub loss: f64,
    pub accuracy: f64,
    pub learning_rate: f64,
    pub seconds: f64,
}

/// How far an attempt is.
#[derive(Clone, Copy)]
pub(super) struct AdvanceRow {
    pub job: i64,
    pub attempt: i64,
    /// Points that it has in all,
    pub points: i64,
    /// and how many of them were added now, which is what a store counts whose triggers do not.
    #[allow(dead_code, reason = "Postgres has a trigger")]
    pub added: i64,
}

/// An attempt that is complete.
#[derive(Clone, Copy)]
pub(super) struct DoneRow {
    pub of: AdvanceRow,
    /// Seconds of work.
    pub seconds: f64,
    /// Threads that did it.
    pub threads: i64,
}

#[derive(Serialize)]
struct CheckpointRow {
    job: i64,
    attempt: u32,
    tag: String,
    artifact: String,
    bytes: i64,
}

struct SnapshotRow {
    attempt: u32,
    worker: i64,
    artifact: String,
    bytes: i64,
    step: i64,
    threads: u32,
}

/// Rows that passed every check and wait to be written together.
#[derive(Default)]
pub(super) struct Writes {
    points: Vec<PointRow>,
    measures: Vec<MeasureRow>,
    // Of rows that replace each other only the last is written: one statement cannot change a row twice.
    epochs: BTreeMap<(i64, i64, &'static str), EpochRow>,
    checkpoints: BTreeMap<(i64, String), CheckpointRow>,
    snapshots: BTreeMap<i64, SnapshotRow>,
    /// Jobs that got further.
    moved: BTreeSet<i64>,
}

impl Writes {
    pub(super) fn point(&mut self, job: JobAttempt, worker: WorkerId, point: &Point) -> Result<()> {
        self.points.push(PointRow {
            job: job.job.0,
            attempt: job.attempt.0.into(),
            split: point.split.name(),
            place: point.index.into(),
            alpha: point.alpha,
            loss: Some(point.loss).filter(|loss| !loss.is_nan()),
            accuracy: point.accuracy,
            count: integer(point.count, "the number of images")?,
            worker: worker.0,
        });
        Ok(())
    }

    pub(super) fn measure(&mut self, job: JobAttempt, worker: WorkerId, name: &str, split: Option<Split>, value: f64) {
        let (job, attempt, name) = (job.job.0, job.attempt.0.into(), name.to_owned());
        let split = split.map_or("", Split::name);
        self.measures.push(MeasureRow { job, attempt, split, name, value, worker: worker.0 });
    }

    pub(super) fn epoch(&mut self, job: JobAttempt, epoch: &Epoch) {
        self.moved.insert(job.job.0);
        let row = EpochRow {
            job: job.job.0,
            attempt: job.attempt.0.into(),
            epoch: epoch.epoch.into(),
            split: epoch.split.name(),
            loss: epoch.loss,
            accuracy: epoch.accuracy,
            learning_rate: epoch.learning_rate,
            seconds: epoch.seconds,
        };
        self.epochs.insert((row.job, row.epoch, row.split), row);
    }

    pub(super) fn checkpoint(&mut self, job: JobAttempt, tag: &str, artifact: &str, bytes: u64) -> Result<()> {
        let row = CheckpointRow {
            job: job.job.0,
            attempt: job.attempt.0,
            tag: tag.to_owned(),
            artifact: artifact.to_owned(),
            bytes: integer(bytes, "the size of a checkpoint")?,
        };
        self.checkpoints.insert((row.job, row.tag.clone()), row);
        Ok(())
    }

    pub(super) fn snapshot(&mut self, job: JobAttempt, worker: WorkerId, snapshot: &Snapshot) -> Result<()> {
        self.moved.insert(job.job.0);
        let row = SnapshotRow {
            attempt: job.attempt.0,
            worker: worker.0,
            artifact: snapshot.artifact.to_string(),
            bytes: integer(snapshot.bytes, "the size of a snapshot")?,
            step: integer(snapshot.step, "the step of a snapshot")?,
            threads: snapshot.threads,
        };
        self.snapshots.insert(job.job.0, row);
        Ok(())
    }

    /// Writes everything, and returns how many points each job had before that (`before`) and has got.
    pub(super) async fn store(
        self,
        tx: &mut Tx,
        before: impl Fn(i64) -> i64,
        now: Timestamp,
    ) -> Result<HashMap<i64, i64>> {
        let Self { points, measures, epochs, checkpoints, snapshots, moved } = self;
        let added = store_points(tx, points, before).await?;
        if !measures.is_empty() {
            bulk::insert_measures(tx, &measures).await?;
        }
        // A job that has more points is counted as alive when these are.
        if !moved.is_empty() {
            sqlx::query(sql!("made_progress")).bind(json(&moved)).execute(&mut **tx).await?;
        }
        if !epochs.is_empty() {
            bulk::upsert_epochs(tx, &epochs.into_values().collect::<Vec<_>>()).await?;
        }
        if !checkpoints.is_empty() {
            let rows: Vec<CheckpointRow> = checkpoints.into_values().collect();
            sqlx::query(sql!("upsert_checkpoints")).bind(json(&rows)).bind(now.to_string()).execute(&mut **tx).await?;
        }
        for (job, row) in snapshots {
            sqlx::query(sql!("upsert_snapshot"))
                .bind(job)
                .bind(i64::from(row.attempt))
                .bind(row.worker)
                .bind(row.artifact)
                .bind(row.bytes)
                .bind(row.step)
                .bind(i64::from(row.threads))
                .bind(now.to_string())
                .execute(&mut **tx)
                .await?;
        }
        Ok(added)
    }
}

/// Returns how many points each job has got that it did not have.
async fn store_points(tx: &mut Tx, points: Vec<PointRow>, before: impl Fn(i64) -> i64) -> Result<HashMap<i64, i64>> {
    let mut added: HashMap<i64, i64> = HashMap::new();
    let mut keys: HashSet<(i64, &'static str, i64)> = HashSet::with_capacity(points.len());
    // Jobs are held, so one that has no points has none until these are written.
    let (new, others): (Vec<PointRow>, Vec<PointRow>) =
        points.into_iter().partition(|row| keys.insert((row.job, row.split, row.place)) && before(row.job) == 0);
    for (rows, are_new) in [(new, true), (others, false)] {
        if rows.is_empty() {
            continue;
        }
        for row in &rows {
            *added.entry(row.job).or_default() += 1;
        }
        // Where some were there already, which is rare, all are counted.
        if bulk::insert_points(tx, &rows, are_new).await? < rows.len() as u64 {
            let jobs: BTreeSet<i64> = rows.iter().map(|row| row.job).collect();
            let counts: Vec<(i64, i64)> =
                sqlx::query_as(sql!("count_points")).bind(json(&jobs)).fetch_all(&mut **tx).await?;
            added.extend(counts.into_iter().map(|(job, points)| (job, points - before(job))));
        }
    }
    Ok(added)
}
