//! Lines to (or from) several moments of training, as a surface over alpha and training time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Chapter, Subject};
use crate::report::claims::line_json;
use crate::report::document::{Block, Table};
use crate::report::figures;
use crate::report::layers::spread;
use crate::report::measured::LineKey;
use crate::report::quantities::moment;

/// Moments that make a surface.
const FEWEST: usize = 3;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let mut statistics = vec![];
    for (i, (keys, is_end)) in series(subject).into_iter().enumerate() {
        let moment = move |key: &LineKey| if is_end { key.to.clone() } else { key.from.clone() };
        let what = if is_end {
            format!("from {} to each moment", keys[0].from)
        } else {
            format!("from each moment to {}", keys[0].to)
        };
        let name = if i == 0 { "surface".to_owned() } else { format!("surface-{}", i + 1) };
        let canvases = figures::surfaces(subject.measured, subject.sweep(), &keys, moment);
        chapter.figures(&name, &format!("Loss along the line {what}, {} split.", keys[0].split), &canvases);
        chapter.blocks.push(Block::Table(table(subject, &keys, &what, moment)));
        let bump =
            |key: &LineKey, setting| spread(subject.measured, setting, key, |_, line| line.told().map(|s| s.bump));
        statistics.extend(keys.iter().map(|key| {
            let settings = subject.labels().iter().enumerate().filter_map(|(setting, label)| {
                bump(key, setting).map(|s| json!({ "setting": label, "mean": s.mean, "sd": s.sd, "n": s.n }))
            });
            json!({ "line": line_json(key), "bump": settings.collect::<Value>() })
        }));
    }
    if !statistics.is_empty() {
        chapter.statistics.insert("over_training".to_owned(), Value::from(statistics));
    }
    chapter
}

/// Whole lines that share one end and run to at least [`FEWEST`] moments at the other, by time; true when the moments
/// are at alpha = 1.
fn series(subject: &Subject<'_>) -> Vec<(Vec<LineKey>, bool)> {
    let keys: BTreeSet<&LineKey> = subject.measured.runs.iter().flat_map(|run| run.lines.keys()).collect();
    let whole: Vec<&LineKey> =
        keys.into_iter().filter(|key| key.is_whole() && key.split == subject.wishes.split).collect();
    let mut found: Vec<(Vec<LineKey>, bool)> = vec![];
    for is_end in [true, false] {
        let fixed = |key: &LineKey| {
            let shared = if is_end { key.from.clone() } else { key.to.clone() };
            (shared, key.batch_norm.clone())
        };
        let moving = |key: &LineKey| if is_end { key.to.clone() } else { key.from.clone() };
        let ends: BTreeSet<_> = whole.iter().map(|key| fixed(key)).collect();
        for end in ends {
            let mut keys: Vec<LineKey> =
                whole.iter().filter(|key| fixed(key) == end).map(|key| (*key).clone()).collect();
            let rank = |tag: &str| match (tag, moment(tag)) {
                ("init", _) => (0, String::new(), 0),
                (_, Some((kind, number))) => (1, kind.to_owned(), number),
                _ => (2, tag.to_owned(), 0),
            };
            keys.sort_by_key(|key| rank(&moving(key)));
            let passing = keys.iter().filter(|key| moment(&moving(key)).is_some()).count();
            if keys.len() >= FEWEST && passing >= 2 {
                found.push((keys, is_end));
            }
        }
    }
    found
}

fn table(subject: &Subject<'_>, keys: &[LineKey], what: &str, moment: impl Fn(&LineKey) -> String) -> Table {
    let mut header = vec!["moment".to_owned()];
    header.extend(subject.labels().iter().cloned());
    let row = |key: &LineKey| {
        let mut row = vec![moment(key)];
        row.extend((0..subject.labels().len()).map(|setting| {
            let bump = spread(subject.measured, setting, key, |_, line| line.told().map(|shape| shape.bump));
            bump.map_or_else(|| "-".to_owned(), |bump| bump.text(1.0, 3))
        }));
        row
    };
    let caption = format!("Bump height in nats on the line {what}: mean ± standard deviation over runs.");
    Table { caption, header, rows: keys.iter().map(row).collect(), words: 1 }
}
