//! Data sets as descriptions: where their files lie, what they must hold, how their images are normalised.

use std::fmt;

use serde::{Deserialize, Serialize};

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
    /// As in sweep files and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// The split of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Train, Self::Test].into_iter().find(|s| s.name() == name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the files of a data set are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One IDX file of images and one of labels for each split, gzipped or not (`NAME` or `NAME.gz`).
    Idx,
    /// CIFAR's binary layout: records of one label byte and 3 x 32 x 32 bytes, gzipped or not.
    CifarBinary,
}

/// One file of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataFile {
    /// Name inside the set's folder, without `.gz`.
    pub name: &'static str,
    /// Which split it belongs to.
    pub split: Split,
    /// MD5 of the uncompressed file where it is known. Packages of one file differ in how they compress it.
    pub md5: Option<&'static str>,
}

/// What is known of a data set before any file is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DataSetInfo {
    /// Name, which is also the folder under the data folder.
    pub name: &'static str,
    /// Shape of one image: channels, height, width.
    pub input: [u32; 3],
    /// Number of classes; labels are 0 to classes - 1.
    pub classes: u32,
    /// Images of the whole training split.
    pub train_size: u32,
    /// Images of the whole test split.
    pub test_size: u32,
    /// Mean of each channel on the [0, 1] scale, subtracted first.
    pub mean: &'static [f64],
    /// Standard deviation of each channel on the [0, 1] scale, divided by afterwards.
    pub std: &'static [f64],
    /// Layout of the files.
    pub layout: Layout,
    /// The files, images before labels, in the order in which their images are counted.
    pub files: &'static [DataFile],
    /// Folders to look in after `DATA/NAME`, for sets that a system package installs.
    pub system_folders: &'static [&'static str],
    /// The command that installs the files, `{dir}` standing for `DATA/NAME`.
    pub install: &'static str,
}

const fn file(name: &'static str, split: Split, md5: Option<&'static str>) -> DataFile {
    DataFile { name, split, md5 }
}

const MNIST: DataSetInfo = DataSetInfo {
    name: "mnist",
    input: [1, 28, 28],
    classes: 10,
    train_size: 60_000,
    test_size: 10_000,
    mean: &[0.1307],
    std: &[0.3081],
    layout: Layout::Idx,
    files: &[
        file("train-images-idx3-ubyte", Split::Train, Some("6bbc9ace898e44ae57da46a324031adb")),
        file("train-labels-idx1-ubyte", Split::Train, Some("a25bea736e30d166cdddb491f175f624")),
        file("t10k-images-idx3-ubyte", Split::Test, Some("2646ac647ad5339dbf082846283269ea")),
        file("t10k-labels-idx1-ubyte", Split::Test, Some("27ae3e4e09519cfbb04c329615203637")),
    ],
    system_folders: &[],
    install: "scripts/data.sh mnist {dir}",
};

const FASHION_MNIST: DataSetInfo = DataSetInfo {
    name: "fashion-mnist",
    input: [1, 28, 28],
    classes: 10,
    train_size: 60_000,
    test_size: 10_000,
    mean: &[0.2860],
    std: &[0.3530],
    layout: Layout::Idx,
    files: &[
        file("train-images-idx3-ubyte", Split::Train, Some("f4a8712d7a061bf5bd6d2ca38dc4d50a")),
        file("train-labels-idx1-ubyte", Split::Train, Some("9018921c3c673c538a1fc5bad174d6f9")),
        file("t10k-images-idx3-ubyte", Split::Test, Some("8181f5470baa50b63fa0f6fddb340f0a")),
        file("t10k-labels-idx1-ubyte", Split::Test, Some("15d484375f8d13e6eb1aabb0c3f46965")),
    ],
    system_folders: &["/usr/share/datasets/fashion-mnist"],
    install: "apt-get install -y dataset-fashion-mnist",
};

const CIFAR10: DataSetInfo = DataSetInfo {
    name: "cifar10",
    input: [3, 32, 32],
    classes: 10,
    train_size: 50_000,
    test_size: 10_000,
    mean: &[0.4914, 0.4822, 0.4465],
    std: &[0.2470, 0.2435, 0.2616],
    layout: Layout::CifarBinary,
    files: &[
        file("data_batch_1.bin", Split::Train, None),
        file("data_batch_2.bin", Split::Train, None),
        file("data_batch_3.bin", Split::Train, None),
        file("data_batch_4.bin", Split::Train, None),
        file("data_batch_5.bin", Split::Train, None),
        file("test_batch.bin", Split::Test, None),
    ],
    system_folders: &[],
    install: "mkdir -p {dir} && tar -xzf cifar-10-binary.tar.gz --strip-components=1 -C {dir}",
};

impl DataSet {
    /// Every data set, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Mnist, Self::FashionMnist, Self::Cifar10];

    /// What is known of it.
    pub fn info(self) -> &'static DataSetInfo {
        match self {
            Self::Mnist => &MNIST,
            Self::FashionMnist => &FASHION_MNIST,
            Self::Cifar10 => &CIFAR10,
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
    /// Use the first this many training images, in the files' order; all when absent.
    #[serde(default)]
    pub train_size: Option<u32>,
    /// Use the first this many test images, in the files' order; all when absent.
    #[serde(default)]
    pub test_size: Option<u32>,
    /// Share of training labels, 0 to 1, replaced by labels drawn uniformly at random (which may be the old ones).
    #[serde(default)]
    pub label_noise: f64,
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
}

impl DataSpec {
    /// The whole of `set` with its own normalisation.
    pub fn new(set: DataSet) -> Self {
        Self {
            set,
            train_size: None,
            test_size: None,
            label_noise: 0.0,
            partial: false,
            mean: None,
            std: None,
            augment: Augment::default(),
        }
    }

    /// Mean of each channel on the [0, 1] scale.
    pub fn mean(&self) -> &[f64] {
        self.mean.as_deref().unwrap_or(self.set.info().mean)
    }

    /// Standard deviation of each channel on the [0, 1] scale.
    pub fn std(&self) -> &[f64] {
        self.std.as_deref().unwrap_or(self.set.info().std)
    }
}
