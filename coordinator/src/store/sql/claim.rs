//! Which jobs a worker is given: facts are read here, `transect_common::schedule` decides, statements claim.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use sqlx::FromRow;
use transect_common::digest::RunDigest;
use transect_common::job::JobKind;
use transect_common::schedule::{
    Offer, Queue, Rate, Requires, Schedule, TrainingOrder, most_cost, most_jobs, serve_order, training_order,
};

use super::bulk::claim_lines;
use super::db::{Tx, sql};
use super::rows::{count, json, optional_text, word};
use crate::store::{LeaseWish, Result, StoreError, Timestamp, WorkerId, WorkerState};

/// Most runs of a wish that are looked at.
const MAX_CACHED_RUNS: usize = 100;
/// A job that failed on a machine is left to others for so long, while there are any.
const LEFT_TO_OTHERS: Duration = Duration::from_mins(5);

/// A job as a claim leaves it.
#[derive(Debug, Clone, Copy, FromRow, Deserialize)]
pub(super) struct Claimed {
    pub job: i64,
    /// Its new attempt.
    pub attempt: i64,
    pub run: i64,
    /// None for a training.
    pub line: Option<i64>,
    /// Points that earlier attempts stored.
    pub points: i64,
}

/// The oldest lines of a run that are due, for a worker.
pub(super) struct LinesWanted<'a> {
    pub worker: i64,
    pub run: i64,
    pub sweep: i64,
    pub now: &'a str,
    /// End of the lease.
    pub until: &'a str,
    /// So many lines, each of which costs so much at most.
    pub most: u32,
    pub most_cost: f64,
    /// Workers (JSON array of ids) whose failed jobs are left to others.
    pub avoid: &'a str,
}

/// What a worker was given.
pub(super) struct Claim {
    /// At least one job, of one kind and run.
    pub jobs: Vec<Claimed>,
    /// It is a training job.
    pub is_training: bool,
}

#[derive(FromRow)]
struct WorkerFacts {
    state: String,
    device: String,
    memory_bytes: i64,
    labels: String,
    quarantined_until: Option<String>,
}

/// What the worker brings; `NotFound` for one that never registered.
pub(super) async fn offer(tx: &mut Tx, wish: &LeaseWish, now: Timestamp) -> Result<Offer> {
    let facts: Option<WorkerFacts> =
        sqlx::query_as(sql!("worker_facts")).bind(wish.worker.0).fetch_optional(&mut **tx).await?;
    let facts = facts.ok_or_else(|| StoreError::NotFound { what: "worker", name: wish.worker.to_string() })?;
    let quarantine: Option<Timestamp> = optional_text(facts.quarantined_until.as_deref())?;
    let is_draining = word(&facts.state, WorkerState::from_name)? == WorkerState::Draining;
    Ok(Offer {
        device: facts.device,
        memory_bytes: count(facts.memory_bytes)?,
        labels: from_json(&facts.labels)?,
        seconds_left: wish.seconds_left,
        is_closed: is_draining || quarantine.is_some_and(|until| until > now),
    })
}

pub(super) fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(format!("`{text}`: {error}")))
}

#[derive(FromRow)]
struct QueueRow {
    id: i64,
    priority: i64,
    share: f64,
    max_workers: Option<i64>,
    requires: String,
    is_paused: bool,
}

impl QueueRow {
    fn queue(self) -> Result<Queue> {
        Ok(Queue {
            sweep: self.id,
            schedule: Schedule {
                priority: count(self.priority)?,
                share: self.share,
                max_workers: self.max_workers.map(count).transpose()?,
                requires: from_json::<Requires>(&self.requires)?,
            },
            is_paused: self.is_paused,
            workers: 0,
        })
    }
}

/// Live sweeps with a job that is due, as if nobody were at work for them ([`count_workers`]).
pub(super) async fn queues(tx: &mut Tx, now: Timestamp) -> Result<Vec<Queue>> {
    let rows: Vec<QueueRow> = sqlx::query_as(sql!("queues")).bind(now.to_string()).fetch_all(&mut **tx).await?;
    rows.into_iter().map(QueueRow::queue).collect()
}

/// Counts who is at work for each of `queues`, beside `asker`. It looks at every worker that is.
pub(super) async fn count_workers(tx: &mut Tx, asker: WorkerId, queues: &mut [Queue]) -> Result<()> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(sql!("workers_at_work")).bind(asker.0).fetch_all(&mut **tx).await?;
    let at_work: BTreeMap<i64, i64> = rows.into_iter().collect();
    for queue in queues {
        queue.workers = count(at_work.get(&queue.sweep).copied().unwrap_or(0))?;
    }
    Ok(())
}

/// What those bring who could be given a job elsewhere than on this worker's device.
async fn elsewhere(tx: &mut Tx, worker: WorkerId) -> Result<Vec<Offer>> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as(sql!("other_places")).bind(worker.0).fetch_all(&mut **tx).await?;
    rows.into_iter()
        .map(|(device, memory_bytes, labels)| {
            let (memory_bytes, labels) = (count(memory_bytes)?, from_json(&labels)?);
            Ok(Offer { device, memory_bytes, labels, ..Offer::default() })
        })
        .collect()
}

/// What a sweep learned of its jobs of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Learned {
    waiting: u64,
    done: u64,
    rate: Rate,
}

impl Learned {
    /// Seconds that a job takes, on average.
    fn seconds(self) -> Option<f64> {
        (self.done > 0 && self.rate.seconds > 0.0).then(|| self.rate.seconds / self.done as f64)
    }
}

#[derive(FromRow)]
struct RateRow {
    kind: String,
    queued: i64,
    done: i64,
    cost_done: f64,
    seconds: f64,
}

/// What a sweep learned: of trainings, and of lines.
async fn learned(tx: &mut Tx, sweep: i64) -> Result<(Learned, Learned)> {
    let rows: Vec<RateRow> = sqlx::query_as(sql!("rates_of_sweep")).bind(sweep).fetch_all(&mut **tx).await?;
    let (mut trainings, mut lines) = (Learned::default(), Learned::default());
    for row in rows {
        let of = match word(&row.kind, JobKind::from_name)? {
            JobKind::Train => &mut trainings,
            JobKind::Line => &mut lines,
        };
        of.waiting += count::<u64>(row.queued)?;
        of.done += count::<u64>(row.done)?;
        of.rate.cost += row.cost_done;
        of.rate.seconds += row.seconds;
    }
    Ok((trainings, lines))
}

/// One claim: who asks, until when, and what is left to others.
struct Claimant<'a> {
    tx: &'a mut Tx,
    wish: &'a LeaseWish,
    now: String,
    until: String,
    /// Workers whose failed jobs this one must not take from the sweep at hand, as JSON: there are others that may.
    avoid: String,
}

/// Leases what `wish` should be given: of the first sweep in the order to serve that has anything for it, ready lines of
/// a run that it holds, else of the oldest, else a training.
pub(super) async fn claim(tx: &mut Tx, wish: &LeaseWish, now: Timestamp, until: Timestamp) -> Result<Option<Claim>> {
    let offer = offer(tx, wish, now).await?;
    if offer.is_closed {
        return Ok(None);
    }
    let mut queues = queues(tx, now).await?;
    // One sweep that takes any number of workers leaves nothing to choose.
    if queues.len() > 1 || queues.iter().any(|queue| queue.schedule.max_workers.is_some()) {
        count_workers(tx, wish.worker, &mut queues).await?;
    }
    let order = serve_order(&offer, &queues);
    if order.is_empty() {
        return Ok(None);
    }
    let avoid: Vec<i64> = sqlx::query_scalar(sql!("same_place"))
        .bind(wish.worker.0)
        .bind(now.minus(LEFT_TO_OTHERS).to_string())
        .fetch_all(&mut **tx)
        .await?;
    let others = if avoid.is_empty() { vec![] } else { elsewhere(tx, wish.worker).await? };
    let (now, until, avoid) = (now.to_string(), until.to_string(), json(&avoid));
    let mut claimant = Claimant { tx, wish, now, until, avoid: String::new() };
    for sweep in order {
        let queue = queues.iter_mut().find(|queue| queue.sweep == sweep).expect("the order is of these queues");
        let is_anyone_else = others.iter().any(|other| queue.schedule.requires.lack(other).is_none());
        claimant.avoid = if is_anyone_else { avoid.clone() } else { "[]".to_owned() };
        if let Some(claim) = claimant.of_sweep(queue).await? {
            sqlx::query(sql!("serve_sweep")).bind(wish.worker.0).bind(sweep).execute(&mut **claimant.tx).await?;
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

impl Claimant<'_> {
    async fn of_sweep(&mut self, queue: &mut Queue) -> Result<Option<Claim>> {
        let (sweep, left) = (queue.sweep, self.wish.seconds_left);
        let (trainings, lines) = learned(self.tx, sweep).await?;
        if let Some(most) = most_cost(lines.rate, left) {
            let jobs = self.lines(sweep, most, most_jobs(self.wish.max_jobs.max(1), lines.seconds(), left)).await?;
            if !jobs.is_empty() {
                return Ok(Some(Claim { jobs, is_training: false }));
            }
        }
        let Some(most) = most_cost(trainings.rate, left) else { return Ok(None) };
        count_workers(self.tx, self.wish.worker, std::slice::from_mut(queue)).await?;
        let statement = match training_order(trainings.waiting, queue.workers.into()) {
            TrainingOrder::Oldest => sql!("claim_oldest_training"),
            TrainingOrder::Longest => sql!("claim_longest_training"),
        };
        let jobs: Vec<Claimed> = sqlx::query_as(statement)
            .bind(self.wish.worker.0)
            .bind(&self.now)
            .bind(&self.until)
            .bind(sweep)
            .bind(most)
            .bind(&self.avoid)
            .fetch_all(&mut **self.tx)
            .await?;
        Ok((!jobs.is_empty()).then_some(Claim { jobs, is_training: true }))
    }

    async fn lines(&mut self, sweep: i64, most_cost: f64, most: u32) -> Result<Vec<Claimed>> {
        let held: &[RunDigest] = &self.wish.cached_runs[..self.wish.cached_runs.len().min(MAX_CACHED_RUNS)];
        let mut tried = BTreeSet::new();
        if !held.is_empty() {
            let run: Option<i64> = sqlx::query_scalar(sql!("due_run_of"))
                .bind(json(held))
                .bind(&self.now)
                .bind(sweep)
                .fetch_optional(&mut **self.tx)
                .await?;
            if let Some(run) = run {
                let jobs = self.lines_of(run, sweep, most_cost, most).await?;
                if !jobs.is_empty() {
                    return Ok(jobs);
                }
                tried.insert(run);
            }
        }
        let run: Option<i64> = sqlx::query_scalar(sql!("due_line"))
            .bind(&self.now)
            .bind(sweep)
            .bind(most_cost)
            .bind(&self.avoid)
            .fetch_optional(&mut **self.tx)
            .await?;
        match run.filter(|run| !tried.contains(run)) {
            Some(run) => self.lines_of(run, sweep, most_cost, most).await,
            None => Ok(vec![]),
        }
    }

    async fn lines_of(&mut self, run: i64, sweep: i64, most_cost: f64, most: u32) -> Result<Vec<Claimed>> {
        let (worker, now, until, avoid) = (self.wish.worker.0, &self.now, &self.until, &self.avoid);
        let wanted = LinesWanted { worker, run, sweep, now, until, most, most_cost, avoid };
        claim_lines(self.tx, &wanted).await
    }
}
