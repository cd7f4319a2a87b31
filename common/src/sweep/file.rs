//! Reads a whole sweep file: its tables, then how they fit together.

use super::axes::Settings;
use super::check;
use super::check_data;
use super::probes::{self, Probe};
use super::report::Report;
use super::schema::{self, Kind};
use super::settings::{imported, model, section, unknown};
use super::tree::{Entry, parse};
use super::value::one;

/// Name, settings and probes. `None` when something is wrong, which is then in `report`.
pub(super) fn read(text: &str, report: &mut Report) -> Option<(String, Settings, Vec<Probe>)> {
    let entries = parse(text, report)?;
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    for entry in entries.iter().filter(|entry| !schema::TABLES.contains(&entry.key.as_str())) {
        unknown("", entry, schema::TABLES, report);
    }
    let name = find("name").and_then(|entry| one(&Kind::Name, "name", &entry.node, report));
    if find("name").is_none() {
        report.add(0, "name", "missing; name the sweep, for example name = \"first\"");
    }
    let mut settings = Settings::default();
    let before = report.len();
    match find("data") {
        Some(entry) => section("data", &entry.node, &schema::DATA, &mut settings, report),
        None => report.add(0, "data.set", "missing; say for example [data] and set = \"fashion-mnist\" below it"),
    }
    match find("imported") {
        Some(entry) => {
            walks_only(entry, &entries, report);
            imported(&entry.node, &mut settings, report);
        }
        None => trains(&entries, &mut settings, report),
    }
    // Settings are held against each other once each of them is right.
    if report.len() == before {
        check_data::data(&settings, report);
        check::train(&settings, report);
    }
    let probes = find("probe").map_or_else(Vec::new, |entry| probes::probes(&entry.node, report));
    if report.len() > 0 || !check::runs_fit(&settings, report) {
        return None;
    }
    if find("imported").is_none() {
        check::kept(&settings, &probes, report);
        check::models_and_probes(&settings, &probes, report);
    }
    Some((name?.text().to_owned(), settings, probes))
}

/// Reads the tables of a sweep that trains.
fn trains(entries: &[Entry], settings: &mut Settings, report: &mut Report) {
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    match find("model") {
        Some(entry) => model(&entry.node, settings, report),
        None => {
            report.add(0, "model.architecture", "missing; say for example [model] and architecture = \"mlp\" below it");
        }
    }
    if let Some(entry) = find("init") {
        section("init", &entry.node, &schema::INIT, settings, report);
    }
    match find("train") {
        Some(entry) => section("train", &entry.node, &schema::TRAIN, settings, report),
        None => report.add(
            0,
            "train",
            "missing; say how to train under [train], or name checkpoints trained elsewhere under [imported]",
        ),
    }
}

/// Reports what has no meaning in a sweep that walks imported runs.
fn walks_only(imported: &Entry, entries: &[Entry], report: &mut Report) {
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    for (key, why) in [
        ("model", "the model of imported runs is the one that they were imported with; leave [model] out"),
        ("init", "imported runs are not initialised here; leave [init] out"),
        ("train", "a sweep either trains or walks imported runs; leave [train] or [imported] out"),
    ] {
        if let Some(entry) = find(key) {
            report.add(entry.at, key, why);
        }
    }
    if let Some(super::tree::Value::Table(data)) = find("data").map(|entry| &entry.node.value) {
        for entry in data.iter().filter(|entry| ["label_noise", "augment"].contains(&entry.key.as_str())) {
            let key = format!("data.{}", entry.key);
            report.add(entry.at, &key, "belongs to training, and imported runs are not trained here; leave it out");
        }
    }
    if find("probe").is_none() {
        report.add(imported.at, "imported", "imported runs have nothing to do without a [[probe]]; add one");
    }
}
