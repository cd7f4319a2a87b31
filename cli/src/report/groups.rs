//! Which runs belong together: a *setting* is all that runs share but their seeds. Settings are named by what varies, in
//! the shortest form that tells them apart.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// The label of a `[[case]]`, which leads a setting's name.
pub const CASE: &str = "case";
const ARCHITECTURE: &str = "model.architecture";
/// Marks runs that exist only because another run starts from their checkpoint.
const SOURCE: &str = "source of";

/// Axis values of one run, by dotted setting.
pub type Values = Map<String, Value>;

/// Reads what the store says of a run, with the model's name among it.
pub fn values(model: &str, settings: &str) -> Values {
    let mut values: Values = serde_json::from_str(settings).unwrap_or_default();
    values.entry(ARCHITECTURE).or_insert_with(|| model.into());
    values
}

/// True for a run that only serves others.
pub fn is_source(values: &Values) -> bool {
    values.contains_key(SOURCE)
}

/// Whether a setting says something of a run that is no part of what it is.
pub fn is_note(key: &str) -> bool {
    key == SOURCE
}

/// Whether a setting is a seed: of all there is to a run, or of one part of it.
pub fn is_seed(key: &str) -> bool {
    key == "train.seed" || key.starts_with("train.seed.")
}

/// What runs of other settings must share to be compared with this one: all its seeds, as text.
pub fn seeds(values: &Values, seed: Option<u64>) -> String {
    let mut seeds: Vec<String> =
        values.iter().filter(|(key, _)| is_seed(key)).map(|(key, value)| format!("{key}={value}")).collect();
    seeds.sort();
    if seeds.is_empty() { seed.map(|s| format!("train.seed={s}")).unwrap_or_default() } else { seeds.join(" ") }
}

/// What is left of a run's values without its seeds: the same text for the same setting.
fn identity(values: &Values) -> String {
    let rest: BTreeMap<&String, &Value> = values.iter().filter(|(key, _)| !is_seed(key)).collect();
    serde_json::to_string(&rest).unwrap_or_default()
}

/// Settings of a sweep.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Name of each, in the order in which they first came.
    pub labels: Vec<String>,
    /// What varies among them, with the value of each setting (JSON null where one has none), in the order of labels.
    pub varying: Vec<(String, Vec<Value>)>,
}

/// Sorts runs into settings: the index of each run's setting, in the runs' order.
pub fn settings(runs: &[Values]) -> (Settings, Vec<usize>) {
    let mut identities: Vec<String> = vec![];
    let mut first: Vec<&Values> = vec![];
    let mut of_run = vec![];
    for values in runs {
        let identity = identity(values);
        let index = identities.iter().position(|known| *known == identity).unwrap_or_else(|| {
            identities.push(identity);
            first.push(values);
            identities.len() - 1
        });
        of_run.push(index);
    }
    let varying = varying(&first);
    let labels = labels(&first, &varying);
    (Settings { labels, varying }, of_run)
}

/// Settings that are not the same in all, the case first, then the architecture, then as they come.
fn varying(first: &[&Values]) -> Vec<(String, Vec<Value>)> {
    let mut keys: Vec<&String> = vec![];
    for key in first.iter().flat_map(|values| values.keys()).filter(|key| !is_seed(key)) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys.sort_by_key(|key| match key.as_str() {
        CASE => 0,
        ARCHITECTURE => 1,
        _ => 2,
    });
    let column = |key: &String| first.iter().map(|values| values.get(key).cloned().unwrap_or_default()).collect();
    let columns = keys.into_iter().map(|key| (key.clone(), column(key)));
    columns.filter(|(_, column): &(_, Vec<Value>)| column.iter().any(|value| *value != column[0])).collect()
}

/// Names of settings. A value is named only where it tells settings apart that those before it do not: what a case
/// overrides goes without saying.
fn labels(first: &[&Values], varying: &[(String, Vec<Value>)]) -> Vec<String> {
    let mut parts: Vec<Vec<String>> = vec![vec![]; first.len()];
    let mut classes = vec![0_usize; first.len()];
    for (key, column) in varying {
        let split = joined(&classes, column);
        let more = split.iter().collect::<BTreeSet<_>>().len() > classes.iter().collect::<BTreeSet<_>>().len();
        if !more {
            continue;
        }
        classes = split;
        for (parts, value) in parts.iter_mut().zip(column) {
            if !value.is_null() {
                parts.push(described(key, &named(value, column), varying));
            }
        }
    }
    let model = |values: &Values| values.get(ARCHITECTURE).map(plain).unwrap_or_default();
    let label = |(parts, values): (Vec<String>, &&Values)| {
        if parts.is_empty() { model(values) } else { parts.join(", ") }
    };
    parts.into_iter().zip(first).map(label).collect()
}

/// Classes refined by a column: equal numbers for what was equal and has equal values.
fn joined(classes: &[usize], column: &[Value]) -> Vec<usize> {
    let mut known: Vec<(usize, &Value)> = vec![];
    let mut out = vec![];
    for (class, value) in classes.iter().zip(column) {
        let at = known.iter().position(|k| k.0 == *class && k.1 == value);
        out.push(at.unwrap_or_else(|| {
            known.push((*class, value));
            known.len() - 1
        }));
    }
    out
}

/// `mlp`, `weight_decay=0.0005`; the whole dotted name where two settings share their last part.
fn described(key: &str, value: &Value, varying: &[(String, Vec<Value>)]) -> String {
    if key == CASE || key == ARCHITECTURE {
        return plain(value);
    }
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let shared = varying.iter().filter(|(other, _)| last(other) == last(key)).count() > 1;
    format!("{}={}", if shared || last(key) == "name" { key.to_owned() } else { last(key) }, plain(value))
}

/// A table with a name, such as an optimiser, as `sgd` or, where others of `column` have that name, as
/// `milestones(epochs=[2,4])` with what they do not share.
fn named(value: &Value, column: &[Value]) -> Value {
    let Some((table, name)) = value.as_object().zip(value["name"].as_str()) else {
        return value.clone();
    };
    let same: Vec<&Value> = column.iter().filter(|other| other["name"] == name && *other != value).collect();
    let own = table.iter().filter(|(key, own)| same.iter().any(|other| other[key.as_str()] != **own));
    let own: Vec<String> = own.map(|(key, own)| format!("{key}={}", plain(own))).collect();
    if own.is_empty() { name.into() } else { format!("{name}({})", own.join(", ")).into() }
}

/// A value without quotes; numbers in the shortest of their forms.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(n) if !number.is_u64() && n != 0.0 && n.abs() < 1e-3 => format!("{n:e}"),
            Some(n) => format!("{n}"),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> (Settings, Vec<usize>) {
        settings(&texts.iter().map(|text| values("mlp", text)).collect::<Vec<_>>())
    }

    #[test]
    fn tables_are_called_by_their_names_where_that_tells_them_apart() {
        let (settings, _) = of(&[
            r#"{"train.schedule":{"name":"milestones","epochs":[2,4]}}"#,
            r#"{"train.schedule":{"name":"milestones","epochs":[3]}}"#,
            r#"{"train.schedule":{"name":"constant"}}"#,
        ]);
        assert_eq!(
            settings.labels,
            ["schedule=milestones(epochs=[2,4])", "schedule=milestones(epochs=[3])", "schedule=constant"]
        );
    }

    #[test]
    fn runs_that_differ_in_their_seeds_alone_are_one_setting() {
        let (settings, of_run) = of(&[
            r#"{"train.seed":0,"train.optimizer.weight_decay":0.0}"#,
            r#"{"train.seed":1,"train.optimizer.weight_decay":0.0}"#,
            r#"{"train.seed":0,"train.optimizer.weight_decay":5e-4}"#,
        ]);
        assert_eq!(of_run, [0, 0, 1]);
        assert_eq!(settings.labels, ["weight_decay=0", "weight_decay=5e-4"]);
        let (settings, of_run) = of(&[r#"{"train.seed.init":0}"#, r#"{"train.seed.init":1}"#]);
        assert_eq!((settings.labels, of_run), (vec!["mlp".to_owned()], vec![0, 0]));
    }

    #[test]
    fn a_case_leads_and_what_it_overrides_goes_without_saying() {
        let (settings, _) = of(&[
            r#"{"train.optimizer.lr":0.1,"case":"slow","data.set":"mnist"}"#,
            r#"{"train.optimizer.lr":0.2,"case":"fast","data.set":"mnist"}"#,
            r#"{"train.optimizer.lr":0.2,"case":"fast","data.set":"cifar10"}"#,
        ]);
        assert_eq!(settings.labels, ["slow, set=mnist", "fast, set=mnist", "fast, set=cifar10"]);
        assert_eq!(settings.varying.len(), 3);
    }

    #[test]
    fn names_that_end_alike_are_written_whole() {
        let (settings, _) = of(&[r#"{"data.a.name":1,"train.name":1}"#, r#"{"data.a.name":1,"train.name":2}"#]);
        assert_eq!(settings.labels, ["train.name=1", "train.name=2"]);
        let (settings, _) = of(&[r#"{"a.x":1,"b.x":1}"#, r#"{"a.x":1,"b.x":2}"#, r#"{"a.x":2,"b.x":1}"#]);
        assert_eq!(settings.labels, ["a.x=1, b.x=1", "a.x=1, b.x=2", "a.x=2, b.x=1"]);
    }

    #[test]
    fn runs_are_paired_by_all_their_seeds() {
        let values = |text| values("mlp", text);
        assert_eq!(
            seeds(&values(r#"{"train.seed.order":3,"train.seed.init":1,"x":2}"#), Some(9)),
            seeds(&values(r#"{"train.seed.init":1,"train.seed.order":3}"#), None)
        );
        assert_eq!(seeds(&values("{}"), Some(4)), seeds(&values(r#"{"train.seed":4}"#), None));
    }

    #[test]
    fn runs_that_serve_others_are_known() {
        assert!(is_source(&values("mlp", r#"{"source of":["ab"]}"#)) && !is_source(&values("mlp", "{}")));
    }
}
