//! What was measured, run by run: the plain data that every table, figure and statistic of the report is made of.

use std::collections::BTreeMap;

use serde_json::Value;
use transect_common::pb;
use transect_common::shape::{self, Shape};
use transect_common::sweep::{Claim, SweepFile};

use super::ends::Ends;
use super::gather::Gathered;
use super::groups::{self, Settings, Values};
use crate::refined::{self, RefinedAlphas};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Runs with results, without those that only serve others, in the store's order.
    pub runs: Vec<Run>,
    /// Their settings.
    pub settings: Settings,
    /// Alphas that refine grids of their lines.
    pub refined: RefinedAlphas,
    /// What that saved; none where no grid was refined.
    pub saved: Option<String>,
    /// Number of runs left out because they exist only as another run's start.
    pub sources: usize,
    /// The data of the sweep's runs, each once: `fashion-mnist, train_size 2000`. Empty where the file does not tell.
    pub data: Vec<String>,
    /// What the sweep file expects.
    pub claims: Vec<Claim>,
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Its digest.
    pub digest: String,
    /// The architecture's name.
    pub model: String,
    /// Its seed.
    pub seed: Option<u64>,
    /// All its seeds as text: what pairs it with runs of other settings.
    pub seeds: String,
    /// Its axis values.
    pub values: Values,
    /// Index of its setting.
    pub setting: usize,
    /// Number of classes, where the sweep file tells.
    pub classes: Option<u32>,
    /// Training, by (split, epoch): loss and accuracy.
    pub curve: BTreeMap<(String, u32), (f64, f64)>,
    /// Its lines.
    pub lines: BTreeMap<LineKey, Line>,
}

/// Names a line of a run on a split.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineKey {
    /// Tag of the checkpoint at alpha = 0.
    pub from: String,
    /// Tag of the checkpoint at alpha = 1.
    pub to: String,
    /// What moves.
    pub mask: String,
    /// Where the rest is held; empty for `all`, which leaves no rest.
    pub hold: String,
    /// Batch-norm mode.
    pub batch_norm: String,
    /// `train` or `test`.
    pub split: String,
}

/// One line of one run on one split.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// (alpha, loss, accuracy), by alpha.
    pub points: Vec<(f64, f64, f64)>,
    /// Images behind each point.
    pub count: u64,
    /// The shape of its loss, or why it has none.
    pub shape: Option<Result<Shape, String>>,
    /// Numbers that are stored for the whole line, by name.
    pub measures: BTreeMap<String, f64>,
}

impl Line {
    /// Loss by alpha.
    pub fn losses(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().map(|&(alpha, loss, _)| (alpha, loss))
    }

    /// Its shape, where it has one.
    pub fn told(&self) -> Option<&Shape> {
        self.shape.as_ref().and_then(|shape| shape.as_ref().ok())
    }
}

impl Run {
    /// Loss and accuracy on `split` after the last epoch; where the whole line ends, for runs trained elsewhere.
    pub fn end(&self, split: &str) -> Option<(f64, f64)> {
        let trained = self.curve.iter().filter(|((s, _), _)| s == split).map(|(_, &end)| end).next_back();
        trained.or_else(|| {
            // Tags have no spaces; ends in other runs are named with some.
            let own = |key: &LineKey| key.is_whole() && key.split == split && !key.to.contains(' ');
            let whole = self.lines.iter().filter(|(key, _)| own(key)).max_by_key(|(key, _)| key.to == "final");
            let (.., line) = whole?;
            line.points.iter().find(|(alpha, ..)| *alpha == 1.0).map(|&(_, loss, accuracy)| (loss, accuracy))
        })
    }

    /// Final accuracy on the test split.
    pub fn accuracy(&self) -> Option<f64> {
        self.end("test").map(|(_, accuracy)| accuracy)
    }
}

impl LineKey {
    fn of(point: &pb::LinePoint, ends: &Ends<'_>) -> Self {
        let to = ends.name(&point.run, &point.to_tag, point.elsewhere.as_deref(), point.align, &point.normalize);
        let at_end = holds_end(&point.hold, &point.to_tag, point.elsewhere.as_deref());
        let parts = [&point.from_tag, &to, &point.mask, &point.hold, &point.batch_norm, &point.split];
        Self::new(parts, at_end)
    }

    fn of_measure(row: &pb::LineMeasure, split: &str, ends: &Ends<'_>) -> Self {
        let to = ends.name(&row.run, &row.to_tag, row.elsewhere.as_deref(), row.align, &row.normalize);
        let at_end = holds_end(&row.hold, &row.to_tag, row.elsewhere.as_deref());
        Self::new([&row.from_tag, &to, &row.mask, &row.hold, &row.batch_norm, &split.to_owned()], at_end)
    }

    fn new([from, to, mask, hold, batch_norm, split]: [&String; 6], at_end: bool) -> Self {
        let hold = match mask.as_str() {
            "all" => String::new(),
            _ if at_end => to.clone(),
            _ => hold.clone(),
        };
        let [from, to, mask, batch_norm, split] = [from, to, mask, batch_norm, split].map(Clone::clone);
        Self { from, to, mask, hold, batch_norm, split }
    }

    /// True when everything moves.
    pub fn is_whole(&self) -> bool {
        self.mask == "all"
    }

    /// `init to final`, with the batch-norm mode where the model has batch norm.
    pub fn ends(&self) -> String {
        let norm = match self.batch_norm.as_str() {
            "" | "none" => String::new(),
            mode => format!(", batch norm {mode}"),
        };
        format!("{} to {}{norm}", self.from, self.to)
    }
}

/// Puts everything in its place.
pub fn measured(gathered: &Gathered) -> Measured {
    let told_by_file = read_file(&gathered.file);
    let mut order: Vec<&str> = vec![];
    let mut runs: BTreeMap<&str, Run> = BTreeMap::new();
    let mut sources: Vec<&str> = vec![];
    let told = |run: &str, model: &str, seed: Option<u64>, settings: &str| {
        let values = groups::values(model, settings);
        let seeds = groups::seeds(&values, seed);
        let classes = told_by_file.classes.get(run).copied().or(told_by_file.classes_of_all);
        Run { digest: run.to_owned(), model: model.to_owned(), seed, seeds, values, classes, ..Run::default() }
    };
    let heads = gathered.curves.iter().map(|c| (c.run.as_str(), c.model.as_str(), c.seed, c.settings.as_str()));
    let points = gathered.points.iter().map(|p| (p.run.as_str(), p.model.as_str(), p.seed, p.settings.as_str()));
    let mut ends = Ends::default();
    for (run, model, seed, settings) in heads.chain(points) {
        if runs.contains_key(run) || sources.contains(&run) {
            continue;
        }
        let told = told(run, model, seed, settings);
        ends.know(run, told.values.clone(), told.seeds.clone());
        if groups::is_source(&told.values) {
            sources.push(run);
        } else {
            order.push(run);
            runs.insert(run, told);
        }
    }
    for point in &gathered.curves {
        if let Some(run) = runs.get_mut(point.run.as_str()) {
            run.curve.insert((point.split.clone(), point.epoch), (point.loss, point.accuracy));
        }
    }
    let mut refined = RefinedAlphas::default();
    for point in &gathered.points {
        refined.know(point);
        if let Some(run) = runs.get_mut(point.run.as_str()) {
            let line = run.lines.entry(LineKey::of(point, &ends)).or_default();
            line.points.push((point.alpha, point.loss, point.accuracy));
            line.count = point.count;
        }
    }
    for row in &gathered.measures {
        let splits = ["train", "test"].into_iter().filter(|split| row.split.is_empty() || row.split == *split);
        for split in splits {
            let key = LineKey::of_measure(row, split, &ends);
            if let Some(line) = runs.get_mut(row.run.as_str()).and_then(|run| run.lines.get_mut(&key)) {
                line.measures.insert(row.name.clone(), row.value);
            }
        }
    }
    let mut runs: Vec<Run> = order.into_iter().filter_map(|run| runs.remove(run)).collect();
    for line in runs.iter_mut().flat_map(|run| run.lines.values_mut()) {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
        // Two probes may ask for one line on grids that share points.
        line.points.dedup_by(|a, b| a.0 == b.0);
        let (alphas, losses): (Vec<f64>, Vec<f64>) = line.losses().unzip();
        line.shape = Some(shape::shape(&alphas, &losses).map_err(|error| error.to_string()));
    }
    let values: Vec<Values> = runs.iter().map(|run| run.values.clone()).collect();
    let (settings, of_run) = groups::settings(&values);
    for (run, setting) in runs.iter_mut().zip(of_run) {
        run.setting = setting;
    }
    let saved = refined::saved(&gathered.measures);
    Measured {
        runs,
        settings,
        refined,
        saved,
        sources: sources.len(),
        data: told_by_file.data,
        claims: told_by_file.claims,
    }
}

/// Whether what does not move is held at alpha = 1. A line that leads out of its run, whose two ends may have one tag, says
/// `to` for that.
fn holds_end(hold: &str, to: &str, elsewhere: Option<&str>) -> bool {
    if elsewhere.is_some() { hold == "to" } else { hold == to }
}

/// What the sweep file tells that results do not.
#[derive(Default)]
struct File {
    /// Number of classes by run.
    classes: BTreeMap<String, u32>,
    /// Of every run, when the sweep has one data set.
    classes_of_all: Option<u32>,
    data: Vec<String>,
    claims: Vec<Claim>,
}

fn read_file(text: &str) -> File {
    let Ok(file) = SweepFile::parse(text) else {
        return File::default();
    };
    let sets = file.data_sets();
    let mut told = File {
        classes_of_all: sets.first().and_then(|needed| needed.set.info().classes).filter(|_| sets.len() == 1),
        claims: file.claims().to_vec(),
        data: sets.iter().map(|needed| needed.set.name().to_owned()).collect(),
        ..File::default()
    };
    // A sweep of imported runs cannot be expanded here, where the imports are not known; its data sets are named at least.
    if let Ok(expansion) = file.expand(&BTreeMap::new()) {
        told.data.clear();
        for run in &expansion.runs {
            told.classes.insert(run.digest.to_string(), run.spec.data.classes());
            let spec: Value = serde_json::from_str(&run.spec.canonical()).unwrap_or_default();
            let data = described(&spec["data"]);
            if !told.data.contains(&data) {
                told.data.push(data);
            }
        }
    }
    told
}

/// `fashion-mnist, train_size 2000`: the set and what is not at its default.
fn described(data: &Value) -> String {
    let settings = data.as_object().into_iter().flatten().filter(|(key, _)| *key != "set");
    let settings = settings.map(|(key, value)| format!("{key} {}", groups::plain(value)));
    std::iter::once(groups::plain(&data["set"])).chain(settings).collect::<Vec<_>>().join(", ")
}
