//! Sweep files: those of the corpus and those that come with the project.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use transect_common::digest::ArtifactDigest;
use transect_common::line::LineSpec;
use transect_common::model::ModelSpec;
use transect_common::run::{RunSpec, Tag};
use transect_common::sweep::{Expansion, Import, SweepFile, extended_path, extends_of, with_base};

use crate::memory::most_bytes;
use crate::mutate::{damaged, damages};

/// Most bytes that reading a file may take: the largest one is 1 MiB.
const READING: usize = 256 << 20;
/// Most bytes that its runs and lines may take: there are at most 1.1 million jobs.
const EXPANDING: usize = 2 << 30;
/// Longest sentence about one mistake, in bytes.
const SENTENCE: usize = 4 << 10;

static CORPUS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let sweeps = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sweeps");
    let all = crate::files(&crate::corpus("sweeps")).into_iter().chain(crate::files(&sweeps));
    all.filter(|path| path.file_stem().is_some_and(|stem| stem != "base")).map(|path| bundle(&path)).collect()
});

/// A file with those that it extends.
fn bundle(path: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut bundle, mut current, mut last) = (text.clone(), String::new(), text);
    while let Some(value) = extends_of(&last) {
        current = extended_path(&current, &value);
        last = std::fs::read_to_string(path.parent().unwrap().join(&current)).unwrap();
        bundle = with_base(&bundle, &current, &last);
    }
    bundle.into_bytes()
}

/// As if whatever the file names had been imported.
fn imports(file: &SweepFile) -> BTreeMap<String, Import> {
    let import = |name: &str| {
        let (model, input, classes) = match name {
            "resnet50-imagenet" => ("resnet50", [3, 224, 224], 1000),
            "efficientnet-imagenet" => ("efficientnet-lite0", [3, 224, 224], 1000),
            "resnet18-imagenet" => ("resnet18", [3, 224, 224], 1000),
            _ => ("resnet20", [3, 32, 32], 10),
        };
        let checkpoint = |tag: Tag| (tag.clone(), ArtifactDigest::of(format!("{name} {tag}").as_bytes()));
        let checkpoints = [Tag::init(), Tag::last()].map(checkpoint).into();
        (name.to_owned(), Import { model: ModelSpec::from_name(model).unwrap(), input, classes, checkpoints })
    };
    file.imported().into_iter().map(import).collect()
}

/// Everything that identifies what the sweep asks for; and each of it is read back as what it is.
fn digests(expansion: &Expansion) -> Vec<String> {
    let mut all = vec![];
    for run in &expansion.runs {
        let canonical = run.spec.canonical();
        assert_eq!(RunSpec::from_canonical(&canonical).unwrap().digest(), run.digest, "{canonical}");
        all.push(run.digest.to_string());
        for line in run.lines.iter().take(50) {
            let canonical = line.canonical();
            assert_eq!(LineSpec::from_canonical(&canonical).unwrap().digest(), line.digest(), "{canonical}");
            all.push(line.digest().to_string());
        }
        if all.len() > 2_000 {
            break;
        }
    }
    all
}

/// What holds of any bytes; true when they are a sweep.
fn check(bytes: &[u8]) -> bool {
    let (read, most) = most_bytes(|| SweepFile::parse_bytes(bytes));
    assert!(most < READING, "reading {} bytes took {most}", bytes.len());
    let expanded = read.and_then(|file| {
        let imports = imports(&file);
        let (expanded, most) = most_bytes(|| file.expand(&imports));
        assert!(most < EXPANDING, "expanding {} bytes took {most}", bytes.len());
        Ok((expanded?, file, imports))
    });
    match expanded {
        Ok((expansion, file, imports)) => {
            assert_eq!(digests(&expansion), digests(&file.expand(&imports).unwrap()));
            true
        }
        Err(errors) => {
            let lines = bytes.split(|&byte| byte == b'\n').count();
            assert!(!errors.0.is_empty() && errors.0.len() <= 51, "{} mistakes", errors.0.len());
            for mistake in &errors.0 {
                assert!(mistake.line >= 1 && mistake.column >= 1 && mistake.line as usize <= lines, "{mistake}");
                assert!(!mistake.message.is_empty() && !mistake.place().is_empty());
                let said = mistake.to_string();
                assert!(said.len() < SENTENCE, "{} bytes: {}", said.len(), said.chars().take(300).collect::<String>());
            }
            false
        }
    }
}

#[test]
fn the_corpus_is_right() {
    for bytes in CORPUS.iter() {
        assert!(check(bytes), "{}", String::from_utf8_lossy(bytes));
    }
}

proptest! {
    #![proptest_config(crate::config(400, "tests/fuzz/regressions/sweeps.txt"))]

    #[test]
    fn damaged_files_are_read_or_answered_with_places(which in any::<Index>(), damages in damages()) {
        check(&damaged(which.get(CORPUS.as_slice()).as_slice(), &CORPUS, &damages));
    }
}
