//! What was run: the sweep, its settings, what failed and why, and on which machines.

use std::collections::BTreeSet;

use serde_json::json;
use transect_common::pb;

use super::{Chapter, Subject};
use crate::output::{counted, grouped};
use crate::report::document::{Block, Table};
use crate::report::groups::{is_seed, plain};

/// Most errors that are told apart.
const MOST_ERRORS: usize = 10;
/// Most data descriptions and seeds that are written out.
const MOST_DATA: usize = 8;
const MOST_SEEDS: usize = 20;

pub fn chapter(subject: &Subject<'_>) -> Chapter {
    let sweep = &subject.gathered.sweep;
    let mut chapter = Chapter::default();
    let failed: Vec<&pb::Job> = subject.gathered.jobs.iter().filter(|job| job.state == "failed").collect();
    let failed_runs =
        failed.iter().filter(|job| job.kind == "train").map(|job| &job.run).collect::<BTreeSet<_>>().len();
    let with_results = subject.measured.runs.len();
    let mut state = format!(
        "{} of {} have results, in {}",
        grouped(with_results as u64),
        counted(sweep.runs.saturating_sub(subject.measured.sources as u64), "run"),
        counted(subject.labels().len() as u64, "setting"),
    );
    if failed_runs > 0 {
        state += &format!("; {} failed in training", counted(failed_runs as u64, "run"));
    }
    if sweep.state == "running" {
        state +=
            &format!("; the sweep still runs, with {} of {} done", grouped(sweep.done), counted(sweep.jobs, "job"));
    }
    state += ".";
    if subject.measured.sources > 0 {
        let sources = counted(subject.measured.sources as u64, "run");
        state += &format!(" {sources} that only trained another run's starting point are left out of every table.");
    }
    chapter.brief.push(state);
    chapter.blocks.push(Block::Table(facts(subject)));
    if let Some(settings) = settings(subject) {
        chapter.blocks.push(Block::Table(settings));
    }
    if !failed.is_empty() {
        chapter.blocks.push(Block::Table(failures(&failed)));
    }
    chapter.blocks.push(Block::Code { title: "The sweep file".to_owned(), text: subject.gathered.file.clone() });
    chapter.statistics.insert(
        "sweep".to_owned(),
        json!({
            "name": sweep.name,
            "id": sweep.sweep_id,
            "state": sweep.state,
            "runs": sweep.runs,
            "runs_with_results": with_results,
            "runs_failed": failed_runs,
            "source_runs": subject.measured.sources,
            "settings": subject.labels(),
        }),
    );
    chapter
}

fn facts(subject: &Subject<'_>) -> Table {
    let gathered = subject.gathered;
    let sweep = &gathered.sweep;
    let mut rows: Vec<[String; 2]> =
        vec![["sweep".to_owned(), format!("{} ({}), {}", sweep.name, sweep.sweep_id, sweep.state)]];
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push([name.to_owned(), value]);
        }
    };
    fact("submitted", sweep.submitted_at.clone());
    fact("finished", sweep.finished_at.clone().unwrap_or_default());
    let models: BTreeSet<&str> = subject.measured.runs.iter().map(|run| run.model.as_str()).collect();
    fact("models", models.into_iter().collect::<Vec<_>>().join(", "));
    fact("data", subject.measured.data.iter().take(MOST_DATA).cloned().collect::<Vec<_>>().join("; "));
    fact("seeds", seeds(subject.measured.runs.iter().map(|run| run.seeds.as_str())));
    let jobs = format!(
        "{} of {} done, {} failed, {} cancelled",
        grouped(sweep.done),
        grouped(sweep.jobs),
        sweep.failed,
        sweep.cancelled
    );
    fact("jobs", jobs);
    fact("points", format!("{} of {}", grouped(sweep.points), grouped(sweep.points_expected)));
    let images: BTreeSet<(&str, u64)> = gathered.points.iter().map(|p| (p.split.as_str(), p.count)).collect();
    let images: Vec<String> = images.into_iter().map(|(split, count)| format!("{} {split}", grouped(count))).collect();
    fact("images behind a point", images.join(", "));
    let told = |of: fn(&pb::WorkerInfo) -> String| {
        let values: BTreeSet<String> = gathered.workers.iter().filter_map(|w| w.info.as_ref()).map(of).collect();
        values.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>().join("; ")
    };
    fact("devices", told(|i| format!("{} ({}), {}", i.device, i.device_name, counted(u64::from(i.threads), "thread"))));
    fact("libtorch", told(|i| format!("{} ({})", i.libtorch, i.cpu_capability)));
    fact("workers", told(|i| format!("transect-worker {}", i.version)));
    Table {
        header: vec![String::new(), String::new()],
        rows: rows.into_iter().map(Vec::from).collect(),
        words: 2,
        ..Table::default()
    }
}

/// `0, 1, 2`, or their number when there are many; seeds of parts with their names.
fn seeds<'a>(of_runs: impl Iterator<Item = &'a str>) -> String {
    let mut seeds: Vec<&str> = vec![];
    for seed in of_runs.filter(|seed| !seed.is_empty()) {
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    if seeds.len() > MOST_SEEDS {
        return seeds.len().to_string();
    }
    let plain = seeds.iter().map(|seed| seed.strip_prefix("train.seed=").unwrap_or(seed));
    plain.collect::<Vec<_>>().join(", ")
}

/// What varies, setting by setting.
fn settings(subject: &Subject<'_>) -> Option<Table> {
    let settings = &subject.measured.settings;
    let varying: Vec<_> = settings.varying.iter().filter(|(key, _)| !is_seed(key)).collect();
    if varying.is_empty() {
        return None;
    }
    let mut header = vec!["setting".to_owned()];
    header.extend(varying.iter().map(|(key, _)| format!("`{key}`")));
    let row = |(i, label): (usize, &String)| {
        let mut row = vec![label.clone()];
        row.extend(
            varying.iter().map(|(_, values)| if values[i].is_null() { String::new() } else { plain(&values[i]) }),
        );
        row
    };
    let rows = settings.labels.iter().enumerate().map(row).collect();
    let words = header.len();
    Some(Table { caption: "Settings, by what varies among them.".to_owned(), header, rows, words })
}

fn failures(failed: &[&pb::Job]) -> Table {
    let mut reasons: Vec<(String, &str, usize)> = vec![];
    for job in failed {
        let reason = job.error.clone().unwrap_or_else(|| "no reason is stored".to_owned());
        match reasons.iter_mut().find(|(known, kind, _)| *known == reason && *kind == job.kind) {
            Some((.., count)) => *count += 1,
            None => reasons.push((reason, &job.kind, 1)),
        }
    }
    let more = reasons.len().saturating_sub(MOST_ERRORS);
    let mut caption = "What failed, and why.".to_owned();
    if more > 0 {
        caption += &format!(" {more} more reasons are not shown; `transect status` lists them.");
    }
    let row = |(reason, kind, count): (String, &str, usize)| vec![reason, kind.to_owned(), count.to_string()];
    let rows = reasons.into_iter().take(MOST_ERRORS).map(row).collect();
    Table { caption, header: ["reason", "job", "count"].map(str::to_owned).to_vec(), rows, words: 2 }
}
