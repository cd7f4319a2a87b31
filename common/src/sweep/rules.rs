//! The algebra of axes beside the product: `zip`, `exclude` and `include`.

use serde_json::Value as Json;

use super::axes::{Pick, Settings};
use super::cases::Case;
use super::nearest::nearest;
use super::overlay::{flattened, undotted};
use super::report::Report;
use super::settings::table;
use super::tree::{Entry, Node, Value};
use super::value::Val;

/// Which runs of the product stay: those that match no `exclude`, and some `include` if there is any.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    exclude: Vec<Rule>,
    include: Vec<Rule>,
}

/// Settings by their dotted names, each with the values that match.
type Rule = Vec<(String, Vec<Json>)>;

impl Rules {
    /// Reads `exclude` and `include`, whose settings must be axes (or `case`) with these values.
    pub fn read(entries: &[Entry], cases: &[Case], report: &mut Report) -> Self {
        let mut read = |key: &str| {
            let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
                return vec![];
            };
            let items: &[Node] = match &entry.node.value {
                Value::List(items) => items,
                _ => std::slice::from_ref(&entry.node),
            };
            items.iter().filter_map(|item| rule(key, item, cases, report)).collect()
        };
        Self { exclude: read("exclude"), include: read("include") }
    }

    /// True when the run of these picks stays.
    pub fn keep(&self, case: &Case, picks: &[Pick]) -> bool {
        let matches = |rule: &Rule| {
            rule.iter().all(|(key, values)| {
                let has = value_of(case, picks, key);
                has.is_some_and(|has| values.iter().any(|value| is_same(value, &has)))
            })
        };
        !self.exclude.iter().any(matches) && (self.include.is_empty() || self.include.iter().any(matches))
    }
}

/// The value of a setting in one run, as far as the file says it.
pub(super) fn value_of(case: &Case, picks: &[Pick], key: &str) -> Option<Json> {
    if key == "case" {
        return case.label.as_deref().map(Json::from);
    }
    let picked = picks.iter().find(|(axis, _)| case.settings.axes[*axis].key == key);
    match picked {
        Some(&(axis, value)) => Some(case.settings.axes[axis].values[value].json.clone()),
        None => case.settings.fixed.iter().find(|(fixed, _)| fixed == key).map(|(_, value)| value.json.clone()),
    }
}

fn is_same(a: &Json, b: &Json) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn rule(key: &str, node: &Node, cases: &[Case], report: &mut Report) -> Option<Rule> {
    let entries = undotted(table(key, node, report)?);
    let rule = flattened(&entries);
    if rule.is_empty() {
        report.add(node.at, key, "an empty rule matches every run; name a setting and its value");
        return None;
    }
    let before = report.len();
    let visible = || cases.iter().filter(|case| !case.is_source);
    let mut known: Vec<&str> = visible().flat_map(|c| c.settings.axes.iter().map(|axis| axis.key.as_str())).collect();
    known.push("case");
    let mut read = vec![];
    for (name, node) in rule {
        if !known.contains(&name.as_str()) {
            let hint = nearest(&name, known.iter().copied());
            let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            report.add(node.at, key, format!("`{name}` is no axis of this sweep{hint}"));
            continue;
        }
        let values: Vec<Json> = match node.json() {
            Json::Array(values) => values,
            value => vec![value],
        };
        let all: Vec<Json> = match name.as_str() {
            "case" => visible().filter_map(|case| case.label.as_deref().map(Json::from)).collect(),
            _ => visible().flat_map(|case| case.settings.values(&name).map(|value| value.json.clone())).collect(),
        };
        if let Some(value) = values.iter().find(|value| !all.iter().any(|known| is_same(known, value))) {
            let all = all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            report.add(node.at, key, format!("{value} is no value of `{name}`, which has: {all}"));
        }
        read.push((name, values));
    }
    (report.len() == before).then_some(read)
}

/// Lets the axes of each group of `zip` go along with each other, in every case that has them.
pub(super) fn zip(entries: &[Entry], cases: &mut [Case], report: &mut Report) {
    let Some(entry) = entries.iter().find(|entry| entry.key == "zip") else {
        return;
    };
    let groups: Vec<&Node> = match &entry.node.value {
        Value::List(items) if items.iter().all(|item| matches!(item.value, Value::List(_))) => items.iter().collect(),
        Value::List(_) => vec![&entry.node],
        _ => {
            let message =
                "must be a list of groups, for example zip = [[\"train.optimizer.lr\", \"train.batch_size\"]]";
            report.add(entry.at, "zip", message);
            return;
        }
    };
    for group in groups {
        let Value::List(names) = &group.value else { continue };
        let names: Vec<Val> = names.iter().map(|name| Val::new(name.at, name.json())).collect();
        if names.len() < 2 {
            report.add(group.at, "zip", "a group needs at least two axes");
        }
        for name in &names {
            if !cases.iter().any(|case| axis_of(&case.settings, name.text()).is_some()) {
                let known: Vec<&str> =
                    cases.iter().flat_map(|c| c.settings.axes.iter().map(|axis| axis.key.as_str())).collect();
                let hint = nearest(name.text(), known);
                let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let message = format!("{} is no axis: give it a list of values{hint}", name.json);
                report.add(name.at, "zip", message);
            }
        }
        for case in cases.iter_mut() {
            zip_group(&names, &mut case.settings, report);
        }
    }
}

fn axis_of(settings: &Settings, key: &str) -> Option<usize> {
    settings.axes.iter().position(|axis| axis.key == key)
}

fn zip_group(names: &[Val], settings: &mut Settings, report: &mut Report) {
    let mut axes: Vec<(usize, &Val)> =
        names.iter().filter_map(|name| axis_of(settings, name.text()).map(|axis| (axis, name))).collect();
    // The first in the file leads, so that the product keeps the file's order.
    axes.sort_by_key(|&(axis, _)| settings.axes[axis].at);
    let Some(&(leader, first)) = axes.first() else { return };
    for &(axis, name) in &axes {
        let this = &settings.axes[axis];
        if this.when.is_some() {
            let message = format!("{} belongs to one value of another axis and cannot go along with others", name.json);
            report.add(name.at, "zip", message);
        } else if this.zipped.is_some() || (axis != leader && is_leader(settings, axis)) {
            report.add(name.at, "zip", format!("{} is in two groups; put all of them in one", name.json));
        } else if this.values.len() != settings.axes[leader].values.len() {
            let (has, other) = (this.values.len(), settings.axes[leader].values.len());
            let message =
                format!("{} has {has} values and {} has {other}; they must have as many", name.json, first.json);
            report.add(name.at, "zip", message);
        } else if axis != leader {
            settings.axes[axis].zipped = Some(leader);
        }
    }
}

fn is_leader(settings: &Settings, axis: usize) -> bool {
    settings.axes.iter().any(|other| other.zipped == Some(axis))
}
