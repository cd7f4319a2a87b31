//! Whether a reported row can be true of its job: pure, the same for every store.

use std::collections::BTreeSet;
use std::sync::Arc;

use transect_common::data::Split;
use transect_common::line::{LineSpec, MEASURED};
use transect_common::run::{Origin, RunSpec};

use super::{Epoch, Point, Row};

/// What a job is, as far as its rows must agree with it.
#[derive(Debug)]
pub(super) enum JobSpec {
    /// Trains this run.
    Train(Arc<RunSpec>),
    /// Measures this line.
    Line(Arc<LineSpec>),
}

/// Says what is wrong with a row.
pub(super) fn check(job: &JobSpec, row: &Row) -> Result<(), String> {
    match (job, row) {
        (JobSpec::Train(run), Row::Epoch(epoch)) => check_epoch(run, epoch),
        (JobSpec::Line(_), Row::Snapshot(_)) => Err("a line job has no snapshots".to_owned()),
        (JobSpec::Train(run), Row::Checkpoint { tag, .. }) => {
            if run.tags().contains(tag) {
                Ok(())
            } else {
                let kept: Vec<String> = run.tags().iter().map(ToString::to_string).collect();
                Err(format!("checkpoint `{tag}` is not one that this run keeps ({})", kept.join(", ")))
            }
        }
        (JobSpec::Line(line), Row::Point(point)) => check_point(line, point),
        (JobSpec::Line(line), Row::Measure { name, split, value }) => check_measure(line, name, *split, *value),
        (JobSpec::Train(_), Row::Measure { .. }) => Err("a training job has no measures".to_owned()),
        (_, Row::Done { seconds, .. }) => not_negative("seconds", *seconds),
        (JobSpec::Train(_), Row::Snapshot(_)) | (_, Row::Failed { .. }) => Ok(()),
        (JobSpec::Train(_), Row::Point(_)) => Err("a training job has no points".to_owned()),
        (JobSpec::Line(_), Row::Epoch(_)) => Err("a line job has no epochs".to_owned()),
        (JobSpec::Line(_), Row::Checkpoint { .. }) => Err("a line job has no checkpoints".to_owned()),
    }
}

fn check_epoch(run: &RunSpec, epoch: &Epoch) -> Result<(), String> {
    if let Origin::Trained { train, .. } = &run.origin
        && epoch.epoch > train.epochs
    {
        return Err(format!("epoch {} is beyond the last, {}", epoch.epoch, train.epochs));
    }
    if !epoch.loss.is_finite() {
        return Err(format!(
            "the loss of epoch {} is {}; training that diverges is a failed attempt",
            epoch.epoch, epoch.loss
        ));
    }
    fraction("accuracy", epoch.accuracy)?;
    not_negative("learning rate", epoch.learning_rate)?;
    not_negative("seconds", epoch.seconds)
}

fn check_split(line: &LineSpec, split: Split) -> Result<(), String> {
    if line.has_split(split) {
        return Ok(());
    }
    let splits: Vec<&str> = line.splits.iter().copied().map(Split::name).collect();
    Err(format!("split {split} is not measured on this line ({})", splits.join(", ")))
}

fn check_measure(line: &LineSpec, name: &str, split: Option<Split>, value: f64) -> Result<(), String> {
    if !MEASURED.contains(&name) {
        return Err(format!("`{name}` is not measured of lines; what is: {}", MEASURED.join(", ")));
    }
    if !value.is_finite() {
        return Err(format!("{name} is {value}; only finite numbers are kept, so leave it out"));
    }
    split.map_or(Ok(()), |split| check_split(line, split))
}

fn check_point(line: &LineSpec, point: &Point) -> Result<(), String> {
    check_split(line, point.split)?;
    match line.alphas.get(point.index as usize) {
        None => check_further(line, point)?,
        // The same bits: both sides read the same canonical form.
        Some(alpha) if alpha.to_bits() != point.alpha.to_bits() => {
            return Err(format!("alpha {} is not on the grid: index {} is {alpha}", point.alpha, point.index));
        }
        Some(_) => {}
    }
    if point.count == 0 || i64::try_from(point.count).is_err() {
        return Err(format!("{} images cannot have been evaluated", point.count));
    }
    fraction("accuracy", point.accuracy)
}

/// A point beyond the grid refines it.
fn check_further(line: &LineSpec, point: &Point) -> Result<(), String> {
    let (index, alpha, grid) = (point.index, point.alpha, line.alphas.len());
    let Some(refine) = line.refine else {
        return Err(format!("index {index} is outside the grid of {grid} alphas"));
    };
    if index as usize - grid >= refine.budget as usize {
        return Err(format!("index {index} is outside the grid of {grid} alphas and {} further ones", refine.budget));
    }
    let is_between = |ends: &[f64]| ends[0] < alpha && alpha < ends[1];
    if !line.alphas.windows(2).any(is_between) {
        return Err(format!("alpha {alpha} at index {index} refines no interval of the grid"));
    }
    Ok(())
}

/// Says what a refined line lacks, given the places and alphas of its points: all of its grid on every split, and further
/// alphas without a gap, each once, the same on every split.
pub(super) fn complete(line: &LineSpec, points: impl Iterator<Item = ((Split, u32), f64)>) -> Result<(), String> {
    let mut alphas: Vec<Vec<u64>> = vec![vec![]; line.splits.len()];
    let mut points: Vec<_> = points.collect();
    points.sort_by_key(|(place, _)| *place);
    for ((split, index), alpha) in points {
        let Some(on_split) = line.splits.iter().position(|known| *known == split).map(|i| &mut alphas[i]) else {
            continue;
        };
        if on_split.len() != index as usize {
            return Err(format!("not complete: point {} on {split} is not stored", on_split.len()));
        }
        on_split.push(alpha.to_bits());
    }
    for (split, on_split) in line.splits.iter().zip(&alphas) {
        if on_split.len() < line.alphas.len() {
            return Err(format!("not complete: point {} on {split} is not stored", on_split.len()));
        }
        if *on_split != alphas[0] {
            return Err(format!("not complete: other further alphas are stored on {split} than on {}", line.splits[0]));
        }
        if on_split.iter().collect::<BTreeSet<_>>().len() < on_split.len() {
            return Err(format!("not complete: a further alpha is stored twice on {split}"));
        }
    }
    Ok(())
}

fn fraction(what: &str, value: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{what} {value} is not in [0, 1]")) }
}

fn not_negative(what: &str, value: f64) -> Result<(), String> {
    if value.is_finite() && value >= 0.0 { Ok(()) } else { Err(format!("{what} {value} is not a number from 0 up")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use transect_common::data::{DataSet, DataSpec};
    use transect_common::model::ModelSpec;
    use transect_common::run::{InitSpec, Optimizer, TrainSpec};

    fn training() -> JobSpec {
        let train = TrainSpec { epochs: 3, ..TrainSpec::new(1, Optimizer::sgd()) };
        JobSpec::Train(Arc::new(RunSpec {
            data: DataSpec::new(DataSet::Mnist),
            model: ModelSpec::lenet5(),
            origin: Origin::Trained { init: InitSpec::default(), train },
        }))
    }

    fn line() -> JobSpec {
        let spec = r#"{"alphas":[0.0,0.1,1.0],"mask":"all","splits":["test"]}"#;
        JobSpec::Line(Arc::new(LineSpec::from_canonical(spec).unwrap()))
    }

    fn point() -> Point {
        Point { split: Split::Test, index: 1, alpha: 0.1, loss: 2.3, accuracy: 0.1, count: 10 }
    }

    fn epoch() -> Epoch {
        Epoch { epoch: 3, split: Split::Train, loss: 0.5, accuracy: 0.9, learning_rate: 0.1, seconds: 1.0 }
    }

    fn says(job: &JobSpec, row: &Row, expected: &str) {
        let message = check(job, row).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }

    #[test]
    fn rows_that_can_be_true_pass() {
        for loss in [0.0, 7.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(check(&line(), &Row::Point(Point { loss, ..point() })), Ok(()));
        }
        assert_eq!(check(&training(), &Row::Epoch(epoch())), Ok(()));
        assert_eq!(check(&training(), &Row::Done { seconds: 0.0, threads: 1 }), Ok(()));
    }

    #[test]
    fn a_point_off_the_grid_is_wrong() {
        says(&line(), &Row::Point(Point { alpha: 0.100_000_001, ..point() }), "is not on the grid: index 1 is 0.1");
        says(&line(), &Row::Point(Point { alpha: f64::NAN, ..point() }), "is not on the grid");
        says(&line(), &Row::Point(Point { index: 3, ..point() }), "outside the grid of 3");
        says(&line(), &Row::Point(Point { split: Split::Train, ..point() }), "not measured on this line (test)");
        says(&line(), &Row::Point(Point { count: 0, ..point() }), "0 images");
        for accuracy in [-0.1, 1.1, f64::NAN] {
            says(&line(), &Row::Point(Point { accuracy, ..point() }), "is not in [0, 1]");
        }
    }

    #[test]
    fn a_measure_that_cannot_be_is_wrong() {
        let measure = |name: &str, split, value| Row::Measure { name: name.to_owned(), split, value };
        for name in MEASURED {
            assert_eq!(check(&line(), &measure(name, None, -1.0)), Ok(()));
            assert_eq!(check(&line(), &measure(name, Some(Split::Test), 0.0)), Ok(()));
        }
        says(&line(), &measure("length", None, 1.0), "`length` is not measured of lines; what is: distance, ");
        says(&line(), &measure("cosine", None, f64::NAN), "cosine is NaN");
        says(&line(), &measure("cosine", Some(Split::Train), 1.0), "not measured on this line (test)");
        says(&training(), &measure("cosine", None, 1.0), "no measures");
    }

    #[test]
    fn an_epoch_that_cannot_be_is_wrong() {
        says(&training(), &Row::Epoch(Epoch { epoch: 4, ..epoch() }), "beyond the last, 3");
        says(&training(), &Row::Epoch(Epoch { loss: f64::NAN, ..epoch() }), "a failed attempt");
        says(&training(), &Row::Epoch(Epoch { accuracy: 1.5, ..epoch() }), "not in [0, 1]");
        says(&training(), &Row::Epoch(Epoch { learning_rate: f64::INFINITY, ..epoch() }), "learning rate");
        says(&training(), &Row::Epoch(Epoch { seconds: -1.0, ..epoch() }), "seconds");
    }

    #[test]
    fn rows_of_the_other_kind_are_wrong() {
        let artifact = transect_common::digest::ArtifactDigest::of(b"");
        let checkpoint =
            |tag: &str| Row::Checkpoint { tag: tag.parse().unwrap(), artifact: artifact.clone(), bytes: 1 };
        says(&training(), &checkpoint("epoch-2"), "`epoch-2` is not one that this run keeps (init, final)");
        says(&line(), &checkpoint("init"), "no checkpoints");
        says(&line(), &Row::Epoch(epoch()), "no epochs");
        says(&training(), &Row::Point(point()), "no points");
        says(&line(), &Row::Done { seconds: f64::NAN, threads: 1 }, "seconds");
    }
}
