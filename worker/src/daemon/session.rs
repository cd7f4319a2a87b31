//! The connection to the coordinator and what was agreed at registration.
//!
//! Invariant: there is one registration at a time. A coordinator that no longer knows it is registered with anew, once,
//! whoever of heartbeat, lease and report notices first.

use std::time::Duration;

use tokio::sync::Mutex;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;
use transect_common::pb::{RegisterRequest, WorkerInfo};

use super::backoff::Backoff;

/// Largest answer taken: a lease carries the specs of many lines.
const MAX_ANSWER: usize = 64 << 20;
/// How long one registration may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the coordinator asks of this worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The name for all calls.
    pub worker_id: String,
    /// Time between heartbeats.
    pub heartbeat: Duration,
}

/// The connection. Calls reconnect by themselves; a call while the coordinator is away fails at once.
#[derive(Debug)]
pub struct Session {
    channel: Channel,
    info: WorkerInfo,
    terms: Mutex<Option<Terms>>,
}

/// The address is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the address of a coordinator; it looks like http://127.0.0.1:7700")]
pub struct AddressError(pub String);

/// A failure of the connection or of a coordinator that is starting, stopping or overloaded: the same call may succeed
/// later. Everything else is the call's own fault.
pub fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::Unknown
            | Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::Internal
            | Code::ResourceExhausted
    )
}

/// A status as a person reads it: the sentence, and the code where there is none.
pub fn sentence(status: &Status) -> String {
    if status.message().is_empty() { format!("{}", status.code()) } else { status.message().to_owned() }
}

/// Waits `patience` for a call at most.
pub async fn within<T>(
    patience: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(patience, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {} s", patience.as_secs_f64()))),
    }
}

/// The endpoint of `address`, with or without `http://`.
fn endpoint(address: &str) -> Result<Endpoint, AddressError> {
    let wrong = || AddressError(address.to_owned());
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url).map_err(|_| wrong())?;
    if endpoint.uri().authority().is_none() || endpoint.uri().scheme_str() != Some("http") {
        return Err(wrong());
    }
    // Without keep-alive a coordinator whose machine vanished would be waited for in silence.
    Ok(endpoint
        .connect_timeout(Duration::from_secs(5))
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true))
}

impl Session {
    /// A session with the coordinator at `address`, not yet registered. Must be called inside a tokio runtime.
    pub fn new(address: &str, info: WorkerInfo) -> Result<Self, AddressError> {
        Ok(Self { channel: endpoint(address)?.connect_lazy(), info, terms: Mutex::new(None) })
    }

    /// The worker service.
    pub fn worker(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER)
    }

    /// The artifact service.
    pub fn artifacts(&self) -> ArtifactServiceClient<Channel> {
        ArtifactServiceClient::new(self.channel.clone())
    }

    /// What is agreed; registers first where nothing is. Waits for the coordinator as long as it takes.
    ///
    /// # Errors
    /// The coordinator answered, and will not have this worker.
    pub async fn terms(&self) -> Result<Terms, Status> {
        let mut terms = self.terms.lock().await;
        if let Some(terms) = &*terms {
            return Ok(terms.clone());
        }
        let fresh = self.register().await?;
        *terms = Some(fresh.clone());
        Ok(fresh)
    }

    /// Forgets a registration that the coordinator does not know; the next [`Session::terms`] registers anew.
    pub async fn forget(&self, worker_id: &str) {
        let mut terms = self.terms.lock().await;
        if terms.as_ref().is_some_and(|t| t.worker_id == worker_id) {
            tracing::warn!(worker = worker_id, "the coordinator does not know this worker; registering again");
            *terms = None;
        }
    }

    async fn register(&self) -> Result<Terms, Status> {
        let mut backoff = Backoff::default();
        loop {
            let request = RegisterRequest { info: Some(self.info.clone()) };
            match within(PATIENCE, self.worker().register(request)).await {
                Ok(answer) => {
                    tracing::info!(worker = answer.worker_id, lease_ms = answer.lease_ms, "registered");
                    let heartbeat = Duration::from_millis(answer.heartbeat_ms.max(10));
                    return Ok(Terms { worker_id: answer.worker_id, heartbeat });
                }
                Err(status) if is_passing(&status) => {
                    if backoff.failures() == 0 {
                        tracing::warn!(
                            error = sentence(&status),
                            "the coordinator cannot be reached; trying until it can"
                        );
                    }
                    backoff.wait().await;
                }
                Err(status) => return Err(status),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_its_scheme() {
        for address in ["http://127.0.0.1:7700", "127.0.0.1:7700", "coordinator:7700", "http://[::1]:7700"] {
            assert!(endpoint(address).is_ok(), "{address}");
        }
        for address in ["", "http://", "not an address", "https://host:1", "ftp://host:1"] {
            let error = endpoint(address).unwrap_err().to_string();
            assert!(error.contains("http://127.0.0.1:7700"), "{address}: {error}");
        }
    }

    #[test]
    fn a_coordinator_that_is_away_passes_and_a_wrong_call_does_not() {
        assert!(is_passing(&Status::unavailable("")));
        assert!(!is_passing(&Status::invalid_argument("")));
        assert!(!is_passing(&Status::not_found("")));
    }
}
