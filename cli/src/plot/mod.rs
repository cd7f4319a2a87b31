//! Figures of a sweep's results, for people and papers: losses and accuracies on lines, layers by alpha where there
//! are many, and training curves, each as SVG
//! and as PNG (two pixels for each CSS pixel of the SVG).
//!
//! Rows of results are grouped into data ([`series`]), laid out as a drawing that is plain data too ([`figure`],
//! [`canvas`]), written as [`svg`], and rendered from that as [`png`]. The same rows give the same bytes, on any machine: the font is
//! part of the program.
//!
//! A figure holds runs that differ in model, batch-norm mode and seed only; other settings make more figures.

pub mod axis;
pub mod canvas;
pub mod caption;
pub mod figure;
mod font;
pub mod grid;
pub mod heatmap;
pub mod legend;
pub mod palette;
mod panel;
pub mod png;
pub mod series;
mod settings;
pub mod svg;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use transect_common::pb;

use canvas::Canvas;
use figure::{Across, MOST_COLUMNS};
use series::{Column, Group, Measure};

/// Figures that could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Nothing was measured yet.
    #[error("sweep {sweep} has no results to draw yet; `transect watch {sweep}` follows it")]
    Empty {
        /// The sweep's name.
        sweep: String,
    },
    /// The folder for the figures cannot be made.
    #[error("cannot make the folder {} for figures: {source}; choose another with --out", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A figure cannot be written.
    #[error("cannot write the figure {}: {reason}; free some space or choose another folder with --out", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Draws every figure of a sweep into the folder `out`, which is made if need be, and answers with the files in the
/// order in which one looks at them. Older figures of the same names are replaced.
pub fn draw(
    sweep: &str,
    points: &[pb::LinePoint],
    curves: &[pb::CurvePoint],
    out: &Path,
) -> Result<Vec<PathBuf>, PlotError> {
    if points.is_empty() && curves.is_empty() {
        return Err(PlotError::Empty { sweep: sweep.to_owned() });
    }
    std::fs::create_dir_all(out).map_err(|source| PlotError::Folder { path: out.to_owned(), source })?;
    let mut writer = Writer { sweep, out, names: BTreeSet::new(), files: vec![] };
    let losses = series::lines(points, Measure::Loss);
    writer.figures(
        "loss",
        &losses,
        |_| true,
        |group, columns| figure::compose(&caption::of_lines(sweep, Measure::Loss, group), Across::Alpha, columns),
    )?;
    writer.figures("layers", &losses, heatmap::is_worth_it, |group, columns| {
        heatmap::compose(&caption::of_layers(sweep, group), columns)
    })?;
    let accuracies = series::lines(points, Measure::Accuracy);
    writer.figures(
        "accuracy",
        &accuracies,
        |_| true,
        |group, columns| figure::compose(&caption::of_lines(sweep, Measure::Accuracy, group), Across::Alpha, columns),
    )?;
    writer.figures(
        "training",
        &series::curves(curves),
        |_| true,
        |group, columns| figure::compose(&caption::of_training(sweep, group), Across::Epoch, columns),
    )?;
    Ok(writer.files)
}

struct Writer<'a> {
    sweep: &'a str,
    out: &'a Path,
    names: BTreeSet<String>,
    files: Vec<PathBuf>,
}

impl Writer<'_> {
    /// Writes one figure for each group, of the columns that it `takes`; several when they are more than [`MOST_COLUMNS`].
    fn figures(
        &mut self,
        what: &str,
        groups: &[Group],
        takes: fn(&Column) -> bool,
        compose: impl Fn(&Group, &[Column]) -> Canvas,
    ) -> Result<(), PlotError> {
        for group in groups {
            let columns: Vec<Column> = group.columns.iter().filter(|column| takes(column)).cloned().collect();
            for columns in columns.chunks(MOST_COLUMNS) {
                let name = self.name(what, &caption::slug(group, groups));
                self.write(&name, &compose(group, columns))?;
            }
        }
        Ok(())
    }

    /// `SWEEP-WHAT[-SLUG]`, with a number when that was given out already.
    fn name(&mut self, what: &str, slug: &str) -> String {
        let parts = [&caption::file_name(self.sweep), what, slug];
        let base = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
        let numbered = (2..).map(|number| format!("{base}-{number}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(|name| !self.names.contains(name));
        let name = name.expect("numbers do not run out");
        self.names.insert(name.clone());
        name
    }

    fn write(&mut self, name: &str, canvas: &Canvas) -> Result<(), PlotError> {
        let failed = |path: &Path, reason: String| PlotError::Write { path: path.to_owned(), reason };
        let path = self.out.join(format!("{name}.svg"));
        let svg = svg::svg(canvas);
        std::fs::write(&path, &svg).map_err(|error| failed(&path, error.to_string()))?;
        self.files.push(path);
        let path = self.out.join(format!("{name}.png"));
        png::write(&svg, &path).map_err(|error| failed(&path, error.to_string()))?;
        self.files.push(path);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
