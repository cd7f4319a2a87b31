//! Products of many rows with one packed matrix: linear layers, and convolutions as products over windows.

use std::ops::Range;

use super::isa::{Tile, per_isa};
use super::{Act, Shape};

/// Columns of a panel: what the innermost loop computes side by side.
pub(super) const COLUMNS: usize = 16;
/// Numbers of a row that are multiplied at a time: with [`COLUMNS`] of them a panel's block stays in the first cache.
const BLOCK: usize = 576;
/// Tiles of rows that share a panel's block before the next block comes.
const GROUP: usize = 32;

/// A matrix [K, outputs], packed into panels of 16 outputs.
#[derive(Debug, Clone)]
pub struct Weights {
    panels: Vec<f32>,
    depth: usize,
    outputs: usize,
}

impl Weights {
    /// Room for matrices [K, outputs] of all sizes.
    pub fn room() -> Self {
        Self { panels: vec![], depth: 0, outputs: 0 }
    }

    /// The panels of a matrix [`depth`, `outputs`] that takes the place of this one, each to be filled.
    pub fn panels_mut(&mut self, depth: usize, outputs: usize) -> impl Iterator<Item = Panel<'_>> {
        self.panels.resize(outputs.div_ceil(COLUMNS) * depth * COLUMNS, 0.0);
        (self.depth, self.outputs) = (depth, outputs);
        let panels = self.panels.chunks_exact_mut((depth * COLUMNS).max(1));
        panels.enumerate().map(move |(index, numbers)| {
            let first = index * COLUMNS;
            Panel { first, columns: COLUMNS.min(outputs - first), outputs, numbers }
        })
    }

    fn panel(&self, index: usize) -> &[f32] {
        &self.panels[index * self.depth * COLUMNS..][..self.depth * COLUMNS]
    }
}

/// Up to 16 columns of a packed matrix.
#[derive(Debug)]
pub struct Panel<'w> {
    first: usize,
    columns: usize,
    /// Of the whole matrix.
    outputs: usize,
    /// [K, 16]
    numbers: &'w mut [f32],
}

impl Panel<'_> {
    /// Which columns of the matrix are its.
    pub fn outputs(&self) -> Range<usize> {
        self.first..self.first + self.columns
    }

    /// Fills it from the whole matrix [K, outputs].
    pub fn take(self, matrix: &[f32]) {
        let rows = matrix.chunks_exact(self.outputs);
        for (to, from) in self.numbers.as_chunks_mut::<COLUMNS>().0.iter_mut().zip(rows) {
            let from = &from[self.first..];
            if let Some(from) = from.first_chunk() {
                *to = *from;
            } else {
                to[..self.columns].copy_from_slice(from);
            }
        }
    }

    /// Fills it from the whole matrix's transpose [outputs, K].
    pub fn take_transposed(self, matrix: &[f32]) {
        let depth = self.numbers.len() / COLUMNS;
        let first = self.first;
        self.take_filters(&matrix[first * depth..], 1);
    }

    /// Fills it from the filters of its own outputs, [outputs, channels, `area` pixels]: its rows are the numbers of a window,
    /// pixel by pixel.
    pub fn take_filters(self, filters: &[f32], area: usize) {
        let rows = self.numbers.as_chunks_mut::<COLUMNS>().0;
        let depth = rows.len();
        let channels = depth / area;
        // So many numbers of a filter come with one line of the cache; each row is written once, for rows may lie far apart.
        for from in (0..depth).step_by(COLUMNS) {
            let mut block = [[0.0; COLUMNS]; COLUMNS];
            for column in 0..self.columns {
                let numbers = &filters[column * depth..][..depth][from..];
                for (row, number) in block.iter_mut().zip(numbers) {
                    row[column] = *number;
                }
            }
            for (place, row) in (from..depth).zip(block) {
                rows[place % area * channels + place / area] = row;
            }
        }
    }
}

/// What becomes of each product before it is written: `act(product * scale + shift + residual)`.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'e> {
    /// Scale and shift of each output; nothing for 1 and 0.
    pub scale_and_shift: Option<(&'e [f32], &'e [f32])>,
    /// Added to each, in the layout of the result.
    pub residual: Option<&'e [f32]>,
    /// Applied last.
    pub act: Act,
}

impl Epilogue<'_> {
    /// The product itself.
    pub const NONE: Self = Self { scale_and_shift: None, residual: None, act: Act::None };

    /// Finishes one row of a panel and writes it: `row` are the products of the `columns` outputs from `first` on, `place` is
    /// where they go in `out`. A caller that knows at compile time that all columns are there saves a call for each row.
    #[inline(always)]
    pub(super) fn write(&self, row: &[f32; COLUMNS], first: usize, columns: usize, place: usize, out: &mut [f32]) {
        let mut row = *row;
        if let Some((scale, shift)) = self.scale_and_shift {
            let (scale, shift) = (whole(scale, first, columns), whole(shift, first, columns));
            for i in 0..COLUMNS {
                row[i] = row[i].mul_add(scale[i], shift[i]);
            }
        }
        if let Some(residual) = self.residual {
            let residual = whole(residual, place, columns);
            for i in 0..COLUMNS {
                row[i] += residual[i];
            }
        }
        for value in &mut row {
            *value = self.act.of(*value);
        }
        out[place..][..columns].copy_from_slice(&row[..columns]);
    }
}

/// `columns` numbers from `first` on, and zeros after them.
#[inline(always)]
fn whole(x: &[f32], first: usize, columns: usize) -> [f32; COLUMNS] {
    if columns == COLUMNS {
        return *x[first..].first_chunk().expect("a panel has 16 outputs");
    }
    let mut whole = [0.0; COLUMNS];
    whole[..columns].copy_from_slice(&x[first..][..columns]);
    whole
}

/// Where the rows of the left matrix lie in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    parts: Vec<Part>,
    /// Rows of one image.
    count: usize,
    /// Numbers from image to image.
    image: usize,
}

/// Rows that consist of the same pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// Rows and columns of the windows that are the value's own.
    own: [Range<usize>; 2],
    /// Of each of an image's rows which one it is, and where it begins.
    rows: Vec<(usize, usize)>,
    pieces: Vec<Piece>,
    /// How many pieces are multiplied at a time.
    blocks: Vec<usize>,
}

/// Numbers of a row that lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// From the row's beginning.
    pub(super) offset: usize,
    pub(super) len: usize,
    /// Which row of the weights the first is multiplied with.
    pub(super) weights: usize,
}

impl Rows {
    /// Every pixel of a value of `shape` is a row: a linear layer, or a 1 x 1 convolution.
    pub fn pixels(shape: Shape) -> Self {
        Self::windows(shape, 1, 1, 0)
    }

    /// Every window of `side` x `side` pixels, `stride` apart, of a value of `shape` with `padding`, less than `side`, around
    /// it. A row holds its window's numbers in the order rows, columns, channels; those that are padding are left out.
    pub fn windows(shape: Shape, side: usize, stride: usize, padding: usize) -> Self {
        // Of each window along an axis, the pixel that it begins at and which of its pixels are the value's.
        let along = |size: usize| {
            (0..=(size + 2 * padding - side) / stride).map(move |window| {
                let first = window * stride;
                let own = padding.saturating_sub(first)..side.min(size + padding - first);
                (first + own.start - padding, own)
            })
        };
        let mut parts: Vec<Part> = vec![];
        let mut count = 0;
        for (y, down) in along(shape.h) {
            for (x, across) in along(shape.w) {
                let own = [down.clone(), across];
                let part = parts.iter().position(|part| part.own == own).unwrap_or_else(|| {
                    parts.push(Part::new(shape, side, own));
                    parts.len() - 1
                });
                parts[part].rows.push((count, (y * shape.w + x) * shape.c));
                count += 1;
            }
        }
        Self { parts, count, image: shape.len() }
    }

    /// Multiplications for one image and one output.
    pub fn products(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len() * part.pieces.iter().map(|piece| piece.len).sum::<usize>()).sum()
    }
}

impl Part {
    /// Of windows whose rows and columns `own` are those of a value of `shape`; no rows of the matrix yet.
    fn new(shape: Shape, side: usize, own: [Range<usize>; 2]) -> Self {
        let [down, across] = &own;
        let run = across.len() * shape.c;
        let mut pieces: Vec<Piece> = vec![];
        let mut blocks: Vec<usize> = vec![];
        let mut filled = BLOCK;
        for y in down.clone() {
            for from in (0..run).step_by(BLOCK) {
                let offset = (y - down.start) * shape.w * shape.c + from;
                let weights = (y * side + across.start) * shape.c + from;
                let len = BLOCK.min(run - from);
                pieces.push(Piece { offset, len, weights });
                match blocks.last_mut() {
                    Some(pieces) if filled + len <= BLOCK => {
                        *pieces += 1;
                        filled += len;
                    }
                    _ => {
                        blocks.push(1);
                        filled = len;
                    }
                }
            }
        }
        Self { own, rows: vec![], pieces, blocks }
    }
}

per_isa! {
    /// Writes the products of all rows of `x` with `weights` to `out` [rows, outputs], each finished by `epilogue`.
    ///
    /// # Panics
    /// When lengths do not fit.
    pub fn product(x: &[f32], rows: &Rows, weights: &Weights, epilogue: &Epilogue, out: &mut [f32]) = product_by
}

#[inline(always)]
fn product_by<T: Tile<ROWS>, const ROWS: usize>(
    x: &[f32],
    rows: &Rows,
    weights: &Weights,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let images = out.len() / (weights.outputs * rows.count);
    for part in &rows.parts {
        let of_batch = (rows.count, rows.image, images);
        product_of_part::<T, ROWS>(x, part, of_batch, weights, epilogue, out);
    }
}

/// Of images with so many rows each, and so many numbers from one to the next.
#[inline(always)]
fn product_of_part<T: Tile<ROWS>, const ROWS: usize>(
    x: &[f32],
    part: &Part,
    (rows_of_image, image_len, images): (usize, usize, usize),
    weights: &Weights,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let outputs = weights.outputs;
    let count = images * part.rows.len();
    let mut sums = [[[0.0; COLUMNS]; ROWS]; GROUP];
    let (mut starts, mut places) = ([[0; ROWS]; GROUP], [[0; ROWS]; GROUP]);
    let of_image = |image: usize| {
        part.rows.iter().map(move |(row, start)| (image * image_len + start, (image * rows_of_image + row) * outputs))
    };
    let (mut next, mut last) = ((0..images).flat_map(of_image), (0, 0));
    for first in (0..count).step_by(GROUP * ROWS) {
        let tiles = (count - first).div_ceil(ROWS).min(GROUP);
        for tile in 0..tiles {
            for i in 0..ROWS {
                // Beyond the last row it is taken again, and not written.
                if let Some(next) = next.next() {
                    last = next;
                }
                (starts[tile][i], places[tile][i]) = last;
            }
        }
        for panel in 0..outputs.div_ceil(COLUMNS) {
            let numbers = weights.panel(panel);
            let mut pieces = &part.pieces[..];
            for (block, &taken) in part.blocks.iter().enumerate() {
                let (now, later) = pieces.split_at(taken);
                let is_last = block + 1 == part.blocks.len();
                for tile in 0..tiles {
                    let sums = &mut sums[tile];
                    if block == 0 {
                        T::accumulate::<true>(sums, x, &starts[tile], now, numbers);
                    } else {
                        T::accumulate::<false>(sums, x, &starts[tile], now, numbers);
                    }
                    if is_last {
                        let places = &places[tile][..ROWS.min(count - first - tile * ROWS)];
                        if outputs - panel * COLUMNS >= COLUMNS {
                            write::<ROWS, true>(sums, places, panel * COLUMNS, outputs, epilogue, out);
                        } else {
                            write::<ROWS, false>(sums, places, panel * COLUMNS, outputs, epilogue, out);
                        }
                    }
                }
                pieces = later;
            }
        }
    }
}

/// The heart: adds to the `sums` of a tile of rows and 16 columns, or to nothing where they are `NEW`, the products of their
/// `pieces`, in the order of the row.
#[inline(always)]
pub(super) fn accumulate<const ROWS: usize, const NEW: bool>(
    sums: &mut [[f32; COLUMNS]; ROWS],
    x: &[f32],
    starts: &[usize; ROWS],
    pieces: &[Piece],
    weights: &[f32],
) {
    let mut own = if NEW { [[0.0; COLUMNS]; ROWS] } else { *sums };
    for piece in pieces {
        let columns = &weights.as_chunks::<COLUMNS>().0[piece.weights..][..piece.len];
        let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
        for r in 0..ROWS {
            rows[r] = &x[starts[r] + piece.offset..][..columns.len()];
        }
        for (k, column) in columns.iter().enumerate() {
            let column = *column;
            // By index: through iterators the sums would leave the registers.
            for r in 0..ROWS {
                #[expect(unsafe_code, reason = "six checks of one number take as long as the products")]
                // SAFETY: every row is as long as `columns`, of which `k` is an index.
                let value = unsafe { *rows[r].get_unchecked(k) };
                for i in 0..COLUMNS {
                    own[r][i] = value.mul_add(column[i], own[r][i]);
                }
            }
        }
    }
    *sums = own;
}

/// Writes the columns from `first_output` on of rows to their places.
#[inline(always)]
fn write<const ROWS: usize, const IS_WHOLE: bool>(
    sums: &[[f32; COLUMNS]; ROWS],
    places: &[usize],
    first_output: usize,
    outputs: usize,
    epilogue: &Epilogue,
    out: &mut [f32],
) {
    let columns = if IS_WHOLE { COLUMNS } else { outputs - first_output };
    for (row, place) in sums.iter().zip(places) {
        epilogue.write(row, first_output, columns, place + first_output, out);
    }
}
