//! A real S3 server: the program s3s-fs over a folder, and a wire before it that can be slow or be cut.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transect_coordinator::artifacts::Location;

const KEY: &str = "the-key";
pub const SECRET: &str = "the-secret";
pub const BUCKET: &str = "checkpoints";

/// The server's program; None, with a loud word, where it is not installed.
fn program() -> Option<PathBuf> {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../.deps/bin/s3s-fs");
    let program = std::env::var_os("TRANSECT_S3_SERVER").map_or_else(|| installed.into(), PathBuf::from);
    if program.exists() {
        return Some(program);
    }
    let what = format!("there is no S3 server at {}: run scripts/s3.sh, which installs it", program.display());
    assert!(std::env::var_os("CI").is_none(), "{what}");
    eprintln!("\n*** SKIPPED, NOT TESTED: {what} ***\n");
    None
}

/// A server with one bucket. Killed when it is dropped.
pub struct S3 {
    pub folder: tempfile::TempDir,
    program: PathBuf,
    address: SocketAddr,
    process: Option<Child>,
}

impl S3 {
    /// Starts one; None where that cannot be done.
    pub fn start() -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(BUCKET)).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut server = Self { folder, program, address, process: None };
        server.revive();
        Some(server)
    }

    /// Starts it again, on the same port and the same data.
    pub fn revive(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--host", "127.0.0.1", "--port", &self.address.port().to_string()]);
        command.args(["--access-key", KEY, "--secret-key", SECRET]).arg(self.folder.path());
        self.process = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        for _ in 0..200 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the S3 server does not answer");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn location(&self) -> Location {
        at(self.address, BUCKET, SECRET)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Names of all objects, with their folders; what the server keeps for itself left out.
    pub fn objects(&self) -> Vec<String> {
        let bucket = self.folder.path().join(BUCKET);
        let mut found = Vec::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&bucket).unwrap().display().to_string());
                }
            }
        }
        found
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A bucket of the server at `address`.
pub fn at(address: SocketAddr, bucket: &str, secret: &str) -> Location {
    let settings = [
        ("AWS_ENDPOINT_URL", format!("http://{address}")),
        ("AWS_ALLOW_HTTP", "true".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ACCESS_KEY_ID", KEY.into()),
        ("AWS_SECRET_ACCESS_KEY", secret.into()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    Location::parse(&format!("s3://{bucket}/lab"), settings.into_iter()).unwrap()
}

/// A wire to a server that waits before it passes on each piece, and breaks when told to.
pub struct Wire {
    pub address: SocketAddr,
    /// Milliseconds before each piece of 64 KiB.
    pub delay: Arc<AtomicU64>,
    /// Each connection breaks after so many bytes in either direction, until so many have broken; 0 for never.
    pub cut_after: Arc<AtomicU64>,
    pub cuts_left: Arc<AtomicU64>,
}

impl Wire {
    pub async fn to(server: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let [delay, cut_after, cuts_left] = [0, 0, 0].map(|n: u64| Arc::new(AtomicU64::new(n)));
        let wire = Self { address, delay, cut_after, cuts_left };
        let (delay, cut_after, cuts_left) = (wire.delay.clone(), wire.cut_after.clone(), wire.cuts_left.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = tokio::net::TcpStream::connect(server).await else { continue };
                let (delay, cut_after, cuts_left) = (delay.clone(), cut_after.clone(), cuts_left.clone());
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // Whichever ends first takes the other along.
                    tokio::select! {
                        () = pass(from_client, to_server, &delay, &cut_after, &cuts_left) => {}
                        () = pass(from_server, to_client, &delay, &cut_after, &cuts_left) => {}
                    }
                });
            }
        });
        wire
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay: &AtomicU64,
    cut_after: &AtomicU64,
    cuts_left: &AtomicU64,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut passed = 0;
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        tokio::time::sleep(Duration::from_millis(delay.load(Ordering::Relaxed))).await;
        passed += n as u64;
        let cut = cut_after.load(Ordering::Relaxed);
        let take = |left: u64| left.checked_sub(1);
        if cut > 0 && passed > cut && cuts_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
            return;
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}
