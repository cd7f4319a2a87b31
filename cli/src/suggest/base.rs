//! The recipe that the rules start from: what all runs of the chosen setting share, read from the sweep's own file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use transect_common::line::{LineSpec, Normalize};
use transect_common::sweep::{ExpandedRun, SweepFile};

use crate::report::is_seed;

/// Settings of a probe that are carried over.
const PROBE: [&str; 9] = ["from", "to", "hold", "alphas", "batch_norm", "splits", "subset", "batch_size", "measures"];

/// The base recipe, as tables of a sweep file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Base {
    /// Base learning rate.
    pub lr: f64,
    /// Base weight decay.
    pub weight_decay: f64,
    /// Settings of `[data]`.
    pub data: Map<String, Value>,
    /// The architecture's name.
    pub architecture: String,
    /// Its options.
    pub options: Map<String, Value>,
    /// Settings of `[init]`.
    pub init: Map<String, Value>,
    /// Settings of `[train]`, with all seeds of the setting's runs.
    pub train: Map<String, Value>,
    /// The first whole line, as `[[probe]]`.
    pub probe: Option<Map<String, Value>>,
}

/// Reads the recipe of the runs with these digests, which differ in their seeds alone. Errors say why there is none.
pub fn read(file: &str, runs: &[&str]) -> Result<Base, String> {
    let unreadable = "the sweep's file cannot be read by this version of transect";
    let file = SweepFile::parse(file).map_err(|errors| format!("{unreadable}: {errors}"))?;
    if !file.imported().is_empty() {
        return Err("the sweep walks imported checkpoints; how they were trained is not known, so nothing can be \
                    suggested. Train the sweep here first"
            .to_owned());
    }
    let expansion = file.expand(&BTreeMap::new()).map_err(|errors| format!("{unreadable}: {errors}"))?;
    let chosen: Vec<&ExpandedRun> = expansion.runs.iter().filter(|run| runs.contains(&run.digest.as_str())).collect();
    let Some(first) = chosen.first() else {
        return Err(format!("{unreadable}: it gives none of the sweep's runs"));
    };
    let spec: Value = serde_json::from_str(&first.spec.canonical()).unwrap_or_default();
    let table = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let data = table(&spec["data"]);
    let mut options = table(&spec["model"]);
    let architecture = options.remove("architecture").and_then(|a| a.as_str().map(str::to_owned)).unwrap_or_default();
    let trained = &spec["origin"]["trained"];
    let init = table(&trained["init"]);
    if init.contains_key("from") || init.contains_key("layers") {
        return Err(
            "runs of this setting start from other runs' checkpoints, which a suggested sweep cannot carry over; \
                    choose another with --setting"
                .to_owned(),
        );
    }
    let mut train = table(&trained["train"]);
    if train.contains_key("layers") {
        return Err("this setting has overrides by layer already; choose a uniform one with --setting".to_owned());
    }
    train.remove("seed");
    let mut with_seeds = Map::from_iter([("seed".to_owned(), seeds(&chosen))]);
    with_seeds.append(&mut train);
    let full = serde_json::to_value(&first.spec).unwrap_or_default();
    let optimizer = &full["origin"]["trained"]["train"]["optimizer"];
    let number = |name: &str| optimizer[name].as_f64();
    with_seeds.insert("optimizer".to_owned(), optimizer_table(&with_seeds, optimizer));
    let is_own = |line: &&LineSpec| line.elsewhere.is_none() && !line.align && line.normalize == Normalize::None;
    let is_whole = |line: &&LineSpec| line.mask == "all" && line.from.as_str() == "init" && line.to.as_str() == "final";
    let whole = first.lines.iter().filter(is_own).find(is_whole);
    Ok(Base {
        lr: number("lr").ok_or("the base recipe has no learning rate")?,
        weight_decay: number("weight_decay").unwrap_or(0.0),
        data,
        architecture,
        options,
        init,
        train: with_seeds,
        probe: whole.and_then(|line| probe(&line.canonical())),
    })
}

/// The optimiser with its name first and its rate written out, though it be the default.
fn optimizer_table(train: &Map<String, Value>, full: &Value) -> Value {
    let mut table = Map::new();
    for name in ["name", "lr"] {
        table.insert(name.to_owned(), full[name].clone());
    }
    let given = train.get("optimizer").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in given {
        table.entry(name).or_insert(value);
    }
    Value::Object(table)
}

/// All seeds of the runs: a list, or a table of lists for seeds of parts.
fn seeds(runs: &[&ExpandedRun]) -> Value {
    let mut parts: Map<String, Value> = Map::new();
    for (key, value) in runs.iter().flat_map(|run| &run.settings).filter(|(key, _)| is_seed(key)) {
        let part = key.strip_prefix("train.seed").unwrap_or_default().trim_start_matches('.').to_owned();
        let list = parts.entry(part).or_insert_with(|| Value::Array(vec![]));
        if let Value::Array(list) = list
            && !list.contains(value)
        {
            list.push(value.clone());
        }
    }
    match parts.remove("") {
        Some(all) => all,
        None if parts.is_empty() => {
            let spec: Value =
                runs.first().map(|run| serde_json::to_value(&run.spec).unwrap_or_default()).unwrap_or_default();
            spec["origin"]["trained"]["train"]["seed"].clone()
        }
        None => Value::Object(parts),
    }
}

fn probe(canonical: &str) -> Option<Map<String, Value>> {
    let mut line: Map<String, Value> = serde_json::from_str(canonical).ok()?;
    if let Some(refine) = line.remove("refine")
        && let Some([start, .., stop]) = line["alphas"].as_array().map(Vec::as_slice)
    {
        // Only evenly spaced grids can be refined.
        let count = line["alphas"].as_array().map_or(0, Vec::len);
        let grid = json!({ "start": start, "stop": stop, "count": count, "refine": refine });
        line.insert("alphas".to_owned(), grid);
    }
    let keep = |name: &str, value: &Value| PROBE.contains(&name) && !(name == "batch_norm" && value == "none");
    Some(line.into_iter().filter(|(name, value)| keep(name, value)).collect())
}
