//! Does any point inside the line, or the mean of several, beat its end?

use serde_json::{Value, json};
use transect_common::stats::{self, Difference, Silent};

use super::claims::line_json;
use super::measured::{Line, LineKey, Measured, Run};

/// One setting's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Inside {
    /// The setting's name.
    pub setting: String,
    /// The line, on the test split.
    pub line: LineKey,
    /// Gain in test accuracy at the alpha in (0, 1) that is best on the test images themselves: looks better than it is,
    /// because the best of many is chosen after the fact.
    pub best: Option<Gain>,
    /// Gain in test accuracy at the alpha that is best on the training images, the end among the candidates.
    pub chosen: Option<Gain>,
    /// Gain of the mean of the outputs over the line's points.
    pub ensemble: Option<Gain>,
}

/// Accuracy less that at alpha = 1, over the runs of a setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Gain {
    /// Number of runs in which it is above 0.
    pub above: usize,
    /// Number of runs.
    pub n: usize,
    /// Over runs.
    pub difference: Result<Difference, Silent>,
    /// Mean over runs.
    pub mean: f64,
}

impl Gain {
    fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let mean = stats::mean(&pairs.iter().map(|(end, other)| other - end).collect::<Vec<_>>())?;
        let above = pairs.iter().filter(|(end, other)| other > end).count();
        Some(Self { above, n: pairs.len(), difference: stats::paired(pairs), mean })
    }

    fn json(&self) -> Value {
        let difference = match &self.difference {
            Ok(difference) => json!(difference),
            Err(silent) => json!({ "silent": silent.to_string() }),
        };
        json!({ "runs_above": self.above, "n": self.n, "mean": self.mean, "paired": difference })
    }
}

/// One row for each setting that has the line, which is one of the test split.
pub fn inside(measured: &Measured, line: &LineKey) -> Vec<Inside> {
    let train = LineKey { split: "train".to_owned(), ..line.clone() };
    let setting = |(setting, label): (usize, &String)| {
        let runs: Vec<&Run> = measured.runs.iter().filter(|run| run.setting == setting).collect();
        let gains = |other: &dyn Fn(&Run, &Line) -> Option<f64>| {
            let pair = |run: &&Run| {
                let on_test = run.lines.get(line)?;
                Some((accuracy(on_test, 1.0)?, other(run, on_test)?))
            };
            Gain::of(&runs.iter().filter_map(pair).collect::<Vec<_>>())
        };
        let best = gains(&|_, on_test| {
            let inside = on_test.points.iter().filter(|(alpha, ..)| 0.0 < *alpha && *alpha < 1.0);
            inside.map(|&(.., accuracy)| accuracy).max_by(f64::total_cmp)
        });
        let chosen = gains(&|run, on_test| {
            let candidates = run.lines.get(&train)?.points.iter().filter(|(alpha, ..)| (0.0..=1.0).contains(alpha));
            // The last of equals: the nearest to the end.
            let (alpha, ..) = candidates.max_by(|a, b| a.2.total_cmp(&b.2))?;
            accuracy(on_test, *alpha)
        });
        let ensemble = gains(&|_, on_test| on_test.measures.get("ensemble-accuracy").copied());
        best.is_some().then(|| Inside { setting: label.clone(), line: line.clone(), best, chosen, ensemble })
    };
    measured.settings.labels.iter().enumerate().filter_map(setting).collect()
}

fn accuracy(line: &Line, alpha: f64) -> Option<f64> {
    line.points.iter().find(|point| point.0 == alpha).map(|&(.., accuracy)| accuracy)
}

impl Inside {
    /// For report.json.
    pub fn json(&self) -> Value {
        json!({
            "setting": self.setting,
            "line": line_json(&self.line),
            "best_on_test": self.best.as_ref().map(Gain::json),
            "chosen_on_train": self.chosen.as_ref().map(Gain::json),
            "ensemble": self.ensemble.as_ref().map(Gain::json),
        })
    }
}
