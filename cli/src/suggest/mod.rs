//! `transect suggest`: reads the layers' lines of a finished sweep and writes the next one, in which layers are trained
//! by rules made from those lines.
//!
//! [`facts`] reads what the lines say of each layer, [`rules`] turn that into overrides (each a pure function with its
//! reasoning), [`control`] deals the same overrides out to other layers, and [`file`] writes it all as a sweep file: the
//! uniform baseline, each rule, and each rule's control. Running it answers whether the rule helped, and whether it
//! helped because of *which* layers it chose.

mod base;
mod control;
mod facts;
mod file;
mod rules;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::json;
use transect_common::shape::CRITICAL_RISE;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::Output;
use crate::report::{gather, measured};

/// What to suggest from, and where to write it.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct SuggestArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    /// File for the new sweep; standard output without it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Setting whose lines are read and whose recipe is the base, as `transect report` names it; without it the one with
    /// the best mean test accuracy
    #[arg(long, value_name = "SETTING")]
    setting: Option<String>,
    /// Split whose losses are read; without it `train` where the lines were measured there, so that the test images
    /// play no part in the rules
    #[arg(long, value_enum, hide_possible_values = true, value_name = "train|test")]
    split: Option<SplitName>,
    /// Rise in nats that a layer set back to its start may cause before it counts as critical
    #[arg(long, value_name = "NATS", default_value_t = CRITICAL_RISE)]
    rise: f64,
    /// Seed of the shuffle that makes the controls
    #[arg(long, value_name = "N", default_value_t = 0)]
    shuffle: u64,
}

const AFTER_HELP: &str = "\
The sweep needs lines of single layers (layers = [\"each\"]) from init to final with the rest held at final.
The new file's cases: uniform; criticality-lr, freeze-least and half-drop-decay; and a control for each, with the same
overrides dealt out to other layers. docs/report.md gives each rule with its reasoning.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    Train,
    Test,
}

/// Writes the next sweep.
pub async fn suggest(global: &Global, output: Output, args: SuggestArgs) -> Outcome {
    if !(args.rise.is_finite() && args.rise > 0.0) {
        return Err(Failure::Usage(format!("--rise {} must be a number of nats above 0", args.rise)));
    }
    let session = Session::open(global, Need::Database).await?;
    let gathered = gather(&session, &args.sweep).await;
    session.close().await;
    let gathered = gathered?;
    let measured = measured(&gathered);
    let split = args.split.map(|split| if split == SplitName::Train { "train" } else { "test" });
    let facts = facts::read(&measured, args.setting.as_deref(), split, args.rise).map_err(Failure::Usage)?;
    let runs: Vec<&str> = facts.runs.iter().map(|&run| measured.runs[run].digest.as_str()).collect();
    let base = base::read(&gathered.file, &runs).map_err(Failure::Usage)?;
    let text = file::text(&gathered.sweep, &facts, &base, args.shuffle);
    match &args.output {
        None if output.is_json() => output.json(&json!({ "sweep_file": text })),
        None => output.text(text.trim_end()),
        Some(path) => {
            std::fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
            let shown = path.display().to_string();
            if output.is_json() { output.json(&json!({ "file": shown })) } else { output.text(&shown) }
        }
    }
}
