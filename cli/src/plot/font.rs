//! The font of every figure: `DejaVu Sans`, which comes with the program because a server may have no fonts at all.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, PxScaleFont, ScaleFont};

/// Its family, as SVG names it.
pub const FAMILY: &str = "DejaVu Sans";

/// Its faces: regular and bold.
pub const FACES: [fn() -> &'static [u8]; 2] = [dejavu::sans::regular, dejavu::sans::bold];

static REGULAR: LazyLock<FontRef<'static>> = LazyLock::new(|| parsed(FACES[0]()));
static BOLD: LazyLock<FontRef<'static>> = LazyLock::new(|| parsed(FACES[1]()));

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
    fn every_character_that_figures_use_has_a_glyph() {
        let font = scaled(10.0, false);
        assert!("…·⁰¹²³⁴⁵⁶⁷⁸⁹⁻".chars().all(|c| font.glyph_id(c).0 != 0));
    }
}
