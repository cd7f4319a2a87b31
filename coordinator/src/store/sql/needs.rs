//! What jobs need of other runs: checked when a sweep is submitted, handed out with a lease.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use transect_common::digest::{ArtifactDigest, LineDigest, RunDigest};
use transect_common::run::{RunSpec, Source, Tag};
use transect_common::sweep::Expansion;

use super::db::{Tx, sql};
use super::rows::{BATCH, json, text};
use crate::store::{Result, StoreError};

/// A checkpoint of another run that a job needs.
#[derive(Debug, Serialize)]
pub(super) struct Need {
    run: RunDigest,
    /// None for the training of the run.
    line: Option<LineDigest>,
    #[serde(rename = "need")]
    source: RunDigest,
    tag: Tag,
}

impl Need {
    pub(super) fn of_training(run: &RunDigest, need: &RunDigest, tag: &Tag) -> Self {
        Self { run: run.clone(), line: None, source: need.clone(), tag: tag.clone() }
    }

    pub(super) fn of_line(run: &RunDigest, line: &LineDigest, need: &RunDigest, tag: &Tag) -> Self {
        Self { run: run.clone(), line: Some(line.clone()), source: need.clone(), tag: tag.clone() }
    }

    /// `run RUN starts from checkpoint `final` of run RUN`.
    fn words(&self) -> String {
        let does = if self.line.is_some() { "has a line that ends in" } else { "starts from" };
        format!("run {} {does} checkpoint `{}` of run {}", self.run.short(), self.tag, self.source.short())
    }
}

/// Checks that whatever a sweep needs of other runs is in the sweep or in the store, and will be kept there, and that
/// every file that a run starts from is imported.
pub(super) async fn check(tx: &mut Tx, expansion: &Expansion, needs: &[Need]) -> Result<()> {
    check_artifacts(tx, expansion).await?;
    if needs.is_empty() {
        return Ok(());
    }
    let mut tags: BTreeMap<RunDigest, BTreeSet<Tag>> = BTreeMap::new();
    for run in &expansion.runs {
        tags.insert(run.digest.clone(), run.spec.tags());
    }
    let absent: BTreeSet<&RunDigest> =
        needs.iter().map(|need| &need.source).filter(|run| !tags.contains_key(run)).collect();
    for chunk in absent.into_iter().collect::<Vec<_>>().chunks(BATCH).map(json) {
        let stored: Vec<(String, String)> =
            sqlx::query_as(sql!("specs_of_runs")).bind(chunk).fetch_all(&mut **tx).await?;
        for (digest, spec) in stored {
            let spec = RunSpec::from_canonical(&spec)?;
            tags.insert(text(&digest)?, spec.tags());
        }
    }
    for need in needs {
        let refuse = |reason: String| Err(StoreError::Invalid(format!("{}, {reason}", need.words())));
        if need.line.is_none() && need.source == need.run {
            return refuse("which is itself; no run can start from itself".to_owned());
        }
        let Some(kept) = tags.get(&need.source) else {
            return refuse("which is neither in the sweep nor in the store; add that run to the sweep".to_owned());
        };
        if !kept.contains(&need.tag) {
            let kept: Vec<&str> = kept.iter().map(Tag::as_str).collect();
            let kept = if kept.is_empty() { "no checkpoint".to_owned() } else { kept.join(", ") };
            return refuse(format!("which keeps {kept}; have it keep `{}`, or name another", need.tag));
        }
    }
    Ok(())
}

async fn check_artifacts(tx: &mut Tx, expansion: &Expansion) -> Result<()> {
    #[derive(Serialize)]
    struct Named<'a> {
        artifact: &'a ArtifactDigest,
    }
    let mut files: BTreeMap<&ArtifactDigest, &RunDigest> = BTreeMap::new();
    for run in &expansion.runs {
        files.extend(artifacts(&run.spec).map(|artifact| (artifact, &run.digest)));
    }
    for chunk in files.keys().map(|artifact| Named { artifact }).collect::<Vec<_>>().chunks(BATCH).map(json) {
        let unknown: Option<String> =
            sqlx::query_scalar(sql!("unknown_artifact")).bind(&chunk).fetch_optional(&mut **tx).await?;
        if let Some(unknown) = unknown {
            let run = files.get(&text::<ArtifactDigest>(&unknown)?).map_or("a run", |run| run.short());
            return Err(StoreError::Invalid(format!(
                "run {run} starts from file {unknown}, which belongs to no import; import it first (`transect import`)"
            )));
        }
    }
    Ok(())
}

/// Imported files that a run starts from.
pub(super) fn artifacts(run: &RunSpec) -> impl Iterator<Item = &ArtifactDigest> {
    run.starts().iter().filter_map(|start| match &start.source {
        Source::Artifact { artifact } => Some(artifact),
        Source::Checkpoint { .. } | Source::Point { .. } | Source::Random { .. } => None,
    })
}

/// Checkpoints of other runs that the jobs in `ids` (JSON) need, as they are stored.
pub(super) async fn elsewhere(tx: &mut Tx, ids: &str) -> Result<Vec<(RunDigest, Tag, ArtifactDigest)>> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(sql!("needs_of_jobs")).bind(ids).fetch_all(&mut **tx).await?;
    rows.iter().map(|(run, tag, artifact)| Ok((text(run)?, text(tag)?, text(artifact)?))).collect()
}
