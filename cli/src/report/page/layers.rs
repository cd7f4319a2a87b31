//! Layers: how far each can be set back to its start while the rest stays trained.

use serde_json::{Value, json};

use super::{Chapter, Subject};
use crate::report::claims::line_json;
use crate::report::document::{Block, Table};
use crate::report::figures;
use crate::report::layers::{masks, masks_held_at_start, partition, set_back, spread};
use crate::report::measured::LineKey;
use crate::report::quantities::whole_lines;

/// Panels that still can be told apart on one figure.
const MOST_PANELS: usize = 64;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    held_at_end(subject, &mut chapter);
    let others = masks_held_at_start(subject.measured, subject.wishes.split);
    for (i, part) in others.chunks(MOST_PANELS).enumerate() {
        let name = if i == 0 { "layers-from-start".to_owned() } else { format!("layers-from-start-{}", i + 1) };
        let caption = "Loss along the lines of parts whose rest is held at the start, by setting.";
        let title = "loss along each part's line, rest held at the start";
        chapter.figure(&name, caption, &figures::layer_panels(subject.measured, subject.sweep(), title, part));
    }
    chapter
}

fn held_at_end(subject: &Subject<'_>, chapter: &mut Chapter) {
    let measured = subject.measured;
    let keys = masks(measured, subject.wishes.split);
    if keys.is_empty() {
        return;
    }
    let rise = subject.wishes.rise;
    chapter.text(format!(
        "Each of these lines moves one part of the network from its start (alpha = 0) to its end (alpha = 1), the rest \
         held at the end. Set-back: how far the part can go back from alpha = 1 before the {} loss rises by {rise} \
         nats; 1 means all the way, near 0 a critical part.",
        subject.wishes.split
    ));
    chapter.blocks.push(Block::Table(table(subject, &keys, rise)));
    let models = measured.runs.iter().map(|run| run.model.as_str()).collect();
    let only_layers = partition(&keys, &models);
    if let Some(canvas) = figures::set_backs(measured, subject.sweep(), &only_layers, rise) {
        let caption = format!(
            "How far each part can be set back for {rise} nats, from input to output, in the order of the table."
        );
        chapter.figure("set-back", &caption, &canvas);
    }
    let (caption, title) =
        ("Loss along each part's line, by setting.", "loss along each part's line, rest held at the end");
    for (i, part) in keys.chunks(MOST_PANELS).enumerate() {
        let name = if i == 0 { "layers".to_owned() } else { format!("layers-{}", i + 1) };
        chapter.figure(&name, caption, &figures::layer_panels(measured, subject.sweep(), title, part));
    }
    // The whole line on top of the picture, for comparison.
    for (i, norm) in norms(&keys).into_iter().enumerate() {
        let of_norm = keys.iter().filter(|key| key.batch_norm == norm);
        let whole = whole_lines(measured).into_iter().find(|key| key.split == keys[0].split && key.batch_norm == norm);
        let rows: Vec<LineKey> = whole.into_iter().chain(of_norm.cloned()).collect();
        let name = if i == 0 { "heat-map".to_owned() } else { format!("heat-map-{norm}") };
        chapter.figures(&name, "Loss by part and alpha.", &figures::heat_maps(measured, subject.sweep(), &rows));
    }
    let statistics = keys.iter().map(|key| {
        let of = |setting| spread(measured, setting, key, |_, line| set_back(line, rise));
        let settings = subject.labels().iter().enumerate().filter_map(|(setting, label)| {
            of(setting).map(|s| json!({ "setting": label, "mean": s.mean, "sd": s.sd, "n": s.n }))
        });
        json!({ "line": line_json(key), "rise": rise, "set_back": settings.collect::<Value>() })
    });
    chapter.statistics.insert("layers".to_owned(), statistics.collect());
}

fn norms(keys: &[LineKey]) -> Vec<String> {
    let mut norms: Vec<String> = keys.iter().map(|key| key.batch_norm.clone()).collect();
    norms.dedup();
    norms
}

fn table(subject: &Subject<'_>, keys: &[LineKey], rise: f64) -> Table {
    let mut header = vec!["part".to_owned()];
    header.extend(subject.labels().iter().cloned());
    let many_modes = norms(keys).len() > 1;
    let row = |key: &LineKey| {
        let mut row = vec![if many_modes { format!("{} ({})", key.mask, key.batch_norm) } else { key.mask.clone() }];
        row.extend((0..subject.labels().len()).map(|setting| {
            let spread = spread(subject.measured, setting, key, |_, line| set_back(line, rise));
            spread.map_or_else(|| "-".to_owned(), |spread| spread.text(1.0, 3))
        }));
        row
    };
    let caption = format!("Set-back for a rise of {rise} nats: mean ± standard deviation over runs.");
    Table { caption, header, rows: keys.iter().map(row).collect(), words: 1 }
}
