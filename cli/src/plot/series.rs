//! Rows of results, grouped into figures, columns, rows of panels and traces, with the mean over runs of each trace.
//! Pure: the order of the rows that come in does not matter to what comes out.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::model::{Description, ModelSpec};
use transect_common::pb;

use super::settings::{self, Setting, Settings};
use crate::refined::RefinedAlphas;
use crate::summary::end;

/// What is drawn against the height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Mean cross-entropy in nats.
    Loss,
    /// Share classified correctly, 0 to 1.
    Accuracy,
}

/// All that goes into one figure: runs that differ in nothing but model, batch-norm mode and seed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// Every setting that the figure's runs share.
    pub settings: Vec<Setting>,
    /// Tags of the lines' ends and of what is held: (from, to, hold). Empty for training.
    pub line: (String, String, String),
    /// Side by side.
    pub columns: Vec<Column>,
}

/// The panels of one model, one below the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Column {
    /// The architecture's name.
    pub model: String,
    /// Its options and its batch-norm mode, or empty.
    pub detail: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
}

/// What one pair of axes holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Panel {
    /// `train`, `test` or, for training curves, empty.
    pub split: String,
    /// Number of images behind each value, 0 where that is not told.
    pub images: u64,
    /// What the height shows.
    pub measure: Option<Measure>,
    /// Whole line first, then layers from input to output, then others as they came.
    pub traces: Vec<Trace>,
}

/// One thing measured on every run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// The mask, or the split.
    pub label: String,
    /// Seeds of its runs, if they have any, ascending.
    pub seeds: BTreeSet<u64>,
    /// For each run, (x, y) by ascending x; y may be infinite or not a number.
    pub runs: Vec<Vec<(f64, f64)>>,
    /// The mean over runs at each x: not a number where a run has no finite value.
    pub mean: Vec<(f64, f64)>,
}

impl Group {
    /// Every panel.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.columns.iter().flat_map(|column| &column.panels)
    }

    /// Every trace.
    pub fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.panels().flat_map(|panel| &panel.traces)
    }

    /// Number of values that are infinite or not a number.
    pub fn not_finite(&self) -> usize {
        self.traces().flat_map(Trace::values).filter(|y| !y.is_finite()).count()
    }
}

impl Trace {
    /// Every value of every run.
    pub fn values(&self) -> impl Iterator<Item = f64> {
        self.runs.iter().flatten().map(|&(_, y)| y)
    }
}

type FigureKey = (Vec<Setting>, (String, String, String));
type ColumnKey = (usize, String, String);
type PanelKey = (u8, String, u64);
type TraceKey = (usize, usize, String);
type RunKey = (Option<u64>, String);

/// Rows on their way into groups. Keys sort as things are shown.
#[derive(Default)]
struct Sorter<'a> {
    figures: BTreeMap<FigureKey, BTreeMap<ColumnKey, BTreeMap<PanelKey, Traces>>>,
    known_settings: BTreeMap<&'a str, Settings>,
    layers: BTreeMap<&'a str, Vec<String>>,
    seen: BTreeMap<&'a str, usize>,
    refined: RefinedAlphas,
}

type Traces = BTreeMap<TraceKey, BTreeMap<RunKey, Vec<(f64, f64)>>>;

/// Lines: one figure for each set of settings and ends, a column for each model, a panel for each split, a trace for
/// each mask. `measure` says which number is taken.
pub fn lines(points: &[pb::LinePoint], measure: Measure) -> Vec<Group> {
    let mut sorter = Sorter::default();
    for point in points {
        let settings = sorter.settings(&point.settings);
        let line = (point.from_tag.clone(), point.to_tag.clone() + &end(point), point.hold.clone());
        let column = column(&point.model, &settings, &point.batch_norm);
        let panel = (split_rank(&point.split), point.split.clone(), point.count);
        let trace = sorter.mask(&point.model, &point.mask);
        // A run may have lines to several other ends, each a curve of its own.
        let run = (point.seed, point.run.clone() + point.elsewhere.as_deref().unwrap_or_default());
        sorter.refined.know(point);
        let y = match measure {
            Measure::Loss => point.loss,
            Measure::Accuracy => point.accuracy,
        };
        let figure = sorter.figures.entry((settings.others, line)).or_default();
        let traces = figure.entry(column).or_default().entry(panel).or_default();
        traces.entry(trace).or_default().entry(run).or_default().push((point.alpha, y));
    }
    sorter.groups(|(_, split, images)| Panel { split, images, measure: Some(measure), traces: vec![] })
}

/// Training: one figure for each set of settings, a column for each model, a panel each for loss and accuracy, a trace
/// for each split.
pub fn curves(points: &[pb::CurvePoint]) -> Vec<Group> {
    let mut sorter = Sorter::default();
    for point in points {
        let settings = sorter.settings(&point.settings);
        let column = column(&point.model, &settings, "");
        let figure = sorter.figures.entry((settings.others, Default::default())).or_default();
        let panels = figure.entry(column).or_default();
        for (rank, y) in [(0, point.loss), (1, point.accuracy)] {
            let traces = panels.entry((rank, String::new(), 0)).or_default();
            let trace = (usize::from(split_rank(&point.split)), 0, point.split.clone());
            let run = (point.seed, point.run.clone());
            traces.entry(trace).or_default().entry(run).or_default().push((f64::from(point.epoch), y));
        }
    }
    sorter.groups(|(rank, ..)| {
        let measure = if rank == 0 { Measure::Loss } else { Measure::Accuracy };
        Panel { measure: Some(measure), ..Panel::default() }
    })
}

impl<'a> Sorter<'a> {
    fn settings(&mut self, json: &'a str) -> Settings {
        self.known_settings.entry(json).or_insert_with(|| settings::read(json)).clone()
    }

    /// Sorts `all` before layers from input to output, and those before others as they first came.
    fn mask(&mut self, model: &'a str, mask: &'a str) -> TraceKey {
        let layers = self.layers.entry(model).or_insert_with(|| layers(model));
        let rank = match layers.iter().position(|layer| layer == mask) {
            _ if mask == "all" => 0,
            Some(layer) => layer + 1,
            None => layers.len() + 1,
        };
        let next = self.seen.len();
        let seen = if rank <= layers.len() { 0 } else { *self.seen.entry(mask).or_insert(next) };
        (rank, seen, mask.to_owned())
    }

    fn groups(self, panel: impl Fn(PanelKey) -> Panel) -> Vec<Group> {
        let refined = &self.refined;
        let panels = |panels: BTreeMap<PanelKey, Traces>| {
            let finished = |traces| finished(traces, refined);
            panels.into_iter().map(|(key, traces)| Panel { traces: finished(traces), ..panel(key) }).collect()
        };
        let columns = |columns: BTreeMap<ColumnKey, _>| {
            let column = |((_, model, detail), below)| Column { model, detail, panels: panels(below) };
            columns.into_iter().map(column).collect()
        };
        let group = |((settings, line), below)| Group { settings, line, columns: columns(below) };
        self.figures.into_iter().map(group).collect()
    }
}

fn finished(traces: Traces, refined: &RefinedAlphas) -> Vec<Trace> {
    let trace = |((.., label), runs): (TraceKey, BTreeMap<RunKey, Vec<(f64, f64)>>)| {
        let seeds = runs.keys().filter_map(|(seed, _)| *seed).collect();
        let mut runs: Vec<_> = runs.into_values().collect();
        for run in &mut runs {
            run.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        Trace { label, seeds, mean: mean(&refined.shared(&runs)), runs }
    };
    traces.into_iter().map(trace).collect()
}

/// The arithmetic mean over `runs` at each x that any of them has; not a number where one lacks a finite value there,
/// because the mean of the others would be that of another set of runs.
fn mean(runs: &[Vec<(f64, f64)>]) -> Vec<(f64, f64)> {
    let mut all: Vec<(f64, f64)> = runs.iter().flatten().copied().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at_one_x = all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq());
    at_one_x
        .map(|values| {
            let complete = values.len() == runs.len() && values.iter().all(|(_, y)| y.is_finite());
            let sum: f64 = values.iter().map(|(_, y)| y).sum();
            (values[0].0, if complete { sum / runs.len() as f64 } else { f64::NAN })
        })
        .collect()
}

fn column(model: &str, settings: &Settings, batch_norm: &str) -> ColumnKey {
    let rank = ModelSpec::NAMES.iter().position(|name| *name == model).unwrap_or(ModelSpec::NAMES.len());
    let mut detail: Vec<String> = settings.of_model.iter().map(Setting::describe).collect();
    if !batch_norm.is_empty() && batch_norm != "none" {
        detail.push(format!("batch norm: {batch_norm}"));
    }
    (rank, model.to_owned(), detail.join(", "))
}

fn split_rank(split: &str) -> u8 {
    match split {
        "train" => 0,
        "test" => 1,
        _ => 2,
    }
}

/// Names of a known model's layers from input to output.
pub fn layers(model: &str) -> Vec<String> {
    described(model).map(|d| d.layers.into_iter().map(|layer| layer.name).collect()).unwrap_or_default()
}

/// Names of the blocks that a known model is divided into, from input to output.
pub fn blocks(model: &str) -> Vec<String> {
    described(model).map(|d| d.blocks).unwrap_or_default()
}

fn described(model: &str) -> Option<Description> {
    ModelSpec::from_name(model).and_then(|spec| spec.describe(spec.usual_input(), 10).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(model: &str, seed: u64, mask: &str, alpha: f64, loss: f64) -> pb::LinePoint {
        pb::LinePoint {
            run: format!("{model}-{seed}"),
            model: model.to_owned(),
            seed: Some(seed),
            settings: format!(r#"{{"train.seed":{seed}}}"#),
            from_tag: "init".to_owned(),
            to_tag: "final".to_owned(),
            mask: mask.to_owned(),
            hold: "final".to_owned(),
            batch_norm: "none".to_owned(),
            split: "test".to_owned(),
            alpha,
            loss,
            accuracy: 0.5,
            count: 100,
            ..Default::default()
        }
    }

    fn only_trace(points: &[pb::LinePoint]) -> Trace {
        lines(points, Measure::Loss)[0].columns[0].panels[0].traces[0].clone()
    }

    #[test]
    fn the_mean_is_taken_over_seeds_at_each_alpha() {
        let trace = only_trace(&[
            point("mlp", 1, "all", 1.0, 3.0),
            point("mlp", 0, "all", 0.0, 2.0),
            point("mlp", 0, "all", 1.0, 1.0),
            point("mlp", 1, "all", 0.0, 4.0),
        ]);
        assert_eq!(trace.mean, [(0.0, 3.0), (1.0, 2.0)]);
        assert_eq!(trace.runs, [vec![(0.0, 2.0), (1.0, 1.0)], vec![(0.0, 4.0), (1.0, 3.0)]]);
        assert_eq!(trace.seeds, BTreeSet::from([0, 1]));
    }

    #[test]
    fn where_one_seed_refines_its_grid_the_others_are_straight_between_their_points() {
        let refined = |point| pb::LinePoint { refined: true, ..point };
        let trace = only_trace(&[
            point("mlp", 0, "all", 0.0, 2.0),
            point("mlp", 0, "all", 1.0, 1.0),
            refined(point("mlp", 0, "all", 0.5, 1.0)),
            refined(point("mlp", 0, "all", 0.25, 1.5)),
            point("mlp", 1, "all", 0.0, 4.0),
            point("mlp", 1, "all", 1.0, 0.0),
        ]);
        assert_eq!(trace.mean, [(0.0, 3.0), (0.25, 2.25), (0.5, 1.5), (1.0, 0.5)]);
        assert_eq!(trace.runs[0], [(0.0, 2.0), (0.25, 1.5), (0.5, 1.0), (1.0, 1.0)], "in the order of alphas");
    }

    #[test]
    fn a_value_that_one_seed_lacks_leaves_a_gap_in_the_mean() {
        let trace = only_trace(&[
            point("mlp", 0, "all", 0.0, 2.0),
            point("mlp", 0, "all", 0.5, 2.0),
            point("mlp", 0, "all", 1.0, 2.0),
            point("mlp", 1, "all", 0.0, f64::NAN),
            point("mlp", 1, "all", 1.0, 4.0),
        ]);
        let shown: Vec<_> = trace.mean.iter().map(|&(x, y)| (x, y.is_finite())).collect();
        assert_eq!(shown, [(0.0, false), (0.5, false), (1.0, true)]);
        assert_eq!(trace.mean[2], (1.0, 3.0));
    }

    #[test]
    fn masks_stand_from_whole_to_input_to_output_to_others() {
        let masks = ["zeta", "fc3", "alpha*", "conv1", "all", "fc1"];
        let points: Vec<_> = masks.iter().map(|mask| point("lenet5", 0, mask, 0.0, 1.0)).collect();
        let group = lines(&points, Measure::Loss).remove(0);
        let labels: Vec<_> = group.traces().map(|t| t.label.as_str()).collect();
        assert_eq!(labels, ["all", "conv1", "fc1", "fc3", "zeta", "alpha*"]);
    }

    #[test]
    fn settings_make_figures_and_models_make_columns() {
        let mut points = vec![];
        for (lr, model) in [("10", "resnet20"), ("0.5", "resnet20"), ("0.5", "mlp"), ("0.5", "other")] {
            let settings = format!(r#"{{"train.optimizer.lr":{lr},"train.seed":0}}"#);
            points.push(pb::LinePoint { settings, ..point(model, 0, "all", 0.0, 1.0) });
        }
        points[1].batch_norm = "recalibrate".to_owned();
        let groups = lines(&points, Measure::Loss);
        let settings: Vec<_> = groups.iter().map(|g| g.settings[0].describe()).collect();
        assert_eq!(settings, ["lr = 0.5", "lr = 10"]);
        let columns: Vec<_> = groups[0].columns.iter().map(|c| (c.model.as_str(), c.detail.as_str())).collect();
        assert_eq!(columns, [("mlp", ""), ("resnet20", "batch norm: recalibrate"), ("other", "")]);
    }

    #[test]
    fn splits_and_numbers_of_images_make_panels() {
        let mut points = vec![point("mlp", 0, "all", 0.0, 1.0); 3];
        points[1].split = "train".to_owned();
        points[2].count = 7;
        let group = lines(&points, Measure::Accuracy).remove(0);
        let panels: Vec<_> = group.panels().map(|p| (p.split.as_str(), p.images)).collect();
        assert_eq!(panels, [("train", 100), ("test", 7), ("test", 100)]);
        assert_eq!(group.columns[0].panels[0].traces[0].mean, [(0.0, 0.5)]);
    }

    #[test]
    fn training_curves_have_a_panel_for_loss_and_one_for_accuracy() {
        let curve = |split: &str, epoch| pb::CurvePoint {
            model: "mlp".to_owned(),
            split: split.to_owned(),
            epoch,
            loss: 2.0,
            accuracy: 0.25,
            ..pb::CurvePoint::default()
        };
        let group = curves(&[curve("test", 1), curve("train", 1), curve("test", 0)]).remove(0);
        let panels = &group.columns[0].panels;
        assert_eq!([panels[0].measure, panels[1].measure], [Some(Measure::Loss), Some(Measure::Accuracy)]);
        assert_eq!((panels[0].traces[0].label.as_str(), panels[0].traces[1].label.as_str()), ("train", "test"));
        assert_eq!(panels[1].traces[1].mean, [(0.0, 0.25), (1.0, 0.25)]);
    }
}
