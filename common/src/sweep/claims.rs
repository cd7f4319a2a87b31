//! `[[claim]]`: what a sweep is asked, as numbers that a report can answer. Claims change no run and no line.

use serde_json::{Map, Value as Json};

use super::overlay::{flattened, undotted};
use super::report::Report;
use super::schema::{Domain, Kind, Setting};
use super::settings::{table, unknown};
use super::tree::{Node, Value};
use super::value::one;

/// Something that is expected of the runs of a sweep, with the place it is measured at.
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    /// The claim in a sentence.
    pub text: String,
    /// What is measured: `accuracy` (of the final network on the test images), or a number of a line.
    pub measure: String,
    /// The line's mask.
    pub mask: String,
    /// The line's batch-norm mode; the first that there is when absent.
    pub batch_norm: Option<String>,
    /// `train` or `test`.
    pub split: String,
    /// The line's ends, where it does not lead from `init` to `final`.
    pub ends: Option<(String, String)>,
    /// What is expected.
    pub expects: Expectation,
}

/// What a claim expects of its measure.
#[derive(Debug, Clone, PartialEq)]
pub enum Expectation {
    /// It is larger in runs with the one settings than in runs with the other that share their seeds.
    More {
        /// Settings of the larger.
        more: Map<String, Json>,
        /// Settings of the smaller.
        less: Map<String, Json>,
    },
    /// Its rank correlation with another measure over all runs has this sign, or is near 0 for `None`.
    Predicts {
        /// 1, -1 or none.
        sign: Option<f64>,
        /// The other measure: final test accuracy, or a number of the same line.
        of: String,
    },
    /// Its mean over runs with these settings lies between the two (either may be infinite).
    Between {
        /// Settings of the runs; all when empty.
        of: Map<String, Json>,
        /// Lowest mean that fits.
        low: f64,
        /// Highest mean that fits.
        high: f64,
    },
}

/// What can be measured.
const MEASURES: [&str; 17] = [
    "accuracy",
    "start",
    "barrier",
    "bump",
    "nonconvexity",
    "plateau",
    "level",
    "half_drop",
    "area",
    "set_back",
    "distance",
    "distance-relative",
    "cosine",
    "gauss-length",
    "ensemble-accuracy",
    "best-accuracy",
    "best-alpha",
];

const fn setting(name: &'static str, kind: Kind, required: bool) -> Setting {
    Setting { name, kind, required }
}

static CLAIM: [Setting; 14] = [
    setting("text", Kind::Name, true),
    setting("measure", Kind::Choice { what: "a measure", of: &MEASURES }, true),
    setting("mask", Kind::Mask, false),
    setting(
        "batch_norm",
        Kind::Choice { what: "a batch-norm mode", of: &["none", "interpolate", "recalibrate", "batch"] },
        false,
    ),
    setting("split", Kind::Choice { what: "a split", of: &["train", "test"] }, false),
    setting("from", Kind::Tag, false),
    setting("to", Kind::Tag, false),
    setting("more", Kind::Table(&[]), false),
    setting("less", Kind::Table(&[]), false),
    setting("of", Kind::Table(&[]), false),
    setting("above", Kind::Number(Domain::Finite), false),
    setting("below", Kind::Number(Domain::Finite), false),
    setting("predicts", Kind::Choice { what: "a sign", of: &["more", "less", "nothing"] }, false),
    setting("predicted", Kind::Choice { what: "a measure", of: &MEASURES }, false),
];

/// Reads every `[[claim]]`.
pub(super) fn claims(node: &Node, report: &mut Report) -> Vec<Claim> {
    let Value::List(items) = &node.value else {
        report.add(node.at, "claim", format!("must be written with two brackets, [[claim]], found {node}"));
        return vec![];
    };
    items.iter().filter_map(|item| claim(item, report)).collect()
}

fn claim(node: &Node, report: &mut Report) -> Option<Claim> {
    let entries = table("claim", node, report)?;
    let before = report.len();
    let mut read = Map::new();
    for entry in entries {
        let Some(setting) = CLAIM.iter().find(|setting| setting.name == entry.key) else {
            unknown("claim", entry, CLAIM.iter().map(|setting| setting.name), report);
            continue;
        };
        let key = format!("claim.{}", entry.key);
        let value = match (&setting.kind, &entry.node.value) {
            // A sentence is no name.
            (Kind::Name, Value::Text(text)) => Some(Json::from(text.as_str())),
            (Kind::Table(_), _) => settings(&key, &entry.node, report),
            (kind, _) => one(kind, &key, &entry.node, report).map(|value| value.json),
        };
        read.extend(value.map(|value| (entry.key.clone(), value)));
    }
    super::settings::missing("claim", node.at, entries, &CLAIM, report);
    let text = |key: &str| read.get(key).and_then(Json::as_str).map(str::to_owned);
    let map = |key: &str| read.get(key).and_then(Json::as_object).cloned();
    let number = |key: &str| read.get(key).and_then(Json::as_f64);
    let expects = match (map("more"), map("less"), text("predicts"), number("above"), number("below")) {
        (Some(more), Some(less), None, None, None) => Some(Expectation::More { more, less }),
        (None, None, Some(sign), None, None) => {
            let sign = [("more", 1.0), ("less", -1.0)].into_iter().find(|(name, _)| *name == sign);
            let of = text("predicted").unwrap_or_else(|| "accuracy".to_owned());
            Some(Expectation::Predicts { sign: sign.map(|(_, sign)| sign), of })
        }
        (None, None, None, above, below) if above.is_some() || below.is_some() => Some(Expectation::Between {
            of: map("of").unwrap_or_default(),
            low: above.unwrap_or(f64::NEG_INFINITY),
            high: below.unwrap_or(f64::INFINITY),
        }),
        _ => None,
    };
    if expects.is_none() && report.len() == before {
        let message = "expects nothing that can be answered; give more and less (settings of two kinds of runs), or predicts (\"more\", \"less\" or \"nothing\" of accuracy), or above and below";
        report.add(node.at, "claim", message);
    }
    if report.len() > before {
        return None;
    }
    let ends = text("from")
        .or_else(|| text("to"))
        .is_some()
        .then(|| (text("from").unwrap_or_else(|| "init".to_owned()), text("to").unwrap_or_else(|| "final".to_owned())));
    Some(Claim {
        text: text("text")?,
        measure: text("measure")?,
        mask: text("mask").unwrap_or_else(|| "all".to_owned()),
        batch_norm: text("batch_norm"),
        split: text("split").unwrap_or_else(|| "test".to_owned()),
        ends,
        expects: expects?,
    })
}

/// Settings of some runs, by their dotted names.
fn settings(key: &str, node: &Node, report: &mut Report) -> Option<Json> {
    let entries = undotted(table(key, node, report)?);
    let flat: Map<String, Json> = flattened(&entries).into_iter().map(|(key, node)| (key, node.json())).collect();
    if flat.is_empty() {
        report.add(node.at, key, "names no runs; give settings and their values");
        return None;
    }
    Some(Json::Object(flat))
}
