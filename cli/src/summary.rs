//! Results condensed: how well each model does, and the shape of each mean line. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use transect_common::data::Split;
use transect_common::pb;
use transect_common::shape::{self, Shape};

use crate::output::table;

/// Settings that have columns of their own.
const NAMED: [&str; 2] = ["model.architecture", "train.seed"];

/// Mean over runs, with the standard deviation of the sample when there are two or more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// Mean.
    pub mean: f64,
    /// Standard deviation with n - 1.
    pub sd: Option<f64>,
}

/// Runs that differ in nothing but the seed.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRow {
    /// Architecture, with the settings in which it differs from other groups: `lenet5 lr=0.1`.
    pub label: String,
    /// Number of runs.
    pub runs: usize,
    /// Share of the test images classified correctly by the trained networks.
    pub test_accuracy: Option<Stat>,
    /// Mean cross-entropy over the last epoch's batches, in nats; at alpha 1 for imported checkpoints.
    pub train_loss: Option<Stat>,
    /// Mean cross-entropy on the test images, in nats.
    pub test_loss: Option<Stat>,
}

/// One line, averaged over the runs of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct LineRow {
    /// As in [`ModelRow`].
    pub label: String,
    /// What moves; with the ends, held end or batch-norm mode where a sweep has several of them.
    pub mask: String,
    /// Where it was measured.
    pub split: String,
    /// Number of runs.
    pub runs: usize,
    /// Shape of the mean loss, or why it has none.
    pub shape: Result<Shape, String>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// In the order of the results.
    pub models: Vec<ModelRow>,
    /// In the order of the results.
    pub lines: Vec<LineRow>,
}

/// Condenses results. Lines are told on the test split, or on the training split where a sweep measures no other.
pub fn summarise(points: &[pb::LinePoint], curves: &[pb::CurvePoint]) -> Summary {
    let labels = Labels::new(points.iter().map(|p| &p.settings).chain(curves.iter().map(|c| &c.settings)));
    Summary { models: models(points, curves, &labels), lines: lines(points, &labels) }
}

/// Words for groups of runs.
struct Labels {
    varying: BTreeSet<String>,
}

impl Labels {
    fn new<'a>(settings: impl Iterator<Item = &'a String>) -> Self {
        let distinct: BTreeSet<&String> = settings.collect();
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (key, value) in distinct.into_iter().flat_map(|text| object(text)) {
            values.entry(key).or_default().insert(value.to_string());
        }
        let varies = |(key, values): (String, BTreeSet<String>)| (values.len() > 1).then_some(key);
        Self { varying: values.into_iter().filter_map(varies).filter(|k| !NAMED.contains(&k.as_str())).collect() }
    }

    /// The group of a run: `lenet5 lr=0.1`.
    fn label(&self, model: &str, settings: &str) -> String {
        let mut label = model.to_owned();
        for (key, value) in object(settings) {
            if self.varying.contains(&key) {
                let short = key.rsplit('.').next().unwrap_or(&key);
                let _ = write!(label, " {short}={}", value.to_string().trim_matches('"'));
            }
        }
        label
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Values under keys, in the order in which keys first came.
struct Ordered<K, V> {
    keys: Vec<K>,
    values: BTreeMap<K, V>,
}

impl<K: Ord + Clone, V: Default> Ordered<K, V> {
    fn new() -> Self {
        Self { keys: vec![], values: BTreeMap::new() }
    }

    fn at(&mut self, key: K) -> &mut V {
        if !self.values.contains_key(&key) {
            self.keys.push(key.clone());
        }
        self.values.entry(key).or_default()
    }

    fn into_iter(mut self) -> impl Iterator<Item = (K, V)> {
        self.keys.into_iter().map(move |key| {
            let value = self.values.remove(&key).expect("every key in `keys` was put into `values`, once");
            (key, value)
        })
    }
}

/// Where a run ended.
#[derive(Default)]
struct Final {
    /// Epoch, loss, accuracy.
    train: Option<(u32, f64, f64)>,
    test: Option<(u32, f64, f64)>,
}

fn models(points: &[pb::LinePoint], curves: &[pb::CurvePoint], labels: &Labels) -> Vec<ModelRow> {
    let mut groups: Ordered<String, BTreeMap<&str, Final>> = Ordered::new();
    let mut trained_here = BTreeSet::new();
    for curve in curves {
        trained_here.insert(curve.run.as_str());
        let label = labels.label(&curve.model, &curve.settings);
        let run = groups.at(label).entry(&curve.run).or_default();
        let end = if curve.split == Split::Train.name() { &mut run.train } else { &mut run.test };
        if end.is_none_or(|(epoch, ..)| epoch <= curve.epoch) {
            *end = Some((curve.epoch, curve.loss, curve.accuracy));
        }
    }
    // Imported runs have no curves; where the whole line ends is the network that was imported.
    let whole = points.iter().filter(|p| p.mask == "all" && p.alpha.total_cmp(&1.0).is_eq());
    for point in whole.filter(|p| !trained_here.contains(p.run.as_str())) {
        let label = labels.label(&point.model, &point.settings);
        let run = groups.at(label).entry(&point.run).or_default();
        let end = if point.split == Split::Train.name() { &mut run.train } else { &mut run.test };
        end.get_or_insert((0, point.loss, point.accuracy));
    }
    let row = |(label, runs): (String, BTreeMap<&str, Final>)| {
        let stat = |of: fn(&Final) -> Option<f64>| Stat::of(&runs.values().filter_map(of).collect::<Vec<_>>());
        ModelRow {
            label,
            runs: runs.len(),
            test_accuracy: stat(|f| f.test.map(|t| t.2)),
            train_loss: stat(|f| f.train.map(|t| t.1)),
            test_loss: stat(|f| f.test.map(|t| t.1)),
        }
    };
    groups.into_iter().map(row).collect()
}

impl Stat {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = (!values.is_empty()).then(|| values.iter().sum::<f64>() / n)?;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Some(Self { mean, sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()) })
    }

    fn json(self) -> Value {
        json!({ "mean": crate::json::number(self.mean), "sd": self.sd.map(crate::json::number) })
    }

    /// `0.3411 ± 0.0022`, after multiplying by `factor`.
    fn text(self, factor: f64, digits: usize) -> String {
        let mean = format!("{:.digits$}", self.mean * factor);
        self.sd.map_or_else(|| mean.clone(), |sd| format!("{mean} ± {:.digits$}", sd * factor))
    }
}

/// Losses of each run and other end, by alpha.
type Curve<'a> = BTreeMap<(&'a str, Option<&'a str>), Vec<(f64, f64)>>;

/// What is unusual about a line's end, for people: ` to another run, aligned`.
pub fn end(p: &pb::LinePoint) -> String {
    let words = match p.elsewhere.as_deref() {
        None => "",
        Some(elsewhere) if elsewhere.starts_with("init:") => " to a fresh initialisation",
        Some(_) => " to another run",
    };
    words.to_owned() + &manner(p.align, &p.normalize)
}

/// What was done to a line's direction, for people: `, aligned`.
pub fn manner(align: bool, normalize: &str) -> String {
    let aligned = if align { ", aligned" } else { "" };
    let normalised = if normalize == "filter" { ", filter-normalised" } else { "" };
    format!("{aligned}{normalised}")
}

fn lines(points: &[pb::LinePoint], labels: &Labels) -> Vec<LineRow> {
    let has_test = points.iter().any(|p| p.split == Split::Test.name());
    let split = if has_test { Split::Test } else { Split::Train }.name();
    let count = |of: fn(&pb::LinePoint) -> &str| points.iter().map(of).collect::<BTreeSet<_>>().len();
    let (many_from, many_to) = (count(|p| &p.from_tag) > 1, count(|p| &p.to_tag) > 1);
    let (many_hold, many_norm) = (count(|p| &p.hold) > 1, count(|p| &p.batch_norm) > 1);
    let mask = |p: &pb::LinePoint| {
        let mut mask = p.mask.clone();
        if many_from || many_to {
            let _ = write!(mask, " {}..{}", p.from_tag, p.to_tag);
        }
        if many_hold && p.mask != "all" {
            let _ = write!(mask, " hold={}", p.hold);
        }
        if many_norm {
            let _ = write!(mask, " {}", p.batch_norm);
        }
        mask + &end(p)
    };
    let mut groups: Ordered<(String, String), Curve<'_>> = Ordered::new();
    for point in points.iter().filter(|p| p.split == split) {
        let key = (labels.label(&point.model, &point.settings), mask(point));
        let curve = (point.run.as_str(), point.elsewhere.as_deref());
        groups.at(key).entry(curve).or_default().push((point.alpha, point.loss));
    }
    let row = |((label, mask), runs): ((String, String), Curve<'_>)| {
        let (alphas, losses) = mean(&runs);
        let shape = shape::shape(&alphas, &losses).map_err(|e| e.to_string());
        LineRow { label, mask, split: split.to_owned(), runs: runs.len(), shape }
    };
    groups.into_iter().map(row).collect()
}

/// Mean loss over runs, at the alphas that every run has.
fn mean(runs: &Curve<'_>) -> (Vec<f64>, Vec<f64>) {
    let mut all: Vec<(f64, f64)> = runs.values().flatten().copied().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq())
        .filter(|chunk| chunk.len() == runs.len())
        .map(|chunk| (chunk[0].0, chunk.iter().map(|p| p.1).sum::<f64>() / chunk.len() as f64))
        .unzip()
}

impl Summary {
    /// For `--json`.
    pub fn json(&self) -> Value {
        let model = |m: &ModelRow| {
            json!({
                "model": m.label,
                "runs": m.runs,
                "test_accuracy": m.test_accuracy.map(Stat::json),
                "train_loss": m.train_loss.map(Stat::json),
                "test_loss": m.test_loss.map(Stat::json),
            })
        };
        let line = |l: &LineRow| {
            let head = json!({ "model": l.label, "mask": l.mask, "split": l.split, "runs": l.runs });
            let (shape, reason) = match &l.shape {
                Ok(shape) => (json!(shape), Value::Null),
                Err(reason) => (Value::Null, json!(reason)),
            };
            let mut row = head;
            row["shape"] = shape;
            row["no_shape_because"] = reason;
            row
        };
        json!({
            "models": self.models.iter().map(model).collect::<Value>(),
            "lines": self.lines.iter().map(line).collect::<Value>(),
        })
    }

    /// How well each model does.
    pub fn models_table(&self) -> String {
        let cell = |stat: Option<Stat>, factor, digits| stat.map_or_else(|| "-".into(), |s| s.text(factor, digits));
        let row = |m: &ModelRow| {
            vec![
                m.label.clone(),
                m.runs.to_string(),
                cell(m.test_accuracy, 100.0, 2),
                cell(m.test_loss, 1.0, 4),
                cell(m.train_loss, 1.0, 4),
            ]
        };
        let header = ["model", "runs", "test accuracy, %", "test loss", "train loss"];
        table(&header, &[1, 2, 3, 4], self.models.iter().map(row).collect())
    }

    /// The shape of each mean line; at most `limit` rows.
    pub fn lines_table(&self, limit: usize) -> String {
        let row = |l: &LineRow| {
            let of = |f: fn(&Shape) -> Option<f64>, digits: usize| match l.shape.as_ref().ok().and_then(f) {
                Some(value) => format!("{value:.digits$}"),
                None => "-".to_owned(),
            };
            let falls = l.shape.as_ref().map_or("-", |s| if s.monotonic { "yes" } else { "no" });
            vec![
                l.label.clone(),
                l.mask.clone(),
                of(|s| Some(s.start), 3),
                of(|s| Some(s.end), 3),
                of(|s| Some(s.barrier), 3),
                falls.to_owned(),
                of(|s| s.plateau, 2),
                of(|s| s.half_drop, 2),
                of(|s| s.area, 2),
            ]
        };
        let header = ["model", "mask", "L(0)", "L(1)", "barrier", "falls", "plateau", "half", "area"];
        let mut text = table(&header, &[2, 3, 4, 5, 6, 7, 8], self.lines.iter().take(limit).map(row).collect());
        if self.lines.len() > limit {
            let _ = write!(text, "\n... and {} more lines", self.lines.len() - limit);
        }
        text
    }

    /// Which split [`Summary::lines_table`] is about.
    pub fn split(&self) -> &str {
        self.lines.first().map_or("test", |l| &l.split)
    }
}

/// What the columns of [`Summary::lines_table`] mean.
pub const LEGEND: &str = "\
L in nats; barrier: greatest height above the straight line between the ends;
falls: never rises by more than 0.001; plateau: longest flat stretch before the
fall; half: alpha of half the drop; area: under the line, scaled to its drop.";

#[cfg(test)]
mod tests {
    use super::*;

    fn point(seed: u64, mask: &str, split: &str, alpha: f64, loss: f64) -> pb::LinePoint {
        pb::LinePoint {
            run: format!("{seed:064}"),
            model: "mlp".into(),
            seed: Some(seed),
            settings: format!(r#"{{"train.seed":{seed},"train.optimizer.lr":0.1}}"#),
            from_tag: "init".into(),
            to_tag: "final".into(),
            mask: mask.into(),
            hold: "final".into(),
            batch_norm: "none".into(),
            split: split.into(),
            alpha,
            loss,
            accuracy: 0.5,
            count: 10,
            ..Default::default()
        }
    }

    #[test]
    fn lines_that_end_elsewhere_are_told_apart() {
        let to = |other: &str, align, loss| {
            let end = |alpha, loss| pb::LinePoint {
                elsewhere: (!other.is_empty()).then(|| other.to_owned()),
                align,
                ..point(0, "all", "test", alpha, loss)
            };
            [end(0.0, 1.0), end(0.5, loss), end(1.0, 0.0)]
        };
        let points = [to("", false, 0.5), to("run:a", false, 2.0), to("run:b", false, 4.0), to("run:b", true, 0.4)];
        let rows = summarise(points.as_flattened(), &[]).lines;
        let shown: Vec<_> = rows.iter().map(|row| (row.mask.as_str(), row.runs, row.shape.is_ok())).collect();
        let expected = [("all", 1, true), ("all to another run", 2, true), ("all to another run, aligned", 1, true)];
        assert_eq!(shown, expected);
    }

    fn curve(seed: u64, epoch: u32, split: &str, loss: f64, accuracy: f64, lr: f64) -> pb::CurvePoint {
        pb::CurvePoint {
            run: format!("{seed:064}"),
            model: "mlp".into(),
            seed: Some(seed),
            settings: format!(r#"{{"train.seed":{seed},"train.optimizer.lr":{lr}}}"#),
            epoch,
            split: split.into(),
            loss,
            accuracy,
            ..Default::default()
        }
    }

    #[test]
    fn the_last_epoch_counts_and_seeds_are_averaged() {
        let curves = [
            curve(0, 1, "test", 9.0, 0.1, 0.1),
            curve(0, 2, "test", 1.0, 0.8, 0.1),
            curve(1, 2, "test", 3.0, 0.9, 0.1),
            curve(1, 1, "test", 9.0, 0.1, 0.1),
        ];
        let summary = summarise(&[], &curves);
        let [row] = summary.models.as_slice() else { panic!("{summary:?}") };
        assert_eq!((row.label.as_str(), row.runs), ("mlp", 2));
        assert_eq!(row.test_loss, Some(Stat { mean: 2.0, sd: Some(2.0_f64.sqrt()) }));
        assert_eq!(row.train_loss, None);
        assert!(summary.models_table().contains("85.00 ± 7.07"), "{}", summary.models_table());
    }

    #[test]
    fn settings_that_differ_name_the_groups() {
        let curves = [curve(0, 1, "test", 1.0, 0.5, 0.1), curve(0, 1, "test", 1.0, 0.5, 0.01)];
        let labels: Vec<String> = summarise(&[], &curves).models.into_iter().map(|m| m.label).collect();
        assert_eq!(labels, ["mlp lr=0.1", "mlp lr=0.01"]);
    }

    #[test]
    fn lines_are_averaged_where_every_run_has_a_point() {
        let mut points = vec![];
        for (seed, losses) in [(0, [2.0, 3.0, 0.0]), (1, [4.0, 1.0, 2.0])] {
            for (i, loss) in losses.into_iter().enumerate() {
                points.push(point(seed, "fc1", "test", i as f64 / 2.0, loss));
                points.push(point(seed, "fc1", "train", i as f64 / 2.0, 77.0));
            }
        }
        points.push(point(0, "fc1", "test", 0.25, 1e9));
        let summary = summarise(&points, &[]);
        let [line] = summary.lines.as_slice() else { panic!("{summary:?}") };
        let shape = line.shape.as_ref().unwrap();
        assert_eq!((line.mask.as_str(), line.split.as_str(), line.runs), ("fc1", "test", 2));
        assert_eq!((shape.start, shape.end, shape.barrier), (3.0, 1.0, 0.0));
    }

    #[test]
    fn a_line_that_overflows_says_so_and_stops_nothing() {
        let points = [point(0, "all", "test", 0.0, f64::NAN), point(0, "all", "test", 1.0, 1.0)];
        let summary = summarise(&points, &[]);
        assert!(summary.lines[0].shape.as_ref().unwrap_err().contains("not finite"));
        assert!(summary.lines_table(10).lines().nth(1).unwrap().ends_with('-'));
        assert_eq!(summary.models[0].test_loss, Some(Stat { mean: 1.0, sd: None }));
        assert!(summary.json()["lines"][0]["shape"].is_null());
    }
}
