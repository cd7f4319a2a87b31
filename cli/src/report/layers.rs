//! One-layer lines: how far each layer can be set back to its start while the rest stays trained.

use std::collections::BTreeSet;

use transect_common::stats;

use super::measured::{Line, LineKey, Measured, Run};
use crate::plot::series;

/// Masks of part of the network whose rest is held at the line's end, from input to output as far as they are layers,
/// then others in the order of their names, on `split`.
pub fn masks(measured: &Measured, split: &str) -> Vec<LineKey> {
    parts(measured, split, true)
}

/// The same for those whose rest is held elsewhere: at the line's start.
pub fn masks_held_at_start(measured: &Measured, split: &str) -> Vec<LineKey> {
    parts(measured, split, false)
}

fn parts(measured: &Measured, split: &str, at_end: bool) -> Vec<LineKey> {
    let wanted = |key: &&LineKey| !key.is_whole() && (key.hold == key.to) == at_end && key.split == split;
    let keys: BTreeSet<&LineKey> = measured.runs.iter().flat_map(|run| run.lines.keys()).filter(wanted).collect();
    let any_to_the_end = keys.iter().any(|key| key.to == "final");
    let names = part_names(measured);
    let mut keys: Vec<LineKey> = keys.into_iter().filter(|key| !any_to_the_end || key.to == "final").cloned().collect();
    let place = |mask: &str| names.iter().position(|name| name == mask).unwrap_or(names.len());
    keys.sort_by_key(|key| {
        (key.batch_norm.clone(), key.from.clone(), place(&key.mask), numbered(&key.mask), key.clone())
    });
    keys
}

/// Names of the layers of every model, from input to output, and then of its blocks.
fn part_names(measured: &Measured) -> Vec<String> {
    let models: BTreeSet<&str> = measured.runs.iter().map(|run| run.model.as_str()).collect();
    models.into_iter().flat_map(|model| series::layers(model).into_iter().chain(series::blocks(model))).collect()
}

/// Those of `keys` that are parts of `models` without overlap: layers where at least two have lines, else blocks. Lines of
/// one kind: with the ends and the batch-norm mode of the first.
pub fn partition(keys: &[LineKey], models: &BTreeSet<&str>) -> Vec<LineKey> {
    let among = |names: &BTreeSet<String>| -> Vec<LineKey> {
        let named = keys.iter().filter(|key| names.contains(&key.mask));
        let kind = |key: &LineKey| (key.batch_norm.clone(), key.from.clone(), key.to.clone());
        let first = named.clone().next().map(kind);
        named.filter(|key| Some(kind(key)) == first).cloned().collect()
    };
    let layers = among(&models.iter().flat_map(|model| series::layers(model)).collect());
    if layers.len() >= 2 { layers } else { among(&models.iter().flat_map(|model| series::blocks(model)).collect()) }
}

/// `first:10` as (`first:`, 10), so that numbers sort by size.
fn numbered(mask: &str) -> (String, u64) {
    let stem = mask.trim_end_matches(|c: char| c.is_ascii_digit());
    (stem.to_owned(), mask[stem.len()..].parse().unwrap_or(0))
}

/// A number of a layer's line over the runs of one setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation with n - 1.
    pub sd: Option<f64>,
    /// Number of runs.
    pub n: usize,
}

impl Spread {
    /// Of values. None of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self { mean: stats::mean(values)?, sd: stats::sd(values), n: values.len() })
    }

    /// `0.341 ± 0.002`, after multiplying by `factor`.
    pub fn text(self, factor: f64, digits: usize) -> String {
        let mean = format!("{:.digits$}", self.mean * factor);
        // -0.000 is 0.
        let mean = if mean.trim_start_matches(['-', '0', '.']).is_empty() {
            mean.trim_start_matches('-').to_owned()
        } else {
            mean
        };
        self.sd.map_or_else(|| mean.clone(), |sd| format!("{mean} ± {:.digits$}", sd * factor))
    }
}

/// The spread of `number` over the runs of `setting` that have `line`.
pub fn spread(
    measured: &Measured,
    setting: usize,
    line: &LineKey,
    number: impl Fn(&Run, &Line) -> Option<f64>,
) -> Option<Spread> {
    let runs = measured.runs.iter().filter(|run| run.setting == setting);
    let values: Vec<f64> = runs.filter_map(|run| number(run, run.lines.get(line)?)).collect();
    Spread::of(&values)
}

/// How far the layer can be set back before the loss rises by `rise` nats ([`transect_common::shape::Path::set_back`]).
pub fn set_back(line: &Line, rise: f64) -> Option<f64> {
    let (alphas, losses): (Vec<f64>, Vec<f64>) = line.losses().unzip();
    let path = transect_common::shape::Path::new(&alphas, &losses).ok()?;
    Some(path.set_back(rise))
}
