//! `transect plan`: what a sweep would do, without storing anything.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use transect_common::pb;

use crate::args::Global;
use crate::connect::{Need, Session};
use crate::errors::{Failure, Outcome};
use crate::output::{Output, bytes, counted, cut, grouped, table};
use crate::{disk, json, sweepfile};

/// Runs that the table shows.
const SHOWN_RUNS: usize = 20;
/// Characters of an axis' values that are shown.
const SHOWN_VALUES: usize = 60;

/// What to plan.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The sweep file
    #[arg(value_name = "SWEEP.toml")]
    file: PathBuf,
    /// Show every run
    #[arg(long)]
    all: bool,
}

/// Says what a sweep would do.
pub async fn plan(global: &Global, output: Output, args: PlanArgs) -> Outcome {
    let loaded = sweepfile::load(&args.file)?;
    let session = Session::open(global, Need::Nothing).await?;
    let request = pb::PlanRequest { sweep_file: loaded.text };
    let answer = session.sweeps().plan(request).await.map_err(|status| Failure::about_sweep(&args.file, &status));
    session.close().await;
    let plan = answer?.into_inner();
    if output.is_json() {
        return output.json(&json::plan(&plan));
    }
    output.text(&words(&plan))?;
    let home = disk::holding(global);
    if let Some(reason) = home.and_then(|home| disk::no_room(home, plan.checkpoint_bytes, disk::free(home))) {
        output.warning(&reason);
    }
    let shown = if args.all { plan.runs.len() } else { SHOWN_RUNS };
    output.text(&format!("\n{}", runs(&plan, shown)))
}

/// The plan in sentences, with the axes as a table.
fn words(plan: &pb::PlanResponse) -> String {
    let mut text = format!("Sweep {}\n", plan.name);
    if !plan.axes.is_empty() {
        let row = |axis: &pb::Axis| {
            let values = axis.values.iter().map(|v| v.trim_matches('"')).collect::<Vec<_>>().join(", ");
            vec![axis.setting.clone(), axis.values.len().to_string(), cut(&values, SHOWN_VALUES)]
        };
        let rows = plan.axes.iter().map(row).collect();
        let _ = write!(text, "\n{}\n", table(&["axis", "values", ""], &[1], rows));
    }
    let runs = plan.runs.len() as u64;
    let to_train = runs - u64::from(plan.runs_done);
    let to_probe = plan.probe_jobs - plan.probe_jobs_done;
    let _ = write!(
        text,
        "\n{}: {} ready, {} to train, which means {} seen and {} of checkpoints\n",
        counted(runs, "run"),
        plan.runs_done,
        grouped(to_train),
        counted(plan.training_images, "image"),
        bytes(plan.checkpoint_bytes)
    );
    let _ = write!(
        text,
        "{} with {}: {} done, {} to take, which means {} evaluated",
        counted(u64::from(plan.probe_jobs), "line"),
        points(plan),
        plan.probe_jobs_done,
        grouped(u64::from(to_probe)),
        counted(plan.probe_images, "image"),
    );
    if !plan.missing_imports.is_empty() {
        let names = plan.missing_imports.join(", ");
        let _ = write!(
            text,
            "\nNot imported yet, taken to be there and to fit: {names}. Import before running (transect import --help)."
        );
    }
    if to_train == 0 && to_probe == 0 {
        text += "\nEverything is in the store: running it trains nothing.";
    }
    text
}

/// `100 points`, and how many more the plan allows where grids are refined.
pub fn points(plan: &pb::PlanResponse) -> String {
    let points = counted(plan.points, "point");
    match plan.further_points {
        0 => points,
        further => format!("{points} and at most {} further", grouped(further)),
    }
}

fn runs(plan: &pb::PlanResponse, shown: usize) -> String {
    let row = |run: &pb::PlannedRun| {
        let seed = run.seed.map_or_else(|| "-".to_owned(), |s| s.to_string());
        let is_ready = if run.done { "yes" } else { "no" };
        vec![run.run.chars().take(12).collect(), run.model.clone(), seed, is_ready.to_owned(), settings(&run.settings)]
    };
    let rows = plan.runs.iter().take(shown).map(row).collect();
    let mut text = table(&["run", "model", "seed", "ready", "settings"], &[2], rows);
    if plan.runs.len() > shown {
        let _ = write!(text, "\n... and {} more (--all shows every one)", plan.runs.len() - shown);
    }
    text
}

/// Settings but for model and seed, which have columns of their own.
fn settings(text: &str) -> String {
    let value = json::nested(text);
    let Some(map) = value.as_object() else {
        return String::new();
    };
    let shown = map.iter().filter(|(key, _)| !["model.architecture", "train.seed"].contains(&key.as_str()));
    let words = shown.map(|(key, value)| format!("{key}={}", value.to_string().trim_matches('"')));
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_is_left() {
        let run = |done| pb::PlannedRun {
            run: "ab".repeat(32),
            model: "mlp".into(),
            seed: Some(3),
            settings: r#"{"train.seed":3,"train.optimizer.lr":0.1}"#.into(),
            done,
        };
        let axis = pb::Axis { setting: "train.seed".into(), values: vec!["3".into(), "4".into()] };
        let plan = pb::PlanResponse {
            name: "x".into(),
            axes: vec![axis],
            runs: vec![run(true), run(false)],
            probe_jobs: 2,
            points: 100,
            runs_done: 1,
            probe_jobs_done: 1,
            checkpoint_bytes: 2_000_000,
            training_images: 120_000,
            probe_images: 50_000,
            missing_imports: vec!["weights".into()],
            further_points: 0,
        };
        let text = words(&plan);
        assert!(text.contains("2 runs: 1 ready, 1 to train, which means 120,000 images seen and 2.0 MB"), "{text}");
        assert!(text.contains("2 lines with 100 points: 1 done, 1 to take, which means 50,000 images"), "{text}");
        assert!(!text.contains("Everything is in the store"), "{text}");
        assert!(text.contains("Not imported yet, taken to be there and to fit: weights."), "{text}");
        let refined = words(&pb::PlanResponse { further_points: 80, ..plan.clone() });
        assert!(refined.contains("2 lines with 100 points and at most 80 further: 1 done"), "{refined}");
        let table = runs(&plan, 1);
        assert!(table.contains("abababababab  mlp       3  yes    train.optimizer.lr=0.1"), "{table}");
        assert!(table.ends_with("... and 1 more (--all shows every one)"), "{table}");
    }
}
