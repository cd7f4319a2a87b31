//! One leased group from its checkpoints to its last row.
//!
//! Invariant: when a group is over, each of its jobs has had its end queued, or is no longer ours, or is given back by
//! leaving; nothing is left to wait for its lease to run out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tracing::{Instrument as _, info_span};
use transect_common::digest::ArtifactDigest;
use transect_common::executor_pb::executor_event::Event;
use transect_common::executor_pb::{CheckpointFile, ExecutorEvent, ExecutorRequest, SnapshotFile, SourceFile};
use transect_common::pb::report_request::Row;
use transect_common::pb::{JobAttempt, LeaseResponse, ReportRequest, RunArtifact, Snapshot, TaggedArtifact};
use transect_common::run::RunSpec;

use super::cache::Cache;
use super::child::Child;
use super::held::{Held, Key, key};
use super::report::Report;
use super::session::Session;
use super::shutdown::Shutdown;
use super::transfer;

/// What became of the executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// It finished the group and can take another.
    Keep,
    /// It is dead, or was killed, or reported a failure, after which libtorch's state is not to be trusted.
    Replace,
}

/// What a group is worked with.
pub struct Group<'a> {
    /// The connection.
    pub session: &'a Session,
    /// The artifact cache.
    pub cache: &'a Arc<Cache>,
    /// The jobs in hand.
    pub held: &'a Held,
    /// Where measurements go.
    pub report: &'a Report,
    /// Being asked to stop.
    pub shutdown: &'a Shutdown,
    /// The data folder.
    pub data: &'a Path,
    /// Time between two snapshots of a training; zero for none but at a stop.
    pub snapshot_every: Duration,
    /// An artifact store that fails is waited for so long.
    pub store_patience: Duration,
}

/// Share of the grace period in which a training may leave its snapshot; the rest is for sending it.
const SNAPSHOT_SHARE: f64 = 0.4;

impl Group<'_> {
    /// Works through a lease on `child`. Returns early when the daemon is asked to stop, with the jobs still held.
    pub async fn work(&self, child: &mut Child, lease: LeaseResponse) -> Executor {
        let what = name(&lease);
        let is_training = is_training(&lease);
        let jobs: BTreeMap<Key, JobAttempt> = lease
            .jobs
            .iter()
            .map(|job| JobAttempt { job_id: job.job_id, attempt: job.attempt })
            .map(|job| (key(&job), job))
            .collect();
        for job in jobs.values() {
            self.held.add(*job);
        }
        tracing::info!(jobs = jobs.len(), first = lease.jobs.first().map(|j| j.job_id), "leased: {what}");
        let files = Files::of(&lease);
        let lent = RefCell::default();
        let executor = tokio::select! {
            fetched = self.fetch(&files, &lent).instrument(info_span!("fetch")) => match fetched {
                Ok((checkpoints, sources, snapshot)) => {
                    let request = ExecutorRequest {
                        run_spec: lease.run_spec,
                        jobs: lease.jobs,
                        checkpoints,
                        data: self.data.display().to_string(),
                        scratch: self.cache.scratch().display().to_string(),
                        sources,
                        snapshot,
                        snapshot_seconds: self.snapshot_every.as_secs_f64(),
                        stop: false,
                    };
                    let work = if is_training { info_span!("train") } else { info_span!("probe") };
                    self.execute(child, &request, jobs, &what).instrument(work).await
                }
                Err(message) => {
                    tracing::error!("{what}: {message}");
                    for job in jobs.values() {
                        self.report.failed(*job, format!("job {}, {what}: {message}", job.job_id));
                    }
                    Executor::Keep
                }
            },
            // Given back by leaving.
            () = self.shutdown.asked() => Executor::Keep,
            () = self.all_taken(&jobs) => {
                tracing::info!("{what}: every job was taken away before it began");
                Executor::Keep
            }
        };
        for path in lent.into_inner() {
            self.cache.release(&path);
        }
        executor
    }

    /// Brings all that the group needs to this machine: its run's checkpoints, and those of others with imported files.
    async fn fetch(&self, files: &Files, lent: &Lent) -> Result<Fetched, String> {
        let mut checkpoints = Vec::new();
        for TaggedArtifact { tag, artifact } in &files.checkpoints {
            let path = self.fetch_one(&format!("checkpoint `{tag}`"), artifact, lent).await?;
            checkpoints.push(CheckpointFile { tag: tag.clone(), path });
        }
        let mut sources = Vec::new();
        for RunArtifact { run, tag, artifact } in &files.elsewhere {
            let what = format!("checkpoint `{tag}` of run {}", run.get(..12).unwrap_or(run));
            let path = self.fetch_one(&what, artifact, lent).await?;
            sources.push(SourceFile { run: run.clone(), tag: tag.clone(), artifact: artifact.clone(), path });
        }
        for artifact in &files.artifacts {
            let path = self.fetch_one("an imported file", artifact, lent).await?;
            sources.push(SourceFile { artifact: artifact.clone(), path, ..SourceFile::default() });
        }
        let snapshot = match &files.snapshot {
            Some(snapshot) => self.fetch_snapshot(snapshot, lent).await,
            None => None,
        };
        Ok((checkpoints, sources, snapshot))
    }

    /// Where the training goes on. A snapshot that cannot be had costs what is done again, nothing else.
    async fn fetch_snapshot(&self, snapshot: &Snapshot, lent: &Lent) -> Option<SnapshotFile> {
        match self.fetch_one("the snapshot", &snapshot.artifact, lent).await {
            Ok(path) => Some(SnapshotFile { path, threads: snapshot.threads }),
            Err(error) => {
                tracing::warn!("{error}; the training begins at its beginning");
                None
            }
        }
    }

    /// The path at which an artifact lies until the group is over. The same may be asked for twice.
    async fn fetch_one(&self, what: &str, artifact: &str, lent: &Lent) -> Result<String, String> {
        let digest: ArtifactDigest = artifact.parse().map_err(|e| format!("{what}: {e}"))?;
        let path = transfer::fetch(self.session, self.cache, &digest, self.store_patience)
            .await
            .map_err(|e| format!("{what} ({}) cannot be had: {e}", digest.short()))?;
        let text = path.display().to_string();
        lent.borrow_mut().push(path);
        Ok(text)
    }

    async fn execute(
        &self,
        child: &mut Child,
        request: &ExecutorRequest,
        mut open: BTreeMap<Key, JobAttempt>,
        what: &str,
    ) -> Executor {
        let sent = child.send(request).await;
        if let Err(error) = &sent {
            // Its death, which comes next, is the better message; unless it lives, and the request was at fault.
            tracing::warn!(%error, "the executor did not take the group");
            child.kill();
        }
        let mut failed = BTreeSet::new();
        loop {
            tokio::select! {
                () = self.report.queued.room(), if !self.report.queued.has_room() => {}
                event = child.next(), if self.report.queued.has_room() => match event {
                    Some(Ok(event)) => match self.take(event, &mut open, &mut failed) {
                        Taken::More => {}
                        Taken::Finished if failed.is_empty() && open.is_empty() => return Executor::Keep,
                        Taken::Finished => {
                            for job in open.values() {
                                let message = "the executor finished without a word about this job";
                                self.report.failed(*job, format!("job {}, {what}: {message}", job.job_id));
                            }
                            return Executor::Replace;
                        }
                    },
                    last => {
                        let garbled = last.and_then(Result::err);
                        if garbled.is_some() {
                            child.kill();
                        }
                        let death = child.cause_of_death().await;
                        let mut cause = garbled.or(sent.err()).map_or(death.clone(), |error| format!("{error}; {death}"));
                        if let Some(progress) = self.progress(&open) {
                            cause = format!("{cause}; this was at {progress}");
                        }
                        tracing::error!("{what}: {cause}");
                        for job in open.values() {
                            self.report.failed(*job, format!("job {}, {what}: {cause}", job.job_id));
                        }
                        return Executor::Replace;
                    }
                },
                () = self.all_taken(&open), if !open.is_empty() => {
                    tracing::info!("{what}: every job was taken away; the executor is stopped");
                    child.kill();
                    return Executor::Replace;
                }
                () = self.shutdown.asked() => {
                    let is_training = request.jobs.iter().any(|job| job.line_spec.is_empty());
                    self.stop(child, is_training, &mut open, &mut failed).await;
                    return Executor::Replace;
                }
            }
        }
    }

    /// Waits until none of `jobs` is held any more.
    async fn all_taken(&self, jobs: &BTreeMap<Key, JobAttempt>) {
        self.held.until(|held| !jobs.keys().any(|job| held.holds(job))).await;
    }

    /// Ends an executor in the middle of a group, and takes what it still says: a training its snapshot, lines the points
    /// that are measured.
    async fn stop(
        &self,
        child: &mut Child,
        is_training: bool,
        open: &mut BTreeMap<Key, JobAttempt>,
        failed: &mut BTreeSet<Key>,
    ) {
        let deadline = self.shutdown.deadline(SNAPSHOT_SHARE);
        let asked = is_training && !open.is_empty() && child.stop().await.is_ok();
        let mut is_killed = false;
        if !asked {
            child.kill();
            is_killed = true;
        }
        loop {
            tokio::select! {
                event = child.next() => match event {
                    Some(Ok(event)) => {
                        self.take(event, open, failed);
                    }
                    _ => return child.kill(),
                },
                () = tokio::time::sleep_until(deadline), if !is_killed => {
                    tracing::warn!("the training left no snapshot in time");
                    child.kill();
                    is_killed = true;
                }
            }
        }
    }

    /// Passes on one event.
    fn take(&self, event: ExecutorEvent, open: &mut BTreeMap<Key, JobAttempt>, failed: &mut BTreeSet<Key>) -> Taken {
        match event.event {
            Some(Event::Progress(progress)) => self.held.progress(progress),
            Some(Event::Row(ReportRequest { job: Some(job), row: Some(row), .. })) => {
                let is_failure = matches!(row, Row::Failed(_));
                if let Row::Failed(failure) = &row {
                    tracing::error!(job = job.job_id, class = failure.class, "{}", failure.message);
                    failed.insert(key(&job));
                }
                if is_failure || matches!(row, Row::Done(_)) {
                    open.remove(&key(&job));
                }
                match row {
                    Row::Checkpoint(row) => self.report.checkpoint(job, row, event.checkpoint_path.into()),
                    Row::Snapshot(row) => self.report.snapshot(job, row, event.checkpoint_path.into()),
                    row => self.report.row(job, row),
                }
            }
            Some(Event::Finished(_)) => return Taken::Finished,
            Some(Event::Hello(_) | Event::Row(_)) | None => {
                tracing::warn!("the executor said something without meaning; it is passed over");
            }
        }
        Taken::More
    }

    /// What the group's jobs last said of themselves.
    fn progress(&self, open: &BTreeMap<Key, JobAttempt>) -> Option<String> {
        let ours = |job: Option<JobAttempt>| job.is_some_and(|job| open.contains_key(&key(&job)));
        self.held.list().into_iter().find(|p| ours(p.job) && !p.text.is_empty()).map(|p| p.text)
    }
}

/// Files that the cache has lent for a group.
type Lent = RefCell<Vec<PathBuf>>;

/// Files of a group where they lie on this machine.
type Fetched = (Vec<CheckpointFile>, Vec<SourceFile>, Option<SnapshotFile>);

/// The files that a lease names.
struct Files {
    checkpoints: Vec<TaggedArtifact>,
    elsewhere: Vec<RunArtifact>,
    artifacts: Vec<String>,
    snapshot: Option<Snapshot>,
}

impl Files {
    fn of(lease: &LeaseResponse) -> Self {
        Self {
            checkpoints: lease.checkpoints.clone(),
            elsewhere: lease.elsewhere.clone(),
            artifacts: lease.artifacts.clone(),
            snapshot: lease.snapshot.clone(),
        }
    }
}

enum Taken {
    More,
    Finished,
}

fn is_training(lease: &LeaseResponse) -> bool {
    lease.jobs.iter().any(|job| job.line_spec.is_empty())
}

/// What a lease is, for people: `training of mlp seed 1 (3fa2bc012345)`.
fn name(lease: &LeaseResponse) -> String {
    let kind = if is_training(lease) { "training of" } else { "lines of" };
    match RunSpec::from_canonical(&lease.run_spec) {
        Ok(run) => format!("{kind} {}", crate::executor::name(&run)),
        Err(_) => format!("{kind} run {}", lease.run.get(..12).unwrap_or(&lease.run)),
    }
}
