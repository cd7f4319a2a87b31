//! Writes a drawing as SVG 1.1: text stays text, so it can be searched, copied and restyled.

use std::fmt::Write as _;

use super::canvas::{Anchor, Canvas, Color, Mark};
use super::font::FAMILY;

/// The drawing as an SVG document.
pub fn svg(canvas: &Canvas) -> String {
    let (width, height) = (number(canvas.width), number(canvas.height));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"{FAMILY}, Verdana, sans-serif\">\n<title>{}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n",
        escaped(&canvas.title)
    );
    for mark in &canvas.marks {
        out.push_str(&element(mark));
        out.push('\n');
    }
    out.push_str("</svg>\n");
    out
}

fn element(mark: &Mark) -> String {
    match mark {
        Mark::Line { points, width, color, opacity } => {
            let path = corners(points);
            let opacity =
                if *opacity < 1.0 { format!(" stroke-opacity=\"{}\"", number(*opacity)) } else { String::new() };
            format!(
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\"{opacity} \
                 stroke-linejoin=\"round\"/>",
                hex(*color),
                number(*width)
            )
        }
        Mark::Polygon { points, color, opacity } => format!(
            "<polygon points=\"{}\" fill=\"{}\" fill-opacity=\"{}\"/>",
            corners(points),
            hex(*color),
            number(*opacity)
        ),
        Mark::Dot { at, radius, color } => format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            number(at.0),
            number(at.1),
            number(*radius),
            hex(*color)
        ),
        Mark::Rectangle { at, size, color } => format!(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\" shape-rendering=\"crispEdges\"/>",
            number(at.0),
            number(at.1),
            number(size.0),
            number(size.1),
            hex(*color)
        ),
        Mark::Text { at, text, anchor, upward, look } => {
            let (x, y) = (number(at.0), number(at.1));
            let place = if *upward {
                format!("transform=\"translate({x} {y}) rotate(-90)\"")
            } else {
                format!("x=\"{x}\" y=\"{y}\"")
            };
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
            format!(
                "<text {place} font-size=\"{}\"{weight}{anchor} fill=\"{}\">{}</text>",
                number(look.size),
                hex(look.color),
                escaped(text)
            )
        }
    }
}

/// `0,0 1,2.5`
fn corners(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for &(x, y) in points {
        let _ = write!(path, "{}{},{}", if path.is_empty() { "" } else { " " }, number(x), number(y));
    }
    path
}

/// At most two decimals: finer than anyone sees.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hex(Color(red, green, blue): Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Text for XML, without the control characters that XML cannot hold.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\u{fffe}' | '\u{ffff}' => out.push(' '),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_the_document() {
        assert_eq!(escaped("a<b> & \"c\"\u{1}"), "a&lt;b&gt; &amp; \"c\" ");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([number(1.0), number(0.126), number(-3.10), number(120.0)], ["1", "0.13", "-3.1", "120"]);
    }
}
