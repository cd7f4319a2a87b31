//! The S3 server s3s-fs over a folder: killed, frozen, started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::process::Process;

const KEY: &str = "the-key";
const SECRET: &str = "the-secret";
const BUCKET: &str = "checkpoints";

/// A server with one bucket.
pub struct Bucket {
    /// The server.
    pub process: Process,
    address: SocketAddr,
    folder: PathBuf,
}

impl Bucket {
    /// Starts the server over a new folder.
    pub fn start(program: &Path, folder: PathBuf, address: SocketAddr, log: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder.join(BUCKET))?;
        let port = address.port().to_string();
        let words = ["--host", "127.0.0.1", "--port", &port, "--access-key", KEY, "--secret-key", SECRET];
        let mut arguments: Vec<String> = words.map(str::to_owned).to_vec();
        arguments.push(folder.display().to_string());
        let mut process = Process::new("the artifact server".to_owned(), program, arguments, log);
        process.start()?;
        Ok(Self { process, address, folder })
    }

    /// What `--artifacts` says.
    pub fn location() -> String {
        format!("s3://{BUCKET}/lab")
    }

    /// What reaching it takes.
    pub fn variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Where the objects lie.
    pub fn objects(&self) -> PathBuf {
        self.folder.join(BUCKET).join("lab")
    }

    /// SIGKILL; started again at `until`.
    pub fn kill(&mut self, until: Instant) {
        self.process.thaw();
        self.process.kill(until);
    }
}
