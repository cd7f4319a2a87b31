//! Checks of `[data]` against the data sets, and what a sweep needs of them.

use serde_json::Value as Json;

use super::axes::Settings;
use super::report::Report;
use super::value::{Val, grouped};
use super::{NeededData, schema};
use crate::data::{DataSet, DataSpec, Spirals, Split};

/// Settings of an image folder, and whether it needs them.
const OF_FOLDERS: [(&str, bool); 4] =
    [("data.folder", true), ("data.shape", true), ("data.classes", true), ("data.content", false)];

/// Every data set of the sweep in each of its shapes and numbers of classes, and the place that says so.
pub(super) fn sets(settings: &Settings) -> Vec<(usize, DataSpec)> {
    let mut all = vec![];
    for (at, set) in named_sets(settings) {
        let plain = DataSpec::new(set);
        match set {
            DataSet::Spirals => all.extend(
                spirals_classes(settings)
                    .into_iter()
                    .map(|classes| (at, DataSpec { spirals: Spirals { classes, ..plain.spirals }, ..plain.clone() })),
            ),
            DataSet::ImageFolder => {
                for shape in settings.values("data.shape") {
                    let shape = serde_json::from_value(shape.json.clone()).ok();
                    let classes =
                        settings.values("data.classes").map(|classes| classes.json.as_u64().map(|n| n as u32));
                    all.extend(classes.map(|classes| (at, DataSpec { shape, classes, ..plain.clone() })));
                }
            }
            _ => all.push((at, plain)),
        }
    }
    all
}

fn named_sets(settings: &Settings) -> Vec<(usize, DataSet)> {
    let named = |value: &Val| Some((value.at, DataSet::ALL.into_iter().find(|set| set.name() == value.text())?));
    settings.values("data.set").filter_map(named).collect()
}

fn spirals_classes(settings: &Settings) -> Vec<u32> {
    let says = |table: &Val| table.json.get("classes").is_some();
    let mut classes: Vec<u32> =
        inner(settings, "data.spirals", "classes").iter().filter_map(|(_, n)| n.as_u64()).map(|n| n as u32).collect();
    let by_default = settings.values("data.spirals").any(|table| !says(table));
    if classes.is_empty() || by_default {
        classes.push(Spirals::default().classes);
    }
    classes
}

/// Every value of a setting inside a table that may be an axis of tables.
fn inner(settings: &Settings, table: &str, name: &str) -> Vec<(usize, Json)> {
    let alone = format!("{table}.{name}");
    let alone = settings.values(&alone).map(|value| (value.at, value.json.clone())).collect::<Vec<_>>();
    // An axis inside an item of an axis of tables is an axis of its own; the table then lacks the setting.
    let in_tables = settings.values(table).filter_map(|value| Some((value.at, value.json.get(name)?.clone())));
    alone.into_iter().chain(in_tables).collect()
}

/// What the sweep reads.
pub(super) fn needed(settings: &Settings) -> Vec<NeededData> {
    let mut partial = settings.values("data.partial").peekable();
    let partial = partial.peek().is_some() && partial.all(|value| value.json == true);
    let mut all = vec![];
    for (_, set) in named_sets(settings) {
        match set {
            DataSet::ImageFolder => {
                let folders = settings.values("data.folder").map(|folder| Some(folder.text().to_owned()));
                all.extend(folders.map(|folder| NeededData { set, partial: false, folder }));
            }
            _ => all.push(NeededData { set, partial, folder: None }),
        }
    }
    all
}

/// Checks `[data]` against the data sets.
pub(super) fn data(settings: &Settings, report: &mut Report) {
    let before = report.len();
    belongs(settings, report);
    shapes(settings, report);
    if report.len() > before {
        return;
    }
    let mut said: Vec<(usize, String)> = vec![];
    // Two shapes of one folder may break one rule: it is said once.
    let mut say = |at: usize, key: &str, message: String, report: &mut Report| {
        if !said.contains(&(at, message.clone())) {
            report.add(at, key, message.clone());
            said.push((at, message));
        }
    };
    for (_, data) in sets(settings) {
        let (name, [channels, height, width]) = (data.set.name(), data.input());
        for (key, split) in [("data.train_size", Split::Train), ("data.test_size", Split::Test)] {
            let Some(most) = data.largest_size(split) else { continue };
            for value in settings.values(key) {
                let size = value.json.as_u64().unwrap_or(0);
                if size > u64::from(most) {
                    let (most, size) = (grouped(most), grouped(size));
                    let has = if data.set == DataSet::Spirals { "makes at most" } else { "has" };
                    say(value.at, key, format!("{name} {has} {most} {split} images, found {size}"), report);
                }
            }
        }
        for key in ["data.mean", "data.std"] {
            for value in settings.values(key) {
                let (found, channels) = (value.items().len(), channels as usize);
                if found != channels {
                    let message = format!("{name} needs one number for each of its {channels} channels, found {found}");
                    say(value.at, key, message.replace("its 1 channels", "its 1 channel"), report);
                }
            }
        }
        for (at, blocks) in inner(settings, "data.corruption", "blocks") {
            let blocks = blocks.as_u64().unwrap_or(1).max(1);
            if u64::from(height) % blocks != 0 || u64::from(width) % blocks != 0 {
                let message =
                    format!("must divide height and width, and {name} has images of {height}x{width}, found {blocks}");
                say(at, "data.corruption.blocks", message, report);
            }
        }
    }
}

/// Settings that belong to one set, or not to another.
fn belongs(settings: &Settings, report: &mut Report) {
    let sets = named_sets(settings);
    let place_of = |wanted: DataSet| sets.iter().find(|(_, set)| *set == wanted).map(|(at, _)| *at);
    for (key, is_needed) in OF_FOLDERS {
        let mut values = settings.values(key).peekable();
        match (place_of(DataSet::ImageFolder), values.peek()) {
            (Some(at), None) if is_needed => report.add(at, key, format!("missing; {}", example(key))),
            (None, Some(value)) => report.add(value.at, key, "only the set image-folder has it; leave it out"),
            _ => {}
        }
    }
    let spirals = place_of(DataSet::Spirals);
    let of_spirals = |key: &String| key.starts_with("data.spirals");
    let place = |key: String| settings.values(&key).map(|value| value.at).next().map(|at| (at, key.clone()));
    if spirals.is_none()
        && let Some((at, key)) = schema::all_names().into_iter().filter(of_spirals).filter_map(place).min()
    {
        report.add(at, &key, "only the set spirals has it; leave it out");
    }
    if spirals.is_some() {
        let is_some = |json: &Json| !matches!(json, Json::Bool(false)) && *json != 0 && *json != "none";
        for (table, name) in [("data.corruption", "name"), ("data.augment", "flip"), ("data.augment", "crop")] {
            if let Some((at, _)) = inner(settings, table, name).into_iter().find(|(_, json)| is_some(json)) {
                report.add(at, table, "is for images, and spirals are points of the plane; leave it out");
            }
        }
    }
    let is_balanced = settings.values("data.balanced").find(|value| value.json == true);
    if let Some(value) = is_balanced.filter(|_| settings.values("data.train_size").next().is_none()) {
        let message = "says how train_size images are chosen; set train_size too, for example train_size = 1000";
        report.add(value.at, "data.balanced", message);
    }
}

fn example(key: &str) -> &'static str {
    match key {
        "data.folder" => "say which folder below the data folder, for example folder = \"flowers\"",
        "data.shape" => "say channels, height and width of every image, for example shape = [3, 32, 32]",
        _ => "say how many class folders there are, for example classes = 10",
    }
}

fn shapes(settings: &Settings, report: &mut Report) {
    for value in settings.values("data.shape") {
        let channels = value.items().first().and_then(Json::as_u64);
        if value.items().len() != 3 || !matches!(channels, Some(1 | 3)) {
            let found = Json::from(value.items()).to_string().replace(',', ", ");
            let message =
                format!("must be channels (1 or 3), height and width, for example [3, 32, 32]; found {found}");
            report.add(value.at, "data.shape", message);
        }
    }
}
