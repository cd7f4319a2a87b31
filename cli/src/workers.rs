//! `transect workers`: who works, or worked.

use serde_json::Value;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::Outcome;
use crate::json;
use crate::output::{Output, bytes, table};
use crate::sweeps::seconds;

/// Lists workers.
pub async fn workers(global: &Global, output: Output) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().workers(pb::WorkersRequest {}).await;
    session.close().await;
    let workers = answer?.into_inner().workers;
    if output.is_json() {
        return output.json(&workers.iter().map(json::worker).collect::<Value>());
    }
    if workers.is_empty() {
        output.note("No worker was seen yet: `transect run` starts some, `transect-worker` is one.");
        return Ok(());
    }
    output.text(&shown(&workers))
}

fn shown(workers: &[pb::Worker]) -> String {
    let row = |w: &pb::Worker| {
        let info = w.info.clone().unwrap_or_default();
        vec![
            w.name.clone(),
            w.state.clone(),
            info.threads.to_string(),
            bytes(info.memory_bytes),
            w.leased.to_string(),
            w.done.to_string(),
            seconds(&w.seen_at),
        ]
    };
    let header = ["worker", "state", "threads", "memory", "leased", "done", "seen (UTC)"];
    table(&header, &[2, 3, 4, 5], workers.iter().map(row).collect())
}
