//! runs.csv: one row for each run with its settings, its ends and every number of its whole lines.

use std::fmt::Write as _;

use super::groups::plain;
use super::measured::{LineKey, Measured, Run};
use super::quantities::{quantities, whole_lines};

/// The table with a header, as RFC 4180 wants it. A number that a run lacks is an empty field; numbers are written so
/// that reading them gives the same bits.
pub fn csv(measured: &Measured) -> String {
    let quantities = quantities(measured);
    let lines = whole_lines(measured);
    let mut keys: Vec<&String> = vec![];
    for key in measured.runs.iter().flat_map(|run| run.values.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let several_ends = lines
        .iter()
        .any(|line| (&line.from, &line.to, &line.batch_norm) != (&lines[0].from, &lines[0].to, &lines[0].batch_norm));
    let column = |line: &LineKey, name: &str| {
        if several_ends {
            format!("{} {} {} {} {name}", line.from, line.to, line.batch_norm, line.split)
        } else {
            format!("{} {name}", line.split)
        }
    };
    let mut header: Vec<String> = ["run", "model", "seed", "setting"].map(str::to_owned).to_vec();
    header.extend(keys.iter().map(|key| (*key).clone()));
    header.extend(["test_loss", "test_accuracy", "train_loss", "train_accuracy"].map(str::to_owned));
    header.extend(lines.iter().flat_map(|line| quantities.iter().map(move |q| column(line, &q.key))));
    let mut out = row(&header);
    for run in &measured.runs {
        let mut cells = vec![
            run.digest.clone(),
            run.model.clone(),
            run.seed.map(|seed| seed.to_string()).unwrap_or_default(),
            measured.settings.labels[run.setting].clone(),
        ];
        cells.extend(keys.iter().map(|key| run.values.get(*key).map(plain).unwrap_or_default()));
        for split in ["test", "train"] {
            let end = run.end(split);
            cells.extend([number(end.map(|e| e.0)), number(end.map(|e| e.1))]);
        }
        let of = |run: &Run, line: &LineKey, q: &super::quantities::Quantity| q.of(run, run.lines.get(line)?);
        cells.extend(lines.iter().flat_map(|line| quantities.iter().map(move |q| number(of(run, line, q)))));
        out.push_str(&row(&cells));
    }
    out
}

fn number(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn row(cells: &[String]) -> String {
    let mut out = String::new();
    for (i, cell) in cells.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = if cell.contains([',', '"', '\n', '\r']) {
            write!(out, "{comma}\"{}\"", cell.replace('"', "\"\""))
        } else {
            write!(out, "{comma}{cell}")
        };
    }
    out.push('\n');
    out
}
