//! What was measured: one JSON line for each figure, and a table of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Between these lines a document holds what [`write_table`] writes; the rest of it is kept.
const BEGIN: &str = "<!-- figures: written by `make scale` -->";
const END: &str = "<!-- end of figures -->";

/// One measured number.
#[expect(clippy::struct_field_names, reason = "the names of the JSON objects")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is.
    pub figure: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// `sqlite` or `postgres`.
    pub store: String,
    /// It should stay below this; absent where nothing was promised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// How it was measured, in a few words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub how: String,
    /// Where.
    pub machine: String,
    /// When: RFC 3339, UTC.
    pub date: String,
}

/// Figures of one store as they come.
#[derive(Debug)]
pub struct Report {
    store: String,
    machine: String,
    date: String,
    /// In the order in which they were measured.
    pub figures: Vec<Figure>,
}

impl Report {
    /// Nothing yet.
    pub fn new(store: &str, machine: &str, date: &str) -> Self {
        Self { store: store.to_owned(), machine: machine.to_owned(), date: date.to_owned(), figures: vec![] }
    }

    /// Notes a figure, and prints it.
    pub fn add(&mut self, figure: &str, value: f64, unit: &str, target: Option<f64>, how: &str) {
        let figure = Figure {
            figure: figure.to_owned(),
            value: rounded(value),
            unit: unit.to_owned(),
            store: self.store.clone(),
            target,
            how: how.to_owned(),
            machine: self.machine.clone(),
            date: self.date.clone(),
        };
        let target = figure.target.map_or_else(String::new, |target| {
            let verdict = if figure.value < target { "ok" } else { "MISSED" };
            format!("  (below {target}: {verdict})")
        });
        println!("  {:<34} {:>12} {:<12}{target}", figure.figure, figure.value, figure.unit);
        self.figures.push(figure);
    }
}

/// To four significant digits: the rest is noise.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The lines of a file; none where there is no file.
pub fn read(path: &Path) -> anyhow::Result<Vec<Figure>> {
    if !path.exists() {
        return Ok(vec![]);
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let line = |line: &str| serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()));
    text.lines().filter(|line| !line.trim().is_empty()).map(line).collect()
}

/// Figures that were measured before, with those that were measured again in their places and new ones at the end.
pub fn merge(mut old: Vec<Figure>, new: Vec<Figure>) -> Vec<Figure> {
    for figure in new {
        match old.iter_mut().find(|known| (&known.figure, &known.store) == (&figure.figure, &figure.store)) {
            Some(known) => *known = figure,
            None => old.push(figure),
        }
    }
    old
}

/// Writes figures, one a line.
pub fn write_lines(path: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let mut text = String::new();
    for figure in figures {
        text.push_str(&serde_json::to_string(figure)?);
        text.push('\n');
    }
    replace(path, &text)
}

/// Puts the table of `figures` between the marks of the document at `path`, which is made where it is missing.
pub fn write_table(path: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let old = if path.exists() { std::fs::read_to_string(path)? } else { format!("# Scale\n\n{BEGIN}\n{END}\n") };
    let new = with_table(&old, &table(figures)).with_context(|| {
        format!("{} has lost the lines `{BEGIN}` and `{END}`, between which the table belongs", path.display())
    })?;
    replace(path, &new)
}

fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || -> std::io::Result<()> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let beside = PathBuf::from(format!("{}.new", path.display()));
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// The document with another table between its marks; None where it has none.
fn with_table(document: &str, table: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

/// One row for each figure, one column for each store.
fn table(figures: &[Figure]) -> String {
    let mut stores: Vec<&str> = figures.iter().map(|figure| figure.store.as_str()).collect();
    stores.sort_unstable_by_key(|store| (*store != "sqlite", *store));
    stores.dedup();
    let mut names: Vec<&str> = vec![];
    let mut cells: BTreeMap<(&str, &str), &Figure> = BTreeMap::new();
    for figure in figures {
        if !names.contains(&figure.figure.as_str()) {
            names.push(&figure.figure);
        }
        cells.insert((&figure.figure, &figure.store), figure);
    }
    let mut text = format!("\n| figure | unit | target | {} | how |\n", stores.join(" | "));
    text.push_str(&format!("|---|---|---|{}---|\n", "--:|".repeat(stores.len())));
    for name in names {
        let of_store = |store: &&str| cells.get(&(name, *store)).copied();
        let Some(any) = stores.iter().find_map(of_store) else { continue };
        let target = any.target.map_or_else(String::new, |target| format!("< {target}"));
        let values: Vec<String> = stores
            .iter()
            .map(|store| match of_store(store) {
                Some(figure) if figure.target.is_some_and(|target| figure.value >= target) => {
                    format!("**{}** (missed)", figure.value)
                }
                Some(figure) => figure.value.to_string(),
                None => "-".to_owned(),
            })
            .collect();
        text.push_str(&format!("| `{name}` | {} | {target} | {} | {} |\n", any.unit, values.join(" | "), any.how));
    }
    let mut origins: Vec<String> =
        figures.iter().map(|f| format!("{}: {}", &f.date[..f.date.len().min(10)], f.machine)).collect();
    origins.sort_unstable();
    origins.dedup();
    text.push_str(&format!("\nMeasured {}.\n", origins.join("; ")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(name: &str, store: &str, value: f64) -> Figure {
        Figure {
            figure: name.into(),
            value,
            unit: "ms".into(),
            store: store.into(),
            target: Some(20.0),
            how: "so".into(),
            machine: "here".into(),
            date: "2026-01-02T03:04:05Z".into(),
        }
    }

    #[test]
    fn a_figure_that_is_measured_again_takes_its_place() {
        let old = vec![figure("a", "sqlite", 1.0), figure("b", "sqlite", 2.0)];
        let merged = merge(old, vec![figure("a", "sqlite", 3.0), figure("a", "postgres", 4.0)]);
        let values: Vec<_> = merged.iter().map(|f| (f.figure.as_str(), f.store.as_str(), f.value)).collect();
        assert_eq!(values, [("a", "sqlite", 3.0), ("b", "sqlite", 2.0), ("a", "postgres", 4.0)]);
    }

    #[test]
    fn the_table_has_a_column_for_each_store_and_shows_what_was_missed() {
        let text = table(&[figure("a", "postgres", 25.0), figure("a", "sqlite", 3.5), figure("b", "sqlite", 1.0)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "| figure | unit | target | sqlite | postgres | how |");
        assert_eq!(lines[3], "| `a` | ms | < 20 | 3.5 | **25** (missed) | so |");
        assert_eq!(lines[4], "| `b` | ms | < 20 | 1 | - | so |");
        assert_eq!(lines[6], "Measured 2026-01-02: here.");
    }

    #[test]
    fn what_is_written_by_hand_stays() {
        let document = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        assert_eq!(with_table(&document, "new\n").unwrap(), format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(with_table("no marks", "new"), None);
    }

    #[test]
    fn files_are_written_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, document) = (folder.path().join("results/scale.jsonl"), folder.path().join("scale.md"));
        assert_eq!(read(&lines).unwrap(), []);
        let figures = vec![figure("a", "sqlite", 0.001)];
        write_lines(&lines, &figures).unwrap();
        assert_eq!(read(&lines).unwrap(), figures);
        write_table(&document, &figures).unwrap();
        assert!(std::fs::read_to_string(&document).unwrap().contains("| `a` |"));
    }

    #[test]
    fn numbers_have_four_digits() {
        assert_eq!([rounded(1234.56), rounded(0.000_123_456), rounded(0.0)], [1235.0, 0.000_123_5, 0.0]);
    }
}
