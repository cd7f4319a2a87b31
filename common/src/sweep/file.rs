//! Reads a whole sweep file: its tables, then how they fit together.

use super::axes::Settings;
use super::bundle::{extended_path, parts};
use super::cases::{Case, cases};
use super::check::{self, Work};
use super::check_data;
use super::claims::{Claim, claims};
use super::overlay::overlay;
use super::probes::{self, Probe};
use super::report::Report;
use super::rules::{Rules, zip};
use super::scheduling::schedule;
use super::schema::{self, Kind};
use super::settings::{imported, section, unknown};
use super::tree::{Entry, Value, parse};
use super::value::one;
use crate::schedule::Schedule;

/// What a sweep file says.
pub(super) struct Read {
    pub name: String,
    pub cases: Vec<Case>,
    pub rules: Rules,
    pub probes: Vec<Probe>,
    pub claims: Vec<Claim>,
    pub schedule: Schedule,
}

/// Reads a sweep file and the files that it extends. `None` when something is wrong, which is then in `report`.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Read> {
    let entries = extended(text, report)?;
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    for entry in entries.iter().filter(|entry| !schema::TABLES.contains(&entry.key.as_str())) {
        unknown("", entry, schema::TABLES, report);
    }
    let name = find("name").and_then(|entry| one(&Kind::Name, "name", &entry.node, report));
    if find("name").is_none() {
        report.add(0, "name", "missing; name the sweep, for example name = \"first\"");
    }
    let (probes, ends) = find("probe").map_or_else(Default::default, |entry| probes::probes(&entry.node, report));
    let claims = find("claim").map_or_else(Vec::new, |entry| claims(&entry.node, report));
    let schedule = find("schedule").map_or_else(Schedule::default, |entry| schedule(&entry.node, report));
    let before = report.len();
    let mut cases = match find("imported") {
        Some(entry) => walked(entry, &entries, report),
        None => cases(&entries, &ends, report),
    };
    zip(&entries, &mut cases, report);
    let rules = Rules::read(&entries, &cases, report);
    // Settings are held against each other once each of them is right.
    if report.len() == before {
        for case in &cases {
            check_data::data(&case.settings, report);
            check::train(&case.settings, case.is_source, report);
        }
        check::targets(&cases, &probes, report);
    }
    if report.len() > 0 || !check::runs_fit(&cases, report) {
        return None;
    }
    if find("imported").is_none() {
        let mut work = Work::default();
        for case in &cases {
            let probes: &[Probe] = if case.is_source { &[] } else { &probes };
            check::kept(&case.settings, probes, report);
            check::models_and_probes(&case.settings, probes, &mut work, report);
        }
        work.fits(&probes, report);
    }
    Some(Read { name: name?.text().to_owned(), cases, rules, probes, claims, schedule })
}

/// The tables of the sweep file, laid over those of the files that it extends.
fn extended(bundle: &str, report: &mut Report) -> Option<Vec<Entry>> {
    let parts = parts(bundle);
    let mut laid: Vec<Entry> = vec![];
    let mut part = &parts[0];
    let mut seen = vec![""];
    loop {
        let mut entries = parse(part.text, part.at, report)?;
        let base = entries.iter().position(|entry| entry.key == "extends").map(|i| entries.remove(i));
        laid = overlay(&entries, &laid);
        let Some(base) = base else {
            break;
        };
        let Value::Text(value) = &base.node.value else {
            report.add(base.node.at, "extends", format!("must be the path of a sweep file, found {}", base.node));
            return None;
        };
        let path = extended_path(part.name, value);
        if seen.contains(&path.as_str()) {
            report.add(base.node.at, "extends", format!("`{path}` extends itself"));
            return None;
        }
        let Some(next) = parts.iter().find(|part| part.name == path) else {
            let message = format!(
                "`{path}` does not come with this file; the transect command adds it, other clients send it after a line `#--- {path}`"
            );
            report.add(base.node.at, "extends", message);
            return None;
        };
        seen.push(next.name);
        part = next;
    }
    laid.sort_by_key(|entry| entry.at);
    Some(laid)
}

/// The one case of a sweep that walks imported runs.
fn walked(entry: &Entry, entries: &[Entry], report: &mut Report) -> Vec<Case> {
    let mut settings = Settings::default();
    match entries.iter().find(|entry| entry.key == "data") {
        Some(entry) => section("data", &entry.node, &schema::DATA, &mut settings, report),
        None => report.add(0, "data.set", "missing; say for example [data] and set = \"fashion-mnist\" below it"),
    }
    walks_only(entry, entries, report);
    imported(&entry.node, &mut settings, report);
    vec![Case::only(settings)]
}

/// Reports what has no meaning in a sweep that walks imported runs.
fn walks_only(imported: &Entry, entries: &[Entry], report: &mut Report) {
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    for (key, why) in [
        ("model", "the model of imported runs is the one that they were imported with; leave [model] out"),
        ("init", "imported runs are not initialised here; leave [init] out"),
        ("case", "cases are trained here, imported runs are not; leave [[case]] out"),
        ("train", "a sweep either trains or walks imported runs; leave [train] or [imported] out"),
    ] {
        if let Some(entry) = find(key) {
            report.add(entry.at, key, why);
        }
    }
    if let Some(Value::Table(data)) = find("data").map(|entry| &entry.node.value) {
        for entry in data.iter().filter(|entry| ["label_noise", "augment"].contains(&entry.key.as_str())) {
            let key = format!("data.{}", entry.key);
            report.add(entry.at, &key, "belongs to training, and imported runs are not trained here; leave it out");
        }
    }
    if find("probe").is_none() {
        report.add(imported.at, "imported", "imported runs have nothing to do without a [[probe]]; add one");
    }
}
