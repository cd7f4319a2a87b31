//! Data sets: from files, or formulas, to batches of normalised images.
//!
//! Invariants: what is loaded is a pure function of the files, the run's data settings and its seed. The readers are
//! pure functions over bytes; only `files` and `folder` touch the disk. Pixels stay bytes, in memory as on a device, and
//! are normalised batch by batch: (x / 255 - mean) / std in f32, in this order, as torchvision does. Values that are no
//! bytes (points of the plane, noisy or blurred images) are f32 on the scale that x / 255 has.
//!
//! A run's images are made in this order: files, subset (`train_size`, `balanced`), label noise, corruption; then, batch
//! by batch, normalisation and, in training, augmentation.

mod cifar;
mod corrupt;
mod error;
mod files;
mod folder;
mod format;
mod gather;
mod idx;
mod labels;
mod settings;
mod spirals;
mod subset;

use std::ops::Range;
use std::path::Path;

use tch::kind::Element;
use tch::{Device, Kind, Tensor};
use transect_common::data::{Corruption, DataSet, DataSpec, Split};

pub use error::DataError;
pub use format::FormatError;
pub use gather::{By, Gather, View};
pub use labels::add_noise;

/// Images in memory, of bytes as they are in files or of f32.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images<P = u8> {
    /// Values [N x C x H x W], one image after another.
    pub pixels: Vec<P>,
    /// One label each.
    pub labels: Vec<u8>,
    /// Channels, height, width.
    pub shape: [u32; 3],
}

impl<P: Copy> Images<P> {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The images at `places`, in that order.
    ///
    /// # Panics
    /// When a place is not below the number of images.
    #[must_use]
    pub fn select(&self, places: &[u32]) -> Self {
        let image = self.shape.iter().product::<u32>() as usize;
        let mut pixels = Vec::with_capacity(places.len() * image);
        for &place in places {
            pixels.extend_from_slice(&self.pixels[place as usize * image..][..image]);
        }
        Self { pixels, labels: places.iter().map(|&place| self.labels[place as usize]).collect(), shape: self.shape }
    }
}

/// Both splits of a run's data on its device: sizes, label noise and corruption applied.
#[derive(Debug)]
pub struct Data {
    train: Part,
    test: Part,
    mean: Tensor,
    std: Tensor,
    shape: [u32; 3],
}

/// One split, for a device.
#[derive(Debug)]
struct Part {
    /// Bytes, or f32 on the scale of bytes / 255, [N, C, H, W]; in this process's memory when the device has no room.
    pixels: Tensor,
    /// Classes [N], i64.
    labels: Tensor,
    len: usize,
}

impl Part {
    fn new<P: Element + Copy>(images: &Images<P>, device: Device) -> Self {
        let [c, h, w] = images.shape.map(i64::from);
        let labels: Vec<i64> = images.labels.iter().map(|&label| label.into()).collect();
        Self {
            pixels: placed(Tensor::from_slice(&images.pixels).view([images.len() as i64, c, h, w]), device),
            labels: Tensor::from_slice(&labels).to_device(device),
            len: images.len(),
        }
    }
}

/// The images on `device`, if it has room for them and as much again to work in; else where they are, from where batch
/// after batch is copied.
fn placed(pixels: Tensor, device: Device) -> Tensor {
    let twice = 2 * pixels.numel() * pixels.kind().elt_size_in_bytes();
    let has_room = device == Device::Cpu || Tensor::f_empty([twice as i64], (Kind::Uint8, device)).is_ok();
    if has_room { pixels.to_device(device) } else { pixels }
}

/// Where the images of a run come from.
enum Source {
    Files(files::Found),
    Folder(folder::Folder),
}

impl Source {
    fn open(spec: &DataSpec, data: &Path) -> Result<Self, DataError> {
        match spec.set {
            DataSet::ImageFolder => folder::Folder::open(spec, data).map(Self::Folder),
            _ => files::locate(spec, data).map(Self::Files),
        }
    }

    /// The images of a split that the run uses and their places in the files.
    fn read(&self, spec: &DataSpec, split: Split) -> Result<(Images, Vec<u32>), DataError> {
        match self {
            Self::Files(found) => {
                let images = files::read_split(spec, found, split)?;
                let places = subset::places(spec, &found.folder, split, &images.labels)?;
                Ok((images.select(&places), places))
            }
            Self::Folder(folder) => {
                let places = subset::places(spec, folder.path(), split, &folder.labels(split))?;
                Ok((folder.read(split, &places)?, places))
            }
        }
    }
}

impl Data {
    /// Loads the data of a run from the data folder (`folder/NAME/...`, else where system packages put them), or makes
    /// them where the set is generated.
    ///
    /// `seed` is the run's, for label noise; an imported run has none and can have no noise.
    ///
    /// # Errors
    /// When files are absent, damaged or too small, or a setting makes no sense.
    pub fn load(spec: &DataSpec, folder: &Path, seed: Option<u64>, device: Device) -> Result<Self, DataError> {
        settings::check(spec, seed)?;
        let noisy = |labels: &mut [u8]| {
            if let Some(seed) = seed {
                add_noise(labels, spec.label_noise, spec.classes(), seed);
            }
        };
        let parts = if spec.set == DataSet::Spirals {
            let [mut train, test] = [Split::Train, Split::Test].map(|split| spirals::points(spec, split));
            noisy(&mut train.labels);
            [Part::new(&train, device), Part::new(&test, device)]
        } else {
            let source = Source::open(spec, folder)?;
            // Decompressing and checking is most of it, and is done on two cores.
            let (train, test) = std::thread::scope(|scope| {
                let test = scope.spawn(|| source.read(spec, Split::Test));
                (source.read(spec, Split::Train), test.join())
            });
            let (mut train, train_places) = train?;
            let (test, test_places) = test.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            noisy(&mut train.labels);
            [(Split::Train, train, train_places), (Split::Test, test, test_places)]
                .map(|(split, images, places)| corrupted(spec.corruption, &images, split, &places, device))
        };
        let [train, test] = parts;
        Ok(Self::of(train, test, spec.input(), (spec.mean(), spec.std()), device))
    }

    /// Data that are in memory already.
    ///
    /// # Panics
    /// When the splits differ in shape, pixels and labels in number, or `mean` and `std` do not have one value for each
    /// channel.
    pub fn new(train: &Images, test: &Images, mean: &[f64], std: &[f64], device: Device) -> Self {
        assert_eq!(train.shape, test.shape, "both splits have one shape");
        Self::of(Part::new(train, device), Part::new(test, device), train.shape, (mean, std), device)
    }

    fn of(train: Part, test: Part, shape: [u32; 3], (mean, std): (&[f64], &[f64]), device: Device) -> Self {
        let channels = shape[0] as usize;
        assert_eq!((mean.len(), std.len()), (channels, channels), "one mean and std for each channel");
        let per_channel = |values: &[f64]| {
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            Tensor::from_slice(&values).view([1, -1, 1, 1]).to_device(device)
        };
        Self { train, test, mean: per_channel(mean), std: per_channel(std), shape }
    }

    /// Number of images of a split.
    pub fn len(&self, split: Split) -> usize {
        self.part(split).len
    }

    /// Shape of one image: channels, height, width.
    pub fn input(&self) -> [u32; 3] {
        self.shape
    }

    /// The device on which batches are.
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
        let pixels = part.pixels.narrow(0, start, len).to_device(self.device());
        (self.normalised(&pixels), self.labels(split, range))
    }

    /// The classes of a range, i64 [n].
    ///
    /// # Panics
    /// When the range goes beyond the split.
    pub fn labels(&self, split: Split, range: Range<usize>) -> Tensor {
        self.part(split).labels.narrow(0, range.start as i64, range.len() as i64)
    }

    /// The images at `indices` (i64 [n], on the data's device), likewise.
    ///
    /// # Panics
    /// When an index is not below the split's length.
    pub fn select(&self, split: Split, indices: &Tensor) -> (Tensor, Tensor) {
        let part = self.part(split);
        let pixels = part.pixels.index_select(0, &indices.to_device(part.pixels.device())).to_device(self.device());
        (self.normalised(&pixels), part.labels.index_select(0, indices))
    }

    /// What makes batches of a split in one pass, on any thread, in this process's memory; nothing when the images lie on
    /// another device.
    pub fn gather(&self, split: Split) -> Option<Gather> {
        let part = self.part(split);
        let bytes = Tensor::arange(256, (Kind::Uint8, self.device())).view([1, 1, 16, 16]);
        let every_byte = bytes.repeat([1, self.shape[0].into(), 1, 1]);
        let is_here = part.pixels.device() == Device::Cpu;
        is_here.then(|| Gather::new(part, &self.normalised(&every_byte), [&self.mean, &self.std], self.shape))
    }

    fn part(&self, split: Split) -> &Part {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    fn normalised(&self, pixels: &Tensor) -> Tensor {
        let mut x = if pixels.kind() == Kind::Float {
            // Not in place: these are the data themselves.
            pixels - &self.mean
        } else {
            let mut x = pixels.to_kind(Kind::Float);
            let _ = x.divide_scalar_(255.0);
            x.subtract_(&self.mean)
        };
        let _ = x.divide_(&self.std);
        x
    }
}

/// One split as the run corrupts it.
fn corrupted(how: Corruption, images: &Images, split: Split, places: &[u32], device: Device) -> Part {
    match how {
        Corruption::None => Part::new(images, device),
        Corruption::GaussianNoise { level, seed } => {
            Part::new(&corrupt::noisy(images, split, places, level, seed), device)
        }
        Corruption::Blur { sigma } => Part::new(&corrupt::blurred(images, sigma), device),
        Corruption::PixelShuffle { seed } => {
            Part::new(&corrupt::shuffled(images, &corrupt::pixel_order(images.shape, seed)), device)
        }
        Corruption::BlockShuffle { blocks, seed } => {
            Part::new(&corrupt::shuffled(images, &corrupt::block_order(images.shape, blocks, seed)), device)
        }
    }
}
