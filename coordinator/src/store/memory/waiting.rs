//! Jobs that wait for trainings: when they are ready, and how they fail with what they wait for.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::digest::ArtifactDigest;
use transect_common::job::{ErrorClass, JobEvent, JobState};
use transect_common::run::Tag;

use super::bugs::Bug;
use super::state::State;
use crate::store::Timestamp;

impl State {
    /// Size of an imported file; none when no import names it.
    pub(super) fn imported_bytes(&self, artifact: &ArtifactDigest) -> Option<u64> {
        let files = self.imports.values().flat_map(|import| import.checkpoints.values());
        files.filter(|(file, _)| file == artifact).map(|(_, bytes)| *bytes).max()
    }

    /// Notes that a job is ready once all that it waits for is trained.
    pub(super) fn set_ready(&mut self, id: i64) {
        if self.sources(id).into_iter().all(|source| self.job(source).state == JobState::Done) {
            self.job_mut(id).is_ready = true;
        }
    }

    /// Jobs that wait for a training directly.
    pub(super) fn dependants(&self, train: i64) -> Vec<i64> {
        let run = self.run(self.job(train).run);
        run.lines.iter().chain(&run.needed_by).copied().collect()
    }

    /// Jobs that wait for any of these trainings, directly or through others, each with the first of those.
    fn stuck(&self, sources: &[i64]) -> BTreeMap<i64, i64> {
        let mut stuck = BTreeMap::new();
        for &source in sources {
            let (mut open, mut seen) = (vec![source], BTreeSet::from([source]));
            while let Some(train) = open.pop() {
                for job in self.dependants(train) {
                    let first = stuck.entry(job).or_insert(source);
                    *first = source.min(*first);
                    if self.job(job).is_train() && seen.insert(job) {
                        open.push(job);
                    }
                }
            }
        }
        stuck
    }

    /// Whatever waits for a failed training fails with it, among `within` where that is given.
    pub(super) fn fail_waiting(&mut self, sources: &[i64], within: Option<&BTreeSet<i64>>, now: Timestamp) {
        for (job, source) in self.stuck(sources) {
            let row = self.job(job);
            let is_waiting = row.state == JobState::Queued && !row.is_ready;
            if is_waiting && within.is_none_or(|within| within.contains(&job)) {
                let failed = self.job(source);
                let error = failed.error.as_deref().unwrap_or_default();
                let message = format!("run {} failed: {error}", self.run(failed.run).words());
                self.step(job, JobEvent::SetAside);
                let row = self.job_mut(job);
                (row.finished_at, row.error, row.blocked_by) = (Some(now), Some(message), Some(source));
            }
        }
    }

    fn failed_trainings<'a>(&self, jobs: impl Iterator<Item = &'a i64>) -> Vec<i64> {
        let is_source = |id: &i64| {
            let job = self.job(*id);
            job.is_train() && job.state == JobState::Failed && job.blocked_by.is_none()
        };
        jobs.copied().filter(is_source).collect()
    }

    /// Those of `jobs` that wait for a training among them that failed fail with it.
    pub(super) fn fail_waiting_among(&mut self, jobs: &[i64], now: Timestamp) {
        let sources = self.failed_trainings(jobs.iter());
        self.fail_waiting(&sources, Some(&jobs.iter().copied().collect()), now);
    }

    /// Whatever waits for any training that failed fails with it.
    pub(super) fn fail_waiting_anywhere(&mut self, now: Timestamp) {
        let sources = self.failed_trainings(self.jobs.keys());
        self.fail_waiting(&sources, None, now);
    }

    /// The checkpoint that a job needs and that a trained run never got because it stopped early.
    fn lack(&self, id: i64) -> Option<(i64, Tag)> {
        let job = self.job(id);
        let mut needs: Vec<(i64, Tag)> = job.needs.iter().cloned().collect();
        if let Some(line) = &job.line {
            needs.push((job.run, line.spec.from.clone()));
            if line.spec.elsewhere.is_none() {
                needs.push((job.run, line.spec.to.clone()));
            }
        }
        let is_lacking = |(run, tag): &(i64, Tag)| {
            let run = self.run(*run);
            let is_trained = run.train.is_some_and(|train| self.job(train).state == JobState::Done);
            is_trained && !run.checkpoints.contains_key(tag)
        };
        needs.into_iter().filter(is_lacking).min_by(|(_, a), (_, b)| a.as_str().cmp(b.as_str()))
    }

    /// Queued jobs that need what a trained run never got fail. Returns them.
    pub(super) fn fail_missing(&mut self, jobs: &[i64], now: Timestamp) -> Vec<i64> {
        let mut failed = vec![];
        for &id in jobs {
            if self.job(id).state != JobState::Queued {
                continue;
            }
            let Some((run, tag)) = self.lack(id) else { continue };
            let run = self.run(run);
            let after = run.curves.keys().map(|(epoch, _)| *epoch).max();
            let after = after.map(|epoch| format!(", after epoch {epoch}")).unwrap_or_default();
            let message = format!("run {} has no checkpoint `{tag}`: its training stopped early{after}", run.words());
            self.step(id, JobEvent::SetAside);
            let row = self.job_mut(id);
            (row.finished_at, row.error, row.error_class) = (Some(now), Some(message), Some(ErrorClass::Run));
            failed.push(id);
        }
        failed
    }

    /// What waited for a training that is done goes on, or fails where the training stopped before the checkpoint that it
    /// needs.
    pub(super) fn training_is_done(&mut self, train: i64, now: Timestamp) {
        let waiting = self.dependants(train);
        for &job in &waiting {
            self.set_ready(job);
        }
        let failed = self.fail_missing(&waiting, now);
        let trainings: Vec<i64> = failed.into_iter().filter(|job| self.job(*job).is_train()).collect();
        self.fail_waiting(&trainings, None, now);
    }

    /// A deliberate mistake: lines of a run that has a checkpoint are taken to be ready.
    pub(super) fn ready_too_early(&mut self, train: i64) {
        if self.has(Bug::ReadyTooEarly) {
            for line in self.run(self.job(train).run).lines.clone() {
                self.job_mut(line).is_ready = true;
            }
        }
    }
}
