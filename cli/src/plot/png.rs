//! Renders a drawing's SVG as PNG, with two pixels for each of the drawing's.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{self, fontdb};

use super::font;

/// Pixels of the file for one of the drawing.
pub const SCALE: u32 = 2;

type DrawError = Box<dyn std::error::Error + Send + Sync>;

/// Only the built-in font, so that a figure looks the same on every machine.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    for face in font::FACES {
        fonts.load_font_data(face().to_vec());
    }
    Arc::new(fonts)
});

/// Writes the picture of `svg` to `path`.
pub fn write(svg: &str, path: &Path) -> Result<(), DrawError> {
    let options = usvg::Options { fontdb: FONTS.clone(), font_family: font::FAMILY.to_owned(), ..Default::default() };
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size();
    let mut picture = Pixmap::new(size.width() * SCALE, size.height() * SCALE).ok_or("a picture of no size")?;
    resvg::render(&tree, Transform::from_scale(SCALE as f32, SCALE as f32), &mut picture.as_mut());
    std::fs::write(path, picture.encode_png()?)?;
    Ok(())
}
