//! `[schedule]`: when and where a sweep's jobs run. It changes no run and no line.

use serde_json::Value as Json;

use super::report::Report;
use super::schema::{Domain, Kind, Setting};
use super::settings::{table, unknown};
use super::tree::{Node, Value};
use super::value::one;
use crate::schedule::{MAX_PRIORITY, MAX_SHARE, Schedule};

const fn setting(name: &'static str, kind: Kind) -> Setting {
    Setting { name, kind, required: false }
}

pub(super) static SCHEDULE: [Setting; 6] = [
    setting("priority", Kind::Number(Domain::Finite)),
    setting("share", Kind::Number(Domain::Positive)),
    setting("max_workers", Kind::Whole { min: 1, max: 1_000_000 }),
    setting("device", Kind::Choice { what: "a kind of device", of: &["cpu", "cuda"] }),
    setting("memory", Kind::Name),
    setting("labels", Kind::List { of: &Kind::Name, most: 32, distinct: true }),
];

/// Reads the table.
pub(super) fn schedule(node: &Node, report: &mut Report) -> Schedule {
    let mut schedule = Schedule::default();
    for entry in table("schedule", node, report).unwrap_or_default() {
        let Some(setting) = SCHEDULE.iter().find(|setting| setting.name == entry.key) else {
            unknown("schedule", entry, SCHEDULE.iter().map(|setting| setting.name), report);
            continue;
        };
        let (key, at) = (format!("schedule.{}", entry.key), entry.node.at);
        if setting.name == "memory" {
            let size = if let Value::Text(text) = &entry.node.value { bytes(text) } else { None };
            match size {
                Some(bytes) => schedule.requires.memory_bytes = bytes,
                None => report.add(at, &key, "must be a size such as \"16 GiB\" (MiB, GiB or TiB, above 0)"),
            }
            continue;
        }
        let Some(value) = one(&setting.kind, &key, &entry.node, report).map(|value| value.json) else {
            continue;
        };
        match (setting.name, &value) {
            ("priority", value) => match value
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() <= f64::from(MAX_PRIORITY))
            {
                Some(priority) => schedule.priority = priority as i32,
                None => report.add(at, &key, format!("must be a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}")),
            },
            ("share", value) => match value.as_f64().filter(|share| *share <= MAX_SHARE) {
                Some(share) => schedule.share = share,
                None => report.add(at, &key, format!("must be above 0 and at most {MAX_SHARE}")),
            },
            ("max_workers", value) => schedule.max_workers = value.as_u64().and_then(|most| u32::try_from(most).ok()),
            ("device", Json::String(kind)) => schedule.requires.device = Some(kind.clone()),
            (_, Json::Array(labels)) => {
                schedule.requires.labels = labels.iter().filter_map(Json::as_str).map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    schedule
}

/// A size with its unit.
fn bytes(text: &str) -> Option<u64> {
    let unit = text.find(|c: char| c.is_ascii_alphabetic())?;
    let factor = match &text[unit..] {
        "MiB" => 1_u64 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    let number: f64 = text[..unit].trim().parse().ok()?;
    let bytes = number * factor as f64;
    (number > 0.0 && bytes < 1e18).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_carry_their_unit() {
        assert_eq!(bytes("16 GiB"), Some(16 << 30));
        assert_eq!(bytes("0.5GiB"), Some(512 << 20));
        assert_eq!(bytes("80 MiB"), Some(80 << 20));
        for wrong in ["16", "GiB", "16 GB", "-1 GiB", "0 GiB", "1e30 TiB", "nan GiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
