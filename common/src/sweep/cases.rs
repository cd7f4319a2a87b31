//! Cases: the tables of a sweep file with some settings laid over them.
//!
//! `[[case]]` gives several settings another value under one label; the product is taken within each case. A run that
//! another starts from, and that differs from it by settings alone, is a case as well: one that is only a source.

use std::collections::{HashMap, HashSet};

use super::axes::Settings;
use super::overlay::{overlay, undotted, without};
use super::recipes::train;
use super::report::Report;
use super::schema::{self, Kind};
use super::settings::{model, section, table, unknown};
use super::starts::init;
use super::tree::{Entry, Value};
use super::value::one;

/// Most cases of a file, those that are only sources included.
const MOST: usize = 2000;

/// What a run differs by from the one that starts from it, or that a line leads to.
pub(super) type With = (String, Vec<Entry>);

/// One variant of the sweep's tables.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// None for a sweep without cases, and for a source.
    pub label: Option<String>,
    /// Where the label stands.
    pub at: usize,
    pub settings: Settings,
    /// Its runs are in the sweep only where others need them.
    pub is_source: bool,
    /// Cases of the runs that differ from this one's, by what they differ, as JSON text.
    pub sources: HashMap<String, usize>,
    /// The same for the ends of lines, whose runs keep their own starts.
    pub ends: HashMap<String, usize>,
    tables: Vec<Entry>,
}

impl Case {
    /// A case that is the whole of `settings`.
    pub fn only(settings: Settings) -> Self {
        Self::new(None, 0, vec![], settings)
    }

    fn new(label: Option<String>, at: usize, tables: Vec<Entry>, settings: Settings) -> Self {
        let (sources, ends) = (HashMap::new(), HashMap::new());
        Self { label, at, settings, is_source: false, sources, ends, tables }
    }
}

/// Reads every case, then those that are only sources; `ends` is what the other ends of lines differ by.
pub(super) fn cases(entries: &[Entry], ends: &[With], report: &mut Report) -> Vec<Case> {
    let tables: Vec<Entry> =
        entries.iter().filter(|entry| schema::CASE_TABLES.contains(&entry.key.as_str())).cloned().collect();
    let mut cases = match entries.iter().find(|entry| entry.key == "case") {
        Some(entry) => labelled(entry, &tables, report),
        None => vec![Case::new(None, 0, tables.clone(), read(&tables, report))],
    };
    let mut next = 0;
    while next < cases.len() && report.len() == 0 {
        let case = &cases[next];
        let bare = without(&case.tables, "init", &["from", "layers", "adversarial"]);
        let sources = case.settings.withs.iter().map(|with| (with, &bare, false));
        let line_ends: &[With] = if case.is_source { &[] } else { ends };
        let line_ends = line_ends.iter().map(|with| (with, &case.tables, true));
        let found: Vec<_> = sources
            .chain(line_ends)
            .map(|((text, over), below, is_end)| (text.clone(), overlay(below, over), is_end))
            .collect();
        let at = case.at;
        for (text, tables, is_end) in found {
            let index = cases.len();
            let known = if is_end { &mut cases[next].ends } else { &mut cases[next].sources };
            if known.contains_key(&text) {
                continue;
            }
            known.insert(text, index);
            let settings = read(&tables, report);
            cases.push(Case { is_source: true, ..Case::new(None, at, tables, settings) });
        }
        if cases.len() > MOST {
            report.add(at, "case", format!("{} cases and sources, at most {MOST} are allowed", cases.len()));
        }
        next += 1;
    }
    cases
}

/// The cases as they are written.
fn labelled(entry: &Entry, tables: &[Entry], report: &mut Report) -> Vec<Case> {
    let Value::List(items) = &entry.node.value else {
        report.add(entry.at, "case", format!("must be written with two brackets, [[case]], found {}", entry.node));
        return vec![];
    };
    let mut labels = HashSet::new();
    let mut cases = vec![];
    for item in items {
        let Some(entries) = table("case", item, report) else {
            continue;
        };
        let label = entries.iter().find(|entry| entry.key == "label");
        let Some(label) = label.and_then(|entry| one(&Kind::Name, "case.label", &entry.node, report)) else {
            if label.is_none() {
                report.add(item.at, "case.label", "missing; name the case, for example label = \"no-augmentation\"");
            }
            continue;
        };
        if !labels.insert(label.text().to_owned()) {
            let message = format!("another case is already labelled \"{}\"; give each its own label", label.text());
            report.add(label.at, "case.label", message);
            continue;
        }
        let over = undotted(&entries.iter().filter(|entry| entry.key != "label").cloned().collect::<Vec<_>>());
        for entry in over.iter().filter(|entry| !schema::CASE_TABLES.contains(&entry.key.as_str())) {
            unknown("case", entry, ["label"].into_iter().chain(schema::CASE_TABLES), report);
        }
        let laid = overlay(tables, &over);
        let settings = read(&laid, report);
        cases.push(Case::new(Some(label.text().to_owned()), label.at, laid, settings));
    }
    if cases.is_empty() && report.len() == 0 {
        report.add(entry.at, "case", "an empty list of cases; leave it out, or write [[case]]");
    }
    cases
}

/// Reads the tables of a sweep that trains.
fn read(tables: &[Entry], report: &mut Report) -> Settings {
    let mut settings = Settings::default();
    let find = |key: &str| tables.iter().find(|entry| entry.key == key);
    match find("data") {
        Some(entry) => section("data", &entry.node, &schema::DATA, &mut settings, report),
        None => report.add(0, "data.set", "missing; say for example [data] and set = \"fashion-mnist\" below it"),
    }
    match find("model") {
        Some(entry) => model(&entry.node, &mut settings, report),
        None => {
            report.add(0, "model.architecture", "missing; say for example [model] and architecture = \"mlp\" below it");
        }
    }
    if let Some(entry) = find("init") {
        init(&entry.node, &mut settings, report);
    }
    match find("train") {
        Some(entry) => train(&entry.node, &mut settings, report),
        None => report.add(
            0,
            "train",
            "missing; say how to train under [train], or name checkpoints trained elsewhere under [imported]",
        ),
    }
    settings
}
