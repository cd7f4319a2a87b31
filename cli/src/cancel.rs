//! `transect cancel` and `transect retry`: stop a sweep's jobs, or queue them again.

use clap::Args;
use serde_json::json;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::Outcome;
use crate::json;
use crate::output::{Output, counted};

/// What to cancel.
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
}

/// What to retry.
#[derive(Debug, Args)]
pub struct RetryArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    /// Queue cancelled jobs as well
    #[arg(long)]
    cancelled: bool,
}

/// Stops a sweep.
pub async fn cancel(global: &Global, output: Output, args: CancelArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().cancel(pb::CancelRequest { sweep: args.sweep }).await;
    session.close().await;
    let answer = answer?.into_inner();
    let sweep = answer.sweep.unwrap_or_default();
    if output.is_json() {
        return output.json(&json!({ "sweep": json::sweep(&sweep), "cancelled": answer.cancelled }));
    }
    let (name, id, jobs) = (&sweep.name, &sweep.sweep_id, counted(answer.cancelled, "job"));
    output.text(&format!("sweep {name} ({id}) is {}: {jobs} cancelled", sweep.state))
}

/// Queues failed jobs again.
pub async fn retry(global: &Global, output: Output, args: RetryArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let request = pb::RetryRequest { sweep: args.sweep, machine_errors_only: false, cancelled: args.cancelled };
    let answer = session.sweeps().retry(request).await;
    let is_own = session.is_own();
    session.close().await;
    let answer = answer?.into_inner();
    let sweep = answer.sweep.unwrap_or_default();
    if output.is_json() {
        return output.json(&json!({ "sweep": json::sweep(&sweep), "queued": answer.queued }));
    }
    let (name, id, jobs) = (&sweep.name, &sweep.sweep_id, counted(answer.queued, "job"));
    output.text(&format!("sweep {name} ({id}) is {}: {jobs} queued again", sweep.state))?;
    if answer.queued == 0 && sweep.cancelled > 0 && !args.cancelled {
        output.note(&format!("{} cancelled; --cancelled queues those as well", counted(sweep.cancelled, "job")));
    } else if answer.queued > 0 && is_own {
        output.note("No coordinator is running here, so nobody works on them yet: `transect run SWEEP.toml` does.");
    }
    Ok(())
}
