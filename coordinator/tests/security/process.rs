//! A coordinator as a process that is watched from outside.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use transect_common::client::{Access, AccessFiles, Channel, Endpoints};
use transect_common::pb;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_coordinator::home;
use transect_coordinator::security::{NewToken, Secret, SecretHash};
use transect_coordinator::store::{SqliteStore, Terms, Timestamp, Tokens as _};

use crate::authority::{Authority, Pair};

/// A year that no test sees.
pub const LATER: i32 = 2999;

pub struct Process {
    child: Child,
    pub home: tempfile::TempDir,
    pub address: SocketAddr,
}

/// The command, with a log in the home.
pub fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transect-coordinator"));
    let log = std::fs::OpenOptions::new().create(true).append(true).open(home.join("log")).unwrap();
    command.arg("--home").arg(home).env("TRANSECT_LOG", "trace,h2=info,hyper=info,tower=info").stdin(Stdio::null());
    for name in ["TRANSECT_TOKEN", "TRANSECT_TLS_CERT", "TRANSECT_TLS_KEY"] {
        command.env_remove(name);
    }
    command.stdout(Stdio::null()).stderr(log);
    command
}

impl Process {
    /// Starts one and waits until it answers.
    pub async fn start(home: tempfile::TempDir, args: &[&str]) -> Self {
        Self::start_on(home, "127.0.0.1:0", "off", args).await
    }

    pub async fn start_on(home: tempfile::TempDir, listen: &str, http: &str, args: &[&str]) -> Self {
        let mut child = command(home.path()).args(["--listen", listen, "--http", http]).args(args).spawn().unwrap();
        for _ in 0..400 {
            let at = home.path().to_owned();
            let found = tokio::task::spawn_blocking(move || home::running(&at)).await.unwrap();
            if let Some(address) = found {
                return Self { child, home, address };
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", std::fs::read_to_string(home.path().join("log")).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it never answered");
    }

    pub async fn with_pair(pair: &Pair, more: &[&str]) -> Self {
        let (cert, key) = (pair.cert.to_str().unwrap(), pair.key.to_str().unwrap());
        let args = [&["--tls-cert", cert, "--tls-key", key], more].concat();
        Self::start(tempfile::tempdir().unwrap(), &args).await
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap()
    }

    /// The port of its pages, as its log says it.
    pub fn pages_port(&self) -> u16 {
        let log = self.log();
        let said = log.split("http=").nth(1).unwrap();
        let address: String = said.chars().take_while(|c| !c.is_whitespace()).collect();
        address.parse::<SocketAddr>().unwrap().port()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub async fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.home.path().join("transect.db"), Terms::default()).await.unwrap()
    }

    /// Makes a token beside the coordinator, as `transect token create` does.
    pub async fn token(&self, name: &str, scopes: &str, life: Option<Duration>) -> String {
        let secret = Secret::from_random(blake3::hash(name.as_bytes()).as_bytes());
        let hash: SecretHash = secret.hash();
        let now: Timestamp = SystemTime::now().into();
        let new = NewToken::new(name, hash, scopes.parse().unwrap(), life, "a test", now).unwrap();
        self.store().await.create_token(new, now).await.unwrap();
        secret.reveal().to_owned()
    }

    pub async fn revoke(&self, name: &str) {
        self.store().await.revoke_token(name, SystemTime::now().into()).await.unwrap();
    }

    /// An address of it under some name and scheme.
    pub fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}", self.address.port())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a client has.
#[derive(Default, Clone)]
pub struct Client {
    pub ca: Option<PathBuf>,
    pub pair: Option<Pair>,
    pub token: Option<String>,
}

impl Client {
    pub fn trusting(authority: &Authority) -> Self {
        Self { ca: Some(authority.pem()), ..Self::default() }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    pub fn with_pair(&self, pair: &Pair) -> Self {
        Self { pair: Some(pair.clone()), ..self.clone() }
    }

    /// A channel that connects with its first call.
    pub fn channel(&self, url: &str) -> Channel {
        let files = AccessFiles {
            token: None,
            ca: self.ca.clone(),
            cert: self.pair.as_ref().map(|pair| pair.cert.clone()),
            key: self.pair.as_ref().map(|pair| pair.key.clone()),
        };
        let access = Access::read(&files, self.token.as_deref()).unwrap();
        Channel::lazy(&Endpoints::parse(&[url]).unwrap().with(&access).unwrap())
    }

    pub fn sweeps(&self, url: &str) -> SweepServiceClient<Channel> {
        SweepServiceClient::new(self.channel(url))
    }

    /// Asks for something harmless; what went wrong, in words.
    pub async fn ask(&self, url: &str) -> Result<(), String> {
        let answer = self.sweeps(url).list(pb::ListRequest::default()).await;
        answer.map(drop).map_err(|status| match std::error::Error::source(&status) {
            Some(source) => transect_common::client::reason(source),
            None => format!("{:?}: {}", status.code(), status.message()),
        })
    }
}
