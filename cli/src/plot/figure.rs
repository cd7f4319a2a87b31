//! Lays out a group of results: title and notes on top, a column for each model, panels one below the other, legends to
//! the right of their column.

use super::axis::Scale;
use super::canvas::{self, Anchor, Canvas, Color, Type};
use super::legend::{self, Entry};
use super::palette;
use super::panel::{Area, Axes, BOTTOM_GUTTER, LEFT_GUTTER, Pen};
use super::series::{Column, Measure, Panel, Trace};

/// Most columns in one figure; more make more figures.
pub const MOST_COLUMNS: usize = 4;

const TITLE: Type = Type { size: 15.0, bold: true, color: Color::BLACK };
/// What is said in passing.
pub const NOTE: Type = Type { size: 10.0, bold: false, color: Color::GREY };
/// Names of columns.
pub const MODEL: Type = Type { size: 12.0, bold: true, color: Color::BLACK };

/// Around everything.
pub const MARGIN: f64 = 18.0;
/// Largest loss over smallest above which an axis is logarithmic.
const LOGARITHMIC_ABOVE: f64 = 100.0;
const PANEL_WIDTH: f64 = 310.0;
const BETWEEN_PANELS: f64 = 22.0;
const BESIDE_LEGEND: f64 = 14.0;
const BETWEEN_COLUMNS: f64 = 26.0;
/// Above the panels, for the name of their column.
pub const HEADER: f64 = 22.0;

/// What the figure is of.
#[derive(Debug, Clone, PartialEq)]
pub struct Heading {
    /// One line.
    pub title: String,
    /// Sentences below it, each beginning a line.
    pub notes: Vec<String>,
    /// Below the lowest panels.
    pub x_title: String,
    /// Above the legends.
    pub legend: String,
}

/// What is drawn across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    /// The coordinate on a line.
    Alpha,
    /// Epochs of training.
    Epoch,
}

/// A column with what is the same in all its panels.
struct Laid<'a> {
    column: &'a Column,
    entries: Vec<Entry>,
    legend_width: f64,
}

/// The figure of `columns`, at most [`MOST_COLUMNS`] of them, each with at least one panel.
pub fn compose(heading: &Heading, across: Across, columns: &[Column]) -> Canvas {
    let rows = columns.iter().map(|column| column.panels.len()).max().unwrap_or(0);
    let most_traces = columns.iter().flat_map(|column| &column.panels).map(|panel| panel.traces.len()).max();
    let panel_height = match rows {
        1 => legend::full_height(most_traces.unwrap_or(0)).clamp(300.0, 440.0),
        _ => 210.0,
    };
    let column_height = rows as f64 * (panel_height + BETWEEN_PANELS) - BETWEEN_PANELS;

    let mut laid: Vec<Laid<'_>> =
        columns.iter().map(|column| Laid { column, entries: entries(column), legend_width: 0.0 }).collect();
    for i in 0..laid.len() {
        // Neighbours with the same legend share the one of the last.
        if laid.get(i + 1).is_none_or(|next| next.entries != laid[i].entries) {
            laid[i].legend_width = legend::width(&heading.legend, &laid[i].entries, column_height) + BESIDE_LEGEND;
        }
    }
    let across_columns: f64 = laid.iter().map(|column| LEFT_GUTTER + PANEL_WIDTH + column.legend_width).sum();
    let inner = (across_columns + BETWEEN_COLUMNS * (columns.len() as f64 - 1.0)).max(520.0);

    let mut canvas = Canvas { width: (inner + 2.0 * MARGIN).ceil(), title: heading.title.clone(), ..Canvas::default() };
    let top = head(&mut canvas, heading, inner) + HEADER;
    let x_scale = x_scale(across, columns);
    let landmarks: &[f64] = if across == Across::Alpha { &[0.0, 1.0] } else { &[] };
    let landmarks: Vec<f64> =
        landmarks.iter().copied().filter(|&x| (1e-9..1.0 - 1e-9).contains(&x_scale.share(x))).collect();

    let mut left = MARGIN;
    for Laid { column, entries, legend_width } in &laid {
        let x = left + LEFT_GUTTER;
        column_title(&mut canvas, column, (x, top), PANEL_WIDTH + legend_width);
        let loss_scale = Scale::of_losses(losses(column), LOGARITHMIC_ABOVE);
        for (row, panel) in column.panels.iter().enumerate() {
            let y = top + row as f64 * (panel_height + BETWEEN_PANELS);
            let lowest = row + 1 == column.panels.len();
            let axes = Axes {
                area: Area { x, y, width: PANEL_WIDTH, height: panel_height },
                x: &x_scale,
                y: &y_scale(panel, loss_scale),
                x_title: lowest.then_some(&heading.x_title),
                y_title: &y_title(panel, column),
                landmarks: &landmarks,
            };
            axes.draw(&mut canvas);
            draw_traces(&mut canvas, &axes, &panel.traces, entries);
        }
        if *legend_width > 0.0 {
            let area = Area { x: x + PANEL_WIDTH + BESIDE_LEGEND, y: top, width: *legend_width, height: column_height };
            legend::draw(&mut canvas, &heading.legend, entries, area);
        }
        left = x + PANEL_WIDTH + legend_width + BETWEEN_COLUMNS;
    }
    canvas.height = (top + column_height + BOTTOM_GUTTER + MARGIN).ceil();
    canvas
}

/// Writes title and notes, and says where they end.
pub fn head(canvas: &mut Canvas, heading: &Heading, inner: f64) -> f64 {
    let mut y = MARGIN + 14.0;
    for line in canvas::wrapped(&heading.title, TITLE, inner) {
        canvas.text((MARGIN, y), line, Anchor::Start, TITLE);
        y += 19.0;
    }
    for line in heading.notes.iter().flat_map(|note| canvas::wrapped(note, NOTE, inner)) {
        canvas.text((MARGIN, y), line, Anchor::Start, NOTE);
        y += 14.0;
    }
    y
}

/// Writes the model and its details above a column that begins at `x` and `top`.
pub fn column_title(canvas: &mut Canvas, column: &Column, (x, top): (f64, f64), width: f64) {
    canvas.text((x, top - 9.0), &column.model, Anchor::Start, MODEL);
    if !column.detail.is_empty() {
        let indent = canvas::width(&column.model, MODEL) + 8.0;
        let detail = canvas::shortened(&column.detail, NOTE, width - indent);
        canvas.text((x + indent, top - 9.0), detail, Anchor::Start, NOTE);
    }
}

/// Number of finite values that lie beyond the ends of their axis.
pub fn cut_off(columns: &[Column]) -> usize {
    let of_column = |column: &Column| {
        let scale = Scale::of_losses(losses(column), LOGARITHMIC_ABOVE);
        losses(column).filter(|loss| loss.is_finite() && !scale.holds(*loss)).count()
    };
    columns.iter().map(of_column).sum()
}

fn losses(column: &Column) -> impl Iterator<Item = f64> {
    let panels = column.panels.iter().filter(|panel| panel.measure == Some(Measure::Loss));
    panels.flat_map(|panel| &panel.traces).flat_map(Trace::values)
}

/// The whole line in black, layers in their colours, each named once, in the order of the panel that has most of them.
fn entries(column: &Column) -> Vec<Entry> {
    let mut panels: Vec<&Panel> = column.panels.iter().collect();
    panels.sort_by_key(|panel| std::cmp::Reverse(panel.traces.len()));
    let mut labels: Vec<&str> = vec![];
    for trace in panels.iter().flat_map(|panel| &panel.traces) {
        if !labels.contains(&trace.label.as_str()) {
            labels.push(&trace.label);
        }
    }
    let mut colors = palette::colors(labels.iter().filter(|label| **label != "all").count()).into_iter();
    let mean = if labels.len() > palette::MOST_DISTINCT + 1 { 1.0 } else { 1.7 };
    let entry = |label: &str| match label {
        "all" => Some(Entry { label: label.to_owned(), color: Color::BLACK, pen: 2.4 }),
        _ => Some(Entry { label: label.to_owned(), color: colors.next()?, pen: mean }),
    };
    labels.into_iter().filter_map(entry).collect()
}

/// Single runs lie under all means; the whole line lies over the layers.
fn draw_traces(canvas: &mut Canvas, axes: &Axes<'_>, traces: &[Trace], entries: &[Entry]) {
    let few = entries.len() <= palette::MOST_DISTINCT + 1;
    let pen = |trace: &Trace| {
        let entry = entries.iter().find(|entry| entry.label == trace.label).expect("every trace has an entry");
        let (run, run_opacity) = match (entry.label.as_str(), few) {
            ("all", _) => (0.75, 0.6),
            (_, true) => (0.75, 0.45),
            (_, false) => (0.5, 0.3),
        };
        Pen { color: entry.color, mean: entry.pen, run, run_opacity }
    };
    let (whole, layers): (Vec<_>, Vec<_>) = traces.iter().partition(|trace| trace.label == "all");
    for trace in layers.iter().chain(&whole) {
        axes.draw_runs(canvas, trace, pen(trace));
    }
    for trace in layers.iter().chain(&whole) {
        axes.draw_mean(canvas, trace, pen(trace));
    }
}

fn x_scale(across: Across, columns: &[Column]) -> Scale {
    let traces = columns.iter().flat_map(|column| &column.panels).flat_map(|panel| &panel.traces);
    let xs = traces.flat_map(|trace| &trace.mean).map(|&(x, _)| x).filter(|x| x.is_finite());
    let (low, high) = xs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    match across {
        Across::Alpha => Scale::linear(low, high),
        Across::Epoch => Scale::whole(0.0, high.max(1.0)),
    }
}

fn y_scale(panel: &Panel, losses: Scale) -> Scale {
    match panel.measure {
        Some(Measure::Accuracy) => Scale::linear(0.0, 1.0),
        _ => losses,
    }
}

fn y_title(panel: &Panel, column: &Column) -> String {
    let measure = match panel.measure {
        Some(Measure::Accuracy) => "accuracy",
        _ => "loss (nats)",
    };
    let title = format!("{} {measure}", panel.split).trim_start().to_owned();
    let same_split = column.panels.iter().filter(|other| other.split == panel.split && other.measure == panel.measure);
    if same_split.count() > 1 { format!("{title}, {} images", panel.images) } else { title }
}
