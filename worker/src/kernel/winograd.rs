//! 3 x 3 convolutions at stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3): 16 products for four results instead of
//! 36 (Lavin & Gray 2016, arXiv 1509.09308, section 4.1).
//!
//! The transforms of images add and subtract; those of weights halve, in f64. The results' rounding errors are of the size
//! of a plain convolution's.

use super::Shape;
use super::isa::{Tile, per_isa};
use super::product::{COLUMNS, Epilogue};

/// Numbers that the transformed tiles of a block have for each of the 16 places: 16 x 2048 x 4 bytes stay in the second cache.
const BLOCK: usize = 2048;
const LANES: usize = 8;

/// The weights of a convolution, transformed and packed: for each of 16 places panels of 16 outputs.
#[derive(Debug, Clone)]
pub struct WinogradWeights {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl WinogradWeights {
    /// True when a convolution of so many channels can be done so and gains by it.
    pub fn suits(inputs: usize, outputs: usize) -> bool {
        inputs.is_multiple_of(LANES) && inputs >= 16 && outputs >= 16
    }

    /// Transforms and packs weights [outputs, inputs, 3, 3].
    pub fn pack(weights: &[f32], inputs: usize, outputs: usize) -> Self {
        let panel_count = outputs.div_ceil(COLUMNS);
        let mut panels = vec![0.0; 16 * panel_count * inputs * COLUMNS];
        for output in 0..outputs {
            let (panel, column) = (output / COLUMNS, output % COLUMNS);
            for input in 0..inputs {
                let kernel: &[f32] = &weights[(output * inputs + input) * 9..][..9];
                for (place, value) in transformed(kernel).into_iter().enumerate() {
                    panels[((place * panel_count + panel) * inputs + input) * COLUMNS + column] = value;
                }
            }
        }
        Self { panels, inputs, outputs }
    }

    fn panel(&self, place: usize, panel: usize) -> &[f32] {
        let size = self.inputs * COLUMNS;
        &self.panels[(place * self.outputs.div_ceil(COLUMNS) + panel) * size..][..size]
    }
}

/// G g G^T with G = [1 0 0; 1/2 1/2 1/2; 1/2 -1/2 1/2; 0 0 1], row by row.
fn transformed(kernel: &[f32]) -> [f32; 16] {
    let g = |row: [f64; 3]| [row[0], 0.5 * (row[0] + row[1] + row[2]), 0.5 * (row[0] - row[1] + row[2]), row[2]];
    let at = |y: usize, x: usize| f64::from(kernel[3 * y + x]);
    let columns: [[f64; 4]; 3] = std::array::from_fn(|x| g([at(0, x), at(1, x), at(2, x)]));
    let mut result = [0.0; 16];
    for y in 0..4 {
        for (x, value) in g([columns[0][y], columns[1][y], columns[2][y]]).into_iter().enumerate() {
            result[4 * y + x] = value as f32;
        }
    }
    result
}

/// How an image is cut into tiles of 2 x 2 results, each from 4 x 4 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Height and width of the result.
    out: (usize, usize),
    /// Shape that the input must be padded to: with zeros where the last tiles reach beyond it.
    pub padded: Shape,
}

impl Tiles {
    /// For results of `out` height and width from `channels`.
    pub fn new(out: (usize, usize), channels: usize) -> Self {
        let even = |size: usize| size.next_multiple_of(2) + 2;
        Self { out, padded: Shape { h: even(out.0), w: even(out.1), c: channels } }
    }

    fn across(self) -> usize {
        self.out.1.div_ceil(2)
    }

    fn per_image(self) -> usize {
        self.out.0.div_ceil(2) * self.across()
    }
}

per_isa! {
    /// Writes the convolution of `x`, padded as `tiles` wants it, to `out` [N, H, W, outputs], finished by `epilogue`.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn winograd(x: &[f32], tiles: Tiles, weights: &WinogradWeights, epilogue: &Epilogue, out: &mut [f32]) = by_tiles
}

#[inline(always)]
fn by_tiles<T: Tile<ROWS>, const ROWS: usize>(
    x: &[f32],
    tiles: Tiles,
    weights: &WinogradWeights,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let Shape { w, c, .. } = tiles.padded;
    let images = x.len() / tiles.padded.len();
    let count = images * tiles.per_image();
    let block = (BLOCK / c).max(ROWS).next_multiple_of(ROWS);
    let panel_count = weights.outputs.div_ceil(COLUMNS);
    // [16 places, tiles, channels], and [16 places, tiles, 16 outputs] of one panel.
    let mut transformed = vec![0.0f32; 16 * block * c];
    let mut products = vec![[0.0f32; COLUMNS]; 16 * block];
    let (mut places, mut next) = (Vec::with_capacity(block), Place { image: 0, top: 0, left: 0 });
    for first in (0..count).step_by(block) {
        let here = block.min(count - first);
        places.clear();
        for _ in 0..here {
            places.push(next);
            next = next.following(tiles);
        }
        for (tile, place) in places.iter().enumerate() {
            let start = place.image * tiles.padded.len() + (place.top * w + place.left) * c;
            transform(&x[start..], w * c, c, &mut transformed[tile * c..], block * c);
        }
        for panel in 0..panel_count {
            for place in 0..16 {
                let (rows, panel) = (&transformed[place * block * c..][..block * c], weights.panel(place, panel));
                for tile in (0..here).step_by(ROWS) {
                    let mut starts = [0; ROWS];
                    for (i, start) in starts.iter_mut().enumerate() {
                        *start = (tile + i) * c;
                    }
                    let sums = products[place * block + tile..].first_chunk_mut().expect("a block is whole tiles");
                    T::accumulate::<true>(sums, rows, &starts, &[(0, c)], panel);
                }
            }
            for (tile, place) in places.iter().enumerate() {
                let results = back(&products[tile..], block);
                write(results, tiles.out, *place, panel * COLUMNS, weights.outputs, epilogue, out);
            }
        }
    }
}

/// B^T d B of the 4 x 4 pixels that begin at `x`, for every channel, with B^T = [1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1].
/// Place `p`'s channels go to `out[p * stride..]`.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "an iterator is not inlined with the caller's vectors")]
fn transform(x: &[f32], row: usize, channels: usize, out: &mut [f32], stride: usize) {
    for channel in (0..channels).step_by(LANES) {
        let load = |y: usize, p: usize| -> [f32; LANES] {
            *x[y * row + p * channels + channel..].first_chunk().expect("channels are a multiple of the lanes")
        };
        // Rows first: t[y][p] of the four columns p.
        let mut t = [[[0.0f32; LANES]; 4]; 4];
        for p in 0..4 {
            let d = [load(0, p), load(1, p), load(2, p), load(3, p)];
            for i in 0..LANES {
                t[0][p][i] = d[0][i] - d[2][i];
                t[1][p][i] = d[1][i] + d[2][i];
                t[2][p][i] = d[2][i] - d[1][i];
                t[3][p][i] = d[1][i] - d[3][i];
            }
        }
        for (y, t) in t.iter().enumerate() {
            let mut v = [[0.0f32; LANES]; 4];
            for i in 0..LANES {
                v[0][i] = t[0][i] - t[2][i];
                v[1][i] = t[1][i] + t[2][i];
                v[2][i] = t[2][i] - t[1][i];
                v[3][i] = t[1][i] - t[3][i];
            }
            for (p, v) in v.iter().enumerate() {
                out[(4 * y + p) * stride + channel..][..LANES].copy_from_slice(v);
            }
        }
    }
}

/// A^T m A with A^T = [1 1 1 0; 0 1 -1 -1]: the four results, row by row. Place `p` of m begins at `p * stride`.
#[inline(always)]
fn back(m: &[[f32; COLUMNS]], stride: usize) -> [[f32; COLUMNS]; 4] {
    let mut t = [[[0.0f32; COLUMNS]; 4]; 2];
    for p in 0..4 {
        let row = |row: usize| &m[(4 * row + p) * stride];
        let (m0, m1, m2, m3) = (row(0), row(1), row(2), row(3));
        for i in 0..COLUMNS {
            t[0][p][i] = m0[i] + m1[i] + m2[i];
            t[1][p][i] = m1[i] - m2[i] - m3[i];
        }
    }
    let mut results = [[0.0f32; COLUMNS]; 4];
    for y in 0..2 {
        for i in 0..COLUMNS {
            results[2 * y][i] = t[y][0][i] + t[y][1][i] + t[y][2][i];
            results[2 * y + 1][i] = t[y][1][i] - t[y][2][i] - t[y][3][i];
        }
    }
    results
}

/// Where a tile's results lie.
#[derive(Debug, Clone, Copy)]
struct Place {
    image: usize,
    top: usize,
    left: usize,
}

impl Place {
    /// That of the next tile.
    #[inline(always)]
    fn following(self, tiles: Tiles) -> Self {
        let Self { image, top, left } = self;
        if left + 2 < tiles.out.1 {
            Self { image, top, left: left + 2 }
        } else if top + 2 < tiles.out.0 {
            Self { image, top: top + 2, left: 0 }
        } else {
            Self { image: image + 1, top: 0, left: 0 }
        }
    }
}

#[inline(always)]
fn write(
    results: [[f32; COLUMNS]; 4],
    (height, width): (usize, usize),
    Place { image, top, left }: Place,
    first_output: usize,
    outputs: usize,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let columns = COLUMNS.min(outputs - first_output);
    let corner = ((image * height + top) * width + left) * outputs + first_output;
    for (i, row) in results.iter().enumerate() {
        let (down, right) = (i / 2, i % 2);
        if top + down < height && left + right < width {
            let place = corner + (down * width + right) * outputs;
            let row = epilogue.finish(row, first_output, place, columns);
            if columns == COLUMNS {
                out[place..][..COLUMNS].copy_from_slice(&row);
            } else {
                out[place..][..columns].copy_from_slice(&row[..columns]);
            }
        }
    }
}
