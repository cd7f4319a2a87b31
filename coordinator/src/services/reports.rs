//! Rows of a report: read from the wire, one by one. A row that makes no sense is refused by itself.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::data::Split;
use transect_common::digest::ArtifactDigest;
use transect_common::job::ErrorClass;
use transect_common::pb;
use transect_common::pb::report_request::Row as Wire;

use crate::status::cut;
use crate::store::{Attempt, Epoch, JobAttempt, JobId, Point, Refusal, RefusalReason, ReportRow, Row, Snapshot};

/// Longest text of an error that is kept, in bytes.
const MAX_MESSAGE: usize = 8 << 10;

/// A report, sorted: what goes to the store, and what is refused before that.
#[derive(Debug, Default)]
pub struct Rows {
    /// Rows that make sense.
    pub rows: Vec<ReportRow>,
    /// Rows that do not.
    pub refused: Vec<Refusal>,
}

impl Rows {
    /// Reads the row at `place` of the stream; `stored` has the sizes of those artifacts of [`artifacts`] that are there.
    pub fn add(&mut self, place: u64, request: pb::ReportRequest, stored: &BTreeMap<ArtifactDigest, u64>) {
        let job = job_attempt(request.job.unwrap_or_default());
        let refusal = |message: String| Refusal { job, place, reason: RefusalReason::Invalid, message };
        if request.job.is_none() {
            self.refused.push(refusal("the row names no job".to_owned()));
            return;
        }
        let mut row = request.row.ok_or_else(|| "the row says nothing".to_owned()).and_then(row);
        if let Ok(Row::Checkpoint { artifact, bytes, .. } | Row::Snapshot(Snapshot { artifact, bytes, .. })) = &row {
            let stored = stored.get(artifact);
            if stored != Some(bytes) {
                let found = stored.map_or("it is not stored".to_owned(), |stored| format!("{stored} are stored"));
                row = Err(format!("artifact {artifact} should have {bytes} bytes, but {found}; upload it first"));
            }
        }
        match row {
            Ok(row) => self.rows.push(ReportRow { place, job, row }),
            Err(message) => self.refused.push(refusal(message)),
        }
    }
}

/// The artifacts that rows name.
pub fn artifacts(requests: &[pb::ReportRequest]) -> BTreeSet<ArtifactDigest> {
    let name = |request: &pb::ReportRequest| match &request.row {
        Some(Wire::Checkpoint(row)) => row.artifact.parse().ok(),
        Some(Wire::Snapshot(row)) => row.artifact.parse().ok(),
        _ => None,
    };
    requests.iter().filter_map(name).collect()
}

/// A job as its holder names it. A job id too large for any store stands for no job.
pub fn job_attempt(job: pb::JobAttempt) -> JobAttempt {
    JobAttempt { job: JobId(i64::try_from(job.job_id).unwrap_or(-1)), attempt: Attempt(job.attempt) }
}

fn row(wire: Wire) -> Result<Row, String> {
    match wire {
        Wire::Epoch(row) => {
            let split = split(&row.split)?;
            check("loss", row.loss, f64::is_finite(row.loss), "finite")?;
            share("accuracy", row.accuracy)?;
            check("learning_rate", row.learning_rate, not_negative(row.learning_rate), "finite and at least 0")?;
            check("seconds", row.seconds, not_negative(row.seconds), "finite and at least 0")?;
            let pb::EpochRow { epoch, loss, accuracy, learning_rate, seconds, .. } = row;
            Ok(Row::Epoch(Epoch { epoch, split, loss, accuracy, learning_rate, seconds }))
        }
        Wire::Checkpoint(row) => {
            let tag = row.tag.parse().map_err(|e| format!("tag: {e}"))?;
            let artifact = row.artifact.parse().map_err(|e| format!("artifact: {e}"))?;
            Ok(Row::Checkpoint { tag, artifact, bytes: row.bytes })
        }
        Wire::Point(row) => {
            let split = split(&row.split)?;
            check("alpha", row.alpha, row.alpha.is_finite(), "finite")?;
            share("accuracy", row.accuracy)?;
            if row.count == 0 || i64::try_from(row.count).is_err() {
                return Err(format!("count is {}; at least 1 image is evaluated for a point", row.count));
            }
            let pb::PointRow { index, alpha, loss, accuracy, count, .. } = row;
            Ok(Row::Point(Point { split, index, alpha, loss, accuracy, count }))
        }
        Wire::Measure(row) => {
            let split = if row.split.is_empty() { None } else { Some(split(&row.split)?) };
            check("value", row.value, row.value.is_finite(), "finite")?;
            Ok(Row::Measure { name: row.name, split, value: row.value })
        }
        Wire::Snapshot(row) => {
            let artifact = row.artifact.parse().map_err(|e| format!("artifact: {e}"))?;
            if row.step == 0 || row.threads == 0 {
                return Err("a snapshot is taken after at least 1 step, with at least 1 thread".to_owned());
            }
            if i64::try_from(row.step).is_err() {
                return Err(format!("step is {}; at most {} fits", row.step, i64::MAX));
            }
            Ok(Row::Snapshot(Snapshot { artifact, bytes: row.bytes, step: row.step, threads: row.threads }))
        }
        Wire::Done(row) => {
            check("seconds", row.seconds, not_negative(row.seconds), "finite and at least 0")?;
            Ok(Row::Done { seconds: row.seconds, threads: row.threads })
        }
        Wire::Failed(row) => {
            let class = ErrorClass::from_name(&row.class).filter(|class| *class != ErrorClass::Gone);
            let class = class.ok_or_else(|| format!("class is `{}`; it is `run` or `machine`", row.class))?;
            Ok(Row::Failed { class, message: cut(&row.message, MAX_MESSAGE) })
        }
    }
}

fn split(name: &str) -> Result<Split, String> {
    Split::from_name(name).ok_or_else(|| format!("split is `{name}`; it is `train` or `test`"))
}

fn share(field: &str, value: f64) -> Result<(), String> {
    check(field, value, (0.0..=1.0).contains(&value), "in [0, 1]")
}

fn not_negative(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn check(field: &str, value: f64, is_right: bool, right: &str) -> Result<(), String> {
    if is_right { Ok(()) } else { Err(format!("{field} is {value}; it must be {right}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(row: Wire) -> String {
        let job = Some(pb::JobAttempt { job_id: 1, attempt: 1 });
        let mut rows = Rows::default();
        rows.add(7, pb::ReportRequest { job, row: Some(row), ..Default::default() }, &BTreeMap::new());
        assert_eq!(rows.refused.len() + rows.rows.len(), 1);
        rows.refused.pop().map(|refused| refused.message).unwrap_or_default()
    }

    fn point() -> pb::PointRow {
        pb::PointRow { split: "test".into(), index: 0, alpha: 0.5, loss: 0.1, accuracy: 1.0, count: 10 }
    }

    #[test]
    fn odd_numbers_are_refused_and_odd_losses_of_points_are_not() {
        for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0] {
            assert_eq!(refusal(Wire::Point(pb::PointRow { loss, ..point() })), "");
        }
        for (row, what) in [
            (pb::PointRow { alpha: f64::NAN, ..point() }, "alpha is NaN"),
            (pb::PointRow { accuracy: f64::NAN, ..point() }, "accuracy is NaN"),
            (pb::PointRow { accuracy: 1.5, ..point() }, "accuracy is 1.5"),
            (pb::PointRow { count: 0, ..point() }, "count is 0"),
            (pb::PointRow { count: u64::MAX, ..point() }, "count is 1844"),
            (pb::PointRow { split: "valid".into(), ..point() }, "split is `valid`"),
        ] {
            let message = refusal(Wire::Point(row));
            assert!(message.contains(what), "{message}");
        }
        let epoch = pb::EpochRow { epoch: 1, split: "train".into(), loss: f64::NAN, ..Default::default() };
        assert!(refusal(Wire::Epoch(epoch)).contains("loss is NaN"));
        let done = pb::DoneRow { seconds: -1.0, threads: 1 };
        assert!(refusal(Wire::Done(done)).contains("seconds is -1"));
        let failed = pb::FailedRow { class: "bad luck".into(), message: String::new() };
        assert!(refusal(Wire::Failed(failed)).contains("`run` or `machine`"));
    }

    #[test]
    fn a_checkpoint_whose_artifact_is_not_stored_is_refused() {
        let row = pb::CheckpointRow { tag: "final".into(), artifact: "0".repeat(64), bytes: 3 };
        assert!(refusal(Wire::Checkpoint(row)).contains("it is not stored"));
    }

    #[test]
    fn a_row_without_a_job_is_refused() {
        let mut rows = Rows::default();
        rows.add(0, pb::ReportRequest::default(), &BTreeMap::new());
        assert_eq!(rows.refused[0].message, "the row names no job");
    }
}
