//! The claims as statistics: does the shape of the line go with test accuracy, and does one setting do better than
//! another?

use serde_json::{Value, json};
use transect_common::stats::{self, Correlation, Difference, Method, Silent};

use super::measured::{LineKey, Measured};
use super::quantities::Quantity;

/// Over which runs a correlation is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All runs, whatever their setting.
    Across,
    /// Runs of one setting, pooled after each setting's own level is taken away.
    Within,
    /// Means of settings.
    Between,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Across, Self::Within, Self::Between];

    /// As in report.json.
    pub fn key(self) -> &'static str {
        match self {
            Self::Across => "across",
            Self::Within => "within",
            Self::Between => "between",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Across => "all runs",
            Self::Within => "within settings",
            Self::Between => "means of settings",
        }
    }
}

/// One quantity held against another.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its key.
    pub key: String,
    /// For people.
    pub title: String,
    /// Number of runs that have both.
    pub n: usize,
    /// One for each scope and method.
    pub cells: Vec<(Scope, Method, Result<Correlation, Silent>)>,
}

/// All quantities of one line held against test accuracy.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Which line.
    pub line: LineKey,
    /// One for each quantity.
    pub rows: Vec<Row>,
}

impl Row {
    /// The correlation of pairs (x, y, setting).
    fn of(key: &str, title: String, values: &[(f64, f64, usize)]) -> Self {
        let x: Vec<f64> = values.iter().map(|v| v.0).collect();
        let y: Vec<f64> = values.iter().map(|v| v.1).collect();
        let settings: Vec<usize> = values.iter().map(|v| v.2).collect();
        let cell = |scope, method| {
            let found = match scope {
                Scope::Across => stats::across(&x, &y, method),
                Scope::Within => stats::within(&x, &y, &settings, method),
                Scope::Between => stats::between(&x, &y, &settings, method),
            };
            (scope, method, found)
        };
        let cells = Scope::ALL.into_iter().flat_map(|scope| Method::ALL.map(|method| cell(scope, method)));
        Self { key: key.to_owned(), title, n: values.len(), cells: cells.collect() }
    }

    /// The cell of a scope and a method.
    pub fn cell(&self, scope: Scope, method: Method) -> Option<&Result<Correlation, Silent>> {
        self.cells.iter().find(|(s, m, _)| (*s, *m) == (scope, method)).map(|(.., found)| found)
    }
}

/// Every quantity against final test accuracy, over the runs that have both.
pub fn against_accuracy(measured: &Measured, line: &LineKey, quantities: &[Quantity]) -> Table {
    let row = |quantity: &Quantity| {
        let pair = |run: &super::measured::Run| {
            let x = quantity.of(run, run.lines.get(line)?)?;
            Some((x, run.accuracy()?, run.setting))
        };
        let values: Vec<_> = measured.runs.iter().filter_map(pair).collect();
        Row::of(&quantity.key, quantity.with_unit(), &values)
    };
    // Where a trained network begins, its loss and its accuracy go together as a matter of course.
    let begins_trained = line.from == "final";
    let asked = quantities.iter().filter(|quantity| !(begins_trained && quantity.key == "start"));
    Table { line: line.clone(), rows: asked.map(row).filter(|row| row.n > 0).collect() }
}

/// Bump height against the distances between the ends (Lucas et al. 2021 say that long distances go with bumps, Vlaar &
/// Frankle 2022 that they do not), where distances are stored.
pub fn bumps_and_distances(measured: &Measured, line: &LineKey, quantities: &[Quantity]) -> Table {
    let bump = quantities.iter().find(|quantity| quantity.key == "bump");
    let distances = quantities.iter().filter(|quantity| quantity.key.starts_with("distance"));
    let row = |quantity: &Quantity| {
        let pair = |run: &super::measured::Run| {
            let line = run.lines.get(line)?;
            Some((quantity.of(run, line)?, bump?.of(run, line)?, run.setting))
        };
        let values: Vec<_> = measured.runs.iter().filter_map(pair).collect();
        Row::of(&quantity.key, quantity.with_unit(), &values)
    };
    Table { line: line.clone(), rows: distances.map(row).filter(|row| row.n > 0).collect() }
}

/// Two settings held against each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The setting that is subtracted.
    pub base: String,
    /// The other.
    pub other: String,
    /// Accuracy of the other less that of the base, over runs that share their seeds.
    pub difference: Result<Difference, Silent>,
    /// Hedges' g of all runs of both, paired or not.
    pub hedges_g: Option<f64>,
}

/// Most settings of which every two are compared; of more, each with the base.
const MOST_FOR_ALL_PAIRS: usize = 5;

/// Differences in final test accuracy. `base` is the index of a setting to compare all others with; without it every two
/// are compared, or all with the first where they are more than a handful. A setting `X` is always compared with its
/// `X-control`, as `transect suggest` names them.
pub fn differences(measured: &Measured, base: Option<usize>) -> Vec<Pair> {
    let count = measured.settings.labels.len();
    let all_pairs = base.is_none() && count <= MOST_FOR_ALL_PAIRS;
    let base = base.unwrap_or(0);
    let mut pairs = vec![];
    for a in 0..count {
        for b in 0..count {
            let labels = &measured.settings.labels;
            let is_control = labels[a].strip_suffix("-control") == Some(labels[b].as_str());
            if (all_pairs && a < b) || (!all_pairs && (a == base && b != base || is_control)) {
                pairs.push(pair(measured, a, b));
            }
        }
    }
    pairs
}

fn pair(measured: &Measured, base: usize, other: usize) -> Pair {
    let of = |setting: usize| -> Vec<(&str, f64)> {
        let runs = measured.runs.iter().filter(|run| run.setting == setting);
        runs.filter_map(|run| Some((run.seeds.as_str(), run.accuracy()?))).collect()
    };
    let (base_runs, other_runs) = (of(base), of(other));
    // Runs without a seed of their own have no partner.
    let partner =
        |seeds: &str| base_runs.iter().find(|(s, _)| *s == seeds && !s.is_empty()).map(|(_, accuracy)| *accuracy);
    let pairs: Vec<(f64, f64)> = other_runs.iter().filter_map(|(seeds, b)| Some((partner(seeds)?, *b))).collect();
    let values = |runs: &[(&str, f64)]| runs.iter().map(|(_, accuracy)| *accuracy).collect::<Vec<_>>();
    Pair {
        base: measured.settings.labels[base].clone(),
        other: measured.settings.labels[other].clone(),
        difference: stats::paired(&pairs),
        hedges_g: stats::hedges_g(&values(&base_runs), &values(&other_runs)),
    }
}

impl Table {
    /// For report.json.
    pub fn json(&self) -> Value {
        let rows: Value = self.rows.iter().map(Row::json).collect();
        json!({ "line": line_json(&self.line), "rows": rows })
    }

    /// Intervals that there are, and those of them that exclude 0, as `plateau length (Spearman, all runs)`.
    pub fn intervals(&self) -> (usize, Vec<String>) {
        let mut count = 0;
        let mut excluding = vec![];
        for row in &self.rows {
            for (scope, method, found) in &row.cells {
                let Some(interval) = found.ok().and_then(|found| found.interval) else {
                    continue;
                };
                count += 1;
                if interval.excludes(0.0) {
                    excluding.push(format!("{} ({}, {})", row.title, method.name(), scope.title()));
                }
            }
        }
        (count, excluding)
    }
}

impl Row {
    fn json(&self) -> Value {
        let mut row = json!({ "quantity": self.key, "n": self.n });
        for (scope, method, found) in &self.cells {
            let cell = match found {
                Ok(found) => json!(found),
                Err(silent) => json!({ "silent": silent.to_string() }),
            };
            row[scope.key()][method.name().to_lowercase()] = cell;
        }
        row
    }
}

impl Pair {
    /// For report.json.
    pub fn json(&self) -> Value {
        let difference = match &self.difference {
            Ok(difference) => json!(difference),
            Err(silent) => json!({ "silent": silent.to_string() }),
        };
        json!({ "base": self.base, "other": self.other, "paired": difference, "hedges_g": self.hedges_g })
    }
}

/// A line for report.json.
pub fn line_json(line: &LineKey) -> Value {
    json!({
        "from": line.from,
        "to": line.to,
        "mask": line.mask,
        "hold": line.hold,
        "batch_norm": line.batch_norm,
        "split": line.split,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::groups::Settings;

    #[test]
    fn settings_are_compared_with_the_base_and_with_their_controls() {
        let labels: Vec<String> = ["uniform", "rule", "rule-control"].map(str::to_owned).to_vec();
        let measured = Measured { settings: Settings { labels, varying: vec![] }, ..Measured::default() };
        let compared = |base| -> Vec<(String, String)> {
            differences(&measured, base).into_iter().map(|pair| (pair.other, pair.base)).collect()
        };
        let named =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect::<Vec<_>>();
        let with_base = [("rule", "uniform"), ("rule-control", "uniform"), ("rule", "rule-control")];
        assert_eq!(compared(Some(0)), named(&with_base));
        let all = [("rule", "uniform"), ("rule-control", "uniform"), ("rule-control", "rule")];
        assert_eq!(compared(None), named(&all));
    }
}
