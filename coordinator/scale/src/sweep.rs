//! Sweeps of any size whose probes can be taken at once: their runs are imported.

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use transect_common::checkpoint::{Checkpoint, encode};
use transect_common::client::Channel;
use transect_common::digest::ArtifactDigest;
use transect_common::model::{Mlp, ModelSpec};
use transect_common::pb;
use transect_common::pb::artifact_service_client::ArtifactServiceClient;
use transect_common::pb::sweep_service_client::SweepServiceClient;

use crate::coordinator::Coordinator;

/// Layers of the model, and so lines of each probe of all its layers.
const LAYERS: usize = 10;
/// Most lines of a run.
const LINES: usize = 1000;
/// Points of each line, unless a measurement wants others: 25 alphas on one split.
pub const POINTS: Points = Points { alphas: 25, splits: 1 };
/// Imports on their way at once.
const AT_ONCE: usize = 16;

/// Points of each line.
#[derive(Debug, Clone, Copy)]
pub struct Points {
    /// Values of alpha, at least 2.
    pub alphas: usize,
    /// Splits, 1 or 2.
    pub splits: usize,
}

impl Points {
    /// How many that are.
    pub fn number(self) -> usize {
        self.alphas * self.splits
    }
}

fn model() -> ModelSpec {
    ModelSpec::Mlp(Mlp { widths: vec![2; LAYERS - 1], ..Mlp::default() })
}

/// How many runs, and lines of each, come to about `jobs` probe jobs.
pub fn shape(jobs: usize) -> (usize, usize) {
    let lines = (jobs / 10).clamp(LAYERS, LINES) / LAYERS * LAYERS;
    ((jobs / lines).max(1), lines)
}

/// A sweep file of about `jobs` probe jobs over imports named `PREFIX-0`, `PREFIX-1`, ...
pub fn file(prefix: &str, jobs: usize, points: Points) -> String {
    let (runs, lines) = shape(jobs);
    let names: Vec<String> = (0..runs).map(|run| format!("\"{prefix}-{run}\"")).collect();
    let names = names.join(", ");
    let mut text = format!("name = \"{prefix}\"\n[data]\nset = \"mnist\"\n[imported]\nruns = [{names}]\n");
    let splits = if points.splits == 1 { "[\"test\"]" } else { "[\"test\", \"train\"]" };
    for probe in 0..lines / LAYERS {
        text.push_str(&format!(
            "[[probe]]\nkind = \"line\"\nname = \"p{probe}\"\nlayers = [\"each\"]\nsplits = {splits}\nsubset = {}\n\
             alphas = {{ start = 0.0, stop = 1.0, count = {} }}\n",
            probe + 1,
            points.alphas
        ));
    }
    text
}

/// Imports `runs` runs, each with a final checkpoint of its own.
///
/// The numbers of their checkpoints begin at `first`: runs with the same numbers are the same run.
pub async fn import(coordinator: &Coordinator, prefix: &str, runs: usize, first: usize) -> anyhow::Result<()> {
    let (artifacts, sweeps) = (coordinator.artifacts().await?, coordinator.sweeps().await?);
    let init = put(artifacts.clone(), -1.0).await?;
    stream::iter(0..runs)
        .map(|run| import_one(artifacts.clone(), sweeps.clone(), format!("{prefix}-{run}"), first + run, init.clone()))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn import_one(
    artifacts: ArtifactServiceClient<Channel>,
    mut sweeps: SweepServiceClient<Channel>,
    name: String,
    number: usize,
    init: String,
) -> anyhow::Result<()> {
    let last = put(artifacts, number as f32).await?;
    let tagged = |tag: &str, artifact| pb::TaggedArtifact { tag: tag.to_owned(), artifact };
    let request = pb::ImportRequest {
        name,
        model: serde_json::to_string(&model())?,
        input: vec![1, 28, 28],
        classes: 10,
        checkpoints: vec![tagged("init", init), tagged("final", last)],
    };
    sweeps.import(request).await.context("import")?;
    Ok(())
}

/// Uploads a checkpoint all of whose numbers are `value`, and returns its name.
async fn put(mut artifacts: ArtifactServiceClient<Channel>, value: f32) -> anyhow::Result<String> {
    let description = model().describe([1, 28, 28], 10).context("the model fits its images")?;
    let theta = vec![value; description.theta_len()];
    let buffers = vec![value; description.buffers_len()];
    let bytes = encode(&description, &Checkpoint { theta, buffers });
    let artifact = ArtifactDigest::of(&bytes).to_string();
    let request = pb::PutRequest { artifact: artifact.clone(), bytes: bytes.len() as u64, chunk: bytes, offset: 0 };
    artifacts.put(tokio_stream::iter([request])).await.context("upload")?;
    Ok(artifact)
}

/// Submits a sweep file.
pub async fn submit(sweeps: &mut SweepServiceClient<Channel>, file: &str) -> anyhow::Result<pb::Sweep> {
    let request = pb::SubmitRequest { sweep_file: file.to_owned(), idempotency_key: String::new() };
    sweeps.submit(request).await.context("submit")?.into_inner().sweep.context("the answer names no sweep")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_as_many_jobs_as_asked_for() {
        for (jobs, expected) in
            [(1, (1, 10)), (2_000, (10, 200)), (10_000, (10, 1000)), (100_000, (100, 1000)), (1_000_000, (1000, 1000))]
        {
            assert_eq!(shape(jobs), expected, "{jobs}");
        }
        let file = transect_common::sweep::SweepFile::parse(&file("x", 10_000, POINTS)).unwrap();
        assert_eq!(file.imported().len(), 10);
    }
}
