//! The lines of a model with many layers as a picture: a row for each mask, from input to output, alpha across, the mean
//! loss as colour. What forty lines in one panel hide can be read off here.

use super::axis::Scale;
use super::canvas::{self, Anchor, Canvas, Color, Type};
use super::figure::{self, Heading, MARGIN};
use super::palette;
use super::panel::{AXIS, BOTTOM_GUTTER, TICK};
use super::series::{Column, Panel, Trace};

/// Heights of a row, lowest and highest, and what rows together should reach.
const ROW: (f64, f64) = (11.0, 26.0);
const WANTED_HEIGHT: f64 = 150.0;
/// Below the whole line, which stands apart.
const BELOW_WHOLE: f64 = 5.0;
const WIDTH: f64 = 340.0;
const NAME: Type = Type { size: 8.5, bold: false, color: Color::INK };
const WIDEST_NAME: f64 = 150.0;
const BAR: f64 = 12.0;
const BAR_STEPS: u32 = 128;
/// Right of the picture: the colour bar, its numbers and its title.
const RIGHT_GUTTER: f64 = 84.0;
/// Largest loss over smallest above which colours go by the logarithm: few decades already leave a linear map dark.
const LOGARITHMIC_ABOVE: f64 = 10.0;
/// A mean that is no number.
const NOTHING: Color = Color(222, 222, 222);

/// The panel of a column that is drawn: the test split, or its last.
pub fn chosen(column: &Column) -> Option<&Panel> {
    column.panels.iter().find(|panel| panel.split == "test").or(column.panels.last())
}

/// Whether a column has more lines than can be told apart by colour.
pub fn is_worth_it(column: &Column) -> bool {
    chosen(column).is_some_and(|panel| panel.traces.len() > palette::MOST_DISTINCT + 1)
}

/// The figure of `columns`, side by side; none when there is nothing in them.
pub fn compose(heading: &Heading, columns: &[Column]) -> Canvas {
    let panels: Vec<(&Column, &Panel)> = columns.iter().filter_map(|column| Some((column, chosen(column)?))).collect();
    let names = |panel: &Panel| {
        let widths = panel.traces.iter().map(|trace| canvas::width(&trace.label, NAME).min(WIDEST_NAME));
        widths.fold(0.0, f64::max) + 12.0
    };
    let inner: f64 = panels.iter().map(|(_, panel)| names(panel) + WIDTH + RIGHT_GUTTER).sum();
    let mut canvas = Canvas { width: (inner + 2.0 * MARGIN).ceil(), title: heading.title.clone(), ..Canvas::default() };
    let top = figure::head(&mut canvas, heading, inner) + figure::HEADER;
    let mut left = MARGIN;
    let mut lowest = top;
    for (column, panel) in panels {
        let x = left + names(panel);
        figure::column_title(&mut canvas, column, (x, top), WIDTH + RIGHT_GUTTER);
        let bottom = picture(&mut canvas, panel, (x, top), &heading.x_title);
        left = x + WIDTH + RIGHT_GUTTER;
        lowest = lowest.max(bottom);
    }
    canvas.height = (lowest + BOTTOM_GUTTER + MARGIN).ceil();
    canvas
}

/// Draws one picture with its axes and its colour bar, and says where it ends.
fn picture(canvas: &mut Canvas, panel: &Panel, (x, top): (f64, f64), x_title: &str) -> f64 {
    let means = || panel.traces.iter().flat_map(|trace| &trace.mean);
    let colors = Scale::of_losses(means().map(|&(_, loss)| loss), LOGARITHMIC_ABOVE);
    let alphas = means().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &(a, _)| (low.min(a), high.max(a)));
    // Half a cell beyond the first and last alpha.
    let margin = (alphas.1 - alphas.0) / 2.0 / (panel.traces[0].mean.len().max(2) - 1) as f64;
    let across = Scale::linear(alphas.0 - margin, alphas.1 + margin);

    let height = (WANTED_HEIGHT / panel.traces.len() as f64).clamp(ROW.0, ROW.1);
    let mut y = top;
    for trace in &panel.traces {
        let name = canvas::shortened(&trace.label, NAME, WIDEST_NAME);
        let look = Type { bold: trace.label == "all", ..NAME };
        canvas.text((x - 6.0, y + height / 2.0 + 3.0), name, Anchor::End, look);
        for (from, to, loss) in cells(trace) {
            let color = if loss.is_finite() { palette::viridis(colors.share(loss)) } else { NOTHING };
            let (from, to) = (x + across.share(from).max(0.0) * WIDTH, x + across.share(to).min(1.0) * WIDTH);
            // A little too wide, so that rounding to pixels leaves no gap to the next.
            canvas.rectangle((from, y), (to - from + 0.4, height), color);
        }
        y += height + if trace.label == "all" { BELOW_WHOLE } else { 0.0 };
    }
    for (alpha, label) in across.ticks(6) {
        let at = x + across.share(alpha) * WIDTH;
        canvas.line(vec![(at, y), (at, y + 5.0)], 0.75, Color::INK, 1.0);
        canvas.text((at, y + 17.0), label, Anchor::Middle, TICK);
    }
    canvas.text((x + WIDTH / 2.0, y + 33.0), x_title, Anchor::Middle, AXIS);
    color_bar(canvas, &colors, (x + WIDTH + 14.0, top), (y - top).min(240.0), &format!("{} loss (nats)", panel.split));
    y
}

/// Each mean with the stretch of alpha that it stands for: half-way to its neighbours.
fn cells(trace: &Trace) -> impl Iterator<Item = (f64, f64, f64)> {
    let mean = &trace.mean;
    let half_way = |i: usize, j: usize| f64::midpoint(mean[i].0, mean[j].0);
    (0..mean.len()).map(move |i| {
        let from = if i > 0 { half_way(i - 1, i) } else { f64::MIN };
        let to = if i + 1 < mean.len() { half_way(i, i + 1) } else { f64::MAX };
        (from, to, mean[i].1)
    })
}

fn color_bar(canvas: &mut Canvas, colors: &Scale, (x, top): (f64, f64), height: f64, title: &str) {
    let step = height / f64::from(BAR_STEPS);
    for i in 0..BAR_STEPS {
        let share = 1.0 - (f64::from(i) + 0.5) / f64::from(BAR_STEPS);
        canvas.rectangle((x, top + f64::from(i) * step), (BAR, step), palette::viridis(share));
    }
    for (value, label) in colors.ticks(5) {
        let at = top + (1.0 - colors.share(value)) * height;
        canvas.line(vec![(x + BAR, at), (x + BAR + 4.0, at)], 0.75, Color::INK, 1.0);
        canvas.text((x + BAR + 7.0, at + 3.6), label, Anchor::Start, TICK);
    }
    canvas.upward((x + BAR + 50.0, top + height / 2.0), title, AXIS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_meet_half_way_between_alphas() {
        let trace = Trace { mean: vec![(0.0, 1.0), (0.5, 2.0), (1.0, f64::NAN)], ..Trace::default() };
        let cells: Vec<_> = cells(&trace).map(|(from, to, _)| (from, to)).collect();
        assert_eq!(cells, [(f64::MIN, 0.25), (0.25, 0.75), (0.75, f64::MAX)]);
    }
}
