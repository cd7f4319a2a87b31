//! Makes the built binaries find libtorch where it was linked from, and tells them its version.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    let Ok(libtorch) = std::env::var("LIBTORCH") else {
        println!("cargo:rustc-env=TRANSECT_LIBTORCH_VERSION=unknown");
        return;
    };
    println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    let header = Path::new(&libtorch).join("include/torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    println!("cargo:rustc-env=TRANSECT_LIBTORCH_VERSION={}", version(&header).unwrap_or_else(|| "unknown".to_owned()));
}

/// `MAJOR.MINOR.PATCH` from the header's three `#define TORCH_VERSION_...` lines.
fn version(header: &Path) -> Option<String> {
    let text = std::fs::read_to_string(header).ok()?;
    let number = |part: &str| {
        let name = format!("TORCH_VERSION_{part}");
        text.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("#define") && words.next() == Some(name.as_str())).then(|| words.next())?
        })
    };
    Some(format!("{}.{}.{}", number("MAJOR")?, number("MINOR")?, number("PATCH")?))
}
