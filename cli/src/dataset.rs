//! Whether a sweep's data sets are where the workers will look, before anything is begun.

use std::path::{Path, PathBuf};

use transect_common::data::{DataFile, Layout, Split};
use transect_common::sweep::NeededData;

/// Says which files are missing and what installs them; None when nothing is.
pub fn missing(needed: &[NeededData], data: &Path) -> Option<String> {
    let sentences: Vec<String> = needed.iter().filter_map(|needed| missing_set(needed, data)).collect();
    (!sentences.is_empty()).then(|| sentences.join("\n"))
}

/// The worker takes the first folder that holds any file of the set; so is it here.
fn missing_set(needed: &NeededData, data: &Path) -> Option<String> {
    let info = needed.set.info();
    match info.layout {
        Layout::Generated => return None,
        Layout::Folder => return missing_folder(needed.folder.as_deref()?, info.install, data),
        Layout::Idx | Layout::CifarBinary { .. } => {}
    }
    let own = data.join(info.name);
    let install = info.install.replace("{dir}", &own.display().to_string());
    let folders: Vec<PathBuf> = std::iter::once(own).chain(info.system_folders.iter().map(PathBuf::from)).collect();
    let is_there = |folder: &Path, file: &DataFile| {
        let gzipped = format!("{}.gz", file.name);
        folder.join(file.name).is_file() || folder.join(gzipped).is_file()
    };
    let Some(folder) = folders.iter().find(|folder| info.files.iter().any(|file| is_there(folder, file))) else {
        let places: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        let (name, first) = (info.name, info.files[0].name);
        let places = places.join(" and ");
        return Some(format!(
            "the data set {name} is not here: looked for {first} (plain or .gz) and the rest in {places}. Install it \
             with: {install}"
        ));
    };
    let (there, absent): (Vec<&DataFile>, Vec<&DataFile>) = info.files.iter().partition(|file| is_there(folder, file));
    let is_enough = |split| there.iter().any(|file| file.split == split);
    // Images without their labels are of no use, so a set of IDX files is whole or nothing.
    let may_be_partial =
        matches!(info.layout, Layout::CifarBinary { .. }) && is_enough(Split::Train) && is_enough(Split::Test);
    if absent.is_empty() || (needed.partial && may_be_partial) {
        return None;
    }
    let names: Vec<&str> = absent.iter().map(|file| file.name).collect();
    let hint = if may_be_partial { ", or accept fewer images with `partial = true` under [data]" } else { "" };
    let (name, folder, names) = (info.name, folder.display(), names.join(", "));
    Some(format!("the data set {name} in {folder} lacks {names}. Install it with: {install}{hint}"))
}

/// Classes and images are the worker's to judge: it reads them.
fn missing_folder(name: &str, install: &str, data: &Path) -> Option<String> {
    let folder = data.join(name);
    let lacking = [Split::Train, Split::Test].into_iter().find(|split| !folder.join(split.name()).is_dir())?;
    let (folder, install) = (folder.display(), install.replace("{dir}", &folder.display().to_string()));
    Some(format!(
        "the image folder {name} is not here: there is no {folder}/{lacking}, which should hold a folder for each class. \
         Unpack it with: {install}"
    ))
}

#[cfg(test)]
mod tests {
    use transect_common::data::DataSet;

    use super::*;

    fn whole(set: DataSet) -> NeededData {
        NeededData { set, partial: false, folder: None }
    }

    #[test]
    fn spirals_need_no_files_and_an_image_folder_both_splits() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(missing(&[whole(DataSet::Spirals)], data.path()), None);
        let flowers = [NeededData { folder: Some("flowers".into()), ..whole(DataSet::ImageFolder) }];
        std::fs::create_dir_all(data.path().join("flowers/train")).unwrap();
        let text = missing(&flowers, data.path()).unwrap();
        let folder = data.path().join("flowers");
        assert!(text.contains(&format!("there is no {}/test", folder.display())), "{text}");
        assert!(text.contains(&format!("scripts/data.sh unpack ARCHIVE.tar.gz {}", folder.display())), "{text}");
        std::fs::create_dir_all(folder.join("test")).unwrap();
        assert_eq!(missing(&flowers, data.path()), None);
    }

    fn put(folder: &Path, names: &[&str]) {
        std::fs::create_dir_all(folder).unwrap();
        for name in names {
            std::fs::write(folder.join(name), "").unwrap();
        }
    }

    #[test]
    fn an_absent_set_is_answered_with_the_command_that_installs_it() {
        let data = tempfile::tempdir().unwrap();
        let text = missing(&[whole(DataSet::Cifar10)], data.path()).unwrap();
        let folder = data.path().join("cifar10");
        assert!(text.contains(&format!("--strip-components=1 -C {}", folder.display())), "{text}");
        assert!(text.contains("cifar10 is not here"), "{text}");
    }

    #[test]
    fn files_may_be_gzipped_and_a_lacking_one_is_named() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("mnist");
        put(&folder, &["train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"]);
        let wanted = [whole(DataSet::Mnist)];
        let text = missing(&wanted, data.path()).unwrap();
        assert!(text.contains("lacks t10k-labels-idx1-ubyte. Install it with: scripts/data.sh mnist"), "{text}");
        put(&folder, &["t10k-labels-idx1-ubyte"]);
        assert_eq!(missing(&wanted, data.path()), None);
    }

    #[test]
    fn a_partial_set_needs_one_training_file_and_the_test_files() {
        let data = tempfile::tempdir().unwrap();
        put(&data.path().join("cifar10"), &["data_batch_1.bin.gz", "test_batch.bin.gz"]);
        assert_eq!(missing(&[NeededData { partial: true, ..whole(DataSet::Cifar10) }], data.path()), None);
        let text = missing(&[whole(DataSet::Cifar10)], data.path()).unwrap();
        assert!(text.contains("lacks data_batch_2.bin, data_batch_3.bin"), "{text}");
    }
}
