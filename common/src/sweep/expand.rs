//! Writes the product out: runs and their lines.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::axes::Settings;
use super::cases::Case;
use super::check::Work;
use super::check_data::sets;
use super::expander::{Expander, Led, named};
use super::probes::{Probe, Target, lines, patterns_match};
use super::report::Report;
use super::{Axis, Expansion, Import, SweepFile};
use crate::data::Split;
use crate::line::LineSpec;
use crate::run::Tag;

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

/// Lines of the runs of one model on one kind of data, with where they lead.
struct Walk {
    lines: Vec<(LineSpec, Option<Target>)>,
    /// The same for all those runs, when none leads elsewhere.
    shared: Option<Arc<[LineSpec]>>,
}

impl Walk {
    fn new(lines: Vec<(LineSpec, Option<Target>)>) -> Self {
        let stays = lines.iter().all(|(_, target)| target.is_none());
        let shared = stays.then(|| lines.iter().map(|(line, _)| line.clone()).collect());
        Self { lines, shared }
    }
}

/// The product of every case, then the runs that only others need. Settings and imports are checked.
pub(super) fn expand(
    file: &SweepFile,
    imports: &BTreeMap<String, Import>,
    supposes: bool,
    report: &mut Report,
) -> Expansion {
    let mut expander = Expander::new(&file.cases, imports, supposes, report);
    let mut known: HashMap<String, Walk> = HashMap::new();
    for (index, case) in file.cases.iter().enumerate().filter(|(_, case)| !case.is_source) {
        for picks in case.settings.combinations().into_iter().filter(|picks| file.rules.keep(case, picks)) {
            let Some(spec) = expander.spec(index, &picks, &mut vec![]) else {
                continue;
            };
            let Some(place) = expander.add(index, &picks, &spec) else {
                continue;
            };
            // Lines depend on the model and the number of images alone.
            let (input, classes) = (spec.data.input(), spec.data.classes());
            let images = [Split::Train, Split::Test].map(|split| spec.data.images(split));
            let key = json!([spec.model, input, classes, images]).to_string();
            let walk = known.entry(key).or_insert_with(|| {
                let model = spec.model.describe(input, classes);
                Walk::new(lines(&file.probes, &model.expect("models were checked against their data"), &spec.data))
            });
            if let Some(shared) = &walk.shared {
                expander.runs[place].lines = shared.clone();
                continue;
            }
            let name = named(index, &picks);
            // Many lines of a run lead to one place, which is found once.
            let mut leads: HashMap<&Target, Option<Led>> = HashMap::new();
            let mut filled = vec![];
            for (line, target) in &walk.lines {
                let Some(target) = target else {
                    filled.push(line.clone());
                    continue;
                };
                let led = leads.entry(target).or_insert_with(|| expander.led(index, &picks, &spec, target));
                filled.extend(led.as_ref().and_then(|led| expander.line(&name, line, led)));
            }
            expander.runs[place].lines = filled.into();
        }
    }
    let axes = axes(&file.cases);
    let runs = expander.finish(&file.rules);
    Expansion { name: file.name.clone(), axes, runs, schedule: file.schedule.clone() }
}

/// The axes of every case. Those of one setting are one axis, as are those that hang on different values of another;
/// labels of cases come first.
fn axes(cases: &[Case]) -> Vec<Axis> {
    let labels: Vec<Json> = cases.iter().filter_map(|case| case.label.as_deref().map(Json::from)).collect();
    let mut axes: Vec<Axis> = vec![];
    if !labels.is_empty() {
        axes.push(Axis { setting: "case".to_owned(), values: labels });
    }
    let mut seen: HashSet<(String, String)> = HashSet::new();
    for settings in cases.iter().filter(|case| !case.is_source).map(|case| &case.settings) {
        for axis in settings.order().iter().map(|&i| &settings.axes[i]) {
            let index = axes.iter().position(|known| known.setting == axis.key).unwrap_or_else(|| {
                axes.push(Axis { setting: axis.key.clone(), values: vec![] });
                axes.len() - 1
            });
            let new = axis.values.iter().filter(|value| seen.insert((axis.key.clone(), value.json.to_string())));
            axes[index].values.extend(new.map(|value| value.json.clone()));
        }
    }
    axes
}
