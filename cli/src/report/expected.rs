//! What a sweep file expects (`[[claim]]`), answered with intervals: it agrees, it does not, or there is too little to tell.

use serde_json::{Map, Value, json};
use transect_common::stats::{self, Interval, Method, Silent};
use transect_common::sweep::{Claim, Expectation};

use super::layers::set_back;
use super::measured::{Line, LineKey, Measured, Run};
use super::quantities::{Quantity, quantities};

/// Two numbers whose rank correlation is within this of 0 with all its interval have nothing to do with each other.
const NEAR_NOTHING: f64 = 0.5;

/// How what was expected turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of the interval is where it was expected.
    Agrees,
    /// None of it is.
    Disagrees,
    /// It lies on both sides, or there is none.
    CannotTell,
}

impl Verdict {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Disagrees => "does not agree",
            Self::CannotTell => "cannot tell",
        }
    }
}

/// One claim with its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The claim in a sentence.
    pub text: String,
    /// What was seen, in numbers.
    pub seen: String,
    /// Number of runs, or of pairs of runs.
    pub n: usize,
    /// How it turned out.
    pub verdict: Verdict,
    numbers: Value,
}

impl Answer {
    /// For report.json.
    pub fn json(&self) -> Value {
        json!({ "claim": self.text, "verdict": self.verdict.text(), "n": self.n, "numbers": self.numbers })
    }
}

/// Answers a claim from what was measured; `rise` is that of the layers' set-back, in nats.
pub fn answer(measured: &Measured, claim: &Claim, rise: f64) -> Answer {
    let quantities = quantities(measured);
    let number = |run: &Run, measure: &str| number(&quantities, run, claim, measure, rise);
    let of = |run: &Run| number(run, &claim.measure);
    let (seen, n, verdict, numbers) = match &claim.expects {
        Expectation::More { more, less } => {
            let pairs = pairs(measured, less, more, &of);
            match stats::paired(&pairs) {
                Ok(difference) => {
                    let Interval { low, high } = difference.student;
                    let verdict = verdict(low > 0.0, high < 0.0);
                    let seen = format!("by {} [{}, {}]", shown(difference.mean), shown(low), shown(high));
                    (seen, pairs.len(), verdict, json!(difference))
                }
                Err(silent) => silent_about(silent, pairs.len()),
            }
        }
        Expectation::Predicts { sign, of: other } => {
            let pair = |run: &Run| Some((of(run)?, number(run, other)?));
            let values: Vec<(f64, f64)> = measured.runs.iter().filter_map(pair).collect();
            let (x, y): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
            match stats::across(&x, &y, Method::Spearman) {
                Ok(found) => {
                    let verdict = found.interval.map_or(Verdict::CannotTell, |interval| match sign {
                        Some(sign) => {
                            let (low, high) = (sign * interval.low, sign * interval.high);
                            verdict(low.min(high) > 0.0, low.max(high) < 0.0)
                        }
                        None => verdict(
                            interval.low > -NEAR_NOTHING && interval.high < NEAR_NOTHING,
                            interval.excludes(0.0),
                        ),
                    });
                    let interval =
                        found.interval.map_or_else(String::new, |i| format!(" [{}, {}]", shown(i.low), shown(i.high)));
                    (format!("rank correlation {}{interval}", shown(found.value)), x.len(), verdict, json!(found))
                }
                Err(silent) => silent_about(silent, x.len()),
            }
        }
        Expectation::Between { of: settings, low, high } => {
            let values: Vec<f64> = measured.runs.iter().filter(|run| has(run, settings)).filter_map(&of).collect();
            // A mean with its interval is the paired difference to 0.
            let pairs: Vec<(f64, f64)> = values.iter().map(|&value| (0.0, value)).collect();
            match stats::paired(&pairs) {
                Ok(mean) => {
                    let interval = mean.student;
                    let is_inside = *low <= interval.low && interval.high <= *high;
                    let verdict = verdict(is_inside, interval.high < *low || *high < interval.low);
                    let seen = format!("{} [{}, {}]", shown(mean.mean), shown(interval.low), shown(interval.high));
                    (seen, values.len(), verdict, json!(mean))
                }
                Err(silent) => silent_about(silent, values.len()),
            }
        }
    };
    Answer { text: claim.text.clone(), seen, n, verdict, numbers }
}

fn verdict(agrees: bool, disagrees: bool) -> Verdict {
    match (agrees, disagrees) {
        (true, _) => Verdict::Agrees,
        (_, true) => Verdict::Disagrees,
        _ => Verdict::CannotTell,
    }
}

fn silent_about(silent: Silent, n: usize) -> (String, usize, Verdict, Value) {
    let numbers = json!({ "silent": silent.to_string() });
    (silent.to_string(), n, Verdict::CannotTell, numbers)
}

fn shown(value: f64) -> String {
    format!("{value:.3}")
}

/// A measure of one run, on the claim's line.
fn number(quantities: &[Quantity], run: &Run, claim: &Claim, measure: &str, rise: f64) -> Option<f64> {
    if measure == "accuracy" {
        return run.accuracy();
    }
    let line = line(run, claim)?;
    if measure == "set_back" {
        return set_back(line, rise);
    }
    quantities.iter().find(|quantity| quantity.key == measure)?.of(run, line)
}

/// The line that a claim is about: held at its end where it does not move as a whole.
fn line<'r>(run: &'r Run, claim: &Claim) -> Option<&'r Line> {
    let (from, to) = claim.ends.clone().unwrap_or_else(|| ("init".to_owned(), "final".to_owned()));
    let fits = |key: &LineKey| {
        let ends = key.from == from && key.to == to && key.mask == claim.mask && key.split == claim.split;
        let is_held = key.hold.is_empty() || key.hold == to;
        ends && is_held && claim.batch_norm.as_ref().is_none_or(|mode| *mode == key.batch_norm)
    };
    // Modes are in the order of their names; interpolated statistics are what is meant when nothing is said.
    let mut lines: Vec<_> = run.lines.iter().filter(|(key, _)| fits(key)).collect();
    lines.sort_by_key(|(key, _)| key.batch_norm != "interpolate");
    lines.first().map(|(_, line)| *line)
}

/// True when the run has these settings.
fn has(run: &Run, settings: &Map<String, Value>) -> bool {
    settings.iter().all(|(key, wanted)| {
        run.values.get(key).is_some_and(|value| match (value.as_f64(), wanted.as_f64()) {
            (Some(a), Some(b)) => a == b,
            _ => value == wanted,
        })
    })
}

/// The number in runs with each of two settings that share everything else: seeds, and what neither names.
fn pairs(
    measured: &Measured,
    less: &Map<String, Value>,
    more: &Map<String, Value>,
    of: &impl Fn(&Run) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let rest = |run: &Run| -> Vec<(String, String)> {
        let is_rest = |key: &String| !less.contains_key(key) && !more.contains_key(key);
        run.values.iter().filter(|(key, _)| is_rest(key)).map(|(k, v)| (k.clone(), v.to_string())).collect()
    };
    let others: Vec<&Run> = measured.runs.iter().filter(|run| has(run, more)).collect();
    measured
        .runs
        .iter()
        .filter(|run| has(run, less))
        .filter_map(|run| {
            let partner = others.iter().find(|other| other.seeds == run.seeds && rest(other) == rest(run))?;
            Some((of(run)?, of(partner)?))
        })
        .collect()
}
