//! Checked values: one of a kind, or an axis of them written as a list, a range or a grid.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::MAX_RUNS;
use super::moments::Moments;
use super::nearest::nearest;
use super::report::Report;
use super::schema::{Domain, Kind, variant_names};
use super::tree::{Entry, Node, Value, quoted};
use crate::run::Tag;

/// Longest name or pattern, in bytes.
const LONGEST_NAME: usize = 64;
const LONGEST_MASK: usize = 200;

/// A checked value in canonical JSON, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Val {
    pub at: usize,
    pub json: Json,
    /// Where the items of a list stand; empty for all else.
    items_at: Vec<usize>,
}

impl Val {
    pub fn new(at: usize, json: impl Into<Json>) -> Self {
        Self { at, json: json.into(), items_at: vec![] }
    }

    /// Where item `i` of a list stands.
    pub fn item_at(&self, i: usize) -> usize {
        self.items_at.get(i).copied().unwrap_or(self.at)
    }

    /// The text of a value that is known to be one.
    pub fn text(&self) -> &str {
        self.json.as_str().unwrap_or_default()
    }

    /// The items of a value that is known to be a list.
    pub fn items(&self) -> &[Json] {
        self.json.as_array().map_or(&[], Vec::as_slice)
    }
}

/// What a setting was given.
#[derive(Debug)]
pub(super) enum Given {
    One(Val),
    /// At least one value, all distinct.
    Axis(usize, Vec<Val>),
}

impl Given {
    pub fn values(self) -> Vec<Val> {
        match self {
            Self::One(value) => vec![value],
            Self::Axis(_, values) => values,
        }
    }
}

/// Reads a setting that may be an axis. `None` when it is wrong, which is then in `report`.
pub(super) fn given(kind: &Kind, key: &str, node: &Node, report: &mut Report) -> Option<Given> {
    let is_list = |node: &Node| matches!(node.value, Value::List(_));
    let values = match (kind, &node.value) {
        (Kind::List { .. }, Value::List(items)) if !items.is_empty() && items.iter().all(is_list) => {
            each(items, |item| one(kind, key, item, report).map(|value| vec![value]))?
        }
        (Kind::List { .. }, _) => return one(kind, key, node, report).map(Given::One),
        (_, Value::List(items)) => {
            if items.is_empty() {
                report.add(node.at, key, "an axis needs at least one value, found an empty list");
                return None;
            }
            each(items, |item| match range(kind, item) {
                Some(range) => wholes(kind, key, item, range, report),
                None => one(kind, key, item, report).map(|value| vec![value]),
            })?
        }
        (Kind::Whole { .. } | Kind::Number(_), Value::Table(entries)) => {
            let numbers = grid(key, node.at, entries, &[], MAX_RUNS, report)?;
            // The first that does not fit says enough.
            numbers.iter().map(|&x| one(kind, key, &grid_node(kind, node.at, x), report)).collect::<Option<_>>()?
        }
        _ => match range(kind, node) {
            Some(range) => wholes(kind, key, node, range, report)?,
            None => return one(kind, key, node, report).map(Given::One),
        },
    };
    distinct(key, &values, report).then_some(Given::Axis(node.at, values))
}

/// All values, or `None` when one is wrong; reads on after a wrong one, so that all mistakes are found.
fn each<T>(items: &[T], mut read: impl FnMut(&T) -> Option<Vec<Val>>) -> Option<Vec<Val>> {
    let mut all = Some(vec![]);
    for item in items {
        match (read(item), &mut all) {
            // No sweep is as large: what lies beyond is not needed to say so.
            (Some(values), Some(all)) if all.len() <= MAX_RUNS => all.extend(values),
            (Some(_), _) => {}
            (None, _) => all = None,
        }
    }
    all
}

/// True when no value is there twice; else it is reported.
pub(super) fn distinct(key: &str, values: &[Val], report: &mut Report) -> bool {
    let mut seen = HashSet::new();
    let mut is_distinct = true;
    for value in values {
        let text = value.json.to_string();
        if seen.contains(&text) {
            report.add(value.at, key, format!("{text} is there twice; give each value once"));
            is_distinct = false;
        }
        seen.insert(text);
    }
    is_distinct
}

/// Reads one value. `None` when it is wrong, which is then in `report`.
pub(super) fn one(kind: &Kind, key: &str, node: &Node, report: &mut Report) -> Option<Val> {
    let json = match (kind, &node.value) {
        (Kind::Choice { what, of }, Value::Text(text)) => choice(what, of, text).map(|()| Json::from(text.as_str())),
        (Kind::Variant { what, of }, Value::Text(text)) => {
            choice(what, &variant_names(of), text).map(|()| Json::from(text.as_str()))
        }
        (Kind::Whole { min, max }, Value::Whole(text, value)) => match value.and_then(|v| u64::try_from(v).ok()) {
            Some(v) if (*min..=*max).contains(&v) => Ok(Json::from(v)),
            _ => Err(format!("must be from {} to {}, found {text}", grouped(*min), grouped(*max))),
        },
        (Kind::Number(domain), Value::Whole(text, Some(value))) => number(*domain, *value as f64, text),
        (Kind::Number(domain), Value::Number(text, value)) => number(*domain, *value, text),
        (Kind::Flag, Value::Flag(flag)) => Ok(Json::from(*flag)),
        (Kind::Tag, Value::Text(text)) => text.parse::<Tag>().map(|_| text.as_str().into()).map_err(|e| e.to_string()),
        (Kind::Moment, Value::Text(text)) => moment(text),
        (Kind::Mask, Value::Text(text)) => mask(text),
        (Kind::Name, Value::Text(text)) => name(text),
        (Kind::Path, Value::Text(text)) => path(text),
        (Kind::Digest, Value::Text(text)) => digest(text),
        (Kind::List { of, most, distinct }, Value::List(items)) => {
            return list(of, *most, *distinct, key, node.at, items, report);
        }
        _ => Err(format!("must be {}, found {node}", kind.noun())),
    };
    match json {
        Ok(json) => Some(Val::new(node.at, json)),
        Err(message) => {
            report.add(node.at, key, message);
            None
        }
    }
}

fn choice(what: &str, of: &[&str], text: &str) -> Result<(), String> {
    if of.contains(&text) {
        return Ok(());
    }
    let hint = match nearest(text, of.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"? There are: {}", of.join(", ")),
        None => format!("there are: {}", of.join(", ")),
    };
    Err(format!("{} is not {what}; {hint}", quoted(text)))
}

fn number(domain: Domain, value: f64, text: &str) -> Result<Json, String> {
    // Adding 0 turns -0 into 0, which is the same number and has to have the same digest.
    if domain.holds(value) {
        return Ok(Json::from(value + 0.0));
    }
    Err(format!("must be {}, found {text}", domain.text()))
}

fn moment(text: &str) -> Result<Json, String> {
    if Moments::parse(text).is_some() {
        return Ok(Json::from(text));
    }
    let tag: Tag = text.parse().map_err(|_| not_a_moment(text))?;
    let is_epoch = |n: u32| n > 0 && tag == Tag::epoch(n);
    let is_step = |n: u64| n > 0 && tag == Tag::step(n);
    let is_counted = tag.as_epoch().is_some_and(is_epoch) || tag.as_step().is_some_and(is_step);
    let fits = tag == Tag::init() || tag == Tag::last() || is_counted;
    fits.then(|| Json::from(text)).ok_or_else(|| not_a_moment(text))
}

fn not_a_moment(text: &str) -> String {
    format!(
        "{} is not a moment of training; use \"init\", \"epoch-N\" or \"step-N\" with N from 1, \"final\", or many: \"epochs:5\" (every fifth), \"steps:100\", \"steps:x2\" (1, 2, 4, ...)",
        quoted(text)
    )
}

fn mask(text: &str) -> Result<Json, String> {
    match text.len() {
        0 => Err("a pattern must not be empty".to_owned()),
        n if n > LONGEST_MASK => Err(format!("a pattern must be at most {LONGEST_MASK} bytes long, found {n}")),
        _ => Ok(Json::from(text)),
    }
}

fn name(text: &str) -> Result<Json, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.chars().find(|&c| !fits(c)) {
        None if (1..=LONGEST_NAME).contains(&text.len()) => Ok(Json::from(text)),
        None => Err(format!("must be 1 to {LONGEST_NAME} characters long, found {}", text.len())),
        Some(c) => Err(format!(
            "must be made of letters (a-z), digits, `-`, `_` and `.`; {} holds {}",
            quoted(text),
            quoted(&c.to_string())
        )),
    }
}

fn path(text: &str) -> Result<Json, String> {
    for word in text.split('/') {
        if let "." | ".." | "" = word {
            let text = quoted(text);
            return Err(format!(
                "must be a folder below the data folder, such as \"flowers/small\", without `.`, `..` or empty words; found {text}"
            ));
        }
        name(word)?;
    }
    Ok(Json::from(text))
}

fn digest(text: &str) -> Result<Json, String> {
    let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    if text.len() == 64 && text.chars().all(is_hex) {
        return Ok(Json::from(text));
    }
    Err(format!("must be 64 hexadecimal digits (0-9, a-f), found {}", quoted(text)))
}

fn list(
    of: &Kind,
    most: usize,
    is_distinct: bool,
    key: &str,
    at: usize,
    items: &[Node],
    report: &mut Report,
) -> Option<Val> {
    if items.len() > most {
        report.add(at, key, format!("may have at most {} items, found {}", grouped(most), grouped(items.len())));
        return None;
    }
    let mut values = each(items, |item| one(of, key, item, report).map(|value| vec![value]))?;
    if is_distinct && !distinct(key, &values, report) {
        return None;
    }
    if matches!(of, Kind::Moment) {
        values.sort_by_key(|value| value.text().parse::<Tag>().ok());
    }
    let items_at = values.iter().map(|value| value.at).collect();
    Some(Val { at, items_at, json: values.into_iter().map(|value| value.json).collect() })
}

/// The bounds of "0..5", for settings that hold whole numbers. The inner error says why it is none.
fn range(kind: &Kind, node: &Node) -> Option<Result<(i128, i128), String>> {
    let (Kind::Whole { .. }, Value::Text(text)) = (kind, &node.value) else {
        return None;
    };
    let (start, stop) = text.split_once("..")?;
    let wrong = || format!("{} is not a range; write it as \"0..5\", which is 0, 1, 2, 3, 4", quoted(text));
    let end = |text: &str| text.trim().parse::<i128>().map_err(|_| wrong());
    Some(end(start).and_then(|start| Ok((start, end(stop)?))))
}

/// The values of a range, without making more than a sweep may have.
fn wholes(
    kind: &Kind,
    key: &str,
    node: &Node,
    range: Result<(i128, i128), String>,
    report: &mut Report,
) -> Option<Vec<Val>> {
    let text = if let Value::Text(text) = &node.value { text.as_str() } else { "" };
    let checked = range.and_then(|(start, stop)| {
        let count = stop.checked_sub(start).unwrap_or(i128::MAX);
        if count <= 0 {
            return Err(format!("{} is empty: the end is not part of a range", quoted(text)));
        }
        if count > MAX_RUNS as i128 {
            let (count, most) = (grouped(count), grouped(MAX_RUNS));
            return Err(format!("{} has {count} values; a sweep may have at most {most} runs", quoted(text)));
        }
        Ok(start..stop)
    });
    match checked {
        Ok(range) => {
            let node = |v: i128| Node { at: node.at, value: Value::Whole(v.to_string(), Some(v)) };
            // Both ends first: one sentence for a range that leaves its bounds, not thousands.
            one(kind, key, &node(range.start), report)?;
            one(kind, key, &node(range.end - 1), report)?;
            range.map(|v| one(kind, key, &node(v), report)).collect()
        }
        Err(message) => {
            report.add(node.at, key, message);
            None
        }
    }
}

/// The numbers of `{ start, stop, count }`: `count` of them, evenly spaced, both ends included. Keys named in `more` are
/// somebody else's.
pub(super) fn grid(
    key: &str,
    at: usize,
    entries: &[Entry],
    more: &[&str],
    most: usize,
    report: &mut Report,
) -> Option<Vec<f64>> {
    let names = ["start", "stop", "count"].into_iter().chain(more.iter().copied());
    let mut fits = true;
    for entry in entries.iter().filter(|entry| !names.clone().any(|name| name == entry.key)) {
        let key = format!("{key}.{}", entry.key);
        let hint =
            nearest(&entry.key, names.clone()).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        let message = format!("unknown key of a grid; {hint}a grid is written {{ start = 0, stop = 1, count = 25 }}");
        report.add(entry.at, &key, message);
        fits = false;
    }
    let mut part = |name: &str, kind: &Kind| {
        let key = format!("{key}.{name}");
        if let Some(entry) = entries.iter().find(|entry| entry.key == name) {
            return one(kind, &key, &entry.node, report);
        }
        report.add(at, &key, "missing; a grid is written { start = 0, stop = 1, count = 25 }");
        None
    };
    let start = part("start", &Kind::Number(Domain::Finite));
    let stop = part("stop", &Kind::Number(Domain::Finite));
    let count = part("count", &Kind::Whole { min: 2, max: most as u64 });
    let (start, stop, count) = (start?, stop?.json.as_f64()?, count?.json.as_u64()? as usize);
    let start = start.json.as_f64()?;
    let last = (count - 1) as f64;
    // i / last first would round twice for the usual grid from 0 to 1; this way k / 24 is the nearest number to it.
    let value = |i: usize| if i + 1 == count { stop } else { start + (stop - start) * i as f64 / last };
    let numbers: Vec<f64> = (0..count).map(value).collect();
    let rises = numbers.windows(2).all(|pair| pair[0] < pair[1]);
    if !rises || numbers.iter().any(|x| !x.is_finite()) {
        let problem =
            if start < stop { "is too far or too close for that many values" } else { "must lie above `start`" };
        report.add(at, key, format!("`stop` {problem}, found start {start:?}, stop {stop:?}, count {count}"));
        return None;
    }
    fits.then_some(numbers)
}

fn grid_node(kind: &Kind, at: usize, x: f64) -> Node {
    let is_whole = matches!(kind, Kind::Whole { .. }) && x.fract() == 0.0;
    let value = if is_whole { Value::Whole(x.to_string(), Some(x as i128)) } else { Value::Number(x.to_string(), x) };
    Node { at, value }
}

/// A whole number with commas between thousands: `100,000`.
pub(super) fn grouped<T: ToString + Copy>(n: T) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && text != "-" {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
