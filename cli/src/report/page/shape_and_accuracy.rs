//! Does the shape of the line go with test accuracy?

use serde_json::Value;
use transect_common::stats::{Correlation, Method, Silent};

use super::{Chapter, Subject};
use crate::report::claims::{self, Row, Scope, Table as Found};
use crate::report::document::{Block, Table};
use crate::report::figures;
use crate::report::quantities::{predictors, whole_lines};

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let mut chapter = Chapter::default();
    let lines = whole_lines(subject.measured);
    let quantities = predictors(subject.measured);
    let mut found = vec![];
    let mut distances = vec![];
    for line in &lines {
        let against = claims::against_accuracy(subject.measured, line, &quantities);
        if !against.rows.is_empty() {
            found.push(against);
        }
        let bumps = claims::bumps_and_distances(subject.measured, line, &quantities);
        if !bumps.rows.is_empty() {
            distances.push(bumps);
        }
    }
    if found.is_empty() {
        return chapter;
    }
    let scatter = lines.first().and_then(|line| figures::scatter(subject.measured, subject.sweep(), line, &quantities));
    if let Some(canvas) = scatter {
        let caption = "Final test accuracy against each number of the line, a dot for each run.";
        chapter.figure("scatter", caption, &canvas);
    }
    tables(&mut chapter, &found, "final test accuracy");
    if !distances.is_empty() {
        chapter.blocks.push(Block::Section("Distance and bumps".to_owned()));
        tables(&mut chapter, &distances, "bump height");
    }
    chapter.statistics.insert("correlations".to_owned(), found.iter().map(Found::json).collect());
    chapter.statistics.insert("distance_and_bump".to_owned(), distances.iter().map(Found::json).collect::<Value>());
    chapter
}

/// Tables, and what to make of the intervals in all of them together.
fn tables(chapter: &mut Chapter, found: &[Found], with: &str) {
    let (mut intervals, mut excluding) = (0, 0);
    for one in found {
        let (count, names) = one.intervals();
        intervals += count;
        excluding += names.len();
        chapter.blocks.push(Block::Table(table(one, with)));
    }
    if intervals == 0 {
        let cells = || found.iter().flat_map(|one| &one.rows).flat_map(|row| &row.cells);
        let reasons = || cells().filter_map(|(.., cell)| cell.err());
        let reason = reasons().find(|reason| *reason != Silent::Constant).or_else(|| reasons().next());
        let reason = reason.map(|silent| format!(": {silent}")).unwrap_or_default();
        chapter.text(format!("No correlation with {with} can be stated{reason}."));
        chapter.brief.push(format!("Nothing can be said about correlations with {with}{reason}."));
        return;
    }
    let chance = intervals as f64 * (1.0 - transect_common::stats::bootstrap::CONFIDENCE);
    let sentence = format!(
        "{excluding} of {intervals} intervals of correlations with {with} exclude 0; about {chance:.0} would by chance \
         if nothing went together."
    );
    chapter.brief.push(sentence.clone());
    chapter.text(format!(
        "{sentence} Intervals are percentile bootstrap, 10,000 resamples of the runs; at 5 to 10 runs they are rough. \
         Within settings: each setting's own level is taken away first, so that only differences between seeds count. \
         A dash: too few runs or settings, or the same value in all. No interval: too few runs \
         differ."
    ));
}

fn table(found: &Found, with: &str) -> Table {
    let shown: Vec<(Scope, Method)> =
        Scope::ALL.into_iter().flat_map(|scope| Method::ALL.map(|method| (scope, method))).collect();
    let mut header = vec!["quantity".to_owned(), "n".to_owned()];
    header.extend(shown.iter().map(|(scope, method)| format!("{}, {}", method.name(), scope.title())));
    let row = |row: &Row| {
        let mut cells = vec![row.title.clone(), row.n.to_string()];
        cells.extend(shown.iter().map(|&(scope, method)| row.cell(scope, method).map_or_else(String::new, cell)));
        cells
    };
    let caption = format!(
        "Correlation with {with} of the {} loss from {}: value [95 % interval].",
        found.line.split,
        found.line.ends()
    );
    Table { caption, header, rows: found.rows.iter().map(row).collect(), words: 1 }
}

fn cell(found: &Result<Correlation, Silent>) -> String {
    match found {
        Ok(Correlation { value, interval: Some(interval), .. }) => {
            format!("{value:+.2} [{:+.2}, {:+.2}]", interval.low, interval.high)
        }
        Ok(Correlation { value, interval: None, .. }) => format!("{value:+.2} [no interval]"),
        Err(_) => "-".to_owned(),
    }
}
