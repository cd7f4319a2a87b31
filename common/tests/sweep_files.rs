//! The sweep files that come with the project: each is read, expands, and asks for what its claims are about.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use transect_common::digest::ArtifactDigest;
use transect_common::model::ModelSpec;
use transect_common::run::Tag;
use transect_common::sweep::{Expansion, Import, SweepFile, extended_path, extends_of, with_base};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "toml") && path.file_stem().unwrap() != "base" {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> SweepFile {
    let text = std::fs::read_to_string(path).unwrap();
    let (mut bundle, mut current, mut last) = (text.clone(), String::new(), text);
    while let Some(value) = extends_of(&last) {
        current = extended_path(&current, &value);
        last = std::fs::read_to_string(path.parent().unwrap().join(&current)).unwrap();
        bundle = with_base(&bundle, &current, &last);
    }
    SweepFile::parse(&bundle).unwrap_or_else(|errors| panic!("{}: {errors}", path.display()))
}

/// As if ImageNet's weights had been imported.
fn expand(file: &SweepFile) -> Expansion {
    let import = |name: &str| {
        let model = ModelSpec::from_name(match name {
            "resnet50-imagenet" => "resnet50",
            "efficientnet-imagenet" => "efficientnet-lite0",
            _ => "resnet18",
        });
        let checkpoints = BTreeMap::from([(Tag::last(), ArtifactDigest::of(name.as_bytes()))]);
        (name.to_owned(), Import { model: model.unwrap(), input: [3, 224, 224], classes: 1000, checkpoints })
    };
    file.expand(&file.imported().into_iter().map(import).collect()).unwrap()
}

fn sweeps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sweeps")
}

#[test]
fn every_file_expands_to_runs_with_lines_under_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for path in files(&sweeps()) {
        let expansion = expand(&read(&path));
        assert!(names.insert(expansion.name.clone()), "{} is not the first called {}", path.display(), expansion.name);
        assert!(expansion.runs.iter().any(|run| !run.lines.is_empty()), "{} measures nothing", path.display());
    }
    assert!(names.len() >= 30, "{names:?}");
}

#[test]
fn every_experiment_has_a_small_twin_that_makes_claims() {
    let stems = |folder: PathBuf| -> BTreeSet<String> {
        let inside = |path: &PathBuf| path.parent() == Some(folder.as_path());
        files(&folder)
            .iter()
            .filter(|p| inside(p))
            .map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let (full, small) = (stems(sweeps().join("paper")), stems(sweeps().join("paper/small")));
    // What needs other weights of one architecture has one twin for all.
    let missing: Vec<_> = full.difference(&small).filter(|name| *name != "pretrained-resnet50").collect();
    assert!(missing.is_empty(), "{missing:?}");
    for path in files(&sweeps().join("paper")) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# "), "{} does not open with what it reproduces", path.display());
        let asks = !read(&path).claims().is_empty();
        let explores = path.file_stem().unwrap() == "per-layer";
        assert!(asks || explores, "{} claims nothing", path.display());
    }
}
