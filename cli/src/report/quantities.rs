//! The numbers of a whole line that are held against test accuracy: the shape of its loss, and what the store has
//! measured of the line itself.

use std::collections::BTreeSet;

use transect_common::shape::{Shape, uniform_loss};

use super::measured::{Line, LineKey, Measured, Run};

/// One number of a line.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// As in report.json and runs.csv.
    pub key: String,
    /// For people.
    pub title: String,
    /// `nats`, `alpha` or empty.
    pub unit: &'static str,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Shape(fn(&Shape) -> Option<f64>),
    /// The plateau's level less ln(classes).
    Level,
    Stored(String),
}

impl Quantity {
    /// The number, where the line has it and it is finite.
    pub fn of(&self, run: &Run, line: &Line) -> Option<f64> {
        let value = match &self.source {
            Source::Shape(of) => line.told().and_then(of),
            Source::Level => Some(line.told()?.level? - uniform_loss(run.classes?)),
            Source::Stored(name) => line.measures.get(name).copied(),
        };
        value.filter(|value| value.is_finite())
    }

    /// `bump height (nats)`.
    pub fn with_unit(&self) -> String {
        if self.unit.is_empty() { self.title.clone() } else { format!("{} ({})", self.title, self.unit) }
    }
}

/// Every number that some run has, shapes first.
pub fn quantities(measured: &Measured) -> Vec<Quantity> {
    let shape = |key: &str, title: &str, unit, of| Quantity {
        key: key.to_owned(),
        title: title.to_owned(),
        unit,
        source: Source::Shape(of),
    };
    let mut all = vec![
        shape("start", "loss at alpha 0", "nats", |s| Some(s.start)),
        shape("barrier", "barrier above the chord", "nats", |s| Some(s.barrier)),
        shape("bump", "bump height", "nats", |s| Some(s.bump)),
        shape("nonconvexity", "nonconvexity", "nats", |s| Some(s.nonconvexity)),
        shape("plateau", "plateau length", "alpha", |s| s.plateau),
        Quantity {
            key: "level".to_owned(),
            title: "plateau level - ln(classes)".to_owned(),
            unit: "nats",
            source: Source::Level,
        },
        shape("half_drop", "half-drop", "alpha", |s| s.half_drop),
        shape("area", "area under the curve", "", |s| s.area),
    ];
    let lines = measured.runs.iter().flat_map(|run| run.lines.iter()).filter(|(key, _)| key.is_whole());
    // How a grid was refined says nothing of the line.
    let names: BTreeSet<&String> =
        lines.flat_map(|(_, line)| line.measures.keys()).filter(|name| !name.starts_with("refine-")).collect();
    all.extend(names.into_iter().map(|name| Quantity {
        key: name.clone(),
        title: name.replace('-', " "),
        unit: if name.ends_with("loss") { "nats" } else { "" },
        source: Source::Stored(name.clone()),
    }));
    all
}

/// Those of [`quantities`] that say how the line runs: not how well the network does, nor points of it.
pub fn predictors(measured: &Measured) -> Vec<Quantity> {
    let outcome = |quantity: &Quantity| ["ensemble-", "best-"].iter().any(|what| quantity.key.starts_with(what));
    quantities(measured).into_iter().filter(|quantity| !outcome(quantity)).collect()
}

/// Whole lines that the claims are about, in the order in which they are shown: test before train. Lines to or from a
/// moment in the middle of training are left to the chapter on training where there are others.
pub fn whole_lines(measured: &Measured) -> Vec<LineKey> {
    let keys: BTreeSet<&LineKey> = measured.runs.iter().flat_map(|run| run.lines.keys()).collect();
    let whole: Vec<&LineKey> = keys.into_iter().filter(|key| key.is_whole()).collect();
    let passes = |key: &LineKey| is_moment(&key.from) || is_moment(&key.to);
    let any_to_the_end = whole.iter().any(|key| !passes(key));
    let mut chosen: Vec<LineKey> = whole.into_iter().filter(|key| !any_to_the_end || !passes(key)).cloned().collect();
    let rank = |key: &LineKey| (key.from != "init", key.to != "final", key.split != "test");
    chosen.sort_by_key(|key| (rank(key), key.clone()));
    chosen
}

/// True for the tag of a checkpoint in the middle of training.
pub fn is_moment(tag: &str) -> bool {
    moment(tag).is_some()
}

/// For `epoch-3` or `step-100`, its kind and number.
pub fn moment(tag: &str) -> Option<(&str, u64)> {
    let (kind, number) = tag.split_once('-')?;
    ["epoch", "step"].contains(&kind).then_some(())?;
    Some((kind, number.parse().ok()?))
}
