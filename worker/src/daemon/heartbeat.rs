//! Signs of life, whatever the executor does, and the answer: which jobs to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tonic::Code;
use transect_common::pb::HeartbeatRequest;

use super::held::Held;
use super::session::{Session, sentence};
use super::shutdown::Shutdown;

/// A heartbeat that was not answered is sent again so soon, perhaps to another coordinator.
const AGAIN: Duration = Duration::from_millis(500);

/// Sends heartbeats until the task is dropped, and one at once whenever `wake` asks for it.
pub async fn run(session: Arc<Session>, held: Held, shutdown: Shutdown, wake: Arc<Notify>) {
    let mut away = false;
    let mut ticker = None;
    loop {
        let Ok(terms) = session.terms().await else {
            // Whoever leases says why the coordinator will not have this worker; here it is only tried again.
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let ticker = ticker.get_or_insert_with(|| {
            let mut ticker = tokio::time::interval(terms.heartbeat);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker
        });
        tokio::select! {
            _ = ticker.tick() => {}
            () = wake.notified() => {}
            () = tokio::time::sleep(AGAIN), if away => {}
        }
        let draining = shutdown.is_finishing();
        let request = HeartbeatRequest { worker_id: terms.worker_id.clone(), jobs: held.list(), draining };
        let patience = terms.heartbeat.max(Duration::from_secs(1));
        match session.within(patience, session.worker().heartbeat(request)).await {
            Ok(answer) => {
                if away {
                    tracing::info!("the coordinator answers heartbeats again");
                    away = false;
                }
                for job in answer.stop {
                    if held.remove(&job) {
                        tracing::info!(job = job.job_id, attempt = job.attempt, "stopped by the coordinator");
                    }
                }
            }
            Err(status) if status.code() == Code::NotFound => session.forget(&terms.worker_id).await,
            Err(status) => {
                if !away {
                    tracing::warn!(error = sentence(&status), "a heartbeat was not answered; work goes on");
                    away = true;
                }
            }
        }
    }
}
