//! The legend to the right of a column: one name for each colour, or, when there are more names than room, a ramp with
//! some of them.

use super::canvas::{self, Anchor, Canvas, Color, Type};
use super::panel::Area;

/// A line of the legend.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub label: String,
    /// Its colour.
    pub color: Color,
    /// Width of its line in the panel.
    pub pen: f64,
}

/// Sizes of text and distances of lines to choose from, largest first.
const SIZES: [(f64, f64); 3] = [(10.0, 15.0), (9.0, 12.5), (8.0, 10.4)];
const SWATCH: f64 = 16.0;
const GAP: f64 = 6.0;
const WIDEST_LABEL: f64 = 240.0;
const HEADING: f64 = 16.0;

fn look(size: f64) -> Type {
    Type { size, bold: false, color: Color::INK }
}

/// Size of text and distance of lines for `count` entries in `height`; none when only a ramp fits.
fn fitting(count: usize, height: f64) -> Option<(f64, f64)> {
    SIZES.into_iter().find(|(_, distance)| HEADING + count as f64 * distance <= height)
}

/// Height from which `count` entries all have their names.
pub fn full_height(count: usize) -> f64 {
    HEADING + count as f64 * SIZES[2].1
}

/// Width that the legend takes beside a column of `height`.
pub fn width(heading: &str, entries: &[Entry], height: f64) -> f64 {
    let (size, _) = fitting(entries.len(), height).unwrap_or(SIZES[2]);
    let widest = entries.iter().map(|entry| canvas::width(&entry.label, look(size))).fold(0.0, f64::max);
    (SWATCH + GAP + widest.min(WIDEST_LABEL)).max(canvas::width(heading, look(9.0)))
}

/// Draws the legend into `area`, from its top.
pub fn draw(canvas: &mut Canvas, heading: &str, entries: &[Entry], area: Area) {
    canvas.text((area.x, area.y + 8.0), heading, Anchor::Start, Type { color: Color::GREY, ..look(9.0) });
    let top = area.y + HEADING;
    if let Some((size, distance)) = fitting(entries.len(), area.height) {
        for (i, entry) in entries.iter().enumerate() {
            let middle = top + (i as f64 + 0.5) * distance;
            let swatch = vec![(area.x, middle), (area.x + SWATCH, middle)];
            canvas.line(swatch, entry.pen.max(1.6), entry.color, 1.0);
            name(canvas, entry, area.x, middle, size);
        }
        return;
    }
    let (size, distance) = SIZES[2];
    let (whole, layers): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.label == "all");
    for (i, entry) in whole.iter().enumerate() {
        let middle = top + (i as f64 + 0.5) * distance;
        canvas.line(vec![(area.x, middle), (area.x + SWATCH, middle)], entry.pen, entry.color, 1.0);
        name(canvas, entry, area.x, middle, size);
    }
    let top = top + whole.len() as f64 * (distance + 4.0);
    let height = (area.y + area.height - top) / layers.len() as f64;
    let middle = |i: usize| top + (i as f64 + 0.5) * height;
    let last = layers.len().saturating_sub(1);
    let mut free_from = f64::NEG_INFINITY;
    for (i, entry) in layers.iter().enumerate() {
        canvas.rectangle((area.x, middle(i) - height / 2.0), (SWATCH, height), entry.color);
        if middle(i) >= free_from && (i == last || middle(i) + distance <= middle(last)) {
            name(canvas, entry, area.x, middle(i), size);
            free_from = middle(i) + distance;
        }
    }
}

fn name(canvas: &mut Canvas, entry: &Entry, x: f64, middle: f64, size: f64) {
    let label = canvas::shortened(&entry.label, look(size), WIDEST_LABEL);
    canvas.text((x + SWATCH + GAP, middle + 0.36 * size), label, Anchor::Start, look(size));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas::Mark;

    fn names(count: usize) -> Vec<(f64, String)> {
        let entry = |i| Entry { label: format!("layer{i}"), color: Color::BLACK, pen: 1.0 };
        let entries: Vec<_> = (0..count).map(entry).collect();
        let mut canvas = Canvas::default();
        draw(&mut canvas, "", &entries, Area { x: 0.0, y: 0.0, width: 100.0, height: 440.0 });
        let texts = canvas.marks.into_iter().filter_map(|mark| match mark {
            Mark::Text { at, text, .. } if !text.is_empty() => Some((at.1, text)),
            _ => None,
        });
        texts.collect()
    }

    #[test]
    fn all_names_are_shown_while_they_fit() {
        assert_eq!(names(40).len(), 40, "ResNet-20: the whole line and 39 layers");
        assert!(names(40).last().is_some_and(|(y, _)| *y < 440.0));
    }

    #[test]
    fn too_many_names_become_a_ramp_with_first_and_last_and_no_overlap() {
        let names = names(160);
        assert!(names.len() < 42 && names.len() > 20, "{}", names.len());
        assert_eq!((names[0].1.as_str(), names[names.len() - 1].1.as_str()), ("layer0", "layer159"));
        assert!(names.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 8.0));
    }
}
