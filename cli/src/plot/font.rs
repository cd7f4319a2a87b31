//! The font of every figure: `DejaVu Sans`, which comes with the program because a server may have no fonts at all.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScaleFont, ScaleFont, point};

/// Its family, as SVG names it.
pub const FAMILY: &str = "DejaVu Sans";

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parsed(dejavu::sans::regular()));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parsed(dejavu::sans::bold()));

fn parsed(bytes: &'static [u8]) -> FontRef<'static> {
    FontRef::try_from_slice(bytes).expect("the built-in font is a font")
}

/// The font at a size of the em in pixels.
fn scaled(size: f64, bold: bool) -> PxScaleFont<&'static FontRef<'static>> {
    let font = if bold { &*BOLD } else { &*REGULAR };
    let em = font.units_per_em().expect("a TrueType font states its em");
    font.as_scaled(size as f32 * font.height_unscaled() / em)
}

/// Width of a line of text whose em is `size` wide, in the same unit.
pub fn width(text: &str, size: f64, bold: bool) -> f64 {
    let font = scaled(size, bold);
    f64::from(pens(text, &font).last().map_or(0.0, |(end, _)| end))
}

/// Calls `put` with the place of every pixel that a line of text touches and how much of it is covered, 0 to 1. The text
/// begins at (`start`, 0) on its base line; y grows downward.
pub fn paint<E>(
    text: &str,
    size: f64,
    bold: bool,
    start: f64,
    mut put: impl FnMut(i32, i32, f64) -> Result<(), E>,
) -> Result<(), E> {
    let font = scaled(size, bold);
    for (end, c) in pens(text, &font) {
        let id = font.glyph_id(c);
        let place = point(start as f32 + end - font.h_advance(id), 0.0);
        let Some(outline) = font.outline_glyph(id.with_scale_and_position(font.scale(), place)) else { continue };
        let corner = outline.px_bounds().min;
        let mut result = Ok(());
        outline.draw(|x, y, coverage| {
            if result.is_ok() && coverage > 0.0 {
                let (x, y) = (corner.x as i32 + x as i32, corner.y as i32 + y as i32);
                result = put(x, y, f64::from(coverage.min(1.0)));
            }
        });
        result?;
    }
    Ok(())
}

/// Each character with where the pen is after it, kerning included.
fn pens<'a>(text: &'a str, font: &'a PxScaleFont<&'static FontRef<'static>>) -> impl Iterator<Item = (f32, char)> + 'a {
    text.chars().scan((0.0, None), move |(pen, before), c| {
        let id = font.glyph_id(c);
        *pen += before.map_or(0.0, |before| font.kern(before, id)) + font.h_advance(id);
        *before = Some(id);
        Some((*pen, c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_width_of_its_glyphs() {
        // DejaVu Sans: `0` is 1303 units wide, of 2048 to the em.
        assert!((width("0000", 10.0, false) - 4.0 * 10.0 * 1303.0 / 2048.0).abs() < 1e-4);
        assert!(width("0000", 10.0, true) > width("0000", 10.0, false));
    }

    #[test]
    fn painted_text_stays_within_its_width_and_stands_on_its_base_line() {
        let (mut left, mut right, mut bottom) = (i32::MAX, i32::MIN, i32::MIN);
        let put = |x: i32, y: i32, coverage: f64| {
            assert!((0.0..=1.0).contains(&coverage));
            (left, right, bottom) = (left.min(x), right.max(x), bottom.max(y));
            Ok::<(), ()>(())
        };
        paint("HHH", 40.0, false, 100.0, put).unwrap();
        assert!(left >= 100 && f64::from(right) <= 100.0 + width("HHH", 40.0, false) && bottom == -1);
    }

    #[test]
    fn every_character_that_figures_use_has_a_glyph() {
        let font = scaled(10.0, false);
        assert!("…·⁰¹²³⁴⁵⁶⁷⁸⁹⁻".chars().all(|c| font.glyph_id(c).0 != 0));
    }
}
