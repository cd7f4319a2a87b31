//! `transect submit`: store a sweep for workers to do.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, counted};
use crate::{disk, json, sweepfile};

/// What to submit.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// The sweep file
    #[arg(value_name = "SWEEP.toml")]
    file: PathBuf,
    /// Submitting again with the same key gives the same sweep; without one, the file's text is the key
    #[arg(long, value_name = "KEY", default_value = "", hide_default_value = true)]
    idempotency_key: String,
}

/// Stores a sweep.
pub async fn submit(global: &Global, output: Output, args: SubmitArgs) -> Outcome {
    let loaded = sweepfile::load(&args.file)?;
    let session = Session::open(global, Need::Home).await?;
    let answer = store(global, &session, &args, loaded.text).await;
    let is_own = session.is_own();
    session.close().await;
    let answer = answer?;
    let sweep = answer.sweep.unwrap_or_default();
    if output.is_json() {
        return output.json(&json!({ "sweep": json::sweep(&sweep), "created": answer.created }));
    }
    let (id, name) = (&sweep.sweep_id, &sweep.name);
    let head = if answer.created { "is stored" } else { "was stored already" };
    let left = sweep.queued + sweep.leased;
    output.text(&format!(
        "sweep {name} ({id}) {head}: {}, {}, {} left to do",
        counted(sweep.runs, "run"),
        counted(sweep.jobs, "job"),
        left
    ))?;
    if is_own && left > 0 {
        output.note(&format!(
            "No coordinator is running in {}, so nobody works on it yet: `transect run {}` does it here.",
            global.home.display(),
            args.file.display()
        ));
    } else if left > 0 {
        output.note(&format!("Follow it with: transect watch {name}"));
    }
    Ok(())
}

/// Stores the sweep, unless its checkpoints do not fit on the disk of a home on this machine.
async fn store(
    global: &Global,
    session: &Session,
    args: &SubmitArgs,
    sweep_file: String,
) -> Result<pb::SubmitResponse, Failure> {
    let about_file = |status: tonic::Status| Failure::about_sweep(&args.file, &status);
    let mut client = session.sweeps();
    if let Some(home) = disk::holding(global) {
        let request = pb::PlanRequest { sweep_file: sweep_file.clone() };
        let plan = client.plan(request).await.map_err(about_file)?.into_inner();
        if let Some(reason) = disk::no_room(home, plan.checkpoint_bytes, disk::free(home)) {
            return Err(Failure::Other(anyhow::anyhow!("{reason}")));
        }
    }
    let request = pb::SubmitRequest { sweep_file, idempotency_key: args.idempotency_key.clone() };
    Ok(client.submit(request).await.map_err(about_file)?.into_inner())
}
