//! What the lines of one setting say of each layer: means over its runs.

use std::collections::BTreeSet;

use transect_common::stats;

use crate::report::{LineKey, Measured, Run, masks, partition, set_back};

/// One layer, as its line shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// How far it can be set back to its start before the loss rises by the given number of nats, 0 to 1: mean over runs
    /// ([`transect_common::shape::Path::set_back`]).
    pub set_back: f64,
    /// Half-drop of its line in alpha, 0 to 1: mean over the runs whose loss falls along it. None where it falls in none.
    pub half_drop: Option<f64>,
}

/// All that the rules are made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The setting's name.
    pub setting: String,
    /// Indices of its runs with lines.
    pub runs: Vec<usize>,
    /// Where the losses were measured.
    pub split: String,
    /// Nats.
    pub rise: f64,
    /// From input to output, at least two.
    pub layers: Vec<Layer>,
}

/// Reads the lines. Errors say what the sweep lacks and how to get it.
pub fn read(measured: &Measured, setting: Option<&str>, split: Option<&str>, rise: f64) -> Result<Facts, String> {
    let labels = &measured.settings.labels;
    let setting = match setting {
        Some(wanted) => labels
            .iter()
            .position(|label| label == wanted)
            .ok_or_else(|| format!("no setting is called `{wanted}`; --setting takes one of: {}", labels.join("; ")))?,
        None => best(measured).ok_or("the sweep has no results yet; `transect watch` follows it")?,
    };
    let of_setting = |run: usize| measured.runs[run].setting == setting;
    let has = |key: &LineKey| {
        (0..measured.runs.len()).filter(|&run| of_setting(run)).any(|run| measured.runs[run].lines.contains_key(key))
    };
    let on = |split: &str| -> Vec<LineKey> { masks(measured, split).into_iter().filter(|key| has(key)).collect() };
    let lacking = || {
        "the sweep has no lines of at least two single layers from init to final with the rest held at final; measure \
         them first: [[probe]] with kind = \"line\" and layers = [\"all\", \"each\"]"
            .to_owned()
    };
    let (split, keys) = match split {
        Some(split) => (split, on(split)),
        None => ["train", "test"]
            .into_iter()
            .map(|split| (split, on(split)))
            .find(|(_, keys)| !keys.is_empty())
            .ok_or_else(lacking)?,
    };
    let model =
        measured.runs.iter().find(|run| run.setting == setting).map(|run| run.model.as_str()).unwrap_or_default();
    let keys = partition(&keys, &BTreeSet::from([model]));
    if keys.len() < 2 {
        return Err(lacking());
    }
    let runs: Vec<usize> = (0..measured.runs.len())
        .filter(|&run| of_setting(run) && keys.iter().all(|key| measured.runs[run].lines.contains_key(key)))
        .collect();
    if runs.is_empty() {
        return Err(format!(
            "no run of {} has the lines of all its layers yet; `transect watch` follows the sweep",
            labels[setting]
        ));
    }
    let layer = |key: &LineKey| {
        let lines = || runs.iter().filter_map(|&run| measured.runs[run].lines.get(key));
        let set_backs: Vec<f64> = lines().filter_map(|line| set_back(line, rise)).collect();
        let half_drops: Vec<f64> = lines().filter_map(|line| line.told()?.half_drop).collect();
        // A line whose loss is not finite somewhere could not be walked back at all.
        let set_back = stats::mean(&set_backs).unwrap_or(0.0);
        Layer { name: key.mask.clone(), set_back, half_drop: stats::mean(&half_drops) }
    };
    let layers = keys.iter().map(layer).collect();
    Ok(Facts { setting: labels[setting].clone(), runs, split: split.to_owned(), rise, layers })
}

/// The setting with the best mean test accuracy, the first of equals.
fn best(measured: &Measured) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for setting in 0..measured.settings.labels.len() {
        let runs = measured.runs.iter().filter(|run| run.setting == setting);
        let mean = stats::mean(&runs.filter_map(Run::accuracy).collect::<Vec<_>>());
        if let Some(mean) = mean
            && best.is_none_or(|(_, highest)| mean > highest)
        {
            best = Some((setting, mean));
        }
    }
    best.map(|(setting, _)| setting)
}
