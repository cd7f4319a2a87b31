//! Data sets as descriptions: where their files lie, what they must hold, how their images are normalised, and what a
//! run changes about them.
//!
//! Invariant: [`DataSpec`] answers for shape, classes and sizes, because not every set fixes them: an image folder's
//! shape and classes stand in the spec. [`DataSet::info`] holds what is the same for every run.

mod corruption;
mod sets;
mod spirals;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use corruption::Corruption;
pub use sets::{DataFile, DataSetInfo, Layout};
pub use spirals::Spirals;

/// A data set that Transect can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DataSet {
    /// MNIST, 28 x 28 grey digits (LeCun, Cortes & Burges).
    Mnist,
    /// Fashion-MNIST, 28 x 28 grey articles of clothing (Xiao, Rasul & Vollgraf 2017).
    FashionMnist,
    /// CIFAR-10, 32 x 32 colour photographs (Krizhevsky 2009), binary layout.
    Cifar10,
    /// CIFAR-100, the same in 100 fine classes, binary layout.
    Cifar100,
    /// Points on spirals in the plane, one spiral a class, generated: see [`Spirals`].
    Spirals,
    /// PNG and JPEG files, `DATA/FOLDER/{train,test}/CLASS/NAME`.
    ImageFolder,
}

/// The part of a data set that something is measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Training images, as they are in the files: no augmentation, but with the run's label noise.
    Train,
    /// Test images.
    Test,
}

impl Split {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Train, Self::Test];

    /// As in sweep files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The split of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl DataSet {
    /// Every data set, in the order in which they are shown.
    pub const ALL: [Self; 6] =
        [Self::Mnist, Self::FashionMnist, Self::Cifar10, Self::Cifar100, Self::Spirals, Self::ImageFolder];

    /// What is the same for every run that uses it.
    pub fn info(self) -> &'static DataSetInfo {
        match self {
            Self::Mnist => &sets::MNIST,
            Self::FashionMnist => &sets::FASHION_MNIST,
            Self::Cifar10 => &sets::CIFAR10,
            Self::Cifar100 => &sets::CIFAR100,
            Self::Spirals => &sets::SPIRALS,
            Self::ImageFolder => &sets::IMAGE_FOLDER,
        }
    }

    /// As in sweep files: `fashion-mnist`.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// Augmentation of training images: pure functions of (seed, epoch, index).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Mirror half of the images left to right.
    pub flip: bool,
    /// Pad by this many zero pixels (after normalisation) on each side and crop back at a random place; 0 to 16, 0 for none.
    pub crop: u32,
}

/// The data of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// The data set.
    pub set: DataSet,
    /// Use the first this many training images, in the files' order; all when absent. Spirals make so many points.
    #[serde(default)]
    pub train_size: Option<u32>,
    /// Use the first this many test images, in the files' order; all when absent.
    #[serde(default)]
    pub test_size: Option<u32>,
    /// Take `train_size` in equal numbers from each class: the first of each, the remainder from the lower classes.
    #[serde(default)]
    pub balanced: bool,
    /// Share of training labels, 0 to 1, replaced by labels drawn uniformly at random (which may be the old ones). At 1
    /// labels are fully random (Zhang et al. 2017, arXiv 1611.03530).
    #[serde(default)]
    pub label_noise: f64,
    /// What is done to every image of both splits.
    #[serde(default, skip_serializing_if = "Corruption::is_none")]
    pub corruption: Corruption,
    /// Accept files with fewer images than the whole set has.
    #[serde(default)]
    pub partial: bool,
    /// Mean of each channel on the [0, 1] scale; the set's own when absent.
    #[serde(default)]
    pub mean: Option<Vec<f64>>,
    /// Standard deviation of each channel, likewise.
    #[serde(default)]
    pub std: Option<Vec<f64>>,
    /// Augmentation while training.
    #[serde(default)]
    pub augment: Augment,
    /// Of `spirals`: how they look.
    #[serde(default)]
    pub spirals: Spirals,
    /// Of an image folder, which needs it: the folder under the data folder.
    #[serde(default)]
    pub folder: Option<String>,
    /// Of an image folder, which needs it: channels (1 or 3), height and width of every image.
    #[serde(default)]
    pub shape: Option<[u32; 3]>,
    /// Of an image folder, which needs it: the number of its classes, 1 to 256.
    #[serde(default)]
    pub classes: Option<u32>,
    /// Of an image folder: BLAKE3 of what it must hold, 64 hexadecimal digits.
    #[serde(default)]
    pub content: Option<String>,
}

impl DataSpec {
    /// The whole of `set` with its own normalisation.
    pub fn new(set: DataSet) -> Self {
        Self {
            set,
            train_size: None,
            test_size: None,
            balanced: false,
            label_noise: 0.0,
            corruption: Corruption::None,
            partial: false,
            mean: None,
            std: None,
            augment: Augment::default(),
            spirals: Spirals::default(),
            folder: None,
            shape: None,
            classes: None,
            content: None,
        }
    }

    /// The same data, with what only repeats the data set (its whole size, its own normalisation) and what means nothing
    /// to it (another set's settings) left out.
    #[must_use]
    pub fn canonicalised(mut self) -> Self {
        let said = |size: Option<u32>, split| {
            let (default, largest) = (self.default_size(split), self.largest_size(split));
            // Where the default is all there is, more than it is the same.
            size.filter(
                |&n| if default == largest { default.is_none_or(|whole| n < whole) } else { Some(n) != default },
            )
        };
        (self.train_size, self.test_size) = (said(self.train_size, Split::Train), said(self.test_size, Split::Test));
        // Points of spirals come class by class in turn, so any number of them is balanced.
        self.balanced &= self.train_size.is_some() && self.set != DataSet::Spirals;
        if self.set != DataSet::Spirals {
            self.spirals = Spirals::default();
        }
        if self.set != DataSet::ImageFolder {
            (self.folder, self.shape, self.classes, self.content) = (None, None, None, None);
        }
        // Only sets of a published size can be there in part.
        self.partial &= !matches!(self.set, DataSet::Spirals | DataSet::ImageFolder);
        let channels = self.input()[0] as usize;
        self.mean = self.mean.filter(|mean| mean != own(self.set.info().mean, channels));
        self.std = self.std.filter(|std| std != own(self.set.info().std, channels));
        self
    }

    /// Shape of one image: channels, height, width. (An image folder without a shape, which nothing accepts, says
    /// 3 x 32 x 32.)
    pub fn input(&self) -> [u32; 3] {
        self.set.info().input.or(self.shape).unwrap_or([3, 32, 32])
    }

    /// Number of classes; labels are 0 to classes - 1. (An image folder without its number, which nothing accepts, says
    /// 1.)
    pub fn classes(&self) -> u32 {
        match self.set {
            DataSet::Spirals => self.spirals.classes,
            set => set.info().classes.or(self.classes).unwrap_or(1),
        }
    }

    /// Images of a split when no size is asked for. `None` when only the files know.
    pub fn default_size(&self, split: Split) -> Option<u32> {
        let info = self.set.info();
        match split {
            Split::Train => info.train_size,
            Split::Test => info.test_size,
        }
    }

    /// Most images that may be asked for. `None` when only the files know.
    pub fn largest_size(&self, split: Split) -> Option<u32> {
        match self.set {
            DataSet::Spirals => Some(Spirals::MOST),
            _ => self.default_size(split),
        }
    }

    /// Images of a split that the run uses. `None` when only the files know.
    pub fn images(&self, split: Split) -> Option<u32> {
        let asked = match split {
            Split::Train => self.train_size,
            Split::Test => self.test_size,
        };
        match asked {
            Some(asked) => Some(self.largest_size(split).map_or(asked, |most| asked.min(most))),
            None => self.default_size(split),
        }
    }

    /// Mean of each channel on the [0, 1] scale.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_deref().unwrap_or_else(|| own(self.set.info().mean, self.input()[0] as usize))
    }

    /// Standard deviation of each channel on the [0, 1] scale.
    pub fn std(&self) -> &[f64] {
        self.std.as_deref().unwrap_or_else(|| own(self.set.info().std, self.input()[0] as usize))
    }
}

/// A set's own values for its first `channels`: an image folder has three for images that may have one channel.
fn own(values: &'static [f64], channels: usize) -> &'static [f64] {
    &values[..channels.min(values.len())]
}
