//! Reading a sweep file: mistakes that need no coordinator are answered here, at once.

use std::path::Path;

use anyhow::Context as _;
use transect_common::sweep::{MAX_FILE_BYTES, SweepFile, extended_path, extends_of, with_base};

use crate::errors::Failure;
use crate::output;

/// A sweep file with those that it extends, and its text.
pub struct Loaded {
    /// The text, which is what is sent.
    pub text: String,
    /// What it says.
    pub file: SweepFile,
}

/// Reads and checks the sweep file at `path`.
pub fn load(path: &Path) -> Result<Loaded, Failure> {
    let name = path.display();
    let about = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Failure::Usage(format!("there is no sweep file {name}")),
        _ => Failure::Usage(format!("cannot read the sweep file {name}: {e}")),
    })?;
    if !about.is_file() {
        return Err(Failure::Usage(format!("{name} is not a file; give the path of a sweep file (TOML)")));
    }
    if about.len() > MAX_FILE_BYTES as u64 {
        let (size, limit) = (output::grouped(about.len()), output::grouped(MAX_FILE_BYTES as u64));
        return Err(Failure::Usage(format!("{name} has {size} bytes; a sweep file has at most {limit}")));
    }
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the sweep file {name}"))?;
    let text = match String::from_utf8(bytes) {
        Ok(text) => with_bases(path, text)?,
        Err(error) => {
            SweepFile::parse_bytes(error.as_bytes()).map_err(|errors| Failure::sweep(path, &errors))?;
            return Err(Failure::Usage(format!("{name} is not UTF-8: {error}")));
        }
    };
    let file = SweepFile::parse(&text).map_err(|errors| Failure::sweep(path, &errors))?;
    Ok(Loaded { text, file })
}

/// The text with those of the files that it extends, so that it can be sent anywhere.
fn with_bases(path: &Path, text: String) -> Result<String, Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let (mut bundle, mut current, mut last) = (text.clone(), String::new(), text);
    let mut seen = vec![];
    while let Some(value) = extends_of(&last) {
        let next = extended_path(&current, &value);
        if seen.contains(&next) {
            // The parser says so, with the place.
            break;
        }
        let base = folder.join(&next);
        last = std::fs::read_to_string(&base).map_err(|error| {
            let by = if current.is_empty() { path.to_owned() } else { folder.join(&current) };
            Failure::Usage(format!("{} extends {}, which cannot be read: {error}", by.display(), base.display()))
        })?;
        bundle = with_base(&bundle, &next, &last);
        seen.push(next.clone());
        current = next;
    }
    Ok(bundle)
}
