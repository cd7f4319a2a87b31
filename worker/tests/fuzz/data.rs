//! Files of data sets: IDX and CIFAR's records, plain and compressed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use tch::Device;
use transect_common::data::{DataSet, DataSpec, Split};
use transect_worker::data::{Data, DataError};

use crate::memory::most_bytes;
use crate::mutate::{damaged, damages};

/// Most bytes that reading may take: a whole file of the largest kind is 45 MiB, which a compressed one may grow to, and it
/// is read into a buffer that doubles, then copied.
const READING: usize = 256 << 20;

/// A set of files, by name, and what reads them.
struct Set {
    kind: DataSet,
    files: Vec<(String, Vec<u8>)>,
}

fn set(kind: DataSet, folder: &str) -> Set {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(folder);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
    Set { kind, files: paths.into_iter().map(read).collect() }
}

static CORPUS: LazyLock<[Set; 3]> =
    LazyLock::new(|| [set(DataSet::Mnist, "mnist"), set(DataSet::Mnist, "mnist-gz"), set(DataSet::Cifar10, "cifar10")]);
static ALL: LazyLock<Vec<Vec<u8>>> =
    LazyLock::new(|| CORPUS.iter().flat_map(|set| &set.files).map(|(_, bytes)| bytes.clone()).collect());

/// Reads the set with the file at `place` replaced.
fn load(set: &Set, place: usize, bytes: &[u8]) -> (Result<Data, DataError>, usize) {
    let home = tempfile::tempdir().unwrap();
    let spec = DataSpec { partial: true, ..DataSpec::new(set.kind) };
    let folder = home.path().join(set.kind.info().name);
    fs::create_dir(&folder).unwrap();
    for (other, (name, whole)) in set.files.iter().enumerate() {
        fs::write(folder.join(name), if other == place { bytes } else { whole }).unwrap();
    }
    most_bytes(|| Data::load(&spec, home.path(), Some(1), Device::Cpu))
}

#[test]
fn the_corpus_is_right() {
    for (set, images) in CORPUS.iter().zip([3, 3, 2]) {
        let data = load(set, 0, &set.files[0].1).0.unwrap();
        assert_eq!(data.len(Split::Train), images);
    }
}

#[test]
fn a_compressed_file_that_never_ends_is_read_no_further_than_it_may_go() {
    let set = &CORPUS[1];
    let place = set.files.iter().position(|(name, _)| name.starts_with("train-images")).unwrap();
    // 1 GiB of zeros in 1 MiB, after a right header.
    let mut bomb = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    let header: Vec<u8> = [2051_u32, 60_000, 28, 28].iter().flat_map(|number| number.to_be_bytes()).collect();
    std::io::Write::write_all(&mut bomb, &header).unwrap();
    for _ in 0..1024 {
        std::io::Write::write_all(&mut bomb, &vec![0; 1 << 20]).unwrap();
    }
    let (read, most) = load(set, place, &bomb.finish().unwrap());
    assert!(most < READING, "{most} bytes");
    assert!(read.unwrap_err().to_string().contains("train-images"));
}

proptest! {
    #![proptest_config(crate::config(300, "tests/fuzz/regressions/data.txt"))]

    #[test]
    fn a_damaged_file_is_refused_by_its_name_or_read(which in 0..3usize, file in any::<Index>(), damages in damages()) {
        let set = &CORPUS[which];
        let place = file.index(set.files.len());
        let (name, whole) = &set.files[place];
        let bytes = damaged(whole, &ALL, &damages);
        let (read, most) = load(set, place, &bytes);
        prop_assert!(most < READING, "reading {} bytes took {}", bytes.len(), most);
        match read {
            Ok(data) => prop_assert!(data.len(Split::Train) > 0 || data.len(Split::Test) > 0),
            Err(error) => {
                let said = error.to_string();
                prop_assert!(said.len() < 4096, "{} bytes", said.len());
                let stem = name.split('-').next().unwrap();
                prop_assert!(said.contains(stem), "{said} does not say {name}");
            }
        }
    }
}
