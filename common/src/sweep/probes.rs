//! Reads `[[probe]]` tables and turns them into the lines of a run.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::axes::Settings;
use super::cases::With;
use super::report::Report;
use super::schema::{self, Kind};
use super::settings::{missing, table, unknown};
use super::starts::with;
use super::tree::{Entry, Node, Value};
use super::value::{Val, given, grid, grouped, one};
use crate::data::{DataSpec, Split};
use crate::line::{BatchNorm, LineSpec, Measure, Normalize, default_batch_size};
use crate::mask::Mask;
use crate::model::Description;
use crate::refine::Refine;
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
    refine: Option<Refine>,
    splits: Vec<Split>,
    batch_norm: Vec<BatchNorm>,
    subset: Vec<Option<u32>>,
    batch_size: Vec<u32>,
    align: Vec<bool>,
    normalize: Vec<Normalize>,
    measures: BTreeSet<Measure>,
}

/// What is at alpha = 1 when it is not of the same run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// The run of that case with the same values on all other axes.
    Case(String),
    /// The run that differs by this, as JSON text.
    With(String),
    /// A random initialisation with this seed.
    Init(u64),
}

/// Where a line begins, ends, and where the rest is held, with the places in the file that say so.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ends {
    pub from: (usize, Tag),
    pub to: (usize, Tag),
    pub target: Option<Target>,
    /// For a target: the word `from` or `to`.
    pub hold: Tag,
}

impl Probe {
    /// Lines for one mask.
    pub fn lines_per_mask(&self, model: &Description) -> usize {
        let batch_norm = if model.has_batch_norm() { self.batch_norm.len() } else { 1 };
        self.ends.len()
            * batch_norm
            * self.subset.len()
            * self.batch_size.len()
            * self.align.len()
            * self.normalize.len()
    }

    /// Points that one line measures at most.
    pub fn points_per_line(&self) -> usize {
        let further = self.refine.map_or(0, |refine| refine.budget as usize);
        (self.alphas.len() + further) * self.splits.len()
    }

    /// The same for probes that measure the same.
    fn fingerprint(&self) -> String {
        let end = |e: &Ends| (e.from.1.clone(), e.to.1.clone(), e.target.clone(), e.hold.clone());
        let ends: Vec<_> = self.ends.iter().map(end).collect();
        let layers: Vec<&str> = self.layers.iter().map(Val::text).collect();
        let Self { alphas, refine, splits, batch_norm, subset, batch_size, align, normalize, measures, .. } = self;
        let grid = (alphas, refine);
        format!("{:?}", (ends, layers, grid, splits, batch_norm, subset, batch_size, align, normalize, measures))
    }
}

/// Reads every `[[probe]]`, and what the runs that lines lead to differ by.
pub(super) fn probes(node: &Node, report: &mut Report) -> (Vec<Probe>, Vec<With>) {
    let Value::List(items) = &node.value else {
        report.add(node.at, "probe", format!("must be written with two brackets, [[probe]], found {node}"));
        return Default::default();
    };
    let mut scratch = Settings::default();
    let (mut names, mut known, mut grids) = (HashSet::new(), HashMap::new(), HashMap::new());
    let mut probes: Vec<Probe> = vec![];
    let mut room = MAX_ENDS;
    for (i, item) in items.iter().enumerate() {
        let Some(mut probe) = probe(item, &mut room, &mut scratch, report) else {
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
    (probes, scratch.withs)
}

fn probe(node: &Node, room: &mut usize, scratch: &mut Settings, report: &mut Report) -> Option<Probe> {
    let entries = table("probe", node, report)?;
    let before = report.len();
    let mut values: HashMap<&str, Vec<Val>> = HashMap::new();
    let mut alphas = None;
    let mut to = None;
    for entry in entries {
        let Some(setting) = schema::PROBE.iter().find(|setting| setting.name == entry.key) else {
            unknown("probe", entry, schema::PROBE.iter().map(|setting| setting.name), report);
            continue;
        };
        let key = format!("probe.{}", setting.name);
        match (setting.name, &setting.kind) {
            ("to", kind) => to = self::to(kind, &entry.node, scratch, report),
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
    let (alphas, refine) = alphas.unwrap_or_else(|| ((0..25).map(|i| f64::from(i) / 24.0).collect(), None));
    let read = Probe {
        at: node.at,
        ends: ends(node.at, &values, to, room, report),
        grid: 0,
        layers: values.remove("layers").unwrap_or_else(all),
        alphas,
        refine,
        splits,
        batch_norm: values.get("batch_norm").map_or_else(
            || vec![BatchNorm::default()],
            |given| given.iter().map(|value| batch_norm(value.text())).collect(),
        ),
        subset: values.get("subset").map_or_else(|| vec![None], |given| given.iter().map(|v| Some(whole(v))).collect()),
        batch_size: values
            .get("batch_size")
            .map_or_else(|| vec![default_batch_size()], |given| given.iter().map(whole).collect()),
        align: values
            .get("align")
            .map_or_else(|| vec![false], |given| given.iter().map(|value| value.json == true).collect()),
        normalize: values.get("normalize").map_or_else(
            || vec![Normalize::None],
            |given| {
                given.iter().map(|v| if v.text() == "filter" { Normalize::Filter } else { Normalize::None }).collect()
            },
        ),
        measures: values.get("measures").map_or_else(BTreeSet::new, |given| {
            given.iter().filter_map(|value| serde_json::from_value(value.json.clone()).ok()).collect()
        }),
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

/// The grid of a line: a list, or `{ start, stop, count }`, which may say how it is refined.
fn alphas(key: &str, kind: &Kind, node: &Node, report: &mut Report) -> Option<(Vec<f64>, Option<Refine>)> {
    let (fewest, most) = schema::ALPHAS.into_inner();
    if let Value::Table(entries) = &node.value {
        const REFINE: &str = "refine";
        let entry = entries.iter().find(|entry| entry.key == REFINE);
        let refine = entry.map(|entry| refine(&format!("{key}.{REFINE}"), &entry.node, report));
        let alphas = grid(key, node.at, entries, &[REFINE], most, report)?;
        return match refine {
            None => Some((alphas, None)),
            Some(refine) => Some((alphas, Some(refine?))),
        };
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
    Some((alphas, None))
}

/// How a grid is refined: `{ budget, tolerance }`, both of them.
fn refine(key: &str, node: &Node, report: &mut Report) -> Option<Refine> {
    const WRITTEN: &str = "{ budget = 20, tolerance = 0.01 }";
    let Value::Table(entries) = &node.value else {
        report.add(node.at, key, format!("must be written {WRITTEN}, found {node}"));
        return None;
    };
    let (mut budget, mut tolerance, before) = (None, None, report.len());
    for entry in entries {
        let Some(setting) = schema::REFINE.iter().find(|setting| setting.name == entry.key) else {
            unknown(key, entry, schema::REFINE.iter().map(|setting| setting.name), report);
            continue;
        };
        let value = one(&setting.kind, &format!("{key}.{}", setting.name), &entry.node, report);
        match setting.name {
            "budget" => budget = value.and_then(|value| u32::try_from(value.json.as_u64()?).ok()),
            _ => tolerance = value.and_then(|value| value.json.as_f64()),
        }
    }
    missing(key, node.at, entries, &schema::REFINE, report);
    if report.len() > before { None } else { Some(Refine { budget: budget?, tolerance: tolerance? }) }
}

/// Every combination of `from`, `to` and `hold`; `room` is for how many there still is room.
fn ends(
    at: usize,
    values: &HashMap<&str, Vec<Val>>,
    to: Option<Vec<(usize, Tag, Option<Target>)>>,
    room: &mut usize,
    report: &mut Report,
) -> Vec<Ends> {
    let tags = |name: &str| {
        let given = values.get(name)?.iter();
        Some(given.filter_map(|value| Some((value.at, value.text().parse::<Tag>().ok()?))).collect::<Vec<_>>())
    };
    let from = tags("from").unwrap_or_else(|| vec![(at, Tag::init())]);
    let to = to.unwrap_or_else(|| vec![(at, Tag::last(), None)]);
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
        for (to_at, to_tag, target) in &to {
            let to = (*to_at, to_tag.clone());
            if from.1 == to.1 && target.is_none() {
                let message = format!("a line needs two checkpoints, but `from` and `to` are both {}", from.1);
                report.add(to.0.max(from.0), if to.0 > from.0 { "probe.to" } else { "probe.from" }, message);
                continue;
            }
            let word = |word: &str| word.parse::<Tag>().expect("a word is a tag");
            let default = [(at, word("to"))];
            for hold in hold.as_deref().unwrap_or(&default) {
                let (at, mut hold) = hold.clone();
                // Elsewhere both ends may be called the same, so there the words stay.
                if target.is_none() {
                    hold = match hold.as_str() {
                        "from" => from.1.clone(),
                        "to" => to.1.clone(),
                        _ => hold,
                    };
                } else if hold != word("from") && hold != word("to") {
                    let message = format!("must be \"from\" or \"to\" for a line that leaves its run, found {hold}");
                    report.add(at, "probe.hold", message);
                    continue;
                }
                if target.is_none() && hold != from.1 && hold != to.1 {
                    let message = format!("must be `from` or `to` of the line ({} or {}), found {hold}", from.1, to.1);
                    report.add(at, "probe.hold", message);
                }
                ends.push(Ends { from: from.clone(), to: to.clone(), target: target.clone(), hold });
            }
        }
    }
    ends
}

/// `to`: checkpoints of the run, or ends elsewhere, or a list of these.
fn to(
    kind: &Kind,
    node: &Node,
    scratch: &mut Settings,
    report: &mut Report,
) -> Option<Vec<(usize, Tag, Option<Target>)>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut all = vec![];
    for item in items {
        if let Value::Table(entries) = &item.value {
            all.extend(target(item.at, entries, scratch, report).map(|(tag, target)| (item.at, tag, Some(target))));
        } else {
            let given = given(kind, "probe.to", item, report)?.values();
            all.extend(given.iter().filter_map(|value| Some((value.at, value.text().parse().ok()?, None))));
        }
    }
    let mut seen = HashSet::new();
    for (at, tag, target) in &all {
        if !seen.insert((tag, target)) {
            report.add(*at, "probe.to", "is there twice; give each end once");
        }
    }
    if items.is_empty() {
        report.add(node.at, "probe.to", "an axis needs at least one value, found an empty list");
    }
    Some(all)
}

/// An end elsewhere: its checkpoint and where it is found.
fn target(at: usize, entries: &[Entry], scratch: &mut Settings, report: &mut Report) -> Option<(Tag, Target)> {
    const KEY: &str = "probe.to";
    let (mut tag, mut targets) = (None, vec![]);
    for entry in entries {
        let Some(setting) = schema::TARGET.iter().find(|setting| setting.name == entry.key) else {
            unknown(KEY, entry, schema::TARGET.iter().map(|setting| setting.name), report);
            return None;
        };
        let key = format!("{KEY}.{}", setting.name);
        if setting.name == "with" {
            let json = with(&key, &entry.node, scratch, report)?;
            targets.push(Target::With(json.to_string()));
            continue;
        }
        let value = one(&setting.kind, &key, &entry.node, report)?;
        match setting.name {
            "checkpoint" => tag = value.text().parse::<Tag>().ok(),
            "case" => targets.push(Target::Case(value.text().to_owned())),
            "init" => targets.push(Target::Init(value.json.as_u64()?)),
            _ => {
                let json = serde_json::json!({ "train": { "seed": value.json } });
                scratch.add_with(at, &json);
                targets.push(Target::With(json.to_string()));
            }
        }
    }
    let Ok([target]) = <[Target; 1]>::try_from(targets) else {
        report.add(at, KEY, "give one of seed, case, with (another run) or init (a random initialisation)");
        return None;
    };
    let is_init = matches!(target, Target::Init(_));
    if is_init && tag.is_some() {
        report.add(at, KEY, "a random initialisation has no checkpoint; leave checkpoint out");
    }
    let default = if is_init { Tag::init() } else { Tag::last() };
    Some((tag.unwrap_or(default), target))
}

/// Words of `layers` that stand for several masks.
fn written_out(word: &str, model: &Description) -> Option<Vec<String>> {
    let counted = |end: &str| (1..=model.blocks.len()).map(|k| format!("{end}:{k}")).collect();
    match word {
        "each" => Some(model.layers.iter().map(|layer| layer.name.clone()).collect()),
        "each-block" => Some(model.blocks.clone()),
        "from-bottom" => Some(counted("first")),
        "from-top" => Some(counted("last")),
        _ => None,
    }
}

/// Reports patterns that match nothing of a model.
pub(super) fn patterns_match(probes: &[Probe], model: &Description, report: &mut Report) {
    for pattern in probes.iter().flat_map(|probe| &probe.layers).filter(|p| written_out(p.text(), model).is_none()) {
        if let Err(error) = Mask::resolve(pattern.text(), model) {
            report.add(pattern.at, "probe.layers", error.to_string());
        }
    }
}

/// The masks of a probe for one model: its patterns, with words such as `each` written out, each mask once.
pub(super) fn masks(probe: &Probe, model: &Description) -> Vec<String> {
    let mut masks: Vec<String> = vec![];
    let mut seen = HashSet::new();
    for pattern in &probe.layers {
        let labels = written_out(pattern.text(), model).unwrap_or_else(|| vec![pattern.text().to_owned()]);
        masks.extend(labels.into_iter().filter(|label| seen.insert(label.clone())));
    }
    masks
}

/// The lines of every probe for one model, each once, in the file's order, and where those lead that leave their run.
pub(super) fn lines(probes: &[Probe], model: &Description, data: &DataSpec) -> Vec<(LineSpec, Option<Target>)> {
    let mut lines = vec![];
    let mut seen = HashSet::new();
    // Where only the files know how many images there are, no subset is known to be all of them.
    let images = data.images(Split::Train).zip(data.images(Split::Test)).map(|(train, test)| train.max(test));
    for probe in probes {
        let masks = masks(probe, model);
        for (ends, variant) in probe.ends.iter().flat_map(|ends| probe.variants(model).map(move |v| (ends, v))) {
            for mask in &masks {
                let line = LineSpec {
                    from: ends.from.1.clone(),
                    to: ends.to.1.clone(),
                    hold: ends.hold.clone(),
                    subset: variant.subset.filter(|&n| images.is_none_or(|images| n < images)),
                    measures: probe.measures.clone(),
                    refine: probe.refine,
                    ..LineSpec { mask: mask.clone(), ..variant.clone() }
                };
                // The grid's number stands for its alphas, which are many.
                let short = LineSpec { alphas: vec![], ..line.clone() };
                if seen.insert((short.canonical(), ends.target.clone(), probe.grid)) {
                    lines.push((LineSpec { alphas: probe.alphas.clone(), ..line }, ends.target.clone()));
                }
            }
        }
    }
    lines
}

impl Probe {
    /// Every combination of how a line is measured, as a line without ends, mask and alphas.
    fn variants(&self, model: &Description) -> impl Iterator<Item = LineSpec> {
        let batch_norm = if model.has_batch_norm() { self.batch_norm.clone() } else { vec![BatchNorm::None] };
        let mut all = vec![LineSpec::new("", vec![], self.splits.clone())];
        let mut vary = |change: &dyn Fn(&LineSpec) -> Vec<LineSpec>| all = all.iter().flat_map(change).collect();
        vary(&|line| batch_norm.iter().map(|&batch_norm| LineSpec { batch_norm, ..line.clone() }).collect());
        vary(&|line| self.subset.iter().map(|&subset| LineSpec { subset, ..line.clone() }).collect());
        vary(&|line| self.batch_size.iter().map(|&batch_size| LineSpec { batch_size, ..line.clone() }).collect());
        vary(&|line| self.align.iter().map(|&align| LineSpec { align, ..line.clone() }).collect());
        vary(&|line| self.normalize.iter().map(|&normalize| LineSpec { normalize, ..line.clone() }).collect());
        all.into_iter()
    }
}
