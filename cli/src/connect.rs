//! Where the coordinator is: the one that was named; else the one that is live in the home folder; else one that is
//! started in this process, over the home folder, for this command alone.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};
use transect_common::client::{Access, AccessFiles, Channel, Endpoints};
use transect_common::pb;
use transect_common::pb::admin_service_client::AdminServiceClient;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::sweep_service_client::SweepServiceClient;
use transect_coordinator::artifacts::Location;
use transect_coordinator::home::HomeError;
use transect_coordinator::store::StorePlace;
use transect_coordinator::{Config, Coordinator, StartError, home};

use crate::args::Global;
use crate::errors::{Failure, is_lost};

/// Short, so that what the workers of a killed `transect run` held is soon free for the next.
const LEASE: Duration = Duration::from_secs(10);
/// A coordinator that lives for one command may be in the way of this long.
const PATIENCE: Duration = Duration::from_secs(5);
/// Answers are pages and chunks of about a megabyte; this is far above them.
const LARGEST_ANSWER: usize = 64 << 20;

/// A stream that broke is opened again at another coordinator for so long.
const MOVING: Duration = Duration::from_mins(1);

/// States of a sweep as they come.
pub type States = mpsc::Receiver<Result<pb::WatchResponse, Status>>;

/// What a command expects of the home folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It is made when it is missing.
    Home,
    /// It must hold a database: there is nothing to read otherwise.
    Database,
    /// Nothing is to be stored: without a database, an empty one elsewhere will do.
    Nothing,
}

/// A coordinator to talk to.
pub struct Session {
    channel: Channel,
    address: String,
    own: Option<Coordinator>,
    /// Goes with the session.
    scratch: Option<TempDir>,
}

impl Session {
    /// Finds a coordinator, or starts one.
    pub async fn open(global: &Global, need: Need) -> Result<Self, Failure> {
        if let Some(given) = &global.coordinator {
            let endpoints = endpoints(given)?.with(&access(global)?).map_err(|e| Failure::Usage(e.to_string()))?;
            let channel = dial(&endpoints).await?;
            return Ok(Self { channel, address: endpoints.to_string(), own: None, scratch: None });
        }
        let has_database = global.home.join("transect.db").exists() || global.store.is_some();
        let place = global.store_place()?;
        if need == Need::Database && !has_database && home::running(&global.home).is_none() {
            let folder = global.home.display();
            return Err(Failure::NotFound(format!(
                "nothing is stored in {folder} yet; `transect run SWEEP.toml` begins, and --home or --coordinator say \
                 where to look instead"
            )));
        }
        if need == Need::Nothing && !has_database {
            let scratch = tempfile::tempdir().context("cannot make a temporary folder")?;
            let mut session = Self::start_or_join(scratch.path(), StorePlace::Home, &Access::default()).await?;
            session.scratch = Some(scratch);
            return Ok(session);
        }
        Self::start_or_join(&global.home, place, &access(global)?).await
    }

    /// Another command may start or end its coordinator at this very moment, hence the loop.
    async fn start_or_join(folder: &Path, place: StorePlace, access: &Access) -> Result<Self, Failure> {
        let began = Instant::now();
        loop {
            let failure = if let Some(live) = home::holding(folder) {
                let scheme = if live.tls { "https" } else { "http" };
                let address = format!("{scheme}://{}", live.address);
                let endpoints = endpoints(&address)?.with(access).map_err(|e| Failure::Usage(e.to_string()))?;
                match dial(&endpoints).await {
                    Ok(channel) => return Ok(Self { channel, address, own: None, scratch: None }),
                    Err(failure) => failure,
                }
            } else {
                match start(folder, place.clone()).await {
                    Ok(own) => {
                        let address = format!("http://{}", own.address());
                        let channel = dial(&endpoints(&address)?).await?;
                        return Ok(Self { channel, address, own: Some(own), scratch: None });
                    }
                    Err(StartError::Home(held @ HomeError::Held { .. })) => Failure::Other(held.into()),
                    Err(error) => return Err(Failure::Other(error.into())),
                }
            };
            if began.elapsed() > PATIENCE {
                return Err(failure);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Where the coordinator answers: `http://127.0.0.1:40123`; several of them with commas between.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// True when it lives in this process and for this command alone.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Sweeps and their results.
    pub fn sweeps(&self) -> SweepServiceClient<Channel> {
        SweepServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Tokens.
    pub fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone())
    }

    /// Follows a sweep. Where several coordinators were named and the one that answers goes away, another is asked.
    pub async fn watch(&self, sweep: &str) -> Result<States, Status> {
        let request = pb::WatchRequest { sweep: sweep.to_owned() };
        let mut client = self.sweeps();
        let mut states = client.watch(request.clone()).await?.into_inner();
        let has_others = self.address.contains(',');
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(state) = states.message().await.transpose() {
                let state = match state {
                    Err(loss) if has_others && is_lost(&loss) => match again(&mut client, &request).await {
                        Ok(opened) => {
                            states = opened;
                            continue;
                        }
                        Err(refusal) => Err(refusal),
                    },
                    state => state,
                };
                let is_last = state.is_err();
                if sender.send(state).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// Artifacts.
    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER)
    }

    /// Ends the coordinator if it is this command's own.
    pub async fn close(self) {
        let Self { channel, own, scratch, .. } = self;
        drop(channel);
        if let Some(own) = own {
            own.shutdown().await;
        }
        drop(scratch);
    }
}

/// Follows a sweep again, for a while.
async fn again(
    client: &mut SweepServiceClient<Channel>,
    request: &pb::WatchRequest,
) -> Result<Streaming<pb::WatchResponse>, Status> {
    let began = Instant::now();
    loop {
        match client.watch(request.clone()).await {
            Err(status) if is_lost(&status) && began.elapsed() < MOVING => {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            answer => return answer.map(tonic::Response::into_inner),
        }
    }
}

/// One address or several with commas between; `HOST:PORT` may do without its scheme.
fn endpoints(given: &str) -> Result<Endpoints, Failure> {
    Endpoints::parse(&[given]).map_err(|wrong| Failure::Usage(wrong.to_string()))
}

/// What to show to a coordinator that was named.
fn access(global: &Global) -> Result<Access, Failure> {
    let files = AccessFiles {
        token: global.token_file.clone(),
        ca: global.tls_ca.clone(),
        cert: global.tls_client_cert.clone(),
        key: global.tls_client_key.clone(),
    };
    let token = std::env::var("TRANSECT_TOKEN").ok();
    Access::read(&files, token.as_deref()).map_err(|e| Failure::Usage(e.to_string()))
}

async fn dial(endpoints: &Endpoints) -> Result<Channel, Failure> {
    Channel::connect(endpoints).await.map_err(|away| Failure::Unreachable(away.to_string()))
}

async fn start(folder: &Path, store: StorePlace) -> Result<Coordinator, StartError> {
    log_to(folder);
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    // The variable of the coordinator's --artifacts: whoever keeps them in a bucket does so with every command.
    let variables = || std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let given = std::env::var("TRANSECT_ARTIFACTS").ok();
    let artifacts = given.map(|text| Location::parse(&text, variables())).transpose()?;
    let config = Config { listen, http: None, lease: LEASE, artifacts, store, ..Config::new(folder) };
    transect_coordinator::start(config).await
}

/// What a coordinator in this process has to say belongs in a file, not between the answers. Without the file, nowhere:
/// that the home cannot be written is said by the coordinator itself.
fn log_to(folder: &Path) {
    let open = || -> anyhow::Result<File> {
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs)?;
        let path = logs.join("coordinator.log");
        std::fs::OpenOptions::new().create(true).append(true).open(&path).with_context(|| path.display().to_string())
    };
    if let Ok(file) = open() {
        // A second start in one process (after another command's coordinator ended) keeps the first's file.
        let _ = LOG.set(file);
    }
}

/// Where a coordinator in this process logs to, once there is one.
static LOG: OnceLock<File> = OnceLock::new();

/// Writes to the log of the coordinator in this process; nowhere while there is none.
pub fn log() -> Box<dyn std::io::Write> {
    LOG.get().map_or_else(|| Box::new(std::io::sink()) as Box<dyn std::io::Write>, |file| Box::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_do_without_its_scheme_but_not_without_its_port() {
        assert_eq!(
            endpoints("127.0.0.1:7700,http://host:1").unwrap().to_string(),
            "http://127.0.0.1:7700,http://host:1"
        );
        for wrong in ["host", "ftp://host:1", "http://", "not an address:1"] {
            assert_eq!(endpoints(wrong).unwrap_err().code(), 2, "{wrong}");
        }
    }
}
