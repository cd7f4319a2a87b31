//! Reading a sweep file: mistakes that need no coordinator are answered here, at once.

use std::path::Path;

use anyhow::Context as _;
use transect_common::sweep::{MAX_FILE_BYTES, SweepFile};

use crate::errors::Failure;
use crate::output;

/// A sweep file and its text.
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
    let file = SweepFile::parse_bytes(&bytes).map_err(|errors| Failure::sweep(path, &errors))?;
    let text = String::from_utf8(bytes).map_err(|e| Failure::Usage(format!("{name} is not UTF-8: {e}")))?;
    Ok(Loaded { text, file })
}
