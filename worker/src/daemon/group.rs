//! One leased group from its checkpoints to its last row.
//!
//! Invariant: when a group is over, each of its jobs has had its end queued, or is no longer ours, or is given back by
//! leaving; nothing is left to wait for its lease to run out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use transect_common::digest::ArtifactDigest;
use transect_common::executor_pb::executor_event::Event;
use transect_common::executor_pb::{CheckpointFile, ExecutorEvent, ExecutorRequest};
use transect_common::pb::report_request::Row;
use transect_common::pb::{JobAttempt, LeaseResponse, ReportRequest, TaggedArtifact};
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
}

impl Group<'_> {
    /// Works through a lease on `child`. Returns early when the daemon is asked to stop, with the jobs still held.
    pub async fn work(&self, child: &mut Child, lease: LeaseResponse) -> Executor {
        let what = name(&lease);
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
        let checkpoints = lease.checkpoints.clone();
        let executor = tokio::select! {
            files = self.fetch(&checkpoints) => match files {
                Ok(checkpoints) => {
                    let request = ExecutorRequest {
                        run_spec: lease.run_spec,
                        jobs: lease.jobs,
                        checkpoints,
                        data: self.data.display().to_string(),
                        scratch: self.cache.scratch().display().to_string(),
                        sources: vec![],
                    };
                    self.execute(child, &request, jobs, &what).await
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
        };
        for checkpoint in &checkpoints {
            if let Ok(digest) = checkpoint.artifact.parse() {
                self.cache.release(&digest);
            }
        }
        executor
    }

    /// Brings the group's checkpoints to this machine.
    async fn fetch(&self, checkpoints: &[TaggedArtifact]) -> Result<Vec<CheckpointFile>, String> {
        let mut files = Vec::new();
        for TaggedArtifact { tag, artifact } in checkpoints {
            let digest: ArtifactDigest = artifact.parse().map_err(|e| format!("checkpoint `{tag}`: {e}"))?;
            let path = transfer::fetch(self.session, self.cache, &digest)
                .await
                .map_err(|e| format!("checkpoint `{tag}` ({}) cannot be had: {e}", digest.short()))?;
            files.push(CheckpointFile { tag: tag.clone(), path: path.display().to_string() });
        }
        Ok(files)
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
                event = child.next() => match event {
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
                () = self.held.removed() => {
                    if !open.is_empty() && !open.keys().any(|job| self.held.holds(job)) {
                        tracing::info!("{what}: every job was taken away; the executor is stopped");
                        child.kill();
                        return Executor::Replace;
                    }
                }
                () = self.shutdown.asked() => {
                    child.kill();
                    while let Some(Ok(event)) = child.next().await {
                        self.take(event, &mut open, &mut failed);
                    }
                    return Executor::Replace;
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

enum Taken {
    More,
    Finished,
}

/// What a lease is, for people: `training of mlp seed 1 (3fa2bc012345)`.
fn name(lease: &LeaseResponse) -> String {
    let is_training = lease.jobs.iter().any(|job| job.line_spec.is_empty());
    let kind = if is_training { "training of" } else { "lines of" };
    match RunSpec::from_canonical(&lease.run_spec) {
        Ok(run) => format!("{kind} {}", crate::executor::name(&run)),
        Err(_) => format!("{kind} run {}", lease.run.get(..12).unwrap_or(&lease.run)),
    }
}
