//! What is known of each data set before any file is opened.

use super::Split;

/// How the files of a data set are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One IDX file of images and one of labels for each split, gzipped or not (`NAME` or `NAME.gz`).
    Idx,
    /// CIFAR's binary layout: records of label bytes, of which the last is the class, and 3 x 32 x 32 bytes, gzipped or
    /// not.
    CifarBinary {
        /// Label bytes of a record.
        label_bytes: usize,
    },
    /// No files: made by a formula.
    Generated,
    /// Files of one image each, in a folder that the run names.
    Folder,
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
    /// Shape of one image: channels, height, width; `None` where a run says.
    pub input: Option<[u32; 3]>,
    /// Number of classes; labels are 0 to classes - 1; `None` where a run says.
    pub classes: Option<u32>,
    /// Images of the whole training split, or points made when no number is asked for; `None` where the files say.
    pub train_size: Option<u32>,
    /// The same of the test split.
    pub test_size: Option<u32>,
    /// Mean of each channel (the first ones, where a run says how many) on the [0, 1] scale, subtracted first.
    pub mean: &'static [f64],
    /// Standard deviation of each channel, likewise, divided by afterwards.
    pub std: &'static [f64],
    /// Layout of the files, if any.
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

pub(super) static MNIST: DataSetInfo = DataSetInfo {
    name: "mnist",
    input: Some([1, 28, 28]),
    classes: Some(10),
    train_size: Some(60_000),
    test_size: Some(10_000),
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

pub(super) static FASHION_MNIST: DataSetInfo = DataSetInfo {
    name: "fashion-mnist",
    input: Some([1, 28, 28]),
    classes: Some(10),
    train_size: Some(60_000),
    test_size: Some(10_000),
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

pub(super) static CIFAR10: DataSetInfo = DataSetInfo {
    name: "cifar10",
    input: Some([3, 32, 32]),
    classes: Some(10),
    train_size: Some(50_000),
    test_size: Some(10_000),
    mean: &[0.4914, 0.4822, 0.4465],
    std: &[0.2470, 0.2435, 0.2616],
    layout: Layout::CifarBinary { label_bytes: 1 },
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

pub(super) static CIFAR100: DataSetInfo = DataSetInfo {
    name: "cifar100",
    input: Some([3, 32, 32]),
    classes: Some(100),
    train_size: Some(50_000),
    test_size: Some(10_000),
    mean: &[0.5071, 0.4865, 0.4409],
    std: &[0.2673, 0.2564, 0.2762],
    // The coarse label, then the fine one.
    layout: Layout::CifarBinary { label_bytes: 2 },
    files: &[file("train.bin", Split::Train, None), file("test.bin", Split::Test, None)],
    system_folders: &[],
    install: "mkdir -p {dir} && tar -xzf cifar-100-binary.tar.gz --strip-components=1 -C {dir}",
};

pub(super) static SPIRALS: DataSetInfo = DataSetInfo {
    name: "spirals",
    input: Some([2, 1, 1]),
    classes: None,
    train_size: Some(2_000),
    test_size: Some(2_000),
    mean: &[0.0, 0.0],
    std: &[1.0, 1.0],
    layout: Layout::Generated,
    files: &[],
    system_folders: &[],
    install: "",
};

pub(super) static IMAGE_FOLDER: DataSetInfo = DataSetInfo {
    name: "image-folder",
    input: None,
    classes: None,
    train_size: None,
    test_size: None,
    mean: &[0.5, 0.5, 0.5],
    std: &[0.5, 0.5, 0.5],
    layout: Layout::Folder,
    files: &[],
    system_folders: &[],
    install: "scripts/data.sh unpack ARCHIVE.tar.gz {dir}",
};
