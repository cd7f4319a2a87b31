//! What was measured, on its way to the coordinator: in order, in batches, kept until it is stored.
//!
//! Invariants: rows of a job arrive in the order in which they were measured, so its end never overtakes them; a
//! checkpoint's row follows its bytes. A batch is sent again until the coordinator answers, so nothing is lost while
//! it is away; sending twice is harmless because the coordinator keys what it stores.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::{Code, Status};
use transect_common::digest::ArtifactDigest;
use transect_common::pb::report_request::Row;
use transect_common::pb::{CheckpointRow, FailedRow, JobAttempt, ReportRequest, ReportResponse};

use super::backoff::Backoff;
use super::cache::Cache;
use super::held::{Held, key};
use super::session::{Session, is_passing, sentence, within};
use super::transfer;

/// Rows of one batch.
const MAX_ROWS: usize = 500;
/// A row waits so long for others.
const WAIT: Duration = Duration::from_millis(250);
/// One batch may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

enum Item {
    Row(ReportRequest),
    Checkpoint { job: JobAttempt, row: CheckpointRow, path: PathBuf },
    Flush(oneshot::Sender<()>),
}

/// Where measurements go; clones share one queue.
#[derive(Clone)]
pub struct Report {
    queue: mpsc::UnboundedSender<Item>,
}

impl Report {
    /// A report and the task that empties it.
    pub fn new(session: Arc<Session>, held: Held, cache: Arc<Cache>) -> (Self, impl Future<Output = ()>) {
        let (queue, items) = mpsc::unbounded_channel();
        (Self { queue }, Sender { session, held, cache, batch: Vec::new() }.run(items))
    }

    fn push(&self, item: Item) {
        // The task ends only when the daemon does; what is said after that nobody waits for.
        let _ = self.queue.send(item);
    }

    /// Queues a row.
    pub fn row(&self, job: JobAttempt, row: Row) {
        self.push(Item::Row(ReportRequest { worker_id: String::new(), job: Some(job), row: Some(row) }));
    }

    /// Queues the end of an attempt that `message` explains, by fault of the machine.
    pub fn failed(&self, job: JobAttempt, message: String) {
        self.row(job, Row::Failed(FailedRow { class: "machine".into(), message }));
    }

    /// Queues a checkpoint: its file is uploaded, kept in the cache, and then its row is sent.
    pub fn checkpoint(&self, job: JobAttempt, row: CheckpointRow, path: PathBuf) {
        self.push(Item::Checkpoint { job, row, path });
    }

    /// Waits until everything queued so far is stored or given up.
    pub async fn flush(&self) {
        let (done, stored) = oneshot::channel();
        self.push(Item::Flush(done));
        let _ = stored.await;
    }
}

struct Sender {
    session: Arc<Session>,
    held: Held,
    cache: Arc<Cache>,
    batch: Vec<ReportRequest>,
}

impl Sender {
    async fn run(mut self, mut items: mpsc::UnboundedReceiver<Item>) {
        let mut due: Option<Instant> = None;
        loop {
            let item = match due {
                None => items.recv().await,
                Some(time) => {
                    let Ok(item) = tokio::time::timeout_at(time, items.recv()).await else {
                        self.send().await;
                        due = None;
                        continue;
                    };
                    item
                }
            };
            match item {
                Some(Item::Row(row)) => self.batch.push(row),
                Some(Item::Checkpoint { job, row, path }) => {
                    // The epochs before it are shown while it travels.
                    self.send().await;
                    self.checkpoint(job, row, path).await;
                }
                Some(Item::Flush(done)) => {
                    self.send().await;
                    let _ = done.send(());
                }
                None => return self.send().await,
            }
            if self.batch.len() >= MAX_ROWS {
                self.send().await;
            }
            due = if self.batch.is_empty() { None } else { due.or_else(|| Some(Instant::now() + WAIT)) };
        }
    }

    async fn checkpoint(&mut self, job: JobAttempt, row: CheckpointRow, path: PathBuf) {
        if !self.held.holds(&key(&job)) {
            let _ = tokio::fs::remove_file(&path).await;
            return;
        }
        let request = |row| ReportRequest { worker_id: String::new(), job: Some(job), row: Some(row) };
        let digest: ArtifactDigest = match row.artifact.parse() {
            Ok(digest) => digest,
            Err(error) => return self.give_up(job, format!("checkpoint `{}`: {error}", row.tag)).await,
        };
        if let Err(error) = transfer::upload(&self.session, &digest, &path).await {
            let tag = &row.tag;
            let message = format!("checkpoint `{tag}` ({}) could not be stored: {error}", digest.short());
            let _ = tokio::fs::remove_file(&path).await;
            return self.give_up(job, message).await;
        }
        match self.cache.adopt(&digest, &path) {
            Ok(_) => self.cache.release(&digest),
            // It is stored with the coordinator, which is what matters.
            Err(error) => tracing::warn!(%error, "a checkpoint cannot be kept in the cache"),
        }
        self.batch.push(request(Row::Checkpoint(row)));
    }

    /// Sends the batch until it is answered.
    async fn send(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let held = &self.held;
            self.batch.retain(|row| row.job.is_some_and(|job| held.holds(&key(&job))));
            if self.batch.is_empty() {
                return;
            }
            match self.call().await {
                Ok(answer) => {
                    if backoff.failures() > 0 {
                        tracing::info!(rows = self.batch.len(), "the coordinator is back; what was measured is stored");
                    }
                    return self.settle(&answer).await;
                }
                Err(status) if status.code() == Code::NotFound || is_passing(&status) => {
                    if backoff.failures() == 0 {
                        let rows = self.batch.len();
                        tracing::warn!(
                            rows,
                            error = sentence(&status),
                            "a report was not taken; it is kept and sent again"
                        );
                    }
                    backoff.wait().await;
                }
                Err(status) => {
                    let error = sentence(&status);
                    tracing::error!(error, rows = self.batch.len(), "the coordinator refuses a report");
                    let jobs: Vec<_> = self.batch.drain(..).filter_map(|row| row.job).collect();
                    return self.fail_all(jobs, &format!("the coordinator refused what was measured: {error}")).await;
                }
            }
        }
    }

    async fn call(&self) -> Result<ReportResponse, Status> {
        let terms = self.session.terms().await?;
        let mut rows = self.batch.clone();
        if let Some(first) = rows.first_mut() {
            first.worker_id.clone_from(&terms.worker_id);
        }
        let answer = within(PATIENCE, self.session.worker().report(tokio_stream::iter(rows))).await;
        if answer.as_ref().is_err_and(|status| status.code() == Code::NotFound) {
            self.session.forget(&terms.worker_id).await;
        }
        answer
    }

    /// Draws the conclusions of an answer: ended jobs are no longer held, refused ones are given up.
    async fn settle(&mut self, answer: &ReportResponse) {
        let batch = std::mem::take(&mut self.batch);
        let mut refused = Vec::new();
        for refusal in &answer.refused {
            let Some(job) = refusal.job.or_else(|| batch.get(refusal.row as usize)?.job) else { continue };
            let row = batch.get(refusal.row as usize).and_then(|r| r.row.as_ref());
            let (reason, message) = (&refusal.reason, &refusal.message);
            if refusal.reason == "invalid" && !matches!(row, Some(Row::Failed(_))) {
                tracing::error!(job = job.job_id, message, "the coordinator finds a row invalid");
                refused.push((job, format!("the coordinator refused a row as invalid: {message}")));
            } else if self.held.remove(&job) {
                tracing::info!(job = job.job_id, attempt = job.attempt, reason, message, "no longer ours; stopping");
            }
        }
        for row in &batch {
            let is_end = matches!(row.row, Some(Row::Done(_) | Row::Failed(_)));
            let job = row.job.filter(|job| is_end && !refused.iter().any(|(other, _)| other == job));
            if let Some(job) = job {
                self.held.remove(&job);
            }
        }
        for (job, message) in refused {
            self.give_up(job, message).await;
        }
    }

    async fn fail_all(&mut self, mut jobs: Vec<JobAttempt>, message: &str) {
        jobs.sort_by_key(key);
        jobs.dedup();
        for job in jobs {
            self.give_up(job, message.to_owned()).await;
        }
    }

    /// Ends an attempt whose rows cannot be stored: says so once, and lets the lease go whatever the answer.
    async fn give_up(&mut self, job: JobAttempt, message: String) {
        if !self.held.holds(&key(&job)) {
            return;
        }
        let row = Row::Failed(FailedRow { class: "machine".into(), message });
        let mut backoff = Backoff::default();
        loop {
            let kept = std::mem::take(&mut self.batch);
            self.batch.push(ReportRequest { worker_id: String::new(), job: Some(job), row: Some(row.clone()) });
            let answer = self.call().await;
            self.batch = kept;
            match answer {
                Err(status) if status.code() == Code::NotFound || is_passing(&status) => backoff.wait().await,
                _ => break,
            }
        }
        self.held.remove(&job);
    }
}
