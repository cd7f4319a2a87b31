//! Compiles the proto files to Rust and to a descriptor set, without needing `protoc`.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "transect/v1/sweep.proto",
        "transect/v1/worker.proto",
        "transect/v1/artifact.proto",
        "transect/v1/admin.proto",
        "transect/executor/v1/executor.proto",
    ];
    println!("cargo:rerun-if-changed=../proto");
    let descriptors = protox::compile(files, ["../proto"])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
