//! Comparing measured lines with `PyTorch`'s, point by point.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;
use transect_common::checkpoint::Checkpoint;
use transect_common::data::Split;
use transect_common::digest::RunDigest;
use transect_common::line::{BatchNorm, Elsewhere, LineSpec, Measure, Normalize};
use transect_common::run::{InitSpec, Tag};
use transect_worker::data::Data;
use transect_worker::nn::Model;
use transect_worker::probe::{Evaluator, Finding, LineTask, Measured as Measurement, Point, Subject};
use transect_worker::sources::Sources;

/// Lines of one model on one grid.
#[derive(Deserialize)]
pub struct Lines {
    pub alphas: Vec<f64>,
    pub batch_size: u32,
    #[serde(rename = "lines")]
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
pub struct Row {
    pub mask: String,
    pub hold: String,
    pub batch_norm: BatchNorm,
    /// True when `to` lies in [`other_run`].
    #[serde(default)]
    pub other_run: bool,
    #[serde(default)]
    pub align: bool,
    /// True when the direction is normalised by filters.
    #[serde(default)]
    pub filter: bool,
    pub splits: HashMap<Split, Measured>,
    /// `distance`, `test gauss-length`; none where they were not made.
    #[serde(default)]
    pub measures: BTreeMap<String, f64>,
}

/// The run that lines of fixtures cross over to.
pub fn other_run() -> RunDigest {
    RunDigest::of(b"the other run")
}

#[derive(Deserialize)]
pub struct Measured {
    /// `None` where `PyTorch` has NaN.
    pub loss: Vec<Option<f64>>,
    pub accuracy: Vec<f64>,
    pub count: u64,
}

impl Lines {
    /// The lines as the worker gets them.
    pub fn tasks(&self, subset: Option<u32>) -> Vec<LineTask> {
        let hold = |row: &Row| match (row.other_run, row.hold.as_str()) {
            (true, word) => word.parse().unwrap(),
            (false, "from") => Tag::init(),
            (false, _) => Tag::last(),
        };
        let task = |row: &Row| {
            LineTask::new(LineSpec {
                hold: hold(row),
                batch_norm: row.batch_norm,
                elsewhere: row.other_run.then(|| Elsewhere::Run { run: other_run() }),
                align: row.align,
                normalize: if row.filter { Normalize::Filter } else { Normalize::None },
                measures: if row.measures.is_empty() {
                    BTreeSet::new()
                } else {
                    BTreeSet::from([Measure::GaussLength, Measure::Ensemble])
                },
                subset,
                batch_size: self.batch_size,
                ..LineSpec::new(&row.mask, self.alphas.clone(), vec![Split::Train, Split::Test])
            })
        };
        self.rows.iter().map(task).collect()
    }

    /// Measures them and compares every loss, within `tolerance`, every accuracy, to one image, and every count; and where
    /// there are measures of whole lines, those.
    pub fn check(&self, subset: Option<u32>, subject: &Subject, tolerance: f64) {
        let tasks = self.tasks(subset);
        let findings = findings(subject, &tasks);
        for (number, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.measures.is_empty()) {
            row.check_measures(&measures(&findings, number), tolerance);
        }
        let points = points(findings);
        assert_eq!(points.len(), self.rows.len() * self.alphas.len() * 2);
        for point in points {
            let row = &self.rows[point.line];
            let truth = &row.splits[&point.split];
            let index = point.index as usize;
            let at = format!("{} {} alpha {} {}", row.mask, row.batch_norm.name(), point.alpha, point.split);
            assert!((point.alpha - self.alphas[index]).abs() < 1e-15, "{at}");
            assert_eq!(point.count, truth.count, "{at}");
            let images_apart = (point.accuracy - truth.accuracy[index]).abs() * point.count as f64;
            assert!(images_apart < 1.5, "{at}: accuracy {} against {}", point.accuracy, truth.accuracy[index]);
            match truth.loss[index] {
                None => assert!(point.loss.is_nan(), "{at}: loss {} where PyTorch has NaN", point.loss),
                Some(loss) => {
                    let error = (point.loss - loss).abs() / loss;
                    assert!(error <= tolerance, "{at}: ours {}, PyTorch {loss}, error {error:.1e}", point.loss);
                }
            }
        }
    }
}

impl Row {
    fn check_measures(&self, measures: &[Measurement], tolerance: f64) {
        let name = |measured: &Measurement| match measured.split {
            Some(split) => format!("{split} {}", measured.name.name()),
            None => measured.name.name().to_owned(),
        };
        let ours: BTreeMap<String, f64> = measures.iter().map(|m| (name(m), m.value)).collect();
        let at = format!("{} {} {}", self.mask, self.hold, self.batch_norm.name());
        assert!(ours.keys().eq(self.measures.keys()), "{at}: {ours:?} against {:?}", self.measures);
        for (name, truth) in &self.measures {
            let error = (ours[name] - truth).abs() / truth.abs().max(0.1);
            assert!(error <= tolerance, "{at}: {name} is {}, PyTorch {truth}, error {error:.1e}", ours[name]);
        }
    }
}

/// A run that starts as `PyTorch` would and needs no other run.
pub fn subject<'s>(model: &'s Model, data: &'s Data, checkpoints: &'s BTreeMap<Tag, Checkpoint>) -> Subject<'s> {
    static INIT: LazyLock<InitSpec> = LazyLock::new(InitSpec::default);
    static SOURCES: LazyLock<Sources> = LazyLock::new(Sources::default);
    Subject { model, data, init: &INIT, checkpoints, sources: &SOURCES }
}

/// All that is found of `tasks`, as emitted, by the evaluator that is used.
pub fn findings(subject: &Subject, tasks: &[LineTask]) -> Vec<Finding> {
    findings_of(Evaluator::default(), subject, tasks)
}

/// The same by a certain one.
pub fn findings_of(evaluator: Evaluator, subject: &Subject, tasks: &[LineTask]) -> Vec<Finding> {
    let mut findings = vec![];
    evaluator
        .measure(subject, tasks, &mut |finding| {
            findings.push(finding);
            Ok(())
        })
        .unwrap();
    findings
}

/// Those that are points.
pub fn points(findings: Vec<Finding>) -> Vec<Point> {
    let point = |finding| if let Finding::Point(point) = finding { Some(point) } else { None };
    findings.into_iter().filter_map(point).collect()
}

/// Measures of the whole line of that number.
pub fn measures(findings: &[Finding], number: usize) -> Vec<Measurement> {
    let own = |finding: &Finding| match finding {
        Finding::Measure { line, measured } if *line == number => Some(*measured),
        _ => None,
    };
    findings.iter().filter_map(own).collect()
}
