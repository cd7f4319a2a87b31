//! What a report stores beside the ends of jobs: points, measures, epochs, checkpoints, each kind in one statement.
//!
//! Every statement compares the attempt with the job's and asks whether the job is leased, so that nothing that is
//! stale can be written even if the rows were judged wrongly.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::Serializer;
use transect_common::data::Split;

use super::db::{Tx, reads_exactly, sql};
use super::rows::{integer, json};
use crate::store::{Epoch, JobAttempt, Point, Result, Snapshot, Timestamp, WorkerId};

/// A number within JSON; what is not finite is text, which databases that know such numbers read.
#[derive(Clone, Copy)]
struct Real(f64);

impl Serialize for Real {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            finite if finite.is_finite() => serializer.serialize_f64(finite),
            infinite if infinite > 0.0 => serializer.serialize_str("Infinity"),
            infinite if infinite < 0.0 => serializer.serialize_str("-Infinity"),
            _ => serializer.serialize_str("NaN"),
        }
    }
}

#[derive(Serialize)]
struct PointRow {
    job: i64,
    attempt: u32,
    split: &'static str,
    place: u32,
    alpha: Real,
    loss: Real,
    accuracy: Real,
    count: i64,
}

#[derive(Serialize)]
struct MeasureRow {
    job: i64,
    attempt: u32,
    split: &'static str,
    name: String,
    value: Real,
}

#[derive(Serialize)]
struct EpochRow {
    job: i64,
    attempt: u32,
    epoch: u32,
    split: &'static str,
    loss: Real,
    accuracy: Real,
    learning_rate: Real,
    seconds: Real,
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
    artifact: String,
    bytes: i64,
    step: i64,
    threads: u32,
}

/// Points that an attempt has more than `jobs.points` counts.
#[derive(Serialize)]
struct CountRow {
    job: i64,
    attempt: u32,
    points: i64,
}

/// Rows that passed every check and wait to be written together.
#[derive(Default)]
pub(super) struct Writes {
    points: Vec<PointRow>,
    measures: Vec<MeasureRow>,
    // Of rows that replace each other only the last is written: one statement cannot change a row twice.
    epochs: BTreeMap<(i64, u32, &'static str), EpochRow>,
    checkpoints: BTreeMap<(i64, String), CheckpointRow>,
    snapshots: BTreeMap<i64, SnapshotRow>,
    /// Jobs that got further.
    moved: BTreeSet<i64>,
}

impl Writes {
    pub(super) fn point(&mut self, job: JobAttempt, point: &Point) -> Result<()> {
        self.moved.insert(job.job.0);
        self.points.push(PointRow {
            job: job.job.0,
            attempt: job.attempt.0,
            split: point.split.name(),
            place: point.index,
            alpha: Real(point.alpha),
            loss: Real(point.loss),
            accuracy: Real(point.accuracy),
            count: integer(point.count, "the number of images")?,
        });
        Ok(())
    }

    pub(super) fn measure(&mut self, job: JobAttempt, name: &str, split: Option<Split>, value: f64) {
        let (job, attempt) = (job.job.0, job.attempt.0);
        let split = split.map_or("", Split::name);
        self.measures.push(MeasureRow { job, attempt, split, name: name.to_owned(), value: Real(value) });
    }

    pub(super) fn epoch(&mut self, job: JobAttempt, epoch: &Epoch) {
        self.moved.insert(job.job.0);
        let row = EpochRow {
            job: job.job.0,
            attempt: job.attempt.0,
            epoch: epoch.epoch,
            split: epoch.split.name(),
            loss: Real(epoch.loss),
            accuracy: Real(epoch.accuracy),
            learning_rate: Real(epoch.learning_rate),
            seconds: Real(epoch.seconds),
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

    pub(super) fn snapshot(&mut self, job: JobAttempt, snapshot: &Snapshot) -> Result<()> {
        self.moved.insert(job.job.0);
        let row = SnapshotRow {
            attempt: job.attempt.0,
            artifact: snapshot.artifact.to_string(),
            bytes: integer(snapshot.bytes, "the size of a snapshot")?,
            step: integer(snapshot.step, "the step of a snapshot")?,
            threads: snapshot.threads,
        };
        self.snapshots.insert(job.job.0, row);
        Ok(())
    }

    /// Writes everything.
    pub(super) async fn store(self, tx: &mut Tx, worker: WorkerId, now: Timestamp) -> Result<()> {
        let Self { points, measures, epochs, checkpoints, snapshots, moved } = self;
        if !moved.is_empty() {
            sqlx::query(sql!("made_progress")).bind(json(&moved)).execute(&mut **tx).await?;
        }
        store_points(tx, points, worker).await?;
        store_measures(tx, measures, worker).await?;
        store_epochs(tx, epochs.into_values().collect()).await?;
        if !checkpoints.is_empty() {
            let rows: Vec<CheckpointRow> = checkpoints.into_values().collect();
            sqlx::query(sql!("upsert_checkpoints")).bind(json(&rows)).bind(now.to_string()).execute(&mut **tx).await?;
        }
        for (job, row) in snapshots {
            sqlx::query(sql!("upsert_snapshot"))
                .bind(job)
                .bind(i64::from(row.attempt))
                .bind(worker.0)
                .bind(row.artifact)
                .bind(row.bytes)
                .bind(row.step)
                .bind(i64::from(row.threads))
                .bind(now.to_string())
                .execute(&mut **tx)
                .await?;
        }
        Ok(())
    }
}

async fn store_points(tx: &mut Tx, points: Vec<PointRow>, worker: WorkerId) -> Result<()> {
    let mut attempts: BTreeMap<i64, u32> = BTreeMap::new();
    let mut stored: BTreeMap<i64, i64> = BTreeMap::new();
    attempts.extend(points.iter().map(|row| (row.job, row.attempt)));
    let (plain, extreme): (Vec<PointRow>, Vec<PointRow>) =
        points.into_iter().partition(|row| [row.alpha, row.loss, row.accuracy].iter().all(|x| reads_exactly(x.0)));
    if !plain.is_empty() {
        let jobs: Vec<i64> =
            sqlx::query_scalar(sql!("insert_points")).bind(json(&plain)).bind(worker.0).fetch_all(&mut **tx).await?;
        for job in jobs {
            *stored.entry(job).or_default() += 1;
        }
    }
    for row in extreme {
        let inserted = sqlx::query(sql!("insert_point"))
            .bind(row.job)
            .bind(i64::from(row.attempt))
            .bind(row.split)
            .bind(i64::from(row.place))
            .bind(row.alpha.0)
            // NULL where it is not a number, in every store.
            .bind(Some(row.loss.0).filter(|loss| !loss.is_nan()))
            .bind(row.accuracy.0)
            .bind(row.count)
            .bind(worker.0)
            .execute(&mut **tx)
            .await?;
        *stored.entry(row.job).or_default() += i64::try_from(inserted.rows_affected()).unwrap_or_default();
    }
    let counts: Vec<CountRow> = stored
        .into_iter()
        .filter(|(_, points)| *points > 0)
        .map(|(job, points)| CountRow { job, attempt: attempts.get(&job).copied().unwrap_or_default(), points })
        .collect();
    if !counts.is_empty() {
        sqlx::query(sql!("count_points")).bind(json(&counts)).execute(&mut **tx).await?;
    }
    Ok(())
}

async fn store_measures(tx: &mut Tx, measures: Vec<MeasureRow>, worker: WorkerId) -> Result<()> {
    let (plain, extreme): (Vec<MeasureRow>, Vec<MeasureRow>) =
        measures.into_iter().partition(|row| reads_exactly(row.value.0));
    if !plain.is_empty() {
        sqlx::query(sql!("insert_measures")).bind(json(&plain)).bind(worker.0).execute(&mut **tx).await?;
    }
    for row in extreme {
        sqlx::query(sql!("insert_measure"))
            .bind(row.job)
            .bind(i64::from(row.attempt))
            .bind(row.split)
            .bind(row.name)
            .bind(row.value.0)
            .bind(worker.0)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn store_epochs(tx: &mut Tx, epochs: Vec<EpochRow>) -> Result<()> {
    let is_plain =
        |row: &EpochRow| [row.loss, row.accuracy, row.learning_rate, row.seconds].iter().all(|x| reads_exactly(x.0));
    let (plain, extreme): (Vec<EpochRow>, Vec<EpochRow>) = epochs.into_iter().partition(is_plain);
    if !plain.is_empty() {
        sqlx::query(sql!("upsert_epochs")).bind(json(&plain)).execute(&mut **tx).await?;
    }
    for row in extreme {
        sqlx::query(sql!("upsert_epoch"))
            .bind(row.job)
            .bind(i64::from(row.attempt))
            .bind(i64::from(row.epoch))
            .bind(row.split)
            .bind(row.loss.0)
            .bind(row.accuracy.0)
            .bind(row.learning_rate.0)
            .bind(row.seconds.0)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
