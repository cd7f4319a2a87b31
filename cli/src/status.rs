//! `transect status`: how far a sweep is, per model, and what failed.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};
use transect_common::client::Channel;
use transect_common::pb;
use transect_common::pb::sweep_service_client::SweepServiceClient;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::json;
use crate::output::{Output, counted, grouped, table};
use crate::scheduling::standing;
use crate::sweeps::{newest, seconds};

/// Failed jobs that are shown in full.
const SHOWN_FAILURES: usize = 20;

/// Which sweep.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The sweep: its id, or its name (the newest of that name); without it, the newest of all
    sweep: Option<String>,
}

/// Shows how far a sweep is.
pub async fn status(global: &Global, output: Output, args: StatusArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let found = read(&mut session.sweeps(), args.sweep).await;
    session.close().await;
    let (sweep, totals, failed) = found?;
    let failed: Vec<&pb::Job> = failed.iter().collect();
    if output.is_json() {
        let failed: Value = failed.into_iter().map(json::job).collect();
        return output.json(&json!({ "sweep": json::sweep(&sweep), "models": tally_json(&totals), "failed": failed }));
    }
    output.text(&headline(&sweep))?;
    let finished = sweep.finished_at.as_deref().map(|at| format!(", ended {}", seconds(at))).unwrap_or_default();
    output.text(&format!("submitted {}{finished} (UTC)", seconds(&sweep.submitted_at)))?;
    let standing = standing(&sweep);
    if !standing.is_empty() {
        output.text(&standing)?;
    }
    output.text(&format!("\n{}", tally(&totals)))?;
    if !failed.is_empty() {
        output.text(&format!("\n{}", failures(&failed, SHOWN_FAILURES)))?;
        output.note(&format!("\n`transect retry {}` queues them again.", sweep.name));
    }
    Ok(())
}

async fn read(
    client: &mut SweepServiceClient<Channel>,
    sweep: Option<String>,
) -> Result<(pb::Sweep, Vec<pb::JobTotals>, Vec<pb::Job>), Failure> {
    let sweep = if let Some(sweep) = sweep {
        sweep
    } else {
        let newest = newest(client, 1).await?.pop();
        let none = "no sweep was submitted yet: `transect run SWEEP.toml` begins";
        newest.ok_or_else(|| Failure::NotFound(none.to_owned()))?.sweep_id
    };
    let answer = client.get(pb::GetRequest { sweep }).await?.into_inner();
    let sweep = answer.sweep.unwrap_or_default();
    let failed = if sweep.failed == 0 { vec![] } else { jobs(client, &sweep.sweep_id, "failed").await? };
    Ok((sweep, answer.totals, failed))
}

/// All jobs of a sweep, or those in one state.
pub async fn jobs(client: &mut SweepServiceClient<Channel>, sweep: &str, state: &str) -> Result<Vec<pb::Job>, Failure> {
    let mut jobs = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = pb::JobsRequest { sweep: sweep.to_owned(), state: state.to_owned(), page_size: 1000, page_token };
        let page = client.jobs(request).await?.into_inner();
        jobs.extend(page.jobs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(jobs);
        }
    }
}

/// One line about a sweep.
pub fn headline(s: &pb::Sweep) -> String {
    let mut text = format!("sweep {} ({}) is {}: ", s.name, s.sweep_id, s.state);
    if s.train_jobs > 0 {
        let _ = write!(text, "trained {} of {}, ", grouped(s.train_done), grouped(s.train_jobs));
    }
    let _ = write!(text, "{} of {} points", grouped(s.points), grouped(s.points_expected));
    let states = [(s.queued, "waiting"), (s.leased, "under way"), (s.failed, "failed"), (s.cancelled, "cancelled")];
    let shown = states.into_iter().filter(|(n, _)| *n > 0).map(|(n, state)| format!("{} {state}", grouped(n)));
    let jobs = shown.collect::<Vec<_>>().join(", ");
    if !jobs.is_empty() {
        let _ = write!(text, "; jobs: {jobs}");
    }
    text
}

/// Jobs of one model.
#[derive(Debug, Default)]
struct Tally {
    model: String,
    train: (u64, u64),
    line: (u64, u64),
    leased: u64,
    failed: u64,
    cancelled: u64,
}

fn tallies(totals: &[pb::JobTotals]) -> Vec<Tally> {
    let mut tallies: Vec<Tally> = vec![];
    for totals in totals {
        let at = tallies.iter().position(|t| t.model == totals.model).unwrap_or_else(|| {
            tallies.push(Tally { model: totals.model.clone(), ..Tally::default() });
            tallies.len() - 1
        });
        let tally = &mut tallies[at];
        let (done, all) = if totals.kind == "train" { &mut tally.train } else { &mut tally.line };
        *all += totals.jobs;
        *done += totals.done;
        tally.leased += totals.leased;
        tally.failed += totals.failed;
        tally.cancelled += totals.cancelled;
    }
    tallies
}

fn tally(totals: &[pb::JobTotals]) -> String {
    let of =
        |(done, all): (u64, u64)| if all == 0 { "-".into() } else { format!("{}/{}", grouped(done), grouped(all)) };
    let row = |t: &Tally| {
        let counts = [t.leased, t.failed, t.cancelled].map(grouped);
        [t.model.clone(), of(t.train), of(t.line)].into_iter().chain(counts).collect()
    };
    let rows = tallies(totals).iter().map(row).collect();
    table(&["model", "trained", "lines", "under way", "failed", "cancelled"], &[1, 2, 3, 4, 5], rows)
}

fn tally_json(totals: &[pb::JobTotals]) -> Value {
    let row = |t: &Tally| {
        json!({
            "model": t.model,
            "train_done": t.train.0,
            "train_jobs": t.train.1,
            "lines_done": t.line.0,
            "lines": t.line.1,
            "leased": t.leased,
            "failed": t.failed,
            "cancelled": t.cancelled,
        })
    };
    tallies(totals).iter().map(row).collect()
}

/// `train mlp seed 1`, `line lenet5 seed 0 conv1`.
fn title(job: &pb::Job) -> String {
    let seed = job.seed.map(|s| format!(" seed {s}")).unwrap_or_default();
    let mask = job.mask.as_deref().map(|m| format!(" {m}")).unwrap_or_default();
    format!("{} {}{seed}{mask}", job.kind, job.model)
}

/// Failed jobs with every attempt's error; jobs that fail with the same words share a paragraph.
pub fn failures(failed: &[&pb::Job], limit: usize) -> String {
    let mut paragraphs: Vec<(String, Vec<String>)> = vec![];
    for job in failed {
        let mut told = String::new();
        for error in &job.errors {
            let (attempt, at, class) = (error.attempt, seconds(&error.at), &error.class);
            let _ = writeln!(told, "    attempt {attempt}, {at}, {class} ({}): {}", error.worker, error.message);
        }
        if job.errors.is_empty() {
            let _ = writeln!(told, "    {}", job.error.as_deref().unwrap_or("no reason was stored"));
        }
        match paragraphs.iter_mut().find(|(text, _)| *text == told) {
            Some((_, titles)) => titles.push(title(job)),
            None => paragraphs.push((told, vec![title(job)])),
        }
    }
    let mut text = format!("{} failed:\n", counted(failed.len() as u64, "job"));
    for (told, titles) in paragraphs.iter().take(limit) {
        let more = if titles.len() > 4 { format!(" and {} more", titles.len() - 4) } else { String::new() };
        let shown = titles.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
        let _ = write!(text, "  {shown}{more}\n{told}");
    }
    if paragraphs.len() > limit {
        let _ = writeln!(text, "  ... and {} more; `transect status --json` has all", paragraphs.len() - limit);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(kind: &str, state: &str, mask: Option<&str>, error: &str) -> pb::Job {
        pb::Job {
            kind: kind.into(),
            state: state.into(),
            model: "mlp".into(),
            seed: Some(1),
            mask: mask.map(Into::into),
            error: Some(error.into()),
            ..Default::default()
        }
    }

    #[test]
    fn jobs_are_counted_by_model() {
        let totals = |kind: &str, jobs, done, failed| pb::JobTotals {
            kind: kind.into(),
            model: "mlp".into(),
            jobs,
            done,
            failed,
            ..Default::default()
        };
        let text = tally(&[totals("line", 2, 1, 1), totals("train", 1, 1, 0)]);
        assert_eq!(
            text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
            ["mlp", "1/1", "1/2", "0", "1", "0"]
        );
    }

    #[test]
    fn failures_show_every_attempt_and_group_what_is_the_same() {
        let mut train = job("train", "failed", None, "diverged");
        let error = |attempt| pb::AttemptError {
            attempt,
            at: "2026-11-23T15:04:05.123Z".into(),
            class: "machine".into(),
            message: format!("out of memory {attempt}"),
            worker: "w".into(),
        };
        train.errors = vec![error(1), error(2)];
        let lines = ["all", "fc1", "fc2", "fc3", "head"].map(|m| job("line", "failed", Some(m), "run mlp failed"));
        let failed: Vec<&pb::Job> = std::iter::once(&train).chain(&lines).collect();
        let text = failures(&failed, 10);
        assert!(text.contains("6 jobs failed:"), "{text}");
        assert!(text.contains("attempt 2, 2026-11-23 15:04:05, machine (w): out of memory 2"), "{text}");
        assert!(text.contains("line mlp seed 1 fc3 and 1 more\n    run mlp failed"), "{text}");
    }
}
