//! What was measured, on its way to the coordinator: in order, in batches, kept until it is stored.
//!
//! Invariants: rows of a job arrive in the order in which they were measured, so its end never overtakes them; a
//! checkpoint's or snapshot's row follows its bytes. A batch is sent again until the coordinator answers, so nothing is lost while
//! it is away; sending twice is harmless because the coordinator keys what it stores.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tonic::{Code, Status};
use transect_common::digest::ArtifactDigest;
use transect_common::pb::report_request::Row;
use transect_common::pb::{CheckpointRow, FailedRow, JobAttempt, ReportRequest, ReportResponse, SnapshotRow};

use super::backoff::Backoff;
use super::cache::Cache;
use super::held::{Held, key};
use super::queued::{Queued, weight};
use super::session::{Session, is_passing, sentence};
use super::transfer;

/// Rows of one batch; a coordinator takes twice as many.
const MAX_ROWS: usize = 5000;
/// A row waits so long for others.
const WAIT: Duration = Duration::from_millis(250);
/// One batch may take so long.
const PATIENCE: Duration = Duration::from_secs(30);

enum Item {
    Row(ReportRequest),
    Checkpoint { job: JobAttempt, row: CheckpointRow, path: PathBuf },
    Snapshot { job: JobAttempt, row: SnapshotRow, path: PathBuf },
    Flush(oneshot::Sender<()>),
}

impl Item {
    fn weight(&self) -> u64 {
        match self {
            Self::Row(_) => weight(0),
            Self::Checkpoint { row, .. } => weight(row.bytes),
            Self::Snapshot { row, .. } => weight(row.bytes),
            Self::Flush(_) => 0,
        }
    }
}

/// Where measurements go; clones share one queue.
#[derive(Clone)]
pub struct Report {
    queue: mpsc::UnboundedSender<Item>,
    /// What waits. Whoever measures more waits for room in it.
    pub queued: Queued,
}

impl Report {
    /// A report and the task that empties it. A store that is full is waited for as long as `store_patience`.
    pub fn new(
        session: Arc<Session>,
        held: Held,
        cache: Arc<Cache>,
        store_patience: Duration,
    ) -> (Self, impl Future<Output = ()>) {
        let (queue, items) = mpsc::unbounded_channel();
        let queued = Queued::default();
        let sender =
            Sender { session, held, cache, store_patience, queued: queued.clone(), batch: Vec::new(), batch_weight: 0 };
        (Self { queue, queued }, sender.run(items))
    }

    fn push(&self, item: Item) {
        self.queued.add(item.weight());
        // The task ends only when the daemon does; what is said after that nobody waits for.
        let _ = self.queue.send(item);
    }

    /// Queues a row.
    pub fn row(&self, job: JobAttempt, row: Row) {
        if matches!(row, Row::Done(_) | Row::Failed(_)) {
            self.queued.note(&job, u64::MAX);
        }
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

    /// Queues a snapshot: its file is uploaded, and then its row is sent. Neither happens once a later one waits.
    pub fn snapshot(&self, job: JobAttempt, row: SnapshotRow, path: PathBuf) {
        self.queued.note(&job, row.step);
        self.push(Item::Snapshot { job, row, path });
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
    store_patience: Duration,
    queued: Queued,
    batch: Vec<ReportRequest>,
    /// What the batch, and what became of files, still counts as waiting.
    batch_weight: u64,
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
            self.batch_weight += item.as_ref().map_or(0, Item::weight);
            match item {
                Some(Item::Row(row)) => self.batch.push(row),
                Some(Item::Checkpoint { job, row, path }) => {
                    // The epochs before it are shown while it travels.
                    self.send().await;
                    self.checkpoint(job, row, path).await;
                }
                Some(Item::Snapshot { job, row, path }) => {
                    // What was measured before it is not measured again, so it must be stored first.
                    self.send().await;
                    self.snapshot(job, row, &path).await;
                    let _ = tokio::fs::remove_file(&path).await;
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
            if self.batch.is_empty() {
                self.queued.take(std::mem::take(&mut self.batch_weight));
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
        if let Err(error) = transfer::upload(&self.session, &digest, &path, self.store_patience).await {
            let tag = &row.tag;
            let message = format!("checkpoint `{tag}` ({}) could not be stored: {error}", digest.short());
            let _ = tokio::fs::remove_file(&path).await;
            return self.give_up(job, message).await;
        }
        match self.cache.adopt(&digest, &path) {
            Ok(lent) => self.cache.release(&lent),
            // It is stored with the coordinator, which is what matters.
            Err(error) => tracing::warn!(%error, "a checkpoint cannot be kept in the cache"),
        }
        self.batch.push(request(Row::Checkpoint(row)));
    }

    /// Stores a snapshot. Failing to costs what would be done again, nothing else, so it is tried once and told.
    async fn snapshot(&mut self, job: JobAttempt, row: SnapshotRow, path: &Path) {
        let is_wanted = |sender: &Self| sender.held.holds(&key(&job)) && sender.queued.is_latest(&job, row.step);
        if !is_wanted(self) {
            return;
        }
        let uploaded = match row.artifact.parse() {
            Ok(digest) => {
                transfer::upload(&self.session, &digest, path, Duration::ZERO).await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = uploaded {
            tracing::warn!(job = job.job_id, step = row.step, error, "a snapshot could not be stored");
            return;
        }
        let mut backoff = Backoff::default();
        // Alone in its batch: an older coordinator refuses what it does not know, and the whole batch with it.
        while is_wanted(self) {
            let (job, row) = (Some(job), Some(Row::Snapshot(row.clone())));
            match self.call(vec![ReportRequest { worker_id: String::new(), job, row }]).await {
                Ok(answer) => {
                    for refusal in &answer.refused {
                        let (reason, message) = (&refusal.reason, &refusal.message);
                        tracing::warn!(job = job.map(|j| j.job_id), reason, message, "a snapshot was refused");
                        if reason != "invalid" {
                            job.map(|job| self.held.remove(&job));
                        }
                    }
                    return;
                }
                Err(status) if status.code() == Code::NotFound || is_passing(&status) => backoff.wait().await,
                Err(status) => {
                    tracing::warn!(error = sentence(&status), "the coordinator takes no snapshots");
                    return;
                }
            }
        }
    }

    /// Sends the batch until it is answered.
    async fn send(&mut self) {
        self.send_batch().await;
        self.queued.take(std::mem::take(&mut self.batch_weight));
        self.queued.forget_all_but(&self.held);
    }

    async fn send_batch(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let held = &self.held;
            self.batch.retain(|row| row.job.is_some_and(|job| held.holds(&key(&job))));
            if self.batch.is_empty() {
                return;
            }
            match self.call(self.batch.clone()).await {
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

    async fn call(&self, mut rows: Vec<ReportRequest>) -> Result<ReportResponse, Status> {
        let terms = self.session.terms().await?;
        if let Some(first) = rows.first_mut() {
            first.worker_id.clone_from(&terms.worker_id);
        }
        let answer = self.session.within(PATIENCE, self.session.worker().report(tokio_stream::iter(rows))).await;
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
            let request = ReportRequest { worker_id: String::new(), job: Some(job), row: Some(row.clone()) };
            match self.call(vec![request]).await {
                Err(status) if status.code() == Code::NotFound || is_passing(&status) => backoff.wait().await,
                _ => break,
            }
        }
        self.held.remove(&job);
    }
}
