//! Batches from images in memory in one pass: chosen, normalised, mirrored and cropped as they are copied.
//!
//! Invariant: the numbers are those of [`super::Data::select`] and of the operations of `train::augment` after it, bit for bit.
//! No operation of libtorch is used for a batch, so that a thread beside the training can make it.

use tch::{Device, Kind, Tensor};

use super::Part;
use crate::host::{numbers, numbers_mut};
use crate::openmp;

/// Where one image is read: mirrored or not, and from which row and column of the padded image on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Mirrored left to right, after the crop.
    pub flip: bool,
    /// First row of the crop in the padded image.
    pub top: u32,
    /// First column, likewise.
    pub left: u32,
}

/// Images that one thread makes at a time.
const SHARE: usize = 16;

/// Who makes a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The calling thread alone.
    Caller,
    /// libtorch's threads, between two of its operations.
    Threads,
}

/// A split's images and labels, and how images are normalised.
#[derive(Debug)]
pub struct Gather {
    pixels: Tensor,
    labels: Tensor,
    normal: Normal,
}

/// Images of a split as they lie in memory.
#[derive(Debug, Clone, Copy)]
enum Pixels<'p> {
    Bytes(&'p [u8]),
    Floats(&'p [f32]),
}

/// How images become numbers of a batch.
#[derive(Debug)]
struct Normal {
    shape: [usize; 3],
    /// For each channel and byte what the byte becomes [C x 256].
    bytes: Vec<f32>,
    /// Of each channel, for images of f32.
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Gather {
    /// Over `part`; `every_byte` is [1, C, 16, 16], each byte normalised.
    pub(super) fn new(part: &Part, every_byte: &Tensor, [mean, std]: [&Tensor; 2], shape: [u32; 3]) -> Self {
        let values = |tensor: &Tensor| numbers::<f32>(&tensor.to_device(Device::Cpu).contiguous()).to_vec();
        let (pixels, labels) = (part.pixels.contiguous(), part.labels.to_device(Device::Cpu).contiguous());
        let shape = shape.map(|length| length as usize);
        let normal = Normal { shape, bytes: values(every_byte), mean: values(mean), std: values(std) };
        Self { pixels, labels, normal }
    }

    /// The images at `places`, each seen as its view says after padding with `crop` zeros on every side, f32 [n, C, H, W], and their
    /// classes, i64 [n]. Made by the caller, or by all of libtorch's threads.
    ///
    /// # Panics
    /// When a place is not below the split's length, or a view goes beyond the padding.
    pub fn batch(&self, places: &[i64], views: &[View], crop: u32, by: By) -> (Tensor, Tensor) {
        let [channels, height, width] = self.normal.shape.map(|length| length as i64);
        let size = [places.len() as i64, channels, height, width];
        let mut x = Tensor::empty(size, (Kind::Float, Device::Cpu));
        let image: usize = self.normal.shape.iter().product();
        let pixels = if self.pixels.kind() == Kind::Uint8 {
            Pixels::Bytes(numbers(&self.pixels))
        } else {
            Pixels::Floats(numbers(&self.pixels))
        };
        let some = match by {
            By::Caller => places.len().max(1),
            By::Threads => SHARE,
        };
        let shares =
            numbers_mut::<f32>(&mut x).chunks_mut(some * image).zip(places.chunks(some)).zip(views.chunks(some));
        let normal = &self.normal;
        openmp::for_each(shares, |((out, places), views)| {
            normal.images(pixels, places, views, crop, out);
        });
        let all = numbers::<i64>(&self.labels);
        let labels: Vec<i64> = places.iter().map(|&place| all[place as usize]).collect();
        (x, Tensor::from_slice(&labels))
    }
}

impl Normal {
    /// Writes the images at `places` to `out` [n, C, H, W].
    fn images(&self, pixels: Pixels, places: &[i64], views: &[View], crop: u32, out: &mut [f32]) {
        let image: usize = self.shape.iter().product();
        // Copied as a whole first: that fetches all of an image from memory at once, where reading byte by byte waits for
        // each line of it.
        let mut near = vec![0; image];
        for ((&place, &view), out) in places.iter().zip(views).zip(out.chunks_exact_mut(image)) {
            let from = place as usize * image..(place as usize + 1) * image;
            match pixels {
                Pixels::Bytes(pixels) => {
                    near.copy_from_slice(&pixels[from]);
                    let table = &self.bytes;
                    self.read(&near, view, crop as usize, out, |channel| {
                        let table: &[f32; 256] =
                            table[channel * 256..][..256].try_into().expect("256 values a channel");
                        move |pixel: u8| table[usize::from(pixel)]
                    });
                }
                Pixels::Floats(pixels) => self.read(&pixels[from], view, crop as usize, out, |channel| {
                    let (mean, std) = (self.mean[channel], self.std[channel]);
                    move |pixel: f32| (pixel - mean) / std
                }),
            }
        }
    }

    /// One image, row by row.
    fn read<P: Copy, N: Fn(P) -> f32>(
        &self,
        pixels: &[P],
        view: View,
        crop: usize,
        out: &mut [f32],
        normal: impl Fn(usize) -> N,
    ) {
        let [_, height, width] = self.shape;
        let (top, left) = (view.top as usize, view.left as usize);
        assert!(top <= 2 * crop && left <= 2 * crop, "{view:?} with a padding of {crop}");
        // Columns of the result that show the image; the others show padding.
        let shown = crop.saturating_sub(left)..width.min((width + crop).saturating_sub(left));
        for (row, out) in out.chunks_exact_mut(width).enumerate() {
            let (channel, y) = (row / height, row % height + top);
            let normal = normal(channel);
            if y < crop || y >= height + crop || shown.is_empty() {
                out.fill(0.0);
                continue;
            }
            let line = &pixels[(channel * height + y - crop) * width..][..width];
            let line = &line[shown.start + left - crop..][..shown.len()];
            out[..shown.start].fill(0.0);
            out[shown.end..].fill(0.0);
            for (out, &pixel) in out[shown.clone()].iter_mut().zip(line) {
                *out = normal(pixel);
            }
            if view.flip {
                out.reverse();
            }
        }
    }
}
