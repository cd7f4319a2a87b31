//! Submission: a sweep with everything that it needs and nobody has stored yet, in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Serialize;
use transect_common::digest::{ArtifactDigest, LineDigest};
use transect_common::job::JobKind;
use transect_common::line::{Elsewhere, LineSpec, Normalize};
use transect_common::model::ModelSpec;
use transect_common::run::{Origin, RunSpec};
use transect_common::schedule::{line_cost, training_cost};
use transect_common::sweep::ExpandedRun;

use super::db::{Db, Tx, keep_shared_jobs, look_up_by_key, plan_freely, sql};
use super::needs::{self, Need};
use super::rows::{BATCH, integer, json};
use super::{bulk, scheduling, sweeps, takeover};
use crate::store::{NewSweep, Result, StoreError, Submitted, SweepId, Timestamp};

#[derive(Serialize)]
struct RunRow {
    digest: String,
    spec: String,
    model: String,
    seed: Option<i64>,
    position: usize,
    settings: String,
}

#[derive(Serialize)]
struct CheckpointRow {
    run: String,
    tag: String,
    artifact: String,
}

#[derive(Serialize)]
struct LineRow {
    digest: String,
    spec: String,
    from: String,
    to: String,
    mask: String,
    hold: String,
    batch_norm: &'static str,
    subset: Option<u32>,
    elsewhere: Option<String>,
    align: bool,
    normalize: &'static str,
    grid: usize,
    budget: u32,
}

#[derive(Serialize)]
struct TrainJobRow {
    run: String,
    /// It needs other runs.
    waits: bool,
    cost: f64,
    position: usize,
}

#[derive(Serialize)]
struct LineJobRow<'a> {
    run: &'a str,
    line: &'a str,
    /// It needs other runs than its own.
    waits: bool,
    points: u64,
    cost: f64,
    position: usize,
}

/// The line jobs of one run; made to rows only as they are written, since a sweep may have a million.
struct RunLines<'a> {
    run: &'a ExpandedRun,
    digests: Arc<[LineDigest]>,
    parameters: usize,
    /// Of the first.
    position: usize,
}

impl RunLines<'_> {
    fn row(&self, place: usize) -> LineJobRow<'_> {
        let (line, digest) = (&self.run.lines[place], &self.digests[place]);
        LineJobRow {
            run: self.run.digest.as_str(),
            line: digest.as_str(),
            waits: line.needs().is_some(),
            points: line.most_points(),
            cost: line_cost(&self.run.spec.data, line, self.parameters),
            position: self.position + place,
        }
    }
}

/// Everything that a sweep puts into the database, in its order.
#[derive(Default)]
struct Rows<'a> {
    runs: Vec<RunRow>,
    imported: Vec<CheckpointRow>,
    lines: BTreeMap<LineDigest, LineRow>,
    train_jobs: Vec<TrainJobRow>,
    line_jobs: Vec<RunLines<'a>>,
    needs: Vec<Need>,
    /// Some run may have stopped before a checkpoint that it should keep, so that jobs may need what is not there.
    may_lack: bool,
}

pub(super) async fn submit(db: &Db, sweep: NewSweep, now: Timestamp) -> Result<Submitted> {
    let rows = Rows::of(&sweep)?;
    let file_digest = ArtifactDigest::of(sweep.file.as_bytes()).to_string();
    let mut tx = db.begin_on_graph().await?;
    let known: Option<(i64, String)> =
        sqlx::query_as(sql!("sweep_by_key")).bind(&sweep.idempotency_key).fetch_optional(&mut *tx).await?;
    if let Some((id, digest)) = known {
        tx.rollback().await?;
        if digest != file_digest {
            return Err(StoreError::Taken { what: "idempotency key", name: sweep.idempotency_key });
        }
        return Ok(Submitted { sweep: sweeps::sweep(db, SweepId(id)).await?, created: false });
    }
    let schedule = &sweep.expansion.schedule;
    let id: i64 = sqlx::query_scalar(sql!("insert_sweep"))
        .bind(&sweep.expansion.name)
        .bind(&sweep.file)
        .bind(file_digest)
        .bind(&sweep.idempotency_key)
        .bind(now.to_string())
        .bind(i64::from(schedule.priority))
        .bind(schedule.share)
        .bind(schedule.max_workers.map(i64::from))
        .bind(json(&schedule.requires))
        .fetch_one(&mut *tx)
        .await?;
    needs::check(&mut tx, &sweep.expansion, &rows.needs).await?;
    look_up_by_key(&mut tx).await?;
    let created = rows.insert(&mut tx, id, &now.to_string()).await?;
    plan_freely(&mut tx, created).await?;
    keep_shared_jobs(&mut tx, id).await?;
    let mut statements = vec![sql!("requeue_needed")];
    if rows.may_lack {
        statements.push(sql!("fail_missing_of_sweep"));
    }
    statements.push(sql!("fail_waiting_of_sweep"));
    for statement in statements {
        sqlx::query(statement).bind(id).bind(now.to_string()).execute(&mut *tx).await?;
    }
    // Some job was there already, listed or as a source.
    if created < rows.jobs() || !rows.needs.is_empty() {
        scheduling::adopt(&mut tx, SweepId(id)).await?;
    }
    let lines: Vec<String> = rows.lines.keys().map(ToString::to_string).collect();
    takeover::take_over(&mut tx, id, &lines).await?;
    for statement in [sql!("count_runs"), sql!("insert_totals")] {
        sqlx::query(statement).bind(id).execute(&mut *tx).await?;
    }
    db.commit(tx).await?;
    db.freed();
    db.grew(created).await;
    Ok(Submitted { sweep: sweeps::sweep(db, SweepId(id)).await?, created: true })
}

impl<'a> Rows<'a> {
    fn of(sweep: &'a NewSweep) -> Result<Self> {
        let mut rows = Self::default();
        // Runs of one model mostly share their lines, and a line's canonical form is long: it is made once.
        let mut known: HashMap<*const LineSpec, Arc<[LineDigest]>> = HashMap::new();
        let mut position = 0;
        let mut sizes = Sizes::default();
        for (place, run) in sweep.expansion.runs.iter().enumerate() {
            let parameters = sizes.parameters(&run.spec);
            let digest = run.digest.to_string();
            let model = run.spec.model.name();
            rows.runs.push(RunRow {
                digest: digest.clone(),
                spec: run.spec.canonical(),
                model: model.to_owned(),
                seed: run.spec.seed().map(|seed| integer(seed, "a seed")).transpose()?,
                position: place,
                settings: json(&run.settings),
            });
            match &run.spec.origin {
                Origin::Trained { train, .. } => {
                    rows.may_lack |= train.stop.is_some();
                    let needs = run.spec.needs();
                    let (waits, cost) = (!needs.is_empty(), training_cost(&run.spec, parameters));
                    rows.train_jobs.push(TrainJobRow { run: digest.clone(), waits, cost, position });
                    position += 1;
                    rows.needs.extend(needs.iter().map(|(need, tag)| Need::of_training(&run.digest, need, tag)));
                }
                Origin::Imported { checkpoints } => {
                    rows.imported.extend(checkpoints.iter().map(|(tag, artifact)| CheckpointRow {
                        run: digest.clone(),
                        tag: tag.to_string(),
                        artifact: artifact.to_string(),
                    }));
                }
            }
            let digests = known.entry(run.lines.as_ptr());
            let digests = digests.or_insert_with(|| run.lines.iter().map(|line| rows.add_line(line)).collect()).clone();
            for (line, line_digest) in run.lines.iter().zip(digests.iter()) {
                let need = line.needs();
                rows.needs.extend(need.map(|(need, tag)| Need::of_line(&run.digest, line_digest, need, tag)));
            }
            rows.line_jobs.push(RunLines { run, digests, parameters, position });
            position += run.lines.len();
        }
        // Of a run that is needed and not listed, only the store knows whether it may stop early.
        rows.may_lack |= !rows.needs.is_empty();
        Ok(rows)
    }

    fn add_line(&mut self, line: &LineSpec) -> LineDigest {
        let spec = line.canonical();
        let digest = LineDigest::of(spec.as_bytes());
        self.lines.entry(digest.clone()).or_insert_with(|| LineRow {
            digest: digest.to_string(),
            spec,
            from: line.from.to_string(),
            to: line.to.to_string(),
            mask: line.mask.clone(),
            hold: line.hold.to_string(),
            batch_norm: line.batch_norm.name(),
            subset: line.subset,
            elsewhere: line.elsewhere.as_ref().map(|elsewhere| match elsewhere {
                Elsewhere::Run { run } => format!("run:{run}"),
                Elsewhere::Init { seed } => format!("init:{seed}"),
            }),
            align: line.align,
            normalize: match line.normalize {
                Normalize::None => "none",
                Normalize::Filter => "filter",
            },
            grid: line.alphas.len(),
            budget: line.refine.map_or(0, |refine| refine.budget),
        });
        digest
    }

    fn jobs(&self) -> u64 {
        let lines: usize = self.line_jobs.iter().map(|lines| lines.digests.len()).sum();
        (self.train_jobs.len() + lines) as u64
    }

    /// The next line jobs as JSON, from the run and line at `at`, which moves on; none at the end.
    fn line_chunk(&self, at: &mut (usize, usize)) -> Option<String> {
        let mut rows = vec![];
        while let Some(lines) = self.line_jobs.get(at.0).filter(|_| rows.len() < BATCH) {
            let end = lines.digests.len().min(at.1 + BATCH - rows.len());
            rows.extend((at.1..end).map(|place| lines.row(place)));
            *at = if end == lines.digests.len() { (at.0 + 1, 0) } else { (at.0, end) };
        }
        (!rows.is_empty()).then(|| json(&rows))
    }

    /// Returns how many jobs were not there yet. No statement is kept (`persistent`): each fills the tables that the next reads,
    /// and a plan for empty tables does not do for millions of rows.
    async fn insert(&self, tx: &mut Tx, sweep: i64, now: &str) -> Result<u64> {
        let (mut trainings, mut lines) = (0, 0);
        for chunk in self.runs.chunks(BATCH).map(json) {
            sqlx::query(sql!("insert_runs")).persistent(false).bind(&chunk).bind(now).execute(&mut **tx).await?;
            sqlx::query(sql!("insert_sweep_runs"))
                .persistent(false)
                .bind(sweep)
                .bind(&chunk)
                .execute(&mut **tx)
                .await?;
        }
        for chunk in self.imported.chunks(BATCH).map(json) {
            let unknown: Vec<String> =
                sqlx::query_scalar(sql!("unknown_artifact")).bind(&chunk).fetch_all(&mut **tx).await?;
            if let Some(artifact) = unknown.first() {
                return Err(StoreError::Invalid(format!(
                    "checkpoint {artifact} belongs to no import; import it first (`transect import`)"
                )));
            }
            sqlx::query(sql!("insert_imported_checkpoints"))
                .persistent(false)
                .bind(&chunk)
                .bind(now)
                .execute(&mut **tx)
                .await?;
        }
        let all: Vec<&LineRow> = self.lines.values().collect();
        for chunk in all.chunks(BATCH).map(json) {
            sqlx::query(sql!("insert_lines")).persistent(false).bind(&chunk).execute(&mut **tx).await?;
        }
        for chunk in self.train_jobs.chunks(BATCH).map(json) {
            trainings += bulk::list_train_jobs(tx, &chunk, now, sweep).await?;
        }
        let mut at = (0, 0);
        while let Some(chunk) = self.line_chunk(&mut at) {
            lines += bulk::list_line_jobs(tx, &chunk, now, sweep).await?;
        }
        for (kind, new) in [(JobKind::Train, trainings), (JobKind::Line, lines)] {
            let new = integer(new, "a number of jobs")?;
            sqlx::query(sql!("count_new_jobs"))
                .persistent(false)
                .bind(kind.name())
                .bind(new)
                .execute(&mut **tx)
                .await?;
        }
        // Whatever the order of the expansion: by now every run and job of the sweep is there.
        for chunk in self.needs.chunks(BATCH).map(json) {
            sqlx::query(sql!("insert_needs")).persistent(false).bind(&chunk).execute(&mut **tx).await?;
        }
        if !self.needs.is_empty() {
            for statement in [sql!("insert_sweep_sources"), sql!("ready_jobs_of_sweep")] {
                sqlx::query(statement).persistent(false).bind(sweep).execute(&mut **tx).await?;
            }
        }
        Ok(trainings + lines)
    }
}

/// Numbers of parameters; runs of one model mostly come one after another.
#[derive(Default)]
struct Sizes {
    last: Option<(ModelSpec, [u32; 3], u32, usize)>,
}

impl Sizes {
    fn parameters(&mut self, run: &RunSpec) -> usize {
        let (input, classes) = (run.data.input(), run.data.classes());
        if let Some((model, of_input, of_classes, parameters)) = &self.last
            && (model, *of_input, *of_classes) == (&run.model, input, classes)
        {
            return *parameters;
        }
        // Expansion has refused a model that does not fit its data.
        let parameters = run.model.describe(input, classes).map_or(0, |model| model.theta_len());
        self.last = Some((run.model.clone(), input, classes, parameters));
        parameters
    }
}
