//! The suggested sweep as text.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use transect_common::pb;

use super::base::Base;
use super::control::shuffled;
use super::facts::Facts;
use super::rules::{Override, RULES};

/// Longest name of a sweep.
const LONGEST_NAME: usize = 64;
const SUFFIX: &str = "-suggested";

/// The sweep file. The same facts give the same text.
pub fn text(sweep: &pb::Sweep, facts: &Facts, base: &Base, seed: u64) -> String {
    let stem: String = sweep.name.chars().take(LONGEST_NAME - SUFFIX.len()).collect();
    let name = format!("{stem}{SUFFIX}");
    let mut out = head(sweep, facts, &name);
    let _ = write!(out, "\nname = {}\n", quoted(&name));
    table(&mut out, "[data]", &base.data);
    let architecture = Map::from_iter([("architecture".to_owned(), Value::from(base.architecture.clone()))]);
    table(&mut out, "[model]", &architecture);
    table(&mut out, &format!("[model.{}]", base.architecture), &base.options);
    table(&mut out, "[init]", &base.init);
    table(&mut out, "[train]", &base.train);
    let compared = cases(&mut out, facts, base, seed);
    let mut probe =
        Map::from_iter([("kind".to_owned(), Value::from("line")), ("layers".to_owned(), Value::from(vec!["all"]))]);
    probe.extend(base.probe.clone().unwrap_or_default());
    table(&mut out, "[[probe]]", &probe);
    claims(&mut out, &compared);
    let _ = write!(
        out,
        "\n# Run it, and see whether a rule beats both the uniform recipe and its own control:\n\
         #   transect run {name}.toml\n\
         #   transect report {name} --baseline uniform\n"
    );
    out
}

fn head(sweep: &pb::Sweep, facts: &Facts, name: &str) -> String {
    let mut out = format!(
        "# {name}: layers trained by rules that were read off the layers' lines of the sweep {} ({}).\n#\n\
         # Setting: {}; {} runs; {} loss; a layer is set back until the loss rises by {} nats.\n#\n\
         # {:<24} set-back  half-drop\n",
        sweep.name,
        sweep.sweep_id,
        facts.setting,
        facts.runs.len(),
        facts.split,
        facts.rise,
        "layer",
    );
    for layer in &facts.layers {
        let half_drop = layer.half_drop.map_or_else(|| "-".to_owned(), |h| format!("{h:.3}"));
        let _ = writeln!(out, "# {:<24} {:>8.3}  {half_drop:>9}", layer.name, layer.set_back);
    }
    out.push_str(
        "#\n# Set-back: how far the layer can go from its trained (0) back to its initial values (1), the rest held\n\
         # trained. Half-drop: alpha at which its line has done half of its fall. Means over the runs.\n",
    );
    out
}

/// Asks of each rule whether it beats what it is compared with.
fn claims(out: &mut String, compared: &[(&str, String)]) {
    for (rule, with) in compared {
        let _ = write!(
            out,
            "\n[[claim]]\ntext = {}\nmeasure = \"accuracy\"\nmore = {{ case = {} }}\nless = {{ case = {} }}\n",
            quoted(&format!("Training by {rule} ends more accurate than {with}.")),
            quoted(rule),
            quoted(with)
        );
    }
}

/// Writes the cases; gives each rule with the cases that it is to beat.
fn cases(out: &mut String, facts: &Facts, base: &Base, seed: u64) -> Vec<(&'static str, String)> {
    let mut compared = vec![];
    out.push_str("\n# As before: the same training runs as in the sweep that this one comes from.\n");
    out.push_str("[[case]]\nlabel = \"uniform\"\n");
    for (number, rule) in RULES.iter().enumerate() {
        let overrides = match (rule.apply)(&facts.layers, base) {
            Ok(overrides) => overrides,
            Err(reason) => {
                let _ = write!(out, "\n# No case `{}`: {reason}.\n", rule.name);
                continue;
            }
        };
        out.push('\n');
        for line in rule.why.lines() {
            let _ = writeln!(out, "# {line}");
        }
        case(out, rule.name, facts, &overrides);
        compared.push((rule.name, "uniform".to_owned()));
        match shuffled(&overrides, seed, number) {
            Some(dealt) => {
                let _ = write!(out, "\n# Its control: the same overrides on other layers (shuffle seed {seed}).\n");
                let control = format!("{}-control", rule.name);
                case(out, &control, facts, &dealt);
                compared.push((rule.name, control));
            }
            None => out.push_str("# It has no control: the overrides are the same for all layers.\n"),
        }
    }
    compared
}

fn case(out: &mut String, label: &str, facts: &Facts, overrides: &[Option<Override>]) {
    let _ = write!(out, "[[case]]\nlabel = {}\n[case.train.layers]\n", quoted(label));
    for (layer, one) in facts.layers.iter().zip(overrides) {
        if let Some(one) = one {
            let _ = writeln!(out, "{} = {}", quoted(&layer.name), one.text());
        }
    }
}

/// A table under its head, or nothing when it is empty.
fn table(out: &mut String, head: &str, values: &Map<String, Value>) {
    if values.is_empty() {
        return;
    }
    let _ = write!(out, "\n{head}\n");
    for (key, value) in values {
        let _ = writeln!(out, "{} = {}", key_text(key), toml(key, value));
    }
}

fn toml(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(values) => match range(key, values) {
            Some(short) => short,
            None => format!("[{}]", values.iter().map(|value| toml("", value)).collect::<Vec<_>>().join(", ")),
        },
        Value::Object(values) => {
            let pairs: Vec<String> =
                values.iter().map(|(key, value)| format!("{} = {}", key_text(key), toml(key, value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// The short form of evenly spaced alphas: exact, or else none.
fn range(key: &str, values: &[Value]) -> Option<String> {
    let numbers: Vec<f64> = values.iter().map(Value::as_f64).collect::<Option<_>>()?;
    let (&start, &stop) = (numbers.first()?, numbers.last()?);
    let count = numbers.len();
    // As the sweep file's reader computes it, so that the short form means the same numbers to the last bit.
    let at = |i: usize| if i + 1 == count { stop } else { start + (stop - start) * i as f64 / (count - 1) as f64 };
    let even = count > 2 && numbers.iter().enumerate().all(|(i, value)| at(i) == *value);
    (key == "alphas" && even).then(|| format!("{{ start = {start:?}, stop = {stop:?}, count = {count} }}"))
}

fn key_text(key: &str) -> String {
    let is_bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { quoted(key) }
}

/// A TOML basic string, which escapes as JSON does.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
