//! A drawing as plain data: what is drawn where, in order. Layout fills one, [`super::svg`] writes it, and
//! [`super::png`] renders what was written, so both files always show the same.
//!
//! Units are CSS pixels (1/96 inch) from the top left corner; sizes of text are those of the em.

use super::font;

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Color(pub u8, pub u8, pub u8);

impl Color {
    /// Whole lines and titles.
    pub const BLACK: Self = Self(0, 0, 0);
    /// Axes and their labels.
    pub const INK: Self = Self(55, 55, 55);
    /// What is said in passing.
    pub const GREY: Self = Self(105, 105, 105);
    /// Grid lines.
    pub const FAINT: Self = Self(230, 230, 230);
}

/// Which end of a text its position names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// The text begins there.
    Start,
    /// The text is centred there.
    Middle,
    /// The text ends there.
    End,
}

/// How a text looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Type {
    /// Size of the em.
    pub size: f64,
    /// Bold or regular.
    pub bold: bool,
    /// Colour.
    pub color: Color,
}

/// One thing drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Mark {
    /// Straight lines through points, at least two.
    Line {
        /// Where.
        points: Vec<(f64, f64)>,
        /// Width of the pen.
        width: f64,
        /// Colour.
        color: Color,
        /// 0 (unseen) to 1.
        opacity: f64,
    },
    /// A filled circle.
    Dot {
        /// Centre.
        at: (f64, f64),
        /// Radius.
        radius: f64,
        /// Colour.
        color: Color,
    },
    /// A filled polygon.
    Polygon {
        /// Its corners, at least three.
        points: Vec<(f64, f64)>,
        /// Colour.
        color: Color,
        /// 0 (unseen) to 1.
        opacity: f64,
    },
    /// A filled rectangle.
    Rectangle {
        /// Left, top.
        at: (f64, f64),
        /// Width, height.
        size: (f64, f64),
        /// Colour.
        color: Color,
    },
    /// A line of text.
    Text {
        /// Where its base line is.
        at: (f64, f64),
        /// What it says.
        text: String,
        /// Which end of it is there.
        anchor: Anchor,
        /// Written upward instead of to the right.
        upward: bool,
        /// How it looks.
        look: Type,
    },
}

/// A drawing on white.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Canvas {
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// What a screen reader says.
    pub title: String,
    /// In the order in which they are drawn, later over earlier.
    pub marks: Vec<Mark>,
}

impl Canvas {
    /// Draws straight lines through points.
    pub fn line(&mut self, points: Vec<(f64, f64)>, width: f64, color: Color, opacity: f64) {
        self.marks.push(Mark::Line { points, width, color, opacity });
    }

    /// Draws a filled polygon.
    pub fn polygon(&mut self, points: Vec<(f64, f64)>, color: Color, opacity: f64) {
        self.marks.push(Mark::Polygon { points, color, opacity });
    }

    /// Draws a filled rectangle.
    pub fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), color: Color) {
        self.marks.push(Mark::Rectangle { at, size, color });
    }

    /// Draws a filled circle.
    pub fn dot(&mut self, at: (f64, f64), radius: f64, color: Color) {
        self.marks.push(Mark::Dot { at, radius, color });
    }

    /// Writes from left to right, with the base line at `at`.
    pub fn text(&mut self, at: (f64, f64), text: impl Into<String>, anchor: Anchor, look: Type) {
        self.marks.push(Mark::Text { at, text: text.into(), anchor, upward: false, look });
    }

    /// Writes upward, centred, with the base line at `at`.
    pub fn upward(&mut self, at: (f64, f64), text: impl Into<String>, look: Type) {
        self.marks.push(Mark::Text { at, text: text.into(), anchor: Anchor::Middle, upward: true, look });
    }
}

/// Width of a text.
pub fn width(text: &str, look: Type) -> f64 {
    font::width(text, look.size, look.bold)
}

/// `text` as lines no wider than `limit`, broken at spaces.
pub fn wrapped(text: &str, look: Type, limit: f64) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), look) <= limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// `text`, or as much of it as fits `limit` with an ellipsis.
pub fn shortened(text: &str, look: Type, limit: f64) -> String {
    if width(text, look) <= limit {
        return text.to_owned();
    }
    let fits = |end: usize| width(&format!("{}…", &text[..end]), look) <= limit;
    let end = text.char_indices().map(|(i, _)| i).take_while(|&i| fits(i)).last().unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Type = Type { size: 10.0, bold: false, color: Color::BLACK };

    #[test]
    fn long_text_is_wrapped_or_shortened_to_fit() {
        let lines = wrapped("one two three four", LOOK, 60.0);
        assert_eq!(lines.join(" "), "one two three four");
        assert!(lines.len() > 1 && lines.iter().all(|line| width(line, LOOK) <= 60.0));
        let short = shortened("layer1.0.conv1.weight", LOOK, 60.0);
        assert!(short.ends_with('…') && width(&short, LOOK) <= 60.0, "{short}");
        assert_eq!(shortened("conv1", LOOK, 60.0), "conv1");
    }
}
