//! Reads the tables of a sweep file into settings and axes.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::axes::Settings;
use super::nearest::nearest;
use super::report::Report;
use super::schema::{self, Kind, Setting, Variant};
use super::tree::{Entry, Node, Value, quoted};
use super::value::{Given, Val, distinct, given, one};
use crate::model::ModelSpec;

/// The entries of a table that was written at `node`. `None` when it is no table, which is then in `report`.
pub(super) fn table<'a>(key: &str, node: &'a Node, report: &mut Report) -> Option<&'a [Entry]> {
    if let Value::Table(entries) = &node.value {
        return Some(entries);
    }
    report.add(node.at, key, format!("must be a table, found {node}"));
    None
}

/// Reads a table whose settings are `settings`.
pub(super) fn section(key: &str, node: &Node, settings: &'static [Setting], out: &mut Settings, report: &mut Report) {
    section_beside(key, node, settings, &[], out, report);
}

/// The same, for a table that holds what is no plain setting beside them; that is left alone.
pub(super) fn section_beside(
    key: &str,
    node: &Node,
    settings: &'static [Setting],
    beside: &[&'static str],
    out: &mut Settings,
    report: &mut Report,
) {
    let Some(entries) = table(key, node, report) else {
        return;
    };
    for entry in entries.iter().filter(|entry| !beside.contains(&entry.key.as_str())) {
        if let Some(setting) = settings.iter().find(|setting| setting.name == entry.key) {
            read(&format!("{key}.{}", entry.key), setting, &entry.node, out, report);
        } else {
            let valid = settings.iter().map(|setting| setting.name).chain(beside.iter().copied());
            unknown(key, entry, valid, report);
        }
    }
    missing(key, node.at, entries, settings, report);
}

/// Reports settings that have no default and are not there.
pub(super) fn missing(key: &str, at: usize, entries: &[Entry], settings: &[Setting], report: &mut Report) {
    for setting in settings.iter().filter(|setting| setting.required) {
        if !entries.iter().any(|entry| entry.key == setting.name) {
            let wanted = match setting.name {
                "epochs" => "say after which epochs the rate drops, for example epochs = [33, 66]".to_owned(),
                "period" => "say how many epochs a cycle takes, for example period = 10".to_owned(),
                "every" => "say after how many epochs the rate drops, for example every = 30".to_owned(),
                _ => format!("it must be {}", setting.kind.noun()),
            };
            report.add(at, &format!("{key}.{}", setting.name), format!("missing; {wanted}"));
        }
    }
}

/// Reports a key that is no setting of its table, with the nearest that is.
pub(super) fn unknown(key: &str, entry: &Entry, valid: impl IntoIterator<Item = &'static str>, report: &mut Report) {
    let valid: Vec<&str> = valid.into_iter().collect();
    let full = if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
    let is_there = |name: &String| *name != full && name.rsplit('.').next() == Some(&entry.key);
    // `seed` is more likely that of [train] than that of a table inside [data].
    let elsewhere = schema::all_names().into_iter().filter(is_there).min_by_key(|name| name.split('.').count());
    let hint = match (nearest(&entry.key, valid.iter().copied()), elsewhere) {
        (Some(near), _) => format!("did you mean `{near}`? "),
        (None, Some(name)) => format!("did you mean `{name}`? "),
        (None, None) => String::new(),
    };
    let place = if key.is_empty() { "a sweep file".to_owned() } else { format!("[{key}]") };
    let settings = match valid.len() {
        0 => format!("{place} has no settings"),
        _ => format!("{place} has: {}", valid.join(", ")),
    };
    report.add(entry.at, &shown(&full), format!("unknown setting; {hint}{settings}"));
}

/// A key that fits on a line.
fn shown(key: &str) -> String {
    let quoted = quoted(key);
    quoted[1..quoted.len() - 1].to_owned()
}

fn read(key: &str, setting: &'static Setting, node: &Node, out: &mut Settings, report: &mut Report) {
    match &setting.kind {
        Kind::Table(variants) => tables(key, variants, node, out, report),
        kind => {
            if let Some(given) = given(kind, key, node, report) {
                out.add(key.to_owned(), given, None);
            }
        }
    }
}

/// A setting that is a table, the name of one, or a list of those: an axis.
pub(super) fn tables(key: &str, variants: &'static [Variant], node: &Node, out: &mut Settings, report: &mut Report) {
    let Value::List(items) = &node.value else {
        return variant(key, variants, node, out, report);
    };
    if items.is_empty() {
        report.add(node.at, key, "an axis needs at least one value, found an empty list");
        return;
    }
    let (axis, before) = (out.axes.len(), report.len());
    let (mut values, mut as_written, mut inner_axes) = (vec![], vec![], vec![]);
    for (i, item) in items.iter().enumerate() {
        let mut inner = Settings::default();
        variant(key, variants, item, &mut inner, report);
        let mut json = Json::Object(serde_json::Map::new());
        for (inner_key, value) in &inner.fixed {
            json[&inner_key[key.len() + 1..]] = value.json.clone();
        }
        let mut written = json.clone();
        for mut inner_axis in inner.axes {
            let all = inner_axis.values.iter().map(|value| value.json.clone()).collect();
            written[&inner_axis.key[key.len() + 1..]] = all;
            inner_axis.when = Some((axis, i));
            inner_axes.push(inner_axis);
        }
        as_written.push(Val::new(item.at, written));
        values.push(Val::new(item.at, json));
    }
    if report.len() == before && distinct(key, &as_written, report) {
        out.add(key.to_owned(), Given::Axis(node.at, values), None);
        out.axes.append(&mut inner_axes);
    }
}

/// One table: with several variants, its `name` says which; then a text alone is the name too.
fn variant(key: &str, variants: &'static [Variant], node: &Node, out: &mut Settings, report: &mut Report) {
    let name_key = format!("{key}.name");
    let is_named = variants.len() > 1;
    let entries = match &node.value {
        Value::Table(entries) => entries.as_slice(),
        Value::Text(_) if is_named => {
            if let Some(name) = named(key, &name_key, variants, node, report) {
                required_settings(key, node.at, &[], &picked(variants, &name), report);
                out.add(name_key, name, None);
            }
            return;
        }
        _ => {
            let name = if is_named { " or a name" } else { "" };
            report.add(node.at, key, format!("must be a table{name}, found {node}"));
            return;
        }
    };
    let chosen = if is_named {
        let Some(entry) = entries.iter().find(|entry| entry.key == "name") else {
            let names: Vec<&str> = variants.iter().map(|variant| variant.name).collect();
            report.add(node.at, &name_key, format!("missing; there are: {}", names.join(", ")));
            return;
        };
        let Some(name) = named(key, &name_key, variants, &entry.node, report) else {
            return;
        };
        let chosen = picked(variants, &name);
        out.add(name_key, name, None);
        chosen
    } else {
        variants.iter().collect()
    };
    for entry in entries.iter().filter(|entry| !(is_named && entry.key == "name")) {
        inner_setting(key, variants, &chosen, entry, out, report);
    }
    required_settings(key, node.at, entries, &chosen, report);
    nesterov_has_momentum(key, out, report);
}

/// Reads the name, or the axis of names, of a table.
fn named(key: &str, name_key: &str, variants: &'static [Variant], node: &Node, report: &mut Report) -> Option<Given> {
    let what = match key.rsplit('.').next() {
        Some("optimizer") => "an optimizer",
        Some("schedule") => "a schedule",
        Some("corruption") => "a corruption",
        _ => "one of them",
    };
    given(&Kind::Variant { what, of: variants }, name_key, node, report)
}

fn picked(variants: &'static [Variant], name: &Given) -> Vec<&'static Variant> {
    let names: Vec<&str> = match name {
        Given::One(value) => vec![value.text()],
        Given::Axis(_, values) => values.iter().map(Val::text).collect(),
    };
    variants.iter().filter(|variant| names.contains(&variant.name)).collect()
}

/// A setting inside a table: it must be one of every variant that the table may be.
fn inner_setting(
    key: &str,
    variants: &'static [Variant],
    chosen: &[&'static Variant],
    entry: &Entry,
    out: &mut Settings,
    report: &mut Report,
) {
    let find = |variant: &&'static Variant| variant.settings.iter().find(|setting| setting.name == entry.key);
    let full = format!("{key}.{}", entry.key);
    let found: Vec<&'static Setting> = chosen.iter().filter_map(find).collect();
    let named = |has: bool, variants: &mut dyn Iterator<Item = &'static Variant>| {
        let names: Vec<&str> = variants.filter(|v| find(v).is_some() == has).map(|v| v.name).collect();
        names.join(", ")
    };
    if let (Some(setting), true) = (found.first(), found.len() == chosen.len()) {
        read(&full, setting, &entry.node, out, report);
    } else if !found.is_empty() {
        let without = named(false, &mut chosen.iter().copied());
        let message = format!("{without} has no such setting; write a list of tables instead, one for each name");
        report.add(entry.at, &full, message);
    } else if variants.iter().any(|variant| find(&variant).is_some()) {
        let (without, with) = (named(false, &mut chosen.iter().copied()), named(true, &mut variants.iter()));
        report.add(entry.at, &full, format!("{without} has no such setting, only {with} has"));
    } else {
        let mut valid: Vec<&'static str> =
            chosen.iter().flat_map(|variant| variant.settings).map(|setting| setting.name).collect();
        let mut seen = HashSet::new();
        valid.retain(|name| seen.insert(*name));
        let name = (variants.len() > 1).then_some("name");
        unknown(key, entry, name.into_iter().chain(valid), report);
    }
}

fn required_settings(key: &str, at: usize, entries: &[Entry], chosen: &[&Variant], report: &mut Report) {
    for variant in chosen {
        missing(key, at, entries, variant.settings, report);
    }
}

fn nesterov_has_momentum(key: &str, out: &Settings, report: &mut Report) {
    let (nesterov, momentum) = (format!("{key}.nesterov"), format!("{key}.momentum"));
    let moves: Vec<bool> = out.values(&momentum).map(|value| value.json.as_f64() != Some(0.0)).collect();
    if let Some(on) = out.values(&nesterov).find(|value| value.json == true)
        && (moves.is_empty() || moves.contains(&false))
    {
        report.add(
            on.at,
            &nesterov,
            "needs momentum above 0 in the same optimizer; set momentum = 0.9, or leave it out",
        );
    }
}

/// `[model]` and the options under `[model.NAME]`.
pub(super) fn model(node: &Node, out: &mut Settings, report: &mut Report) {
    let Some(entries) = table("model", node, report) else {
        return;
    };
    let find = |name: &str| entries.iter().find(|entry| entry.key == name);
    let before = report.len();
    if let Some(entry) = find("architecture") {
        read("model.architecture", &schema::ARCHITECTURE, &entry.node, out, report);
    }
    let architectures: Vec<String> = out.values("model.architecture").map(|value| value.text().to_owned()).collect();
    let is_known = report.len() == before && find("architecture").is_some();
    let axis = out.axes.iter().position(|axis| axis.key == "model.architecture");
    for entry in entries.iter().filter(|entry| entry.key != "architecture") {
        let key = format!("model.{}", entry.key);
        if !ModelSpec::NAMES.contains(&entry.key.as_str()) {
            unknown("model", entry, ["architecture"].into_iter().chain(ModelSpec::NAMES), report);
            continue;
        }
        let index = architectures.iter().position(|name| *name == entry.key);
        if index.is_none() && is_known {
            let message = format!(
                "options of an architecture that is not in this sweep ({}); add it to model.architecture, or leave them out",
                architectures.join(", ")
            );
            report.add(entry.at, &key, message);
            continue;
        }
        let first = out.axes.len();
        section(&key, &entry.node, schema::options(&entry.key), out, report);
        // With one architecture there is no axis to hang on.
        for option in &mut out.axes[first..] {
            option.when = axis.zip(index);
        }
    }
    missing("model", node.at, entries, std::slice::from_ref(&schema::ARCHITECTURE), report);
}

/// `[imported]`: the axis of names.
pub(super) fn imported(node: &Node, out: &mut Settings, report: &mut Report) {
    let Some(entries) = table("imported", node, report) else {
        return;
    };
    let [runs] = &schema::IMPORTED;
    for entry in entries {
        if entry.key != runs.name {
            unknown("imported", entry, [runs.name], report);
            continue;
        }
        let Some(names) = one(&runs.kind, "imported.runs", &entry.node, report) else {
            continue;
        };
        if names.items().is_empty() {
            report.add(entry.node.at, "imported.runs", "an axis needs at least one value, found an empty list");
            continue;
        }
        let name = |(i, json): (usize, &Json)| Val::new(names.item_at(i), json.clone());
        let values = names.items().iter().enumerate().map(name).collect();
        out.add("imported".to_owned(), Given::Axis(entry.node.at, values), None);
    }
    missing("imported", node.at, entries, &schema::IMPORTED, report);
}
