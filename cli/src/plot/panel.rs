//! One pair of axes with its traces.

use super::axis::Scale;
use super::canvas::{Anchor, Canvas, Color, Type};
use super::series::Trace;

/// Numbers beside ticks.
pub const TICK: Type = Type { size: 10.0, bold: false, color: Color::INK };
/// Names of lines across.
const LEVEL: Type = Type { size: 9.0, bold: false, color: Color::GREY };
/// Titles of axes.
pub const AXIS: Type = Type { size: 11.0, bold: false, color: Color::BLACK };

/// Left of the axes: ticks, their numbers and the title.
pub const LEFT_GUTTER: f64 = 58.0;
/// Below the axes: ticks, their numbers and the title.
pub const BOTTOM_GUTTER: f64 = 40.0;

/// Traces with at most this many values show each of them as a dot.
const MOST_DOTS: usize = 12;

/// A rectangle: left, top, width, height.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub x: f64,
    /// Upper edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// A pair of axes.
#[derive(Debug, Clone, Copy)]
pub struct Axes<'a> {
    /// Where, without gutters.
    pub area: Area,
    /// Across.
    pub x: &'a Scale,
    /// Up.
    pub y: &'a Scale,
    /// Below the numbers; none: neither title nor numbers, because the panel below has them.
    pub x_title: Option<&'a str>,
    /// To the left.
    pub y_title: &'a str,
    /// Values across that are marked by a line: the ends of a transect that goes on beyond them.
    pub landmarks: &'a [f64],
}

/// How a trace is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pen {
    /// Its colour.
    pub color: Color,
    /// Width of the mean.
    pub mean: f64,
    /// Width of a single run.
    pub run: f64,
    /// Opacity of a single run.
    pub run_opacity: f64,
}

impl Axes<'_> {
    fn across(&self, value: f64) -> f64 {
        self.area.x + self.x.share(value) * self.area.width
    }

    fn up(&self, share: f64) -> f64 {
        self.area.y + (1.0 - share) * self.area.height
    }

    /// Draws grid, axes, ticks and titles.
    pub fn draw(&self, canvas: &mut Canvas) {
        let Area { x, y, width, height } = self.area;
        let (right, bottom) = (x + width, y + height);
        let ticks = self.y.ticks(5);
        for (value, _) in &ticks {
            let at = self.up(self.y.share(*value));
            canvas.line(vec![(x, at), (right, at)], 0.75, Color::FAINT, 1.0);
        }
        for &value in self.landmarks {
            let at = self.across(value);
            canvas.line(vec![(at, y), (at, bottom)], 0.75, Color(170, 170, 170), 1.0);
        }
        for value in self.y.minor_ticks() {
            let at = self.up(self.y.share(value));
            canvas.line(vec![(x - 2.5, at), (x, at)], 0.75, Color::INK, 1.0);
        }
        for (value, label) in ticks {
            let at = self.up(self.y.share(value));
            canvas.line(vec![(x - 5.0, at), (x, at)], 0.75, Color::INK, 1.0);
            canvas.text((x - 8.0, at + 3.6), label, Anchor::End, TICK);
        }
        canvas.upward((x - LEFT_GUTTER + 16.0, y + height / 2.0), self.y_title, AXIS);
        for (value, label) in self.x.ticks(5) {
            let at = self.across(value);
            canvas.line(vec![(at, bottom), (at, bottom + 5.0)], 0.75, Color::INK, 1.0);
            if self.x_title.is_some() {
                canvas.text((at, bottom + 17.0), label, Anchor::Middle, TICK);
            }
        }
        if let Some(title) = self.x_title {
            canvas.text((x + width / 2.0, bottom + 33.0), title, Anchor::Middle, AXIS);
        }
        canvas.line(vec![(x, y), (x, bottom), (right, bottom)], 1.0, Color::INK, 1.0);
    }

    /// Draws the single runs of a trace; nothing when there is only one, which is its mean.
    pub fn draw_runs(&self, canvas: &mut Canvas, trace: &Trace, pen: Pen) {
        if trace.runs.len() > 1 {
            for run in &trace.runs {
                self.draw_values(canvas, run, pen.run, pen.color, pen.run_opacity);
            }
        }
    }

    /// Draws the mean of a trace.
    pub fn draw_mean(&self, canvas: &mut Canvas, trace: &Trace, pen: Pen) {
        self.draw_values(canvas, &trace.mean, pen.mean, pen.color, 1.0);
        if trace.mean.len() <= MOST_DOTS {
            for &(x, y) in trace.mean.iter().filter(|(_, y)| self.y.holds(*y)) {
                canvas.dot((self.across(x), self.up(self.y.share(y))), 1.2 * pen.mean, pen.color);
            }
        }
    }

    /// Draws `(x, low, high)` as a band between low and high, cut off at the axes' ends, with a gap where an end is not
    /// finite.
    pub fn draw_band(&self, canvas: &mut Canvas, band: &[(f64, f64, f64)], color: Color, opacity: f64) {
        let edge = |x: f64, y: f64| (self.across(x), self.up(self.y.share(y).clamp(0.0, 1.0)));
        for stretch in band.split(|(_, low, high)| !low.is_finite() || !high.is_finite()) {
            if stretch.len() > 1 {
                let lower = stretch.iter().map(|&(x, low, _)| edge(x, low));
                let upper = stretch.iter().rev().map(|&(x, _, high)| edge(x, high));
                canvas.polygon(lower.chain(upper).collect(), color, opacity);
            }
        }
    }

    /// Draws each value that lies within the axes as a dot.
    pub fn draw_dots(&self, canvas: &mut Canvas, values: &[(f64, f64)], radius: f64, color: Color) {
        for &(x, y) in values.iter().filter(|(x, y)| self.x.holds(*x) && self.y.holds(*y)) {
            canvas.dot((self.across(x), self.up(self.y.share(y))), radius, color);
        }
    }

    /// Draws a line across at height `y`, with its name at its left end.
    pub fn draw_level(&self, canvas: &mut Canvas, y: f64, name: &str) {
        if self.y.holds(y) {
            let at = self.up(self.y.share(y));
            let ends = vec![(self.area.x, at), (self.area.x + self.area.width, at)];
            canvas.line(ends, 0.9, Color(120, 120, 120), 1.0);
            canvas.text((self.area.x + self.area.width - 3.0, at - 3.5), name, Anchor::End, LEVEL);
        }
    }

    /// Draws values as lines: a gap where one is not finite, a dot where one stands alone, cut off at the axes' ends.
    pub fn draw_values(&self, canvas: &mut Canvas, values: &[(f64, f64)], width: f64, color: Color, opacity: f64) {
        for stretch in values.split(|(_, y)| !y.is_finite()) {
            let shares: Vec<_> = stretch.iter().map(|&(x, y)| (self.across(x), self.y.share(y))).collect();
            if let [(x, share)] = shares[..]
                && (0.0..=1.0).contains(&share)
            {
                canvas.dot((x, self.up(share)), 1.2 * width, color);
            }
            for piece in cut(&shares) {
                let points = piece.into_iter().map(|(x, share)| (x, self.up(share))).collect();
                canvas.line(points, width, color, opacity);
            }
        }
    }
}

/// The parts of a line whose height is within 0 to 1.
fn cut(points: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = vec![];
    let mut open = false;
    for ends in points.windows(2) {
        let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
        let at = |t: f64| (x0 + t * (x1 - x0), (y0 + t * (y1 - y0)).clamp(0.0, 1.0));
        // Where the segment crosses heights 0 and 1, from earlier to later.
        let crossing = |height: f64| (height - y0) / (y1 - y0);
        let (enters, leaves) = match y0.total_cmp(&y1) {
            std::cmp::Ordering::Less => (crossing(0.0), crossing(1.0)),
            std::cmp::Ordering::Greater => (crossing(1.0), crossing(0.0)),
            std::cmp::Ordering::Equal if (0.0..=1.0).contains(&y0) => (0.0, 1.0),
            std::cmp::Ordering::Equal => (2.0, -1.0),
        };
        let (from, to) = (enters.max(0.0), leaves.min(1.0));
        if from > to {
            open = false;
            continue;
        }
        let end = if to < 1.0 { at(to) } else { (x1, y1) };
        match pieces.last_mut() {
            Some(piece) if open => piece.push(end),
            _ => pieces.push(vec![if from > 0.0 { at(from) } else { (x0, y0) }, end]),
        }
        open = to >= 1.0;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_where_it_leaves_the_panel() {
        assert_eq!(cut(&[(0.0, 0.5), (1.0, 1.5), (2.0, 0.5)]), [[(0.0, 0.5), (0.5, 1.0)], [(1.5, 1.0), (2.0, 0.5)]]);
        assert_eq!(cut(&[(0.0, -1.0), (1.0, 2.0)]).len(), 1);
        assert_eq!(cut(&[(0.0, 0.2), (1.0, 0.2), (2.0, 0.9)]), [[(0.0, 0.2), (1.0, 0.2), (2.0, 0.9)]]);
        assert!(cut(&[(0.0, 2.0), (1.0, 2.0), (2.0, 3.0)]).is_empty());
    }

    #[test]
    fn values_that_are_not_finite_leave_gaps() {
        let scale = Scale::linear(0.0, 1.0);
        let area = Area { x: 0.0, y: 0.0, width: 100.0, height: 100.0 };
        let axes = Axes { area, x: &scale, y: &scale, x_title: None, y_title: "", landmarks: &[] };
        let mut canvas = Canvas::default();
        let values =
            [(0.0, 0.5), (0.2, 0.5), (0.4, f64::NAN), (0.6, 0.5), (0.8, f64::INFINITY), (0.9, 0.1), (1.0, 0.2)];
        axes.draw_values(&mut canvas, &values, 1.0, Color::BLACK, 1.0);
        assert_eq!(canvas.marks.len(), 3, "a line, a dot, a line: {:?}", canvas.marks);
    }
}
