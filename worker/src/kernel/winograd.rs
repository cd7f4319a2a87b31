//! 3 x 3 convolutions at stride 1 by Winograd's minimal filtering F(4 x 4, 3 x 3): 36 products for sixteen results instead
//! of 144 (Lavin & Gray 2016, arXiv 1509.09308, section 4).
//!
//! Polynomials are taken at 0, +-11/16, +-3/2 and infinity, not at 0, +-1, +-2 and infinity as there: every coefficient is
//! exact in f32, and the results' rounding errors are about twice a plain convolution's instead of five times (root mean
//! square). Weights are transformed in f64.

use std::ops::Range;

use super::Shape;
use super::isa::{Tile, per_isa};
use super::product::{COLUMNS, Epilogue, Piece};

/// Results of a tile, down and across.
const SIDE: usize = 4;
/// Pixels that they depend on, down and across, and the places of a transformed tile.
const REACH: usize = SIDE + 2;
const PLACES: usize = REACH * REACH;
/// The points besides 0 and infinity: A, -A, B, -B.
const A: f32 = 11.0 / 16.0;
const B: f32 = 3.0 / 2.0;

/// Channels that are transformed side by side.
const LANES: usize = 8;
type Lanes = [f32; LANES];
/// A tile that is transformed in one direction.
type Half = [[Lanes; REACH]; REACH];

/// The weights of a convolution, transformed and packed into panels of 16 outputs.
#[derive(Debug, Clone)]
pub struct WinogradWeights {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl WinogradWeights {
    /// Room for weights [outputs, inputs, 3, 3], each panel to be filled.
    pub fn room(inputs: usize, outputs: usize) -> Self {
        Self { panels: vec![0.0; outputs.div_ceil(COLUMNS) * PLACES * inputs * COLUMNS], inputs, outputs }
    }

    /// Its panels.
    pub fn panels_mut(&mut self) -> impl Iterator<Item = WinogradPanel<'_>> {
        let Self { inputs, outputs, .. } = *self;
        let panels = self.panels.chunks_exact_mut(PLACES * inputs * COLUMNS).enumerate();
        panels.map(move |(index, numbers)| {
            let first = index * COLUMNS;
            WinogradPanel { outputs: first..outputs.min(first + COLUMNS), inputs, numbers }
        })
    }

    /// What the panel has at a place, [inputs, 16].
    fn panel(&self, place: usize, panel: usize) -> &[f32] {
        let size = self.inputs * COLUMNS;
        &self.panels[(panel * PLACES + place) * size..][..size]
    }
}

/// Up to 16 outputs of packed weights.
#[derive(Debug)]
pub struct WinogradPanel<'w> {
    outputs: Range<usize>,
    inputs: usize,
    /// [36 places, inputs, 16]
    numbers: &'w mut [f32],
}

impl WinogradPanel<'_> {
    /// Which outputs are its.
    pub fn outputs(&self) -> Range<usize> {
        self.outputs.clone()
    }

    /// Fills it from the filters of its own outputs, [outputs, inputs, 3, 3].
    pub fn take_filters(self, filters: &[f32]) {
        let rows = self.numbers.as_chunks_mut::<COLUMNS>().0;
        let filters = filters.as_chunks::<9>().0;
        for input in 0..self.inputs {
            // Each row is written once: they lie far apart.
            let mut places = [[0.0; COLUMNS]; PLACES];
            for column in 0..self.outputs.len() {
                for (row, value) in places.iter_mut().zip(transformed(&filters[column * self.inputs + input])) {
                    row[column] = value;
                }
            }
            for (place, row) in places.into_iter().enumerate() {
                rows[place * self.inputs + input] = row;
            }
        }
    }
}

/// G g G^T, row by row.
fn transformed(kernel: &[f32; 9]) -> [f32; PLACES] {
    let columns = [0, 1, 2].map(|x| at_points([0, 1, 2].map(|y| f64::from(kernel[3 * y + x]))));
    let mut result = [0.0; PLACES];
    for y in 0..REACH {
        for (x, value) in at_points(columns.map(|column| column[y])).into_iter().enumerate() {
            result[REACH * y + x] = value as f32;
        }
    }
    result
}

/// G g: the polynomial with coefficients `g` at each point, over the product of the point's distances from the others.
fn at_points(g: [f64; 3]) -> [f64; REACH] {
    const AA: f64 = (A * A) as f64;
    const BB: f64 = (B * B) as f64;
    let over_a = 1.0 / (2.0 * AA * (AA - BB));
    let over_b = 1.0 / (2.0 * BB * (BB - AA));
    let (even_a, odd_a) = (g[0] + AA * g[2], f64::from(A) * g[1]);
    let (even_b, odd_b) = (g[0] + BB * g[2], f64::from(B) * g[1]);
    [
        g[0] / (AA * BB),
        (even_a + odd_a) * over_a,
        (even_a - odd_a) * over_a,
        (even_b + odd_b) * over_b,
        (even_b - odd_b) * over_b,
        g[2],
    ]
}

/// How images are cut into tiles of 4 x 4 results, each from 6 x 6 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiles {
    /// Of an image.
    image: Shape,
    /// Rows and columns of zeros around it.
    padding: usize,
    /// Height and width of the result.
    out: (usize, usize),
}

impl Tiles {
    /// For images of shape `image` with `padding` rows and columns of zeros around each.
    pub fn new(image: Shape, padding: usize) -> Self {
        Self { image, padding, out: (image.h + 2 * padding - 2, image.w + 2 * padding - 2) }
    }

    /// True when a convolution to so many outputs can be done so and gains by it.
    pub fn suit(self, outputs: usize) -> bool {
        let Shape { c, .. } = self.image;
        let is_fewer = PLACES * self.per_image() < 9 * self.out.0 * self.out.1;
        // With more padding tiles could lie beside the image.
        is_fewer && self.padding <= 2 && c.is_multiple_of(LANES) && c >= 16 && outputs >= 16
    }

    fn per_image(self) -> usize {
        self.out.0.div_ceil(SIDE) * self.out.1.div_ceil(SIDE)
    }
}

per_isa! {
    /// Writes the convolution of the images `x` [N, H, W, C] to `out` [N, H', W', outputs], finished by `epilogue`.
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
    let channels = tiles.image.c;
    let count = x.len() / tiles.image.len() * tiles.per_image();
    // Few, so that they stay in the second cache; more where the weights, which each block reads anew, do not.
    let block = (channels / 10).max(12).next_multiple_of(ROWS);
    let panel_count = weights.outputs.div_ceil(COLUMNS);
    // [36 places, tiles, channels], and [36 places, panels, tiles, 16 outputs].
    let mut transformed = vec![0.0f32; PLACES * block * channels];
    let mut products = vec![[0.0f32; COLUMNS]; PLACES * panel_count * block];
    let (mut edge, mut half) = (vec![0.0; PLACES * channels], [[[0.0; LANES]; REACH]; REACH]);
    let mut results = [[0.0; COLUMNS]; SIDE * SIDE];
    let whole = Piece { offset: 0, len: channels, weights: 0 };
    let (mut places, mut next) = (Vec::with_capacity(block), Place { image: 0, top: 0, left: 0 });
    for first in (0..count).step_by(block) {
        let here = block.min(count - first);
        places.clear();
        for _ in 0..here {
            places.push(next);
            next = next.following(tiles);
        }
        for (tile, place) in places.iter().enumerate() {
            let (pixels, row) = pixels(x, tiles, *place, &mut edge);
            transform(pixels, row, channels, &mut half, &mut transformed[tile * channels..], block * channels);
        }
        for place in 0..PLACES {
            let rows = &transformed[place * block * channels..][..block * channels];
            for panel in 0..panel_count {
                let products = &mut products[(place * panel_count + panel) * block..][..block];
                let panel = weights.panel(place, panel);
                for tile in (0..here).step_by(ROWS) {
                    let mut starts = [0; ROWS];
                    for (i, start) in starts.iter_mut().enumerate() {
                        *start = (tile + i) * channels;
                    }
                    let sums = products[tile..].first_chunk_mut().expect("a block is whole tiles");
                    T::accumulate::<true>(sums, rows, &starts, &[whole], panel);
                }
            }
        }
        for panel in 0..panel_count {
            for (tile, place) in places.iter().enumerate() {
                back(&products[panel * block + tile..], panel_count * block, &mut half, &mut results);
                let first = panel * COLUMNS;
                if weights.outputs - first >= COLUMNS {
                    write::<true>(&results, tiles.out, *place, first, weights.outputs, epilogue, out);
                } else {
                    write::<false>(&results, tiles.out, *place, first, weights.outputs, epilogue, out);
                }
            }
        }
    }
}

/// The 6 x 6 pixels that the tile at `place` depends on, and numbers from row to row: in `x`, or where the tile reaches
/// beyond the image copied to `edge`, with zeros beyond it.
#[inline(always)]
fn pixels<'x>(x: &'x [f32], tiles: Tiles, place: Place, edge: &'x mut [f32]) -> (&'x [f32], usize) {
    let Tiles { image, padding, .. } = tiles;
    let x = &x[place.image * image.len()..][..image.len()];
    // Of the tile's rows or columns those that are the image's.
    let own = |first: usize, size: usize| padding.saturating_sub(first)..REACH.min(size + padding - first);
    let (down, across) = (own(place.top, image.h), own(place.left, image.w));
    let start = |y: usize| ((place.top + y - padding) * image.w + place.left + across.start - padding) * image.c;
    if down.len() == REACH && across.len() == REACH {
        return (&x[start(0)..], image.w * image.c);
    }
    edge.fill(0.0);
    for y in down {
        let to = &mut edge[(y * REACH + across.start) * image.c..][..across.len() * image.c];
        to.copy_from_slice(&x[start(y)..][..to.len()]);
    }
    (edge, REACH * image.c)
}

/// B^T d B of the 6 x 6 pixels that begin at `x`, for every channel. Place `p`'s channels go to `out[p * stride..]`.
#[inline(always)]
fn transform(x: &[f32], row: usize, channels: usize, half: &mut Half, out: &mut [f32], stride: usize) {
    for channel in (0..channels).step_by(LANES) {
        for column in 0..REACH {
            let pixel = |y: usize| lanes(&x[y * row + column * channels + channel..]);
            filter(pixel, |y, value| half[y][column] = value);
        }
        for (y, half) in half.iter().enumerate() {
            let put = |x: usize, value: Lanes| {
                out[(REACH * y + x) * stride + channel..][..LANES].copy_from_slice(&value);
            };
            filter(|x| half[x], put);
        }
    }
}

/// B^T d: row p is the product of x - q over the other finite points q (over all of them, for infinity), of which
/// coefficient i is multiplied by d_i.
#[inline(always)]
fn filter(d: impl Fn(usize) -> Lanes, mut put: impl FnMut(usize, Lanes)) {
    const AA: f32 = A * A;
    const BB: f32 = B * B;
    let (d0, d1, d2, d3, d4, d5) = (d(0), d(1), d(2), d(3), d(4), d(5));
    let (even_a, odd_a) = (times_plus(d2, -BB, d4), times_plus(d1, -BB, d3));
    let (even_b, odd_b) = (times_plus(d2, -AA, d4), times_plus(d1, -AA, d3));
    put(0, times_plus(d0, AA * BB, times_plus(d2, -AA - BB, d4)));
    put(1, times_plus(odd_a, A, even_a));
    put(2, times_plus(odd_a, -A, even_a));
    put(3, times_plus(odd_b, B, even_b));
    put(4, times_plus(odd_b, -B, even_b));
    put(5, times_plus(d1, AA * BB, times_plus(d3, -AA - BB, d5)));
}

/// A^T m A: the sixteen results, row by row. Place `p` of m is `m[p * stride]`.
#[inline(always)]
fn back(m: &[[f32; COLUMNS]], stride: usize, half: &mut Half, results: &mut [[f32; COLUMNS]; SIDE * SIDE]) {
    for output in (0..COLUMNS).step_by(LANES) {
        for x in 0..REACH {
            gather(|y| lanes(&m[(REACH * y + x) * stride][output..]), |y, value| half[y][x] = value);
        }
        for (y, half) in half[..SIDE].iter().enumerate() {
            let put = |x: usize, value: Lanes| {
                results[SIDE * y + x][output..][..LANES].copy_from_slice(&value);
            };
            gather(|x| half[x], put);
        }
    }
}

/// A^T m: row k is the sum over the points p of p^k m_p, and for infinity of m_p in the last row alone.
#[inline(always)]
fn gather(m: impl Fn(usize) -> Lanes, mut put: impl FnMut(usize, Lanes)) {
    let (m0, m1, m2, m3, m4, m5) = (m(0), m(1), m(2), m(3), m(4), m(5));
    let (even_a, odd_a) = (plus(m1, m2), times_plus(m2, -1.0, m1));
    let (even_b, odd_b) = (plus(m3, m4), times_plus(m4, -1.0, m3));
    put(0, plus(m0, plus(even_a, even_b)));
    put(1, times_plus(odd_a, A, odd_b.map(|odd| B * odd)));
    put(2, times_plus(even_a, A * A, even_b.map(|even| B * B * even)));
    put(3, times_plus(odd_a, A * A * A, times_plus(odd_b, B * B * B, m5)));
}

#[inline(always)]
fn lanes(x: &[f32]) -> Lanes {
    *x.first_chunk().expect("channels are a multiple of the lanes")
}

#[inline(always)]
fn plus(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i] + b[i])
}

/// a * factor + b, rounded once.
#[inline(always)]
fn times_plus(a: Lanes, factor: f32, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i].mul_add(factor, b[i]))
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
        let (height, width) = tiles.out;
        if left + SIDE < width {
            Self { image, top, left: left + SIDE }
        } else if top + SIDE < height {
            Self { image, top: top + SIDE, left: 0 }
        } else {
            Self { image: image + 1, top: 0, left: 0 }
        }
    }
}

#[inline(always)]
fn write<const IS_WHOLE: bool>(
    results: &[[f32; COLUMNS]; SIDE * SIDE],
    (height, width): (usize, usize),
    Place { image, top, left }: Place,
    first_output: usize,
    outputs: usize,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let columns = if IS_WHOLE { COLUMNS } else { outputs - first_output };
    let corner = ((image * height + top) * width + left) * outputs + first_output;
    for (i, row) in results.iter().enumerate() {
        let (down, right) = (i / SIDE, i % SIDE);
        if top + down < height && left + right < width {
            let place = corner + (down * width + right) * outputs;
            epilogue.write(row, first_output, columns, place, out);
        }
    }
}
