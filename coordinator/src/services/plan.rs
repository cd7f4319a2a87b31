//! From a sweep file's text to runs and lines, and what they would cost.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use tonic::Status;
use transect_common::data::{DataSpec, Split};
use transect_common::digest::{LineDigest, RunDigest};
use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::run::{Origin, RunSpec};
use transect_common::sweep::{ExpandedRun, Expansion, Import, SweepFile};

use super::Shared;
use crate::status::wrong_sweep;

/// Lines that are looked up together.
const LOOKUP: usize = 1000;

/// Reads a sweep file and expands it with the imports that it names.
pub async fn expand(shared: &Shared, text: String) -> Result<Expansion, Status> {
    let (file, imports) = read(shared, text).await?;
    let expanded = shared.compute(move || file.expand(&imports)).await?;
    expanded.map_err(|errors| wrong_sweep(&errors))
}

/// The same for a plan, with the names of imports that it lacks and takes to be there.
pub async fn suppose(shared: &Shared, text: String) -> Result<(Expansion, Vec<String>), Status> {
    let (file, imports) = read(shared, text).await?;
    let missing = file.imported().into_iter().filter(|name| !imports.contains_key(*name)).map(str::to_owned).collect();
    let expanded = shared.compute(move || file.suppose(&imports)).await?;
    Ok((expanded.map_err(|errors| wrong_sweep(&errors))?, missing))
}

async fn read(shared: &Shared, text: String) -> Result<(SweepFile, BTreeMap<String, Import>), Status> {
    let parsed = shared.compute(move || SweepFile::parse(&text)).await?;
    let file = parsed.map_err(|errors| wrong_sweep(&errors))?;
    let names = file.imported();
    let imports: BTreeMap<String, Import> =
        if names.is_empty() { BTreeMap::new() } else { shared.store.imports(&names).await? };
    Ok((file, imports))
}

/// Says what `expansion` would do, given what is stored.
pub async fn plan(shared: &Shared, expansion: Expansion) -> Result<pb::PlanResponse, Status> {
    let digests: Vec<RunDigest> = expansion.runs.iter().map(|run| run.digest.clone()).collect();
    let trained = shared.store.trained(&digests).await?;
    let expansion = Arc::new(expansion);
    let of = expansion.clone();
    let (mut plan, lines) = shared.compute(move || (describe(&of, &trained), line_digests(&of))).await?;
    // A sweep may have a million lines: they are looked up a few at a time.
    let mut some: Vec<(usize, usize)> = Vec::with_capacity(LOOKUP);
    for (place, run) in expansion.runs.iter().enumerate() {
        for line in 0..run.lines.len() {
            some.push((place, line));
            if some.len() == LOOKUP {
                add_lines(shared, &expansion, &lines, &mut some, &mut plan).await?;
            }
        }
    }
    add_lines(shared, &expansion, &lines, &mut some, &mut plan).await?;
    Ok(plan)
}

/// Adds the lines at `places` (run and line) to the plan, and forgets the places.
async fn add_lines(
    shared: &Shared,
    expansion: &Expansion,
    lines: &[Arc<[LineDigest]>],
    places: &mut Vec<(usize, usize)>,
    plan: &mut pb::PlanResponse,
) -> Result<(), Status> {
    let key = |&(run, line): &(usize, usize)| (expansion.runs[run].digest.clone(), lines[run][line].clone());
    let keys: Vec<(RunDigest, LineDigest)> = places.iter().map(key).collect();
    let measured = shared.store.measured(&keys).await?;
    for ((run, line), key) in places.drain(..).zip(&keys) {
        let (run, line) = (&expansion.runs[run], &expansion.runs[run].lines[line]);
        plan.probe_jobs += 1;
        plan.points += line.points();
        plan.further_points += line.further_points();
        if measured.contains(key) {
            plan.probe_jobs_done += 1;
        } else {
            plan.probe_images += probe_images(&run.spec.data, line);
        }
    }
    Ok(())
}

/// The digests of every run's lines. Runs of one model mostly share their lines, and a line's canonical form is long: it is
/// made once.
fn line_digests(expansion: &Expansion) -> Vec<Arc<[LineDigest]>> {
    let mut known: HashMap<*const LineSpec, Arc<[LineDigest]>> = HashMap::new();
    let digests = |run: &ExpandedRun| {
        let digests = known.entry(run.lines.as_ptr());
        digests.or_insert_with(|| run.lines.iter().map(LineSpec::digest).collect()).clone()
    };
    expansion.runs.iter().map(digests).collect()
}

/// What the runs would do, without their lines.
fn describe(expansion: &Expansion, trained: &HashSet<RunDigest>) -> pb::PlanResponse {
    let axes = expansion.axes.iter().map(|axis| pb::Axis {
        setting: axis.setting.clone(),
        values: axis.values.iter().map(ToString::to_string).collect(),
    });
    let mut plan = pb::PlanResponse { name: expansion.name.clone(), axes: axes.collect(), ..Default::default() };
    for run in &expansion.runs {
        let is_imported = matches!(run.spec.origin, Origin::Imported { .. });
        let done = is_imported || trained.contains(&run.digest);
        plan.runs_done += u32::from(done);
        if !done {
            plan.checkpoint_bytes += checkpoint_bytes(&run.spec);
            plan.training_images += training_images(&run.spec);
        }
        plan.runs.push(pb::PlannedRun {
            run: run.digest.to_string(),
            model: run.spec.model.name().to_owned(),
            seed: run.spec.seed(),
            settings: serde_json::Value::Object(run.settings.clone()).to_string(),
            done,
        });
    }
    plan
}

/// Images of a split, after the data's own sizes. An image folder of which all is used counts as none: only its files
/// know how many images it has.
fn images(data: &DataSpec, split: Split) -> u64 {
    u64::from(data.images(split).unwrap_or(0))
}

fn training_images(spec: &RunSpec) -> u64 {
    match &spec.origin {
        Origin::Trained { train, .. } => images(&spec.data, Split::Train) * u64::from(train.epochs),
        Origin::Imported { .. } => 0,
    }
}

/// Tensors of the kept checkpoints, 4 bytes a number, without the files' headers.
fn checkpoint_bytes(spec: &RunSpec) -> u64 {
    let numbers = match spec.model.describe(spec.data.input(), spec.data.classes()) {
        Ok(model) => model.theta_len() + model.buffers_len(),
        // Expansion has refused such a model.
        Err(_) => 0,
    };
    (4 * numbers * spec.tags().len()) as u64
}

fn probe_images(data: &DataSpec, line: &LineSpec) -> u64 {
    let subset = line.subset.map_or(u64::MAX, u64::from);
    let a_point: u64 = line.splits.iter().map(|&split| images(data, split).min(subset)).sum();
    line.alphas.len() as u64 * a_point
}
