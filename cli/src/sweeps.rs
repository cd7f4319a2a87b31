//! `transect sweeps`: what was submitted.

use clap::Args;
use serde_json::Value;
use transect_common::client::Channel;
use transect_common::pb;
use transect_common::pb::sweep_service_client::SweepServiceClient;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::json;
use crate::output::{Output, grouped, table};

/// Which sweeps.
#[derive(Debug, Args)]
pub struct SweepsArgs {
    /// Show at most this many, newest first
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

/// Lists sweeps.
pub async fn sweeps(global: &Global, output: Output, args: SweepsArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let sweeps = newest(&mut session.sweeps(), args.limit as usize).await;
    session.close().await;
    let sweeps = sweeps?;
    if output.is_json() {
        return output.json(&sweeps.iter().map(json::sweep).collect::<Value>());
    }
    if sweeps.is_empty() {
        output.note("No sweep was submitted yet: `transect run SWEEP.toml` begins.");
        return Ok(());
    }
    output.text(&shown(&sweeps))
}

/// The newest `limit` sweeps, newest first.
pub async fn newest(client: &mut SweepServiceClient<Channel>, limit: usize) -> Result<Vec<pb::Sweep>, Failure> {
    let mut sweeps = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = (limit - sweeps.len()).min(1000) as u32;
        let page = client.list(pb::ListRequest { page_size, page_token }).await?.into_inner();
        sweeps.extend(page.sweeps);
        page_token = page.next_page_token;
        if page_token.is_empty() || sweeps.len() >= limit {
            return Ok(sweeps);
        }
    }
}

fn shown(sweeps: &[pb::Sweep]) -> String {
    let row = |s: &pb::Sweep| {
        vec![
            s.sweep_id.clone(),
            s.name.clone(),
            s.state.clone(),
            grouped(s.runs),
            format!("{}/{}", grouped(s.done), grouped(s.jobs)),
            grouped(s.failed),
            grouped(s.points),
            seconds(&s.submitted_at),
        ]
    };
    let header = ["id", "name", "state", "runs", "done", "failed", "points", "submitted (UTC)"];
    table(&header, &[3, 4, 5, 6], sweeps.iter().map(row).collect())
}

/// `2026-11-23 15:04:05` of RFC 3339.
pub fn seconds(time: &str) -> String {
    time.chars().take(19).map(|c| if c == 'T' { ' ' } else { c }).collect()
}
