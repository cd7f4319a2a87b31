//! `transect report`: a sweep's results as one page, with the statistics that the questions of the field call for.
//!
//! [`gather`] reads the store, [`measured`] puts what it says in its place run by run, sorted into settings by
//! [`groups`]. From that plain data come statistics ([`claims`], [`layers`], [`inside`]) and drawings ([`figures`]);
//! [`page`] says what is shown in which order, [`document`] writes it as HTML and Markdown.
//!
//! The same stored data give the same files to the last byte: nothing here reads a clock or draws at random.

mod claims;
mod document;
mod ends;
mod expected;
mod figures;
mod gather;
mod groups;
mod inside;
mod layers;
mod measured;
mod page;
mod quantities;
mod rows;
#[cfg(test)]
pub mod synthetic;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use transect_common::shape::CRITICAL_RISE;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::Output;
use crate::plot::{self, png};
use document::Block;

pub use gather::gather;
pub use groups::is_seed;
pub use layers::{masks, partition, set_back};
pub use measured::{LineKey, Measured, Run, measured};

/// What to report, and where.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ReportArgs {
    /// The sweep: its id, or its name (the newest of that name)
    sweep: String,
    /// Folder for the report; HOME/reports/SWEEP without it
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Split on which the layers' lines and the shapes of settings are told; accuracy is always that on the test images
    #[arg(long, value_enum, default_value = "test", hide_possible_values = true, value_name = "test|train")]
    split: SplitName,
    /// Setting that all others are compared with, as the report names it; without it every two of up to five settings
    /// are compared, and of more each with the first
    #[arg(long, value_name = "SETTING")]
    baseline: Option<String>,
    /// Rise in nats that a layer set back to its start may cause before it counts as critical
    #[arg(long, value_name = "NATS", default_value_t = CRITICAL_RISE)]
    rise: f64,
}

const AFTER_HELP: &str = "\
Writes into the folder:
  report.html   one page that needs nothing else
  report.md     the same as Markdown, with its figures beside it as SVG and PNG
  report.json   every statistic with its inputs' sizes
  runs.csv      one row for each run: settings, accuracy, every number of its whole lines

docs/report.md says what each number means, by which formula, and when the report stays silent.";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SplitName {
    Test,
    Train,
}

/// What the report is about besides the data.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Split of layers' lines and shapes.
    split: &'static str,
    /// Index of the setting to compare with.
    baseline: Option<usize>,
    /// Nats.
    rise: f64,
}

/// Writes a report.
pub async fn report(global: &Global, output: Output, args: ReportArgs) -> Outcome {
    if !(args.rise.is_finite() && args.rise > 0.0) {
        return Err(Failure::Usage(format!("--rise {} must be a number of nats above 0", args.rise)));
    }
    let session = Session::open(global, Need::Database).await?;
    let gathered = gather(&session, &args.sweep).await;
    session.close().await;
    let gathered = gathered?;
    let name = gathered.sweep.name.clone();
    if gathered.points.is_empty() && gathered.curves.is_empty() {
        return Err(Failure::Other(anyhow::Error::from(plot::PlotError::Empty { sweep: name })));
    }
    let measured = measured(&gathered);
    let split = if args.split == SplitName::Test { "test" } else { "train" };
    let wishes = Wishes { split, baseline: baseline(&measured, args.baseline.as_deref())?, rise: args.rise };
    let folder = args.output.unwrap_or_else(|| global.home.join("reports").join(plot::caption::file_name(&name)));
    let written = write(&folder, &name, &page::page(&gathered, &measured, &wishes), &rows::csv(&measured))?;
    let shown: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    if output.is_json() {
        return output.json(&json!({ "files": shown.into_iter().map(Value::from).collect::<Value>() }));
    }
    output.text(&shown.join("\n"))
}

fn baseline(measured: &Measured, wanted: Option<&str>) -> Result<Option<usize>, Failure> {
    let Some(wanted) = wanted else {
        return Ok(None);
    };
    let labels = &measured.settings.labels;
    let found = labels.iter().position(|label| label == wanted);
    found.map(Some).ok_or_else(|| {
        Failure::Usage(format!("no setting is called `{wanted}`; --baseline takes one of: {}", labels.join("; ")))
    })
}

/// Writes every file of the report, the page first.
fn write(folder: &Path, name: &str, page: &page::Page, runs: &str) -> Result<Vec<PathBuf>, Failure> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let title = format!("{name}: report");
    let put = |file: &str, text: &str| -> Result<PathBuf, Failure> {
        let path = folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    };
    let mut files = vec![
        put("report.html", &document::html(&title, &page.blocks))?,
        put("report.md", &document::markdown(&title, &page.blocks))?,
        put("report.json", &format!("{:#}\n", page.statistics))?,
        put("runs.csv", runs)?,
    ];
    for block in &page.blocks {
        if let Block::Figure { name, svg, .. } = block {
            files.push(put(&format!("{name}.svg"), svg)?);
            let path = folder.join(format!("{name}.png"));
            png::write(svg, &path).map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
            files.push(path);
        }
    }
    Ok(files)
}
