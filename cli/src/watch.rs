//! `transect watch`: follow a sweep until it ends.

use std::time::Duration;

use clap::Args;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::Output;
use crate::progress::{Display, Work};
use crate::{json, status};

/// What to watch.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
}

/// Follows a sweep.
pub async fn watch(global: &Global, output: Output, args: WatchArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let outcome = follow(&session, output, &args.sweep).await;
    session.close().await;
    let sweep = outcome?;
    if !output.is_json() {
        output.text(&status::headline(&sweep))?;
    }
    if sweep.failed > 0 {
        output.note(&format!("`transect status {}` shows what failed", sweep.name));
    }
    if sweep.done < sweep.jobs { Err(Failure::Told) } else { Ok(()) }
}

async fn follow(session: &Session, output: Output, sweep: &str) -> Result<pb::Sweep, Failure> {
    let mut client = session.sweeps();
    let got = client.get(pb::GetRequest { sweep: sweep.to_owned() }).await?.into_inner();
    let now = got.sweep.unwrap_or_default();
    let is_over = now.queued + now.leased == 0;
    if session.is_own() || is_over {
        // A coordinator of our own has no workers, so nothing would ever change.
        if output.is_json() {
            output.json(&json::watched(&pb::WatchResponse { sweep: Some(now.clone()), activity: vec![] }))?;
        }
        if is_over {
            return Ok(now);
        }
        return Err(Failure::Unreachable(format!(
            "{}; no coordinator is running, so nothing moves: `transect run SWEEP.toml` goes on with it",
            status::headline(&now)
        )));
    }
    // Only the guess of the time left needs the plan.
    let plan = client.plan(pb::PlanRequest { sweep_file: got.sweep_file }).await;
    let work = plan.map_or_else(|_| Work::default(), |plan| Work::from(plan.get_ref()));
    let mut states = session.watch(&now.sweep_id).await?;
    let mut display = Display::new(output, work, true);
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            state = states.recv() => match state.transpose()? {
                Some(state) => display.update(state)?,
                None => return Ok(display.end()),
            },
            _ = tick.tick() => display.tick()?,
        }
    }
}

impl From<&pb::PlanResponse> for Work {
    fn from(plan: &pb::PlanResponse) -> Self {
        Self { training_images: plan.training_images, probe_images: plan.probe_images }
    }
}
