//! Artifacts as files: each is what its name says.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// Names of all artifacts below a folder, the bytes of each hashed.
pub fn artifacts(folder: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                // What is being uploaded, and what the server keeps for itself.
                if name != "tmp" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
                let mut hasher = blake3::Hasher::new();
                hasher.update_reader(File::open(&path)?)?;
                let digest = hasher.finalize().to_hex().to_string();
                ensure!(digest == name, "{} holds bytes of the digest {digest}", path.display());
                ensure!(found.insert(name), "{} is there twice", path.display());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let name = blake3::hash(b"weights").to_hex().to_string();
        let path = folder.path().join("ab").join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::create_dir_all(folder.path().join("tmp")).unwrap();
        std::fs::write(folder.path().join("tmp").join(&name), b"half").unwrap();
        std::fs::write(&path, b"weights").unwrap();
        assert_eq!(artifacts(folder.path()).unwrap(), BTreeSet::from([name]));
        std::fs::write(&path, b"weightz").unwrap();
        assert!(artifacts(folder.path()).is_err());
    }
}
