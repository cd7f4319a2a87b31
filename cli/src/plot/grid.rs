//! Many small panels beside and below each other with one legend for all: lines with bands over runs, and scatter.

use super::axis::Scale;
use super::canvas::{self, Anchor, Canvas, Color, Type};
use super::figure::{self, Heading, MARGIN};
use super::legend::{self, Entry};
use super::palette;
use super::panel::{Area, Axes, BOTTOM_GUTTER, LEFT_GUTTER};

const PANEL_TITLE: Type = Type { size: 11.0, bold: true, color: Color::BLACK };
/// Above each panel, for its title.
const ABOVE: f64 = 20.0;
const BETWEEN: f64 = 18.0;
const BESIDE_LEGEND: f64 = 18.0;
const BAND_OPACITY: f64 = 0.18;
const DOT: f64 = 3.0;

/// One panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Above it.
    pub title: String,
    /// Across, with its title.
    pub x: (Scale, String),
    /// Up, with its title.
    pub y: (Scale, String),
    /// What is drawn, first lowest.
    pub series: Vec<Series>,
    /// A height to mark, and what it is.
    pub level: Option<(f64, String)>,
    /// Values across to mark.
    pub landmarks: Vec<f64>,
}

/// One thing drawn in a panel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// Index of its legend entry, which has its colour and pen.
    pub entry: usize,
    /// A line.
    pub line: Vec<(f64, f64)>,
    /// A band (x, low, high).
    pub band: Vec<(f64, f64, f64)>,
    /// Dots.
    pub dots: Vec<(f64, f64)>,
}

/// Legend entries with colours that colour-blind readers can tell apart, in order.
pub fn entries(labels: impl ExactSizeIterator<Item = String>) -> Vec<Entry> {
    let colors = palette::colors(labels.len());
    labels.zip(colors).map(|(label, color)| Entry { label, color, pen: 2.0 }).collect()
}

/// The figure: `cells` in rows of `columns`, each panel of `size` (width, height) without its gutters.
pub fn compose(heading: &Heading, cells: &[Cell], columns: usize, size: (f64, f64), entries: &[Entry]) -> Canvas {
    let columns = columns.min(cells.len()).max(1);
    let rows = cells.len().div_ceil(columns);
    let (width, height) = size;
    let cell_height = ABOVE + height + BOTTOM_GUTTER;
    let grid_height = rows as f64 * (cell_height + BETWEEN) - BETWEEN;
    let grid_width = columns as f64 * (LEFT_GUTTER + width + BETWEEN);
    let legend_width = legend::width(&heading.legend, entries, grid_height);
    let inner = (grid_width + BESIDE_LEGEND + legend_width).max(520.0);

    let mut canvas = Canvas { width: (inner + 2.0 * MARGIN).ceil(), title: heading.title.clone(), ..Canvas::default() };
    let top = figure::head(&mut canvas, heading, inner) + 6.0;
    for (i, cell) in cells.iter().enumerate() {
        let x = MARGIN + LEFT_GUTTER + (i % columns) as f64 * (LEFT_GUTTER + width + BETWEEN);
        let y = top + ABOVE + (i / columns) as f64 * (cell_height + BETWEEN);
        draw(&mut canvas, cell, Area { x, y, width, height }, entries);
    }
    let x = MARGIN + grid_width + BESIDE_LEGEND - BETWEEN;
    legend::draw(
        &mut canvas,
        &heading.legend,
        entries,
        Area { x, y: top + ABOVE, width: legend_width, height: grid_height },
    );
    canvas.height = (top + grid_height + MARGIN).ceil();
    canvas
}

fn draw(canvas: &mut Canvas, cell: &Cell, area: Area, entries: &[Entry]) {
    let title = canvas::shortened(&cell.title, PANEL_TITLE, area.width + 10.0);
    canvas.text((area.x, area.y - 7.0), title, Anchor::Start, PANEL_TITLE);
    let axes = Axes {
        area,
        x: &cell.x.0,
        y: &cell.y.0,
        x_title: Some(&cell.x.1),
        y_title: &cell.y.1,
        landmarks: &cell.landmarks,
    };
    axes.draw(canvas);
    if let Some((y, name)) = &cell.level {
        axes.draw_level(canvas, *y, name);
    }
    for series in &cell.series {
        axes.draw_band(canvas, &series.band, entries[series.entry].color, BAND_OPACITY);
    }
    for series in &cell.series {
        let Entry { color, pen, .. } = entries[series.entry];
        axes.draw_values(canvas, &series.line, pen, color, 1.0);
        axes.draw_dots(canvas, &series.dots, DOT, color);
    }
}

/// A linear scale from the least to the greatest of the finite `values`, with a margin.
pub fn around(values: impl Iterator<Item = f64>) -> Scale {
    let finite = values.filter(|v| v.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    if low > high {
        return Scale::linear(0.0, 1.0);
    }
    let margin = if high > low { 0.06 * (high - low) } else { 0.05 * high.abs().max(0.02) };
    Scale::linear(low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas::Mark;
    use crate::plot::svg;

    fn cell(series: Vec<Series>) -> Cell {
        Cell {
            title: "a < b".to_owned(),
            x: (Scale::linear(0.0, 1.0), "x".to_owned()),
            y: (Scale::linear(0.0, 2.0), "y".to_owned()),
            series,
            level: Some((1.5, "level".to_owned())),
            landmarks: vec![],
        }
    }

    fn heading() -> Heading {
        Heading { title: "t".to_owned(), notes: vec![], x_title: String::new(), legend: "which".to_owned() }
    }

    #[test]
    fn bands_lie_below_lines_and_stop_where_values_do() {
        let entries = entries(["one", "two"].map(str::to_owned).into_iter());
        let band = vec![(0.0, 0.5, 1.0), (0.3, 0.5, 1.0), (0.5, f64::NAN, 1.0), (0.8, 0.0, 9.0), (1.0, 0.0, 9.0)];
        let series = Series { entry: 1, line: vec![(0.0, 1.0), (1.0, 1.0)], band, dots: vec![(0.5, 1.0), (0.5, 7.0)] };
        let canvas = compose(&heading(), &[cell(vec![series])], 3, (100.0, 100.0), &entries);
        let bands: Vec<usize> = canvas
            .marks
            .iter()
            .enumerate()
            .filter(|(_, m)| matches!(m, Mark::Polygon { .. }))
            .map(|(i, _)| i)
            .collect();
        let color = entries[1].color;
        let line = canvas.marks.iter().position(|m| matches!(m, Mark::Line { color: c, .. } if *c == color));
        assert_eq!(bands.len(), 2);
        assert!(bands[1] < line.unwrap());
        assert_eq!(canvas.marks.iter().filter(|m| matches!(m, Mark::Dot { .. })).count(), 1, "one lies outside");
        assert!(svg::svg(&canvas).contains("<polygon points="));
    }

    #[test]
    fn panels_fill_rows_and_nothing_lies_outside_the_picture() {
        let entries = entries(["one"].map(str::to_owned).into_iter());
        let canvas = compose(&heading(), &vec![cell(vec![]); 5], 2, (120.0, 90.0), &entries);
        let titles = canvas.marks.iter().filter(|m| matches!(m, Mark::Text { text, .. } if text == "a < b")).count();
        assert_eq!(titles, 5);
        for mark in &canvas.marks {
            if let Mark::Line { points, .. } = mark {
                assert!(points.iter().all(|&(x, y)| x < canvas.width && y < canvas.height));
            }
        }
    }

    #[test]
    fn a_scale_around_values_holds_them() {
        for values in [vec![0.9, 0.91], vec![0.5], vec![0.0], vec![f64::NAN, 1.0], vec![]] {
            let scale = around(values.iter().copied());
            assert!(values.iter().all(|v| v.is_nan() || scale.holds(*v)), "{values:?}");
        }
    }
}
