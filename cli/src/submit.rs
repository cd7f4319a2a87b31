//! `transect submit`: store a sweep for workers to do.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, counted};
use crate::{json, sweepfile};

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
    let request = pb::SubmitRequest { sweep_file: loaded.text, idempotency_key: args.idempotency_key };
    let answer = session.sweeps().submit(request).await.map_err(|status| Failure::about_sweep(&args.file, &status));
    let is_own = session.is_own();
    session.close().await;
    let answer = answer?.into_inner();
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
