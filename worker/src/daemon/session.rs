//! The connection to the coordinators and what was agreed at registration.
//!
//! Invariant: there is one registration at a time, with all coordinators, because they share one store. Once it is no
//! longer known there, one is made anew, whoever of heartbeat, lease and report notices first.

use std::time::Duration;

use tokio::sync::Mutex;
use tonic::{Code, Status};
use transect_common::client::{Channel, Endpoints, reason};
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
    match std::error::Error::source(status) {
        // One that the connection made: what is wrong with it lies deeper.
        Some(source) => reason(source),
        None if status.message().is_empty() => format!("{}", status.code()),
        None => status.message().to_owned(),
    }
}

impl Session {
    /// A session with the coordinators at `endpoints`, not yet registered. Must be called inside a tokio runtime.
    pub fn new(endpoints: &Endpoints, info: WorkerInfo) -> Self {
        Self { channel: Channel::lazy(endpoints), info, terms: Mutex::new(None) }
    }

    /// Waits `patience` for a call at most. A coordinator that takes longer may stand still: later calls go to another.
    pub async fn within<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Status> {
        match tokio::time::timeout(patience, call).await {
            Ok(answer) => answer.map(tonic::Response::into_inner),
            Err(_) => Err(self.too_slow(format!("no answer within {} s", patience.as_secs_f64()))),
        }
    }

    /// What becomes of a call that was not answered in time.
    pub fn too_slow(&self, sentence: impl Into<String>) -> Status {
        self.channel.move_over();
        Status::deadline_exceeded(sentence)
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
            match self.within(PATIENCE, self.worker().register(request)).await {
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
    fn a_coordinator_that_is_away_passes_and_a_wrong_call_does_not() {
        assert!(is_passing(&Status::unavailable("")));
        assert!(!is_passing(&Status::invalid_argument("")));
        assert!(!is_passing(&Status::not_found("")));
    }
}
