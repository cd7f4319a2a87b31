//! Reads `[train]`: its settings, split seeds, and rules for single layers.

use serde_json::{Map, Value as Json};

use super::axes::Settings;
use super::report::Report;
use super::schema::{self, Kind, Setting};
use super::settings::{section, section_beside, table, tables, unknown};
use super::tree::{Entry, Node, Value};
use super::value::{Given, Val, one};

/// Reads `[train]`.
pub(super) fn train(node: &Node, out: &mut Settings, report: &mut Report) {
    let Value::Table(entries) = &node.value else {
        section("train", node, &schema::TRAIN, out, report);
        return;
    };
    let is_split = |entry: &Entry| matches!(&entry.node.value, Value::Table(seeds) if has_seeds(seeds));
    let split = entries.iter().find(|entry| entry.key == "seed" && is_split(entry));
    let layers = entries.iter().find(|entry| entry.key == "layers");
    let plain: Vec<Entry> = entries.iter().filter(|entry| entry.key != "seed" || split.is_none()).cloned().collect();
    let plain = Node { at: node.at, value: Value::Table(plain) };
    section_beside("train", &plain, &schema::TRAIN, &schema::TRAIN_TABLES, out, report);
    if let Some(seeds) = split {
        section("train.seed", &seeds.node, &schema::SEEDS, out, report);
    }
    if let Some(layers) = layers {
        self::layers(layers, out, report);
    }
}

/// A table that is no grid `{ start, stop, count }` of seeds.
fn has_seeds(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| schema::SEEDS.iter().any(|seed| seed.name == entry.key))
}

/// `[train.layers]`: one value for every run, a list of rules in the file's order.
fn layers(entry: &Entry, out: &mut Settings, report: &mut Report) {
    let Some(rules) = table("train.layers", &entry.node, report) else {
        return;
    };
    let read: Vec<Json> = rules.iter().filter_map(|rule| layer(rule, report)).collect();
    if !read.is_empty() {
        out.add("train.layers".to_owned(), Given::One(Val::new(entry.at, read)), None);
    }
}

fn layer(rule: &Entry, report: &mut Report) -> Option<Json> {
    let key = format!("train.layers.\"{}\"", rule.key);
    let entries = table(&key, &rule.node, report)?;
    let before = report.len();
    if entries.is_empty() {
        report.add(rule.at, &key, "says nothing of these layers; give lr, weight_decay, momentum, optimizer or frozen");
    }
    let mut json = Map::from_iter([("mask".to_owned(), Json::from(rule.key.as_str()))]);
    for entry in entries {
        let Some(setting) = schema::LAYER_RECIPE.iter().find(|setting| setting.name == entry.key) else {
            unknown(&key, entry, schema::LAYER_RECIPE.iter().map(|setting| setting.name), report);
            continue;
        };
        if let Some(value) = single(&format!("{key}.{}", entry.key), setting, &entry.node, report) {
            json.insert(entry.key.clone(), value);
        }
    }
    if json.get("frozen") == Some(&Json::Bool(true)) && json.len() > 2 {
        report.add(rule.at, &key, "frozen layers never move, so nothing else can be said of them; leave the rest out");
    }
    (report.len() == before).then_some(Json::Object(json))
}

/// A setting that may not be an axis: rules differ between cases, not within one.
fn single(key: &str, setting: &'static Setting, node: &Node, report: &mut Report) -> Option<Json> {
    let Kind::Table(variants) = &setting.kind else {
        return one(&setting.kind, key, node, report).map(|value| value.json);
    };
    let mut inner = Settings::default();
    tables(key, variants, node, &mut inner, report);
    if let Some(axis) = inner.axes.first() {
        report.add(axis.at, key, "cannot be an axis inside [train.layers]; write one [[case]] for each value");
        return None;
    }
    let named = |(inner, value): (String, Val)| (inner[key.len() + 1..].to_owned(), value.json);
    Some(Json::Object(inner.fixed.into_iter().map(named).collect()))
}
