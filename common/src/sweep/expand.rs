//! Writes the product out: runs and their lines.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value as Json, json};

use super::axes::{Pick, Settings};
use super::check::Work;
use super::check_data::sets;
use super::probes::{Probe, lines, patterns_match};
use super::report::Report;
use super::{Axis, ExpandedRun, Expansion, Import};
use crate::data::Split;
use crate::line::LineSpec;
use crate::model::ModelSpec;
use crate::run::{Origin, RunSpec, Tag};

/// Checks the imports that a sweep walks against its data and probes.
pub(super) fn imports_fit(
    settings: &Settings,
    probes: &[Probe],
    imports: &BTreeMap<String, Import>,
    report: &mut Report,
) {
    let mut work = Work::default();
    let names = settings.values("imported").count().max(1) as u128;
    for name in settings.values("imported") {
        let Some(import) = imports.get(name.text()) else {
            let name_text = name.text();
            let message = format!(
                "nothing is imported as `{name_text}`; import it first: transect import {name_text} --model MODEL init=A.safetensors final=B.safetensors"
            );
            report.add(name.at, "imported.runs", message);
            continue;
        };
        for (at, data) in sets(settings) {
            if (data.input(), data.classes()) != (import.input, import.classes) {
                let shape = |[c, h, w]: [u32; 3], classes| format!("images of {c}x{h}x{w} in {classes} classes");
                let (has, needs) = (shape(data.input(), data.classes()), shape(import.input, import.classes));
                let message = format!("{} has {has}, but `{}` was imported for {needs}", data.set.name(), name.text());
                report.add(at, "data.set", message);
            }
        }
        let has = import.checkpoints.keys().map(Tag::as_str).collect::<Vec<_>>().join(", ");
        for ends in probes.iter().flat_map(|probe| &probe.ends) {
            for (key, (at, tag)) in [("probe.from", &ends.from), ("probe.to", &ends.to)] {
                if !import.checkpoints.contains_key(tag) {
                    let name = name.text();
                    let message = format!(
                        "`{name}` has no checkpoint `{tag}`; it has: {has}. Import it again with {tag}=FILE, or walk between others"
                    );
                    report.add(*at, key, message);
                }
            }
        }
        match import.model.describe(import.input, import.classes) {
            Ok(model) => {
                patterns_match(probes, &model, report);
                work.add(settings.count() / names, &Work::of_one(probes, &model));
            }
            Err(error) => report.add(name.at, "imported.runs", error.to_string()),
        }
    }
    work.fits(probes, report);
}

/// The product. Settings and imports are checked.
pub(super) fn expand(
    name: &str,
    settings: &Settings,
    probes: &[Probe],
    imports: &BTreeMap<String, Import>,
) -> Expansion {
    let order = settings.order();
    let rank: HashMap<usize, usize> = order.iter().enumerate().map(|(rank, &axis)| (axis, rank)).collect();
    let mut known: HashMap<String, Vec<LineSpec>> = HashMap::new();
    let mut seen = HashSet::new();
    let mut runs = vec![];
    for picks in settings.combinations() {
        let spec = run(settings, &picks, imports);
        let digest = spec.digest();
        if !seen.insert(digest.clone()) {
            continue;
        }
        // Lines depend on the model and the number of images alone.
        let (input, classes) = (spec.data.input(), spec.data.classes());
        let images = [Split::Train, Split::Test].map(|split| spec.data.images(split));
        let key = json!([spec.model, input, classes, images]).to_string();
        let lines = known.entry(key).or_insert_with(|| {
            let model = spec.model.describe(input, classes);
            lines(probes, &model.expect("models were checked against their data"), &spec.data)
        });
        runs.push(ExpandedRun { digest, lines: lines.clone(), settings: picked(settings, picks, &rank), spec });
    }
    Expansion { name: name.to_owned(), axes: axes(settings, &order), runs }
}

fn run(settings: &Settings, picks: &[Pick], imports: &BTreeMap<String, Import>) -> RunSpec {
    let mut tree = settings.assemble(picks);
    let data = serde_json::from_value(tree["data"].take()).expect("checked settings make a data description");
    if let Some(name) = tree["imported"].as_str() {
        let import = &imports[name];
        let origin = Origin::Imported { checkpoints: import.checkpoints.clone() };
        return RunSpec { data, model: import.model.clone(), origin }.canonicalised();
    }
    let section = |json: Json| if json.is_null() { Json::Object(Map::new()) } else { json };
    let mut train = section(tree["train"].take());
    if train["seed"].is_null() {
        train["seed"] = Json::from(0);
    }
    let architecture = tree["model"]["architecture"].take();
    let mut model = section(tree["model"][architecture.as_str().unwrap_or_default()].take());
    model["architecture"] = architecture;
    let model: ModelSpec = serde_json::from_value(model).expect("checked options make a model");
    let origin = Origin::Trained {
        init: serde_json::from_value(section(tree["init"].take())).expect("checked settings make an initialisation"),
        train: serde_json::from_value(train).expect("checked settings make a recipe"),
    };
    RunSpec { data, model, origin }.canonicalised()
}

/// Settings of one run, in the axes' order.
fn picked(settings: &Settings, mut picks: Vec<Pick>, rank: &HashMap<usize, usize>) -> Map<String, Json> {
    picks.sort_by_key(|(axis, _)| rank[axis]);
    let setting = |(axis, value): Pick| {
        let axis = &settings.axes[axis];
        (axis.key.clone(), axis.values[value].json.clone())
    };
    picks.into_iter().map(setting).collect()
}

/// The axes; those that hang on different values of another axis but are of one setting are one axis.
fn axes(settings: &Settings, order: &[usize]) -> Vec<Axis> {
    let mut axes: Vec<Axis> = vec![];
    let mut known: HashMap<&str, (usize, HashSet<String>)> = HashMap::new();
    for axis in order.iter().map(|&i| &settings.axes[i]) {
        let (index, seen) = known.entry(&axis.key).or_insert_with(|| {
            axes.push(Axis { setting: axis.key.clone(), values: vec![] });
            (axes.len() - 1, HashSet::new())
        });
        let new = axis.values.iter().filter(|value| seen.insert(value.json.to_string()));
        axes[*index].values.extend(new.map(|value| value.json.clone()));
    }
    axes
}
