//! Writes a drawing as PNG, with two pixels for each of the drawing's.
//!
//! plotters rounds coordinates to whole pixels and does not smooth edges, so the drawing is made twice as large again and
//! each 2 x 2 block averaged. It also sets text on whole pixels, so glyphs are painted here.

use std::path::Path;

use plotters::prelude::{BitMapBackend, DrawingBackend};
use plotters::style::{Color as _, RGBAColor, ShapeStyle};

use super::canvas::{Anchor, Canvas, Color, Mark};
use super::font;

/// Pixels of the file for one of the drawing.
pub const SCALE: u32 = 2;
/// Pixels drawn for one of the file, in both directions.
const OVERSAMPLING: u32 = 2;

type DrawError = Box<dyn std::error::Error + Send + Sync>;

/// Writes the drawing to `path`, whose extension must be `png`.
pub fn write(canvas: &Canvas, path: &Path) -> Result<(), DrawError> {
    let (width, height) = (canvas.width.ceil() as u32 * SCALE, canvas.height.ceil() as u32 * SCALE);
    let (large_width, large_height) = (width * OVERSAMPLING, height * OVERSAMPLING);
    let mut large = vec![255_u8; 3 * large_width as usize * large_height as usize];
    {
        let mut backend = BitMapBackend::with_buffer(&mut large, (large_width, large_height));
        for mark in &canvas.marks {
            draw(&mut backend, mark)?;
        }
        backend.present()?;
    }
    let small = averaged(&large, large_width as usize);
    let mut backend = BitMapBackend::new(path, (width, height));
    backend.blit_bitmap((0, 0), (width, height), &small)?;
    backend.present()?;
    Ok(())
}

fn draw(backend: &mut BitMapBackend<'_>, mark: &Mark) -> Result<(), DrawError> {
    match mark {
        Mark::Line { points, width, color, opacity } => {
            let stroke = pixels(*width).max(1) as u32;
            let style = ShapeStyle { color: rgba(*color, *opacity), filled: false, stroke_width: stroke };
            backend.draw_path(points.iter().map(|&at| pixel(at)), &style)?;
        }
        Mark::Dot { at, radius, color } => {
            backend.draw_circle(pixel(*at), pixels(*radius) as u32, &rgba(*color, 1.0), true)?;
        }
        Mark::Rectangle { at, size, color } => {
            let end = (at.0 + size.0, at.1 + size.1);
            backend.draw_rect(pixel(*at), pixel(end), &rgba(*color, 1.0), true)?;
        }
        Mark::Text { at, text, anchor, upward, look } => {
            let size = look.size * f64::from(SCALE * OVERSAMPLING);
            let before = match anchor {
                Anchor::Start => 0.0,
                Anchor::Middle => font::width(text, size, look.bold) / 2.0,
                Anchor::End => font::width(text, size, look.bold),
            };
            let (left, base) = pixel(*at);
            font::paint(text, size, look.bold, -before, |x, y, coverage| {
                let place = if *upward { (left + y, base - 1 - x) } else { (left + x, base + y) };
                backend.draw_pixel(place, rgba(look.color, coverage).to_backend_color())
            })?;
        }
    }
    Ok(())
}

fn rgba(Color(red, green, blue): Color, opacity: f64) -> RGBAColor {
    RGBAColor(red, green, blue, opacity)
}

fn pixels(length: f64) -> i32 {
    (length * f64::from(SCALE * OVERSAMPLING)).round() as i32
}

fn pixel((x, y): (f64, f64)) -> (i32, i32) {
    (pixels(x), pixels(y))
}

/// The picture at half its size: RGB, `width` pixels a row.
fn averaged(large: &[u8], width: usize) -> Vec<u8> {
    let row = 3 * width;
    let mut small = Vec::with_capacity(large.len() / 4);
    for rows in large.chunks_exact(2 * row) {
        for x in (0..row).step_by(6) {
            for channel in x..x + 3 {
                let sum: u16 =
                    [channel, channel + 3, row + channel, row + channel + 3].map(|i| u16::from(rows[i])).iter().sum();
                small.push(((sum + 2) / 4) as u8);
            }
        }
    }
    small
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_four_pixels_become_their_mean() {
        let (black, white) = ([0; 3], [255; 3]);
        let rows = [[black, white, white, white], [white, black, white, white]];
        assert_eq!(averaged(rows.concat().as_flattened(), 4), [128, 128, 128, 255, 255, 255]);
    }
}
