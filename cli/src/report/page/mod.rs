//! What the report says, in which order: one file for each chapter.

mod accuracy;
mod expected;
mod inside;
mod layers;
mod lines;
mod over_training;
mod shape_and_accuracy;
mod training;
mod what_was_run;

use serde_json::{Map, Value};

use super::Wishes;
use super::document::Block;
use super::gather::Gathered;
use super::measured::Measured;
use crate::plot::canvas::Canvas;
use crate::plot::svg;

/// The report with its statistics.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// What is shown.
    pub blocks: Vec<Block>,
    /// What is shown in brief, at the beginning.
    brief: Vec<String>,
    /// Everything for report.json.
    pub statistics: Value,
}

/// What chapters need.
struct Subject<'a> {
    gathered: &'a Gathered,
    measured: &'a Measured,
    wishes: &'a Wishes,
}

impl Subject<'_> {
    fn sweep(&self) -> &str {
        &self.gathered.sweep.name
    }

    fn labels(&self) -> &[String] {
        &self.measured.settings.labels
    }
}

/// Writes a chapter.
type Write = fn(&Subject<'_>) -> Chapter;

/// A chapter under way.
#[derive(Debug, Default)]
struct Chapter {
    blocks: Vec<Block>,
    brief: Vec<String>,
    statistics: Map<String, Value>,
}

impl Chapter {
    fn text(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Text(text.into()));
    }

    fn figure(&mut self, name: &str, caption: &str, canvas: &Canvas) {
        self.blocks.push(Block::Figure { name: name.to_owned(), caption: caption.to_owned(), svg: svg::svg(canvas) });
    }

    /// Figures of one kind, numbered when there are several.
    fn figures(&mut self, name: &str, caption: &str, canvases: &[Canvas]) {
        for (i, canvas) in canvases.iter().enumerate() {
            let name = if i == 0 { name.to_owned() } else { format!("{name}-{}", i + 1) };
            self.figure(&name, caption, canvas);
        }
    }
}

/// The whole report.
pub fn page(gathered: &Gathered, measured: &Measured, wishes: &Wishes) -> Page {
    let subject = Subject { gathered, measured, wishes };
    let chapters: [(&str, Write); 9] = [
        ("What was run", what_was_run::chapter),
        ("What was expected", expected::chapter),
        ("Accuracy", accuracy::chapter),
        ("Lines", lines::chapter),
        ("Shape and accuracy", shape_and_accuracy::chapter),
        ("Layers", layers::chapter),
        ("Inside the line", inside::chapter),
        ("Lines over training", over_training::chapter),
        ("Training", training::chapter),
    ];
    let mut page = Page::default();
    let mut statistics = Map::new();
    let mut body = vec![];
    for (title, chapter) in chapters {
        let chapter = chapter(&subject);
        if !chapter.blocks.is_empty() {
            body.push(Block::Chapter(title.to_owned()));
            body.extend(chapter.blocks);
        }
        page.brief.extend(chapter.brief);
        statistics.extend(chapter.statistics);
    }
    page.blocks = vec![Block::Items(std::mem::take(&mut page.brief))];
    page.blocks.extend(body);
    page.blocks.push(Block::Text(format!(
        "Written by transect {} from the stored results. docs/report.md gives every formula.",
        env!("CARGO_PKG_VERSION")
    )));
    page.statistics = Value::Object(statistics);
    page
}
