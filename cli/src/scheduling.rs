//! `transect pause`, `resume`, `adjust`, `explain` and `release`: when and where jobs run.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::json;
use crate::output::{Output, duration};

/// Which sweep to hold back, or to let go on.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
}

/// What to change.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Changes {
    /// Sweeps of higher priority are served first, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    priority: Option<i32>,
    /// Its part of the workers among sweeps of the same priority, as a weight above 0
    #[arg(long, value_name = "X")]
    share: Option<f64>,
    /// Most workers at work for it at once; 0 for no limit
    #[arg(long, value_name = "N")]
    max_workers: Option<u32>,
}

/// How to schedule a sweep from now on.
#[derive(Debug, Args)]
pub struct AdjustArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    #[command(flatten)]
    changes: Changes,
}

/// Which job.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The job's id, as in `transect status --json` or the view `job_status`
    job: u64,
}

/// Which worker.
#[derive(Debug, Args)]
pub struct ReleaseArgs {
    /// The worker's id or name, as `transect workers` shows it
    worker: String,
}

/// Holds a sweep back.
pub async fn pause(global: &Global, output: Output, args: SweepArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().pause(pb::PauseRequest { sweep: args.sweep }).await;
    session.close().await;
    let sweep = answer?.into_inner().sweep.unwrap_or_default();
    told(output, &sweep, "no new job of it begins; what workers hold they finish")
}

/// Lets a sweep go on.
pub async fn resume(global: &Global, output: Output, args: SweepArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().resume(pb::ResumeRequest { sweep: args.sweep }).await;
    session.close().await;
    let sweep = answer?.into_inner().sweep.unwrap_or_default();
    told(output, &sweep, "workers are given its jobs again")
}

/// Changes how a sweep is scheduled.
pub async fn adjust(global: &Global, output: Output, args: AdjustArgs) -> Outcome {
    let Changes { priority, share, max_workers } = args.changes;
    let session = Session::open(global, Need::Database).await?;
    let request = pb::AdjustRequest { sweep: args.sweep, priority, share, max_workers };
    let answer = session.sweeps().adjust(request).await;
    session.close().await;
    let sweep = answer?.into_inner().sweep.unwrap_or_default();
    let text = terms(&sweep);
    told(output, &sweep, &text)
}

fn told(output: Output, sweep: &pb::Sweep, text: &str) -> Outcome {
    if output.is_json() {
        return output.json(&json!({ "sweep": json::sweep(sweep) }));
    }
    output.text(&format!("sweep {} ({}) is {}: {text}", sweep.name, sweep.sweep_id, sweep.state))
}

/// `priority 5, share 2, at most 4 workers`.
fn terms(sweep: &pb::Sweep) -> String {
    let most = sweep.max_workers.map_or_else(|| "any number of workers".to_owned(), |n| format!("at most {n} workers"));
    format!("priority {}, share {}, {most}", sweep.priority, sweep.share)
}

/// What `transect status` adds about scheduling; empty where there is nothing to say.
pub fn standing(sweep: &pb::Sweep) -> String {
    let mut text = String::new();
    if !["running", "paused"].contains(&sweep.state.as_str()) {
        return text;
    }
    let _ = write!(text, "workers at work: {}", sweep.workers);
    if let Some(seconds) = sweep.seconds_left.filter(|seconds| *seconds > 0.0) {
        let _ = write!(text, ", about {} left", duration(seconds));
    }
    if sweep.priority != 0 || sweep.share != 1.0 || sweep.max_workers.is_some() {
        let _ = write!(text, " ({})", terms(sweep));
    }
    text
}

/// Says why a job is where it is.
pub async fn explain(global: &Global, output: Output, args: ExplainArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().explain(pb::ExplainRequest { job_id: args.job }).await;
    session.close().await;
    let answer = answer?.into_inner();
    let job = answer.job.unwrap_or_default();
    if output.is_json() {
        let reasons: Value = answer.reasons.iter().map(|r| json!({ "code": r.code, "text": r.text })).collect();
        return output.json(&json!({ "job": json::job(&job), "reasons": reasons, "sweeps": answer.sweeps }));
    }
    let seed = job.seed.map(|seed| format!(" seed {seed}")).unwrap_or_default();
    let mask = job.mask.as_deref().map(|mask| format!(" {mask}")).unwrap_or_default();
    output.text(&format!("job {}: {} {}{seed}{mask} is {}", job.job_id, job.kind, job.model, job.state))?;
    for reason in &answer.reasons {
        output.text(&format!("  {}", reason.text))?;
    }
    output.text(&format!("  needed by {}", answer.sweeps.join(", ")))
}

/// Gives a worker work again.
pub async fn release(global: &Global, output: Output, args: ReleaseArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let answer = session.sweeps().release_worker(pb::ReleaseWorkerRequest { worker: args.worker }).await;
    session.close().await;
    let worker = answer?.into_inner().worker.ok_or_else(|| Failure::NotFound("no such worker".to_owned()))?;
    if output.is_json() {
        return output.json(&json!({ "worker": json::worker(&worker) }));
    }
    output.text(&format!("worker {} is {}: it is given work again", worker.name, worker.state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_says_what_is_not_usual() {
        let sweep = pb::Sweep { state: "running".into(), share: 1.0, workers: 3, ..Default::default() };
        assert_eq!(standing(&sweep), "workers at work: 3");
        let limited = pb::Sweep { priority: 5, max_workers: Some(4), seconds_left: Some(90.0), ..sweep.clone() };
        assert_eq!(
            standing(&limited),
            "workers at work: 3, about 1 min 30 s left (priority 5, share 1, at most 4 workers)"
        );
        assert_eq!(standing(&pb::Sweep { state: "done".into(), ..sweep }), "");
    }
}
