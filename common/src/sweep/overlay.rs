//! One set of tables laid over another: a sweep file over the file that it extends, a case over the rest.

use super::tree::{Entry, Node, Value};

/// Tables whose settings are laid over one by one; whatever else is said anew replaces what was said. Below `model`, the
/// options of each architecture are such tables too.
const MERGED: [&str; 11] = [
    "data",
    "model",
    "init",
    "init.layers",
    "train",
    "data.augment",
    "data.corruption",
    "data.spirals",
    "train.optimizer",
    "train.schedule",
    "train.layers",
];

/// `base` with what `over` says laid over it. Entries of `over` keep their own places in the file.
pub(super) fn overlay(base: &[Entry], over: &[Entry]) -> Vec<Entry> {
    laid_over("", base, over, false)
}

fn laid_over(path: &str, base: &[Entry], over: &[Entry], is_all_merged: bool) -> Vec<Entry> {
    let mut laid = base.to_vec();
    for entry in over {
        let Some(below) = laid.iter_mut().find(|below| below.key == entry.key) else {
            laid.push(entry.clone());
            continue;
        };
        let key = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
        let is_merged = is_all_merged || MERGED.contains(&key.as_str()) || path == "model";
        below.node = match (&below.node.value, &entry.node.value) {
            // Another name brings other settings: nothing of the old one stays.
            (Value::Table(old), Value::Table(new))
                if is_merged && (is_all_merged || !new.iter().any(|e| e.key == "name")) =>
            {
                Node { at: entry.node.at, value: Value::Table(laid_over(&key, old, new, is_all_merged)) }
            }
            _ => entry.node.clone(),
        };
        below.at = entry.at;
    }
    laid
}

/// Entries whose quoted dotted keys (`"train.epochs" = 3`) are written out as tables.
pub(super) fn undotted(entries: &[Entry]) -> Vec<Entry> {
    let mut all: Vec<Entry> = vec![];
    for entry in entries {
        let mut parts = entry.key.split('.').rev();
        let last = parts.next().unwrap_or_default();
        let mut nested = Entry { key: last.to_owned(), at: entry.at, node: entry.node.clone() };
        for part in parts {
            let node = Node { at: entry.at, value: Value::Table(vec![nested]) };
            nested = Entry { key: part.to_owned(), at: entry.at, node };
        }
        all = laid_over("", &all, &[nested], true);
    }
    all
}

/// Dotted names of nested tables, each with its value.
pub(super) fn flattened(entries: &[Entry]) -> Vec<(String, &Node)> {
    let mut flat = vec![];
    for entry in entries {
        match &entry.node.value {
            Value::Table(inner) => {
                flat.extend(flattened(inner).into_iter().map(|(key, node)| (format!("{}.{key}", entry.key), node)));
            }
            _ => flat.push((entry.key.clone(), &entry.node)),
        }
    }
    flat
}

/// The table `key` among `entries`, without the settings in `names`.
pub(super) fn without(entries: &[Entry], key: &str, names: &[&str]) -> Vec<Entry> {
    let stays = |entry: &&Entry| !names.contains(&entry.key.as_str());
    let mut left = entries.to_vec();
    for entry in left.iter_mut().filter(|entry| entry.key == key) {
        if let Value::Table(inner) = &entry.node.value {
            entry.node.value = Value::Table(inner.iter().filter(stays).cloned().collect());
        }
    }
    left
}
