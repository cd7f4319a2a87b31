//! Pages for machines that look after the coordinator: `/healthz`, `/readyz`, `/metrics`.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::time::timeout;

use crate::metrics::Seen;
use crate::security::metrics_need_a_reader;
use crate::services::Shared;
use crate::store::{Store, StoreError};

/// A database that takes longer to answer counts as away.
const PATIENCE: Duration = Duration::from_secs(5);

const INDEX: &str = "\
transect-coordinator

/healthz  200 while the process lives
/readyz   200 while it takes requests and its database and artifacts answer, 503 otherwise
/metrics  numbers in the OpenMetrics text format

Sweeps are submitted and followed over gRPC, on another port.
";

/// The pages of a coordinator. `ask`: its numbers are for readers alone.
pub fn pages(shared: Shared, ask: bool) -> Router {
    let gate = shared.gate.clone();
    let pages = Router::new()
        .route("/", get(async || INDEX))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shared);
    if ask { pages.layer(from_fn_with_state(gate, metrics_need_a_reader)) } else { pages }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the coordinator is stopping\n".to_owned());
    }
    let (store, artifacts) =
        tokio::join!(timeout(PATIENCE, shared.store.ping()), timeout(PATIENCE, shared.artifacts.ping()));
    let not_ready = |why: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
    match (store, artifacts) {
        (Ok(Ok(())), Ok(Ok(()))) => (StatusCode::OK, "ready\n".to_owned()),
        (Ok(Err(error)), _) => not_ready(error.to_string()),
        (Err(_), _) => not_ready(format!("the database has not answered for {PATIENCE:?}")),
        (_, Ok(Err(error))) => not_ready(error.to_string()),
        (_, Err(_)) => {
            let place = shared.artifacts.location();
            not_ready(format!("artifacts cannot be reached: {place} has not answered for {PATIENCE:?}"))
        }
    }
}

async fn metrics(State(shared): State<Shared>) -> Result<impl IntoResponse, (StatusCode, String)> {
    let failed = |error: StoreError| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"));
    let seen = shared.metrics.store("counts", see(&*shared.store)).await.map_err(failed)?;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, content_type)], shared.metrics.text(&seen)))
}

async fn see(store: &dyn Store) -> Result<Seen, StoreError> {
    let (counts, workers, sweeps) = (store.counts().await?, store.workers().await?, store.sweeps_at_work().await?);
    Ok(Seen { counts, workers, sweeps })
}
