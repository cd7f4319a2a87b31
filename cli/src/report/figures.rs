//! The report's figures, as drawings: means over the runs of a setting with bands of one standard deviation.

use transect_common::shape::uniform_loss;
use transect_common::stats;

use super::layers;
use super::measured::{Line, LineKey, Measured, Run};
use super::quantities::Quantity;
use crate::plot::axis::Scale;
use crate::plot::canvas::Canvas;
use crate::plot::figure::Heading;
use crate::plot::grid::{self, Cell, Series, around};
use crate::plot::heatmap;
use crate::plot::legend::Entry;
use crate::plot::series::{Column, Measure, Panel, Trace};

/// Largest loss over smallest above which an axis is logarithmic.
const LOGARITHMIC_ABOVE: f64 = 100.0;
/// Settings beside each other in one heat map.
const HEAT_COLUMNS: usize = 3;
const BANDS: &str = "Lines: means over the runs of a setting; bands: one standard deviation to either side.";

/// (x, mean, sd) at every x that all runs have with a finite value; not a number elsewhere.
type Mean = Vec<(f64, f64, f64)>;

fn mean(runs: &[Vec<(f64, f64)>]) -> Mean {
    let mut all: Vec<(f64, f64)> = runs.iter().flatten().copied().collect();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at_one_x = all.chunk_by(|a, b| a.0 == b.0);
    at_one_x
        .map(|values| {
            let ys: Vec<f64> = values.iter().map(|v| v.1).collect();
            let complete = ys.len() == runs.len() && ys.iter().all(|y| y.is_finite());
            let mean = stats::mean(&ys).filter(|_| complete).unwrap_or(f64::NAN);
            (values[0].0, mean, stats::sd(&ys).filter(|_| complete).unwrap_or(f64::NAN))
        })
        .collect()
}

/// One series for each setting that has `values`.
fn per_setting(measured: &Measured, values: impl Fn(&Run) -> Option<Vec<(f64, f64)>>) -> Vec<Series> {
    let of = |setting: usize| -> Option<Series> {
        let runs = measured.runs.iter().filter(|run| run.setting == setting);
        let runs: Vec<Vec<(f64, f64)>> = runs.filter_map(&values).filter(|run| !run.is_empty()).collect();
        let mean = mean(&measured.refined.shared(&runs));
        let line = mean.iter().map(|&(x, y, _)| (x, y)).collect();
        let band = mean.iter().map(|&(x, y, sd)| (x, y - sd, y + sd)).collect();
        (!runs.is_empty()).then_some(Series { entry: setting, line, band, dots: vec![] })
    };
    (0..measured.settings.labels.len()).filter_map(of).collect()
}

fn heights(series: &[Series]) -> impl Iterator<Item = f64> {
    let lines = series.iter().flat_map(|s| &s.line).map(|p| p.1);
    lines.chain(series.iter().flat_map(|s| &s.band).map(|b| b.2))
}

fn alphas(series: &[Series]) -> Scale {
    let xs = series.iter().flat_map(|s| &s.line).map(|p| p.0);
    let (low, high) = xs.fold((0.0_f64, 1.0_f64), |(low, high), x| (low.min(x), high.max(x)));
    Scale::linear(low, high)
}

fn legend(measured: &Measured) -> Vec<Entry> {
    grid::entries(measured.settings.labels.iter().cloned())
}

fn heading(title: String, notes: Vec<String>) -> Heading {
    Heading { title, notes, x_title: String::new(), legend: "setting".to_owned() }
}

/// Whole lines: a panel for each.
pub fn lines(measured: &Measured, sweep: &str, keys: &[LineKey]) -> Canvas {
    let series: Vec<Vec<Series>> = keys
        .iter()
        .map(|key| per_setting(measured, |run| run.lines.get(key).map(|line| line.losses().collect())))
        .collect();
    let cell = |(key, own): (&LineKey, &Vec<Series>)| {
        // Panels of one batch-norm mode are comparable, so they share their axis.
        let shared = keys.iter().zip(&series).filter(|(other, _)| other.batch_norm == key.batch_norm);
        let losses: Vec<f64> = shared.flat_map(|(_, series)| heights(series)).collect();
        let classes = measured.runs.iter().filter(|run| run.lines.contains_key(key)).map(|run| run.classes);
        let mut classes: Vec<Option<u32>> = classes.collect();
        classes.dedup();
        let level = match classes[..] {
            [Some(classes)] => Some((uniform_loss(classes), format!("ln {classes}"))),
            _ => None,
        };
        Cell {
            title: format!("{} loss, {}", key.split, key.ends()),
            x: (alphas(own), "alpha".to_owned()),
            y: (Scale::of_losses(losses.into_iter(), LOGARITHMIC_ABOVE), "loss (nats)".to_owned()),
            series: own.clone(),
            level,
            landmarks: vec![],
        }
    };
    let cells: Vec<Cell> = keys.iter().zip(&series).map(cell).collect();
    let columns = if cells.len() == 4 { 2 } else { 3 };
    let notes = vec![format!("{BANDS} ln C: the loss of a network that gives all C classes the same probability.")];
    grid::compose(
        &heading(format!("{sweep}: loss along the whole line"), notes),
        &cells,
        columns,
        (280.0, 220.0),
        &legend(measured),
    )
}

/// A panel whose largest loss is above so many times the median panel's has an axis of its own.
const OUTSIDE: f64 = 10.0;

/// The upper of the middle values; 0 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// One panel for each part of the network that moves alone; `what` says where the rest is held.
pub fn layer_panels(measured: &Measured, sweep: &str, what: &str, keys: &[LineKey]) -> Canvas {
    let series: Vec<Vec<Series>> = keys
        .iter()
        .map(|key| per_setting(measured, |run| run.lines.get(key).map(|line| line.losses().collect())))
        .collect();
    // Panels share their axis, but for parts whose losses would flatten all the others.
    let tops: Vec<f64> = series.iter().map(|s| heights(s).filter(|h| h.is_finite()).fold(0.0, f64::max)).collect();
    let is_outside = |top: f64| top > OUTSIDE * median(&tops);
    let inside = series.iter().zip(&tops).filter(|(_, top)| !is_outside(**top)).flat_map(|(s, _)| heights(s));
    let shared = Scale::of_losses(inside, LOGARITHMIC_ABOVE);
    let many_modes = keys.iter().any(|key| key.batch_norm != keys[0].batch_norm || key.from != keys[0].from);
    let cell = |((key, series), &top): ((&LineKey, &Vec<Series>), &f64)| Cell {
        title: if many_modes { format!("{} ({})", key.mask, key.ends()) } else { key.mask.clone() },
        x: (alphas(series), "alpha".to_owned()),
        y: (
            if is_outside(top) { Scale::of_losses(heights(series), LOGARITHMIC_ABOVE) } else { shared },
            format!("{} loss (nats)", key.split),
        ),
        series: series.clone(),
        level: None,
        landmarks: vec![],
    };
    let cells: Vec<Cell> = keys.iter().zip(&series).zip(&tops).map(cell).collect();
    let columns = if cells.len() > 6 { 4 } else { 3 };
    let mut notes = vec![BANDS.to_owned()];
    if tops.iter().any(|&top| is_outside(top)) {
        notes.push(format!("Parts with losses above {OUTSIDE} times the median panel's have an axis of their own."));
    }
    let heading = heading(format!("{sweep}: {what}"), notes);
    grid::compose(&heading, &cells, columns, (200.0, 140.0), &legend(measured))
}

/// Layers by alpha, mean loss as colour; a few settings in each figure.
pub fn heat_maps(measured: &Measured, sweep: &str, keys: &[LineKey]) -> Vec<Canvas> {
    let notes = vec!["Colour: mean loss over the runs of a setting. The rest is held at the line's end.".to_owned()];
    let heading = Heading {
        title: format!("{sweep}: loss by layer and alpha"),
        notes,
        x_title: "alpha".to_owned(),
        legend: String::new(),
    };
    rows_by_alpha(measured, keys, |key| key.mask.clone())
        .chunks(HEAT_COLUMNS)
        .map(|columns| heatmap::compose(&heading, columns))
        .collect()
}

/// Moments of training by alpha, mean loss as colour.
pub fn surfaces(
    measured: &Measured,
    sweep: &str,
    keys: &[LineKey],
    moment: impl Fn(&LineKey) -> String,
) -> Vec<Canvas> {
    let heading = Heading {
        title: format!("{sweep}: lines over training"),
        notes: vec!["One row for each moment of training. Colour: mean loss over the runs of a setting.".to_owned()],
        x_title: "alpha".to_owned(),
        legend: String::new(),
    };
    rows_by_alpha(measured, keys, moment)
        .chunks(HEAT_COLUMNS)
        .map(|columns| heatmap::compose(&heading, columns))
        .collect()
}

fn rows_by_alpha(measured: &Measured, keys: &[LineKey], name: impl Fn(&LineKey) -> String) -> Vec<Column> {
    let column = |(setting, label): (usize, &String)| {
        let trace = |key: &LineKey| {
            let runs = measured.runs.iter().filter(|run| run.setting == setting);
            let lines: Vec<&Line> = runs.filter_map(|run| run.lines.get(key)).collect();
            let runs: Vec<Vec<(f64, f64)>> = lines.iter().map(|line| line.losses().collect()).collect();
            let mean: Vec<(f64, f64)> =
                mean(&measured.refined.shared(&runs)).into_iter().map(|(x, y, _)| (x, y)).collect();
            (!mean.is_empty()).then(|| Trace { label: name(key), mean, ..Trace::default() })
        };
        let traces: Vec<Trace> = keys.iter().filter_map(trace).collect();
        let split = keys.first().map(|key| key.split.clone()).unwrap_or_default();
        let panel = Panel { split, images: 0, measure: Some(Measure::Loss), traces };
        (!panel.traces.is_empty()).then(|| Column { model: label.clone(), detail: String::new(), panels: vec![panel] })
    };
    measured.settings.labels.iter().enumerate().filter_map(column).collect()
}

/// Final test accuracy against each number of a line, a dot for each run.
pub fn scatter(measured: &Measured, sweep: &str, key: &LineKey, quantities: &[Quantity]) -> Option<Canvas> {
    let cell = |quantity: &Quantity| {
        let dot = |run: &Run| Some((quantity.of(run, run.lines.get(key)?)?, 100.0 * run.accuracy()?, run.setting));
        let dots: Vec<(f64, f64, usize)> = measured.runs.iter().filter_map(dot).collect();
        if dots.iter().all(|dot| dot.0 == dots[0].0) {
            return None;
        }
        let of = |setting: usize| Series {
            entry: setting,
            dots: dots.iter().filter(|dot| dot.2 == setting).map(|&(x, y, _)| (x, y)).collect(),
            ..Series::default()
        };
        Some(Cell {
            title: quantity.title.clone(),
            x: (around(dots.iter().map(|dot| dot.0)), quantity.with_unit()),
            y: (around(dots.iter().map(|dot| dot.1)), "test accuracy (%)".to_owned()),
            series: (0..measured.settings.labels.len()).map(of).collect(),
            level: None,
            landmarks: vec![],
        })
    };
    let cells: Vec<Cell> = quantities.iter().filter_map(cell).collect();
    let title = format!("{sweep}: final test accuracy against the shape of the {} loss, {}", key.split, key.ends());
    let heading = heading(title, vec!["One dot for each run.".to_owned()]);
    (!cells.is_empty()).then(|| grid::compose(&heading, &cells, 3, (200.0, 150.0), &legend(measured)))
}

/// Training curves: loss and accuracy on both splits.
pub fn training(measured: &Measured, sweep: &str) -> Option<Canvas> {
    let of = |split: &'static str, accuracy: bool| {
        per_setting(measured, move |run| {
            let curve = run.curve.iter().filter(|((s, _), _)| s == split);
            Some(
                curve
                    .map(|((_, epoch), end)| (f64::from(*epoch), if accuracy { 100.0 * end.1 } else { end.0 }))
                    .collect(),
            )
        })
    };
    let cell = |(split, accuracy): (&'static str, bool)| {
        let series = of(split, accuracy);
        let last = series.iter().flat_map(|s| &s.line).map(|p| p.0).fold(1.0, f64::max);
        let y = if accuracy {
            (around(series.iter().flat_map(|s| &s.line).map(|p| p.1)), "accuracy (%)".to_owned())
        } else {
            (Scale::of_losses(heights(&series), LOGARITHMIC_ABOVE), "loss (nats)".to_owned())
        };
        let what = if accuracy { "accuracy" } else { "loss" };
        let x = (Scale::whole(0.0, last), "epoch".to_owned());
        (!series.is_empty()).then(|| Cell {
            title: format!("{split} {what}"),
            x,
            y,
            series,
            level: None,
            landmarks: vec![],
        })
    };
    let kinds = [("test", false), ("test", true), ("train", false), ("train", true)];
    let cells: Vec<Cell> = kinds.into_iter().filter_map(cell).collect();
    let note = format!("{BANDS} Train: mean over each epoch's batches as they were trained on.");
    let heading = heading(format!("{sweep}: training"), vec![note]);
    (!cells.is_empty()).then(|| grid::compose(&heading, &cells, 2, (300.0, 190.0), &legend(measured)))
}

/// How far each layer can be set back: a panel with the layers from input to output across would need their names, so
/// each setting is a line over the layers' numbers. None of fewer than three layers.
pub fn set_backs(measured: &Measured, sweep: &str, keys: &[LineKey], rise: f64) -> Option<Canvas> {
    let series = per_setting(measured, |run| {
        let value = |(i, key): (usize, &LineKey)| Some(((i + 1) as f64, layers::set_back(run.lines.get(key)?, rise)?));
        Some(keys.iter().enumerate().filter_map(value).collect())
    });
    let cell = Cell {
        title: format!("how far each layer can be set back for {rise} nats"),
        x: (Scale::whole(1.0, keys.len() as f64), "layer, from input to output".to_owned()),
        y: (Scale::linear(0.0, 1.0), "set-back (1 = all the way)".to_owned()),
        series,
        level: None,
        landmarks: vec![],
    };
    let heading = heading(format!("{sweep}: criticality of layers"), vec![BANDS.to_owned()]);
    (keys.len() >= 3).then(|| grid::compose(&heading, &[cell], 1, (460.0, 200.0), &legend(measured)))
}
