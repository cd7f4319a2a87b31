//! Whole lines: how the loss runs from one end to the other, and what its shape is called in numbers.

use serde_json::{Value, json};

use super::{Chapter, Subject};
use crate::report::claims::line_json;
use crate::report::document::{Block, Table};
use crate::report::figures;
use crate::report::layers;
use crate::report::measured::LineKey;
use crate::report::quantities::{quantities, whole_lines};

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let keys = whole_lines(subject.measured);
    if keys.is_empty() {
        return chapter;
    }
    let caption = "Loss along the line on which everything moves, by setting. The grey line marks ln(classes).";
    chapter.figure("lines", caption, &figures::lines(subject.measured, subject.sweep(), &keys));
    let mut statistics = vec![];
    for key in &keys {
        let (table, rows) = table(subject, key);
        statistics.push(json!({ "line": line_json(key), "settings": rows }));
        if key.split == subject.wishes.split || keys.iter().all(|key| key.split != subject.wishes.split) {
            chapter.blocks.push(Block::Table(table));
            chapter.brief.push(brief(subject, key));
        }
    }
    chapter.statistics.insert("shapes".to_owned(), Value::from(statistics));
    chapter.text(
        "Barrier: greatest height above the straight line between the ends. Bump: greatest rise. Falls: runs whose loss \
         never rises by more than 0.001 nats. Nonconvexity: greatest height above any chord. Plateau: longest stretch \
         before the fall on which the loss changes by at most 5 % of its drop; its level is given less the loss of a \
         network that knows nothing, ln(classes). Half-drop: where half the drop is done. Area: under the curve, scaled \
         to its drop.",
    );
    if let Some(saved) = &subject.measured.saved {
        chapter.text(saved);
    }
    chapter
}

fn table(subject: &Subject<'_>, key: &LineKey) -> (Table, Value) {
    let quantities = quantities(subject.measured);
    let mut header = vec!["setting".to_owned(), "n".to_owned(), "falls".to_owned()];
    header.extend(quantities.iter().map(|quantity| quantity.title.clone()));
    let mut rows = vec![];
    let mut statistics = vec![];
    for (setting, label) in subject.labels().iter().enumerate() {
        let lines =
            subject.measured.runs.iter().filter(|run| run.setting == setting).filter_map(|run| run.lines.get(key));
        let shapes: Vec<_> = lines.collect();
        if shapes.is_empty() {
            continue;
        }
        let told: Vec<_> = shapes.iter().filter_map(|line| line.told()).collect();
        let falling = told.iter().filter(|shape| shape.monotonic).count();
        let mut row = vec![label.clone(), shapes.len().to_string(), format!("{falling}/{}", told.len())];
        let mut entry = json!({ "setting": label, "n": shapes.len(), "shapes": told.len(), "monotonic": falling });
        for quantity in &quantities {
            let spread = layers::spread(subject.measured, setting, key, |run, line| quantity.of(run, line));
            row.push(spread.map_or_else(|| "-".to_owned(), |spread| spread.text(1.0, 3)));
            entry[&quantity.key] = json!(spread.map(|s| json!({ "mean": s.mean, "sd": s.sd, "n": s.n })));
        }
        rows.push(row);
        statistics.push(entry);
    }
    let caption = format!(
        "Shape of the {} loss from {}: mean ± standard deviation over runs, heights in nats, lengths in alpha.",
        key.split,
        key.ends()
    );
    (Table { caption, header, rows, words: 1 }, Value::from(statistics))
}

fn brief(subject: &Subject<'_>, key: &LineKey) -> String {
    let shapes: Vec<_> = subject.measured.runs.iter().filter_map(|run| run.lines.get(key)?.told()).collect();
    let falling = shapes.iter().filter(|shape| shape.monotonic).count();
    let bump = shapes.iter().map(|shape| shape.bump).fold(0.0, f64::max);
    let plateaus: Vec<f64> = shapes.iter().filter_map(|shape| shape.plateau).collect();
    let plateau = transect_common::stats::mean(&plateaus)
        .map_or_else(String::new, |p| format!("; the mean plateau is {p:.2} long"));
    format!(
        "The {} loss from {} falls without a rise in {falling} of {} runs; the largest rise is {bump:.3} nats{plateau}.",
        key.split,
        key.ends(),
        shapes.len()
    )
}
