//! Reads `[[probe]]` tables and turns them into the lines of a run.

use std::collections::{HashMap, HashSet};

use super::report::Report;
use super::schema::{self, Kind};
use super::settings::{missing, table, unknown};
use super::tree::{Node, Value};
use super::value::{Val, given, grid, grouped, one};
use crate::data::{DataSpec, Split};
use crate::line::{BatchNorm, LineSpec, default_batch_size};
use crate::mask::Mask;
use crate::model::Description;
use crate::run::Tag;

/// Most combinations of `from`, `to` and `hold` in a file.
const MAX_ENDS: usize = 100_000;

/// One `[[probe]]`: a product of lines.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    /// Where it begins.
    pub at: usize,
    /// As it was written, for comparing.
    pub name: Option<Val>,
    pub ends: Vec<Ends>,
    pub layers: Vec<Val>,
    alphas: Vec<f64>,
    /// The same for probes with the same alphas.
    grid: usize,
    splits: Vec<Split>,
    batch_norm: Vec<BatchNorm>,
    subset: Vec<Option<u32>>,
    batch_size: Vec<u32>,
}

/// Where a line begins, ends, and where the rest is held, with the places in the file that say so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ends {
    pub from: (usize, Tag),
    pub to: (usize, Tag),
    pub hold: Tag,
}

impl Probe {
    /// Lines for one mask.
    pub fn lines_per_mask(&self, model: &Description) -> usize {
        let batch_norm = if model.has_batch_norm() { self.batch_norm.len() } else { 1 };
        self.ends.len() * batch_norm * self.subset.len() * self.batch_size.len()
    }

    /// Points that one line measures.
    pub fn points_per_line(&self) -> usize {
        self.alphas.len() * self.splits.len()
    }

    /// The same for probes that measure the same.
    fn fingerprint(&self) -> String {
        let ends: Vec<_> = self.ends.iter().map(|e| (e.from.1.as_str(), e.to.1.as_str(), e.hold.as_str())).collect();
        let layers: Vec<&str> = self.layers.iter().map(Val::text).collect();
        let Self { alphas, splits, batch_norm, subset, batch_size, .. } = self;
        format!("{:?}", (ends, layers, alphas, splits, batch_norm, subset, batch_size))
    }
}

/// Reads every `[[probe]]`.
pub(super) fn probes(node: &Node, report: &mut Report) -> Vec<Probe> {
    let Value::List(items) = &node.value else {
        report.add(node.at, "probe", format!("must be written with two brackets, [[probe]], found {node}"));
        return vec![];
    };
    let (mut names, mut known, mut grids) = (HashSet::new(), HashMap::new(), HashMap::new());
    let mut probes: Vec<Probe> = vec![];
    let mut room = MAX_ENDS;
    for (i, item) in items.iter().enumerate() {
        let Some(mut probe) = probe(item, &mut room, report) else {
            continue;
        };
        if let Some(name) = &probe.name
            && !names.insert(name.text().to_owned())
        {
            let message = format!("another probe is already named \"{}\"; give each its own name", name.text());
            report.add(name.at, "probe.name", message);
        } else if let Some(first) = known.insert(probe.fingerprint(), i) {
            let message = format!("measures the very same as probe {} of this file; leave one out", first + 1);
            report.add(probe.at, "probe", message);
        }
        let alphas: Vec<u64> = probe.alphas.iter().map(|alpha| alpha.to_bits()).collect();
        probe.grid = *grids.entry(alphas).or_insert(i);
        probes.push(probe);
    }
    probes
}

fn probe(node: &Node, room: &mut usize, report: &mut Report) -> Option<Probe> {
    let entries = table("probe", node, report)?;
    let before = report.len();
    let mut values: HashMap<&str, Vec<Val>> = HashMap::new();
    let mut alphas = None;
    for entry in entries {
        let Some(setting) = schema::PROBE.iter().find(|setting| setting.name == entry.key) else {
            unknown("probe", entry, schema::PROBE.iter().map(|setting| setting.name), report);
            continue;
        };
        let key = format!("probe.{}", setting.name);
        match (setting.name, &setting.kind) {
            ("alphas", kind) => alphas = self::alphas(&key, kind, &entry.node, report),
            ("kind" | "name", kind) => {
                values.insert(setting.name, one(kind, &key, &entry.node, report).into_iter().collect());
            }
            (_, kind @ Kind::List { .. }) => {
                if let Some(list) = one(kind, &key, &entry.node, report) {
                    values.insert(setting.name, items(&key, &list, report));
                }
            }
            (_, kind) => {
                if let Some(given) = given(kind, &key, &entry.node, report) {
                    values.insert(setting.name, given.values());
                }
            }
        }
    }
    missing("probe", node.at, entries, &schema::PROBE, report);
    if report.len() > before {
        return None;
    }
    let whole = |value: &Val| value.json.as_u64().and_then(|v| u32::try_from(v).ok()).unwrap_or(u32::MAX);
    let mut splits: Vec<Split> = match values.get("splits") {
        Some(given) => given.iter().filter_map(|value| Split::from_name(value.text())).collect(),
        None => vec![Split::Train, Split::Test],
    };
    splits.sort();
    let all = || vec![Val::new(node.at, "all")];
    let read = Probe {
        at: node.at,
        ends: ends(node.at, &values, room, report),
        grid: 0,
        layers: values.remove("layers").unwrap_or_else(all),
        alphas: alphas.unwrap_or_else(|| (0..25).map(|i| f64::from(i) / 24.0).collect()),
        splits,
        batch_norm: values.get("batch_norm").map_or_else(
            || vec![BatchNorm::default()],
            |given| given.iter().map(|value| batch_norm(value.text())).collect(),
        ),
        subset: values.get("subset").map_or_else(|| vec![None], |given| given.iter().map(|v| Some(whole(v))).collect()),
        batch_size: values
            .get("batch_size")
            .map_or_else(|| vec![default_batch_size()], |given| given.iter().map(whole).collect()),
        name: values.remove("name").and_then(|mut name| name.pop()),
    };
    if report.len() > before {
        return None;
    }
    Some(read)
}

/// The items of a list, each with its place; an empty list is reported.
fn items(key: &str, list: &Val, report: &mut Report) -> Vec<Val> {
    if list.items().is_empty() {
        report.add(list.at, key, "must have at least one item, found an empty list");
    }
    list.items().iter().enumerate().map(|(i, json)| Val::new(list.item_at(i), json.clone())).collect()
}

fn batch_norm(name: &str) -> BatchNorm {
    let modes = [BatchNorm::Interpolate, BatchNorm::Recalibrate, BatchNorm::Batch];
    modes.into_iter().find(|mode| mode.name() == name).unwrap_or_default()
}

/// The grid of a line: a list, or `{ start, stop, count }`.
fn alphas(key: &str, kind: &Kind, node: &Node, report: &mut Report) -> Option<Vec<f64>> {
    let (fewest, most) = schema::ALPHAS.into_inner();
    if let Value::Table(entries) = &node.value {
        return grid(key, node.at, entries, most, report);
    }
    let Value::List(_) = &node.value else {
        let message = format!("must be a list of numbers or {{ start = 0, stop = 1, count = 25 }}, found {node}");
        report.add(node.at, key, message);
        return None;
    };
    let values = one(kind, key, node, report)?;
    let alphas: Vec<f64> = values.items().iter().filter_map(serde_json::Value::as_f64).collect();
    if alphas.len() < fewest {
        report.add(node.at, key, format!("a line needs at least {fewest} alphas, found {}", alphas.len()));
        return None;
    }
    if let Some(i) = (1..alphas.len()).find(|&i| alphas[i] <= alphas[i - 1]) {
        let message = format!("alphas must rise from one to the next, found {} after {}", alphas[i], alphas[i - 1]);
        report.add(values.item_at(i), key, message);
        return None;
    }
    Some(alphas)
}

/// Every combination of `from`, `to` and `hold`; `room` is for how many there still is room.
fn ends(at: usize, values: &HashMap<&str, Vec<Val>>, room: &mut usize, report: &mut Report) -> Vec<Ends> {
    let tags = |name: &str| {
        let given = values.get(name)?.iter();
        Some(given.filter_map(|value| Some((value.at, value.text().parse::<Tag>().ok()?))).collect::<Vec<_>>())
    };
    let from = tags("from").unwrap_or_else(|| vec![(at, Tag::init())]);
    let to = tags("to").unwrap_or_else(|| vec![(at, Tag::last())]);
    let hold = tags("hold");
    let count = from.len().saturating_mul(to.len()).saturating_mul(hold.as_ref().map_or(1, Vec::len));
    if count > *room {
        let (count, most) = (grouped(count), grouped(MAX_ENDS));
        let message = format!("{count} combinations of from, to and hold; a sweep file may have {most} in all");
        report.add(at, "probe", message);
        return vec![];
    }
    *room -= count;
    let mut ends = vec![];
    for from in &from {
        for to in &to {
            if from.1 == to.1 {
                let message = format!("a line needs two checkpoints, but `from` and `to` are both {}", from.1);
                report.add(to.0.max(from.0), if to.0 > from.0 { "probe.to" } else { "probe.from" }, message);
                continue;
            }
            let default = [(at, to.1.clone())];
            for hold in hold.as_deref().unwrap_or(&default) {
                if hold.1 != from.1 && hold.1 != to.1 {
                    let message =
                        format!("must be `from` or `to` of the line ({} or {}), found {}", from.1, to.1, hold.1);
                    report.add(hold.0, "probe.hold", message);
                }
                ends.push(Ends { from: from.clone(), to: to.clone(), hold: hold.1.clone() });
            }
        }
    }
    ends
}

/// Reports patterns that match nothing of a model.
pub(super) fn patterns_match(probes: &[Probe], model: &Description, report: &mut Report) {
    for pattern in probes.iter().flat_map(|probe| &probe.layers).filter(|pattern| pattern.text() != "each") {
        if let Err(error) = Mask::resolve(pattern.text(), model) {
            report.add(pattern.at, "probe.layers", error.to_string());
        }
    }
}

/// The masks of a probe for one model: its patterns, with `each` written out, each mask once.
pub(super) fn masks(probe: &Probe, model: &Description) -> Vec<String> {
    let mut masks: Vec<String> = vec![];
    let mut seen = HashSet::new();
    for pattern in &probe.layers {
        let labels: Vec<&str> = match pattern.text() {
            "each" => model.layers.iter().map(|layer| layer.name.as_str()).collect(),
            label => vec![label],
        };
        masks.extend(labels.into_iter().filter(|label| seen.insert(label.to_string())).map(str::to_owned));
    }
    masks
}

/// The lines of every probe for one model, each once, in the file's order.
pub(super) fn lines(probes: &[Probe], model: &Description, data: &DataSpec) -> Vec<LineSpec> {
    let mut lines = vec![];
    let mut seen = HashSet::new();
    // Where only the files know how many images there are, no subset is known to be all of them.
    let images = data.images(Split::Train).zip(data.images(Split::Test)).map(|(train, test)| train.max(test));
    for probe in probes {
        let masks = masks(probe, model);
        for ends in &probe.ends {
            for &batch_norm in &probe.batch_norm {
                let batch_norm = if model.has_batch_norm() { batch_norm } else { BatchNorm::None };
                for &subset in &probe.subset {
                    let subset = subset.filter(|&n| images.is_none_or(|images| n < images));
                    for &batch_size in &probe.batch_size {
                        for mask in &masks {
                            let tags = (ends.from.1.clone(), ends.to.1.clone(), ends.hold.clone());
                            let key = (mask.clone(), tags, batch_norm.name(), subset, batch_size);
                            if seen.insert((key, probe.grid, probe.splits.clone())) {
                                lines.push(LineSpec {
                                    from: ends.from.1.clone(),
                                    to: ends.to.1.clone(),
                                    hold: ends.hold.clone(),
                                    batch_norm,
                                    subset,
                                    batch_size,
                                    ..LineSpec::new(mask, probe.alphas.clone(), probe.splits.clone())
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    lines
}
