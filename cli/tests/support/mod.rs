//! What the tests of the command share: running it in a folder of its own, small data sets and checkpoints.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use transect_common::checkpoint::{Checkpoint, encode};
use transect_common::model::{Description, ModelSpec};

/// An empty folder in which `transect` is run; its home is `.transect` there.
pub struct Bench {
    folder: TempDir,
}

/// What a command did.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The command, with nothing of the caller's environment that would change what it does.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_transect"));
        command.args(arguments).current_dir(self.folder.path());
        for name in ["HOME", "COORDINATOR", "DATA", "LOG", "DEVICE", "CACHE", "CACHE_BYTES", "THREADS", "ARTIFACTS"] {
            command.env_remove(format!("TRANSECT_{name}"));
        }
        for name in ["TOKEN", "TOKEN_FILE", "TLS_CA", "TLS_CLIENT_CERT", "TLS_CLIENT_KEY"] {
            command.env_remove(format!("TRANSECT_{name}"));
        }
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a command that must succeed, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?} failed:\n{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs a command with `--json` that must succeed and answer with one document.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{arguments:?} is no JSON document: {e}\n{answer}"))
    }

    /// True when the command left no database behind.
    pub fn is_untouched(&self) -> bool {
        !self.path(".transect/transect.db").exists()
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Fails with what to do when the worker binary, which another package builds, is not beside `transect`.
pub fn need_worker() {
    let worker = Path::new(env!("CARGO_BIN_EXE_transect")).with_file_name("transect-worker");
    assert!(worker.is_file(), "{} is missing; build everything first: make test", worker.display());
}

/// A part of MNIST that never was: `train` and `test` images in `DATA/mnist`, each class a bar at a place of its own on
/// noise, so that a network learns it within an epoch.
pub fn tiny_mnist(data: &Path, train: u32, test: u32) {
    let folder = data.join("mnist");
    std::fs::create_dir_all(&folder).unwrap();
    let mut noise = 0x2545_f491_u32;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        noise
    };
    for (prefix, n) in [("train", train), ("t10k", test)] {
        let mut images = [0x803_u32, n, 28, 28].map(u32::to_be_bytes).concat();
        let mut labels = [0x801_u32, n].map(u32::to_be_bytes).concat();
        for i in 0..n {
            let label = (i % 10) as u8;
            labels.push(label);
            for _ in 0..28 {
                for column in 0..28_u32 {
                    let bar = if column / 2 == u32::from(label) + 2 { 150 } else { 0 };
                    images.push(bar + (next() % 100) as u8);
                }
            }
        }
        std::fs::write(folder.join(format!("{prefix}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{prefix}-labels-idx1-ubyte")), labels).unwrap();
    }
}

/// A sweep over [`tiny_mnist`] that takes seconds: `seeds` runs of a small perceptron, whole line and each layer.
pub fn tiny_sweep(name: &str, seeds: u32, epochs: u32) -> String {
    format!(
        r#"
name = "{name}"
[data]
set = "mnist"
partial = true
[model]
architecture = "mlp"
[model.mlp]
widths = [16]
[train]
seed = "0..{seeds}"
optimizer = {{ name = "sgd", lr = 0.05, momentum = 0.9 }}
epochs = {epochs}
batch_size = 32
[[probe]]
kind = "line"
alphas = {{ start = 0.0, stop = 1.0, count = 5 }}
layers = ["all", "each"]
splits = ["train", "test"]
"#
    )
}

/// A checkpoint of `model` in which every value is a function of its place.
pub fn checkpoint(model: &Description) -> Vec<u8> {
    let value = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 1000.0;
    let theta = (0..model.theta_len()).map(value).collect();
    let buffers = (0..model.buffers_len()).map(|i| 0.5 + value(i).abs()).collect();
    encode(model, &Checkpoint { theta, buffers })
}

/// An architecture as it is by default.
pub fn model(name: &str) -> Description {
    let spec = ModelSpec::from_name(name).unwrap();
    spec.describe(spec.usual_input(), 10).unwrap()
}
