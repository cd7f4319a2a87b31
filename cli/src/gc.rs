//! `transect gc`: remove artifacts that nothing in the database names.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, bytes, counted};
use crate::sweeps::seconds;

/// What to remove.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Remove nothing; list what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Spare artifacts that were stored less than this long ago, such as 90m, 24h or 7days: what workers stored a moment ago
    /// is named only when they report it
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = humantime::parse_duration)]
    grace: Duration,
}

/// Removes artifacts that nothing names.
pub async fn gc(global: &Global, output: Output, args: GcArgs) -> Outcome {
    let session = Session::open(global, Need::Database).await?;
    let collected = collect(&session, output, &args).await;
    session.close().await;
    let pb::CollectGarbageTotals { removed, removed_bytes, named, young } = collected?;
    if output.is_json() {
        return output.json(&json!({
            "dry_run": args.dry_run,
            "removed": removed,
            "removed_bytes": removed_bytes,
            "named": named,
            "young": young,
        }));
    }
    let what = if args.dry_run { "would be removed" } else { "removed" };
    output.text(&format!("{}, {}, {what}", counted(removed, "artifact"), bytes(removed_bytes)))?;
    output.note(&format!(
        "{} named by the database, {} not named but younger than {} or in use",
        counted(named, "artifact"),
        young,
        humantime::format_duration(args.grace)
    ));
    Ok(())
}

/// Prints what is removed as it comes; gives the totals.
async fn collect(session: &Session, output: Output, args: &GcArgs) -> Result<pb::CollectGarbageTotals, Failure> {
    let request = pb::CollectGarbageRequest { dry_run: args.dry_run, grace_seconds: args.grace.as_secs() };
    let mut pages = session.artifacts().collect_garbage(request).await?.into_inner();
    while let Some(page) = pages.message().await? {
        for garbage in &page.removed {
            if output.is_json() {
                output.json(&line(garbage))?;
            } else if args.dry_run {
                let (size, stored) = (bytes(garbage.bytes), seconds(&garbage.stored_at));
                output.text(&format!("{}  {size:>9}  stored {stored}", garbage.artifact))?;
            }
        }
        if let Some(totals) = page.totals {
            return Ok(totals);
        }
    }
    Err(Failure::Other(anyhow::anyhow!(
        "the coordinator broke off before all was looked through; what it removed is removed, and the same command goes on"
    )))
}

fn line(garbage: &pb::Garbage) -> Value {
    json!({ "artifact": garbage.artifact, "bytes": garbage.bytes, "stored_at": garbage.stored_at })
}
