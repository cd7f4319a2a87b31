//! Data sets: from files to batches of normalised images.
//!
//! Invariants: what is loaded is a pure function of the files, the run's data settings and its seed. The readers are
//! pure functions over bytes; only `files` touches the disk. Pixels stay bytes, in memory as on a device, and are
//! normalised batch by batch: (x / 255 - mean) / std in f32, in this order, as torchvision does.

mod cifar;
mod error;
mod files;
mod format;
mod idx;
mod labels;

use std::ops::Range;
use std::path::Path;

use tch::{Device, Kind, Tensor};
use transect_common::data::{DataSpec, Split};

pub use error::DataError;
pub use format::FormatError;
pub use labels::add_noise;

/// Images as they are in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Bytes [N x C x H x W], one image after another.
    pub pixels: Vec<u8>,
    /// One label each.
    pub labels: Vec<u8>,
    /// Channels, height, width.
    pub shape: [u32; 3],
}

impl Images {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Keeps the first `count` images.
    pub fn truncate(&mut self, count: usize) {
        let image = self.shape.iter().product::<u32>() as usize;
        self.labels.truncate(count);
        self.pixels.truncate(count * image);
    }
}

/// Both splits of a run's data on its device: sizes and label noise applied.
#[derive(Debug)]
pub struct Data {
    train: Part,
    test: Part,
    mean: Tensor,
    std: Tensor,
    shape: [u32; 3],
}

/// One split on a device.
#[derive(Debug)]
struct Part {
    /// Bytes [N, C, H, W].
    pixels: Tensor,
    /// Classes [N], i64.
    labels: Tensor,
    len: usize,
}

impl Data {
    /// Loads the data of a run from the data folder (`folder/NAME/...`, else where system packages put them).
    ///
    /// `seed` is the run's, for label noise; an imported run has none and can have no noise.
    ///
    /// # Errors
    /// When files are absent, damaged or too small, or a setting makes no sense.
    pub fn load(spec: &DataSpec, folder: &Path, seed: Option<u64>, device: Device) -> Result<Self, DataError> {
        check_settings(spec, seed)?;
        let found = files::locate(spec, folder)?;
        let read = |split, size: Option<u32>| -> Result<Images, DataError> {
            let mut images = files::read_split(spec.set, spec.partial, &found, split)?;
            let out_of_reach = |asked| DataError::SizeOutOfReach {
                set: spec.set.name(),
                folder: found.folder.clone(),
                split,
                asked,
                found: images.len(),
            };
            match size {
                Some(size) if size as usize > images.len() => return Err(out_of_reach(size)),
                Some(size) => images.truncate(size as usize),
                // Only a partial set can be empty.
                None if images.is_empty() => return Err(out_of_reach(1)),
                None => {}
            }
            Ok(images)
        };
        let mut train = read(Split::Train, spec.train_size)?;
        let test = read(Split::Test, spec.test_size)?;
        if let Some(seed) = seed {
            add_noise(&mut train.labels, spec.label_noise, spec.set.info().classes, seed);
        }
        Ok(Self::new(&train, &test, spec.mean(), spec.std(), device))
    }

    /// Data that are in memory already.
    ///
    /// # Panics
    /// When the splits differ in shape, pixels and labels in number, or `mean` and `std` do not have one value for each
    /// channel.
    pub fn new(train: &Images, test: &Images, mean: &[f64], std: &[f64], device: Device) -> Self {
        let shape = train.shape;
        let channels = shape[0] as usize;
        assert_eq!(shape, test.shape, "both splits have one shape");
        assert_eq!((mean.len(), std.len()), (channels, channels), "one mean and std for each channel");
        let per_channel = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            Tensor::from_slice(&values).view([1, -1, 1, 1]).to_device(device)
        };
        let part = |images: &Images| {
            let [c, h, w] = shape.map(i64::from);
            let labels: Vec<i64> = images.labels.iter().map(|&label| label.into()).collect();
            Part {
                pixels: Tensor::from_slice(&images.pixels).view([images.len() as i64, c, h, w]).to_device(device),
                labels: Tensor::from_slice(&labels).to_device(device),
                len: images.len(),
            }
        };
        Self { train: part(train), test: part(test), mean: per_channel(mean), std: per_channel(std), shape }
    }

    /// Number of images of a split.
    pub fn len(&self, split: Split) -> usize {
        self.part(split).len
    }

    /// Shape of one image: channels, height, width.
    pub fn input(&self) -> [u32; 3] {
        self.shape
    }

    /// The device that holds the data and gives the batches.
    pub fn device(&self) -> Device {
        self.mean.device()
    }

    /// The images of a range, normalised, f32 [n, C, H, W], and their classes, i64 [n].
    ///
    /// # Panics
    /// When the range goes beyond the split.
    pub fn batch(&self, split: Split, range: Range<usize>) -> (Tensor, Tensor) {
        let part = self.part(split);
        assert!(range.start <= range.end && range.end <= part.len, "{range:?} of {} images", part.len);
        let (start, len) = (range.start as i64, range.len() as i64);
        (self.normalised(&part.pixels.narrow(0, start, len)), part.labels.narrow(0, start, len))
    }

    /// The images at `indices` (i64 [n], on the data's device), likewise.
    ///
    /// # Panics
    /// When an index is not below the split's length.
    pub fn select(&self, split: Split, indices: &Tensor) -> (Tensor, Tensor) {
        let part = self.part(split);
        (self.normalised(&part.pixels.index_select(0, indices)), part.labels.index_select(0, indices))
    }

    fn part(&self, split: Split) -> &Part {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    fn normalised(&self, pixels: &Tensor) -> Tensor {
        let mut x = pixels.to_kind(Kind::Float);
        let _ = x.divide_scalar_(255.0);
        let _ = x.subtract_(&self.mean);
        let _ = x.divide_(&self.std);
        x
    }
}

fn check_settings(spec: &DataSpec, seed: Option<u64>) -> Result<(), DataError> {
    let refuse = |sentence: String| Err(DataError::Setting(sentence));
    let channels = spec.set.info().input[0] as usize;
    let (mean, std) = (spec.mean(), spec.std());
    if mean.len() != channels || std.len() != channels {
        let (name, means, stds) = (spec.set.name(), mean.len(), std.len());
        return refuse(format!("{name} has {channels} channels, but {means} means and {stds} standard deviations"));
    }
    if mean.iter().any(|m| !m.is_finite()) || std.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return refuse("means must be finite, and standard deviations finite and above 0".into());
    }
    if !(0.0..=1.0).contains(&spec.label_noise) {
        return refuse(format!("label_noise = {} is not in [0, 1]", spec.label_noise));
    }
    if seed.is_none() && spec.label_noise > 0.0 {
        return refuse("an imported run has no seed, so its data can have no label noise: set label_noise = 0".into());
    }
    if spec.train_size == Some(0) || spec.test_size == Some(0) {
        return refuse("train_size and test_size must be at least 1".into());
    }
    Ok(())
}
