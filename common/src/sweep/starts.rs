//! Reads `[init]`: its settings, and what starts elsewhere.
//!
//! A source names another run by how it differs: `case = "label"` is the run of that case with the same values on all
//! axes that both have; `with = { ... }` is the run itself with these settings, and without a start of its own.

use serde_json::{Map, Value as Json, json};

use super::axes::Settings;
use super::check::models;
use super::check_data::sets;
use super::overlay::undotted;
use super::report::Report;
use super::schema::{self, Kind, Setting};
use super::settings::{section_beside, table, unknown};
use super::tree::{Entry, Node, Value};
use super::value::{Given, Val, distinct, one};

/// What says where another run is found.
const WHERE: [&str; 4] = ["case", "with", "import", "seed"];

/// Reads `[init]`.
pub(super) fn init(node: &Node, out: &mut Settings, report: &mut Report) {
    section_beside("init", node, &schema::INIT, &schema::INIT_TABLES, out, report);
    let Value::Table(entries) = &node.value else {
        return;
    };
    let find = |key: &str| entries.iter().find(|entry| entry.key == key);
    if let Some(entry) = find("from") {
        from(entry, out, report);
    }
    if let Some(entry) = find("layers") {
        layers(entry, out, report);
    }
    let epochs: Vec<u64> = out.values("init.adversarial").filter_map(|value| value.json.as_u64()).collect();
    for epochs in epochs.into_iter().filter(|&epochs| epochs > 0) {
        let at = find("adversarial").map_or(node.at, |entry| entry.at);
        out.add_with(at, &adversarial(epochs));
    }
}

/// What the run does otherwise that an adversarial start fits to random labels.
pub(super) fn adversarial(epochs: u64) -> Json {
    json!({ "data": { "label_noise": 1.0 }, "train": { "epochs": epochs } })
}

/// `init.from`: one source, or an axis of them.
fn from(entry: &Entry, out: &mut Settings, report: &mut Report) {
    let read = |node: &Node, out: &mut Settings, report: &mut Report| {
        let json = source("init.from", node, true, out, report)?;
        Some(Val::new(node.at, json))
    };
    let given = match &entry.node.value {
        Value::Table(_) if names_each_block(&entry.node) => {
            let values = each_block(&entry.node, out, report);
            let values: Vec<Val> = values.iter().filter_map(|node| read(node, out, report)).collect();
            if values.is_empty() {
                return;
            }
            Given::Axis(entry.node.at, values)
        }
        Value::List(items) if items.is_empty() => {
            report.add(entry.node.at, "init.from", "an axis needs at least one value, found an empty list");
            return;
        }
        Value::List(items) => {
            let values: Vec<Val> = items.iter().filter_map(|item| read(item, out, report)).collect();
            if values.len() < items.len() || !distinct("init.from", &values, report) {
                return;
            }
            Given::Axis(entry.node.at, values)
        }
        _ => match read(&entry.node, out, report) {
            Some(value) => Given::One(value),
            None => return,
        },
    };
    out.add("init.from".to_owned(), given, None);
}

/// What `layers` says for each block of the network in turn.
const EACH_BLOCK: &str = "each-block";

fn names_each_block(node: &Node) -> bool {
    node.json()["layers"].as_str().is_some_and(|mask| mask.contains(EACH_BLOCK))
}

/// The source once for each block of the sweep's one network.
fn each_block(node: &Node, out: &Settings, report: &mut Report) -> Vec<Node> {
    let models = models(out);
    let sets = sets(out);
    let ([model], Some((_, data))) = (models.as_slice(), sets.first()) else {
        let message = "each-block needs one architecture, whose blocks it stands for; write the layers out";
        report.add(node.at, "init.from.layers", message);
        return vec![];
    };
    // A model that cannot take the images is reported where all are.
    let blocks = model.spec.describe(data.input(), data.classes()).map(|model| model.blocks).unwrap_or_default();
    let with_block = |block: &String| {
        let mut node = node.clone();
        if let Value::Table(entries) = &mut node.value {
            for entry in entries.iter_mut().filter(|entry| entry.key == "layers") {
                if let Value::Text(mask) = &mut entry.node.value {
                    *mask = mask.replace(EACH_BLOCK, block);
                }
            }
        }
        node
    };
    blocks.iter().map(with_block).collect()
}

/// `[init.layers]`: one value for every run, a list of masks and sources in the file's order.
fn layers(entry: &Entry, out: &mut Settings, report: &mut Report) {
    let Some(rules) = table("init.layers", &entry.node, report) else {
        return;
    };
    let mut read: Vec<Json> = vec![];
    for rule in rules {
        let key = format!("init.layers.\"{}\"", rule.key);
        if let Some(mut json) = source(&key, &rule.node, false, out, report) {
            json["layers"] = rule.key.as_str().into();
            read.push(json);
        }
    }
    if !read.is_empty() {
        out.add("init.layers".to_owned(), Given::One(Val::new(entry.at, read)), None);
    }
}

/// One source, in the order of its settings. `{}` is none: an axis may hold it.
fn source(key: &str, node: &Node, has_mask: bool, out: &mut Settings, report: &mut Report) -> Option<Json> {
    let entries = table(key, node, report)?;
    let before = report.len();
    let mut json = Map::new();
    let mask = Setting { name: "layers", kind: Kind::Mask, required: false };
    let settings = || schema::SOURCE.iter().chain(has_mask.then_some(&mask));
    for entry in entries {
        let Some(setting) = settings().find(|setting| setting.name == entry.key) else {
            let names: Vec<&'static str> = settings().map(|setting| setting.name).collect();
            unknown(key, entry, names, report);
            continue;
        };
        let inner = format!("{key}.{}", entry.key);
        let value = match setting.kind {
            Kind::Table(_) => with(&inner, &entry.node, out, report),
            _ => one(&setting.kind, &inner, &entry.node, report).map(|value| value.json),
        };
        if let Some(value) = value {
            json.insert(entry.key.clone(), value);
        }
    }
    if report.len() > before {
        return None;
    }
    let places: Vec<&str> = WHERE.into_iter().filter(|name| json.contains_key(*name)).collect();
    match places.as_slice() {
        [] if entries.is_empty() && has_mask => {}
        [] => report.add(node.at, key, "says no place; give one of case, with, import or seed"),
        ["seed"] if ["checkpoint", "between", "alpha"].iter().any(|name| json.contains_key(*name)) => {
            report.add(
                node.at,
                key,
                "a seed draws at random, so it has no checkpoint; leave checkpoint, between and alpha out",
            );
        }
        [_] => {}
        several => report.add(node.at, key, format!("give one place, found {}", several.join(" and "))),
    }
    if json.contains_key("between") && !json.contains_key("alpha") {
        report.add(node.at, key, "between two checkpoints needs alpha, for example alpha = 0.5");
    }
    if json.contains_key("alpha") && json.contains_key("checkpoint") {
        report.add(node.at, key, "alpha names a point on the line between two checkpoints; leave checkpoint out");
    }
    if json.contains_key("alpha") && json.contains_key("import") {
        report.add(node.at, key, "a point on a line needs a run of this sweep (case or with), not an import");
    }
    if json.contains_key("skip") && json.get("layers").is_some_and(|mask| mask != "all") {
        report.add(node.at, key, "give layers or skip, not both; layers = \"all-but:A+B\" says both at once");
    }
    (report.len() == before).then_some(Json::Object(json))
}

/// Settings that another run has otherwise; remembered as they were written, given back as JSON.
pub(super) fn with(key: &str, node: &Node, out: &mut Settings, report: &mut Report) -> Option<Json> {
    let entries = undotted(table(key, node, report)?);
    if let Some(entry) = entries.iter().find(|entry| !schema::CASE_TABLES.contains(&entry.key.as_str())) {
        unknown(key, entry, schema::CASE_TABLES, report);
        return None;
    }
    let json = Node { at: node.at, value: Value::Table(entries.clone()) }.json();
    out.withs.push((json.to_string(), entries));
    Some(json)
}

impl Settings {
    /// Remembers what another run has otherwise, as if it had been written at `at`.
    pub fn add_with(&mut self, at: usize, json: &Json) {
        if let Value::Table(entries) = Node::of_json(at, json).value {
            self.withs.push((json.to_string(), entries));
        }
    }
}

/// Names of imports that runs walk or start from.
pub(super) fn imports(settings: &Settings) -> Vec<&str> {
    let walked = settings.values("imported").map(Val::text);
    let from = settings.values("init.from").map(|value| &value.json);
    let layers = settings.values("init.layers").flat_map(Val::items);
    walked.chain(from.chain(layers).filter_map(|source| source["import"].as_str())).collect()
}
