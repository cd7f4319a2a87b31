//! Which jobs a worker is given: chosen by the pure scheduling core, then taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use transect_common::data::Split;
use transect_common::digest::RunDigest;
use transect_common::job::{ErrorClass, JobEvent, JobState};
use transect_common::run::Source;
use transect_common::schedule::{
    Fit, Offer, Queue, TrainingOrder, device_kind, fits, most_jobs, serve_order, training_order,
};

use super::bugs::Bug;
use super::lease::touch;
use super::state::{JobRow, State, WorkerRow};
use super::workers::must_exist;
use crate::store::{
    Attempt, JobAttempt, JobId, Lease, LeaseWish, LeasedJob, Result, Snapshot, StoreError, Timestamp, WorkerId,
    WorkerInfo, WorkerState,
};

/// Most runs of a wish that are looked at.
const MAX_CACHED_RUNS: usize = 100;
/// So long a job that failed on a machine is left to others.
const AVOID: Duration = Duration::from_mins(5);

/// What a worker is to be given.
#[derive(Debug)]
pub(super) struct Claim {
    sweep: i64,
    run: i64,
    jobs: Vec<i64>,
}

/// What a worker brings.
pub(super) fn offer(state: &State, worker: &WorkerRow, seconds_left: Option<f64>, now: Timestamp) -> Offer {
    let is_quarantined = worker.is_quarantined(now) && !state.has(Bug::QuarantineIgnored);
    Offer {
        device: worker.info.device.clone(),
        memory_bytes: worker.info.memory_bytes,
        labels: worker.info.labels.clone(),
        seconds_left,
        is_closed: worker.state == WorkerState::Draining || is_quarantined,
    }
}

/// Live sweeps in whose name jobs wait, as `asker` sees them.
pub(super) fn queues(state: &State, asker: Option<i64>) -> Vec<Queue> {
    let waiting: BTreeSet<i64> =
        state.jobs.values().filter(|job| job.state == JobState::Queued).filter_map(|job| job.sweep).collect();
    let at_work = state.at_work(asker);
    let queue = |id: i64| {
        let sweep = &state.sweeps[&id];
        let mut schedule = sweep.schedule.clone();
        if state.has(Bug::LimitIgnored) {
            schedule.max_workers = None;
        }
        if state.has(Bug::RequirementsIgnored) {
            schedule.requires = transect_common::schedule::Requires::default();
        }
        let is_paused = sweep.is_paused && !state.has(Bug::PausedLeased);
        Queue { sweep: id, schedule, is_paused, workers: at_work.get(&id).copied().unwrap_or(0) }
    };
    waiting.into_iter().filter(|id| state.sweeps[id].is_live()).map(queue).collect()
}

pub(super) fn choose(state: &State, wish: &LeaseWish, now: Timestamp) -> Result<Option<Claim>> {
    let worker = must_exist(state, wish.worker)?;
    let offer = offer(state, worker, wish.seconds_left, now);
    let queues = queues(state, Some(wish.worker.0));
    let mut order = serve_order(&offer, &queues);
    if state.has(Bug::MostFirst) {
        order.reverse();
    }
    for sweep in order {
        let queue = queues.iter().find(|queue| queue.sweep == sweep).expect("the order is of these queues");
        let due: Vec<i64> = state
            .jobs
            .iter()
            .filter(|(_, job)| job.sweep == Some(sweep) && is_open(state, job, now))
            .filter(|(_, job)| !is_left_to_others(state, worker, job, queue, now))
            .filter(|(_, job)| !is_begun_elsewhere(state, worker, job, queue, now))
            .map(|(id, _)| *id)
            .collect();
        let (trains, lines): (Vec<i64>, Vec<i64>) = due.into_iter().partition(|id| state.job(*id).is_train());
        if let Some(claim) = choose_lines(state, wish, sweep, lines) {
            return Ok(Some(claim));
        }
        let waiting =
            state.jobs.values().filter(|j| j.sweep == Some(sweep) && j.is_train() && j.state == JobState::Queued);
        let order = training_order(waiting.count() as u64, u64::from(queue.workers));
        if let Some(claim) = choose_train(state, wish, sweep, trains, order) {
            return Ok(Some(claim));
        }
    }
    Ok(None)
}

fn is_open(state: &State, job: &JobRow, now: Timestamp) -> bool {
    let twice = state.has(Bug::LeasedTwice) && job.state == JobState::Leased;
    job.is_due(now) || twice
}

/// A job that failed on this machine waits for another, while there is one that could take it.
fn is_left_to_others(state: &State, worker: &WorkerRow, job: &JobRow, queue: &Queue, now: Timestamp) -> bool {
    let Some(error) = job.errors.values().next_back().filter(|error| error.class == ErrorClass::Machine) else {
        return false;
    };
    let failed_here = state.workers[&error.worker].is_same_machine(&worker.info);
    failed_here
        && now < error.at.plus(AVOID)
        && state.workers.values().any(|other| {
            let offer = offer(state, other, None, now);
            other.state == WorkerState::Live
                && !offer.is_closed
                && !other.is_same_machine(&worker.info)
                && queue.schedule.requires.lack(&offer).is_none()
        })
}

/// A training that was begun where this worker cannot go on is left to workers that can, for as long as there are any
/// that may serve the sweep, and for a while only: they may have other things to do.
fn is_begun_elsewhere(state: &State, worker: &WorkerRow, job: &JobRow, queue: &Queue, now: Timestamp) -> bool {
    let Some((_, taker)) = state.run(job.run).snapshot.as_ref().filter(|_| job.is_train()) else { return false };
    let taker = &state.workers[taker].info;
    !is_alike(taker, &worker.info)
        && now < job.due_at.plus(AVOID)
        && state.workers.values().any(|other| {
            let offer = offer(state, other, None, now);
            other.state == WorkerState::Live
                && !offer.is_closed
                && is_alike(taker, &other.info)
                && queue.schedule.requires.lack(&offer).is_none()
        })
}

/// Whether a training goes on to the same bytes from one worker to the other.
fn is_alike(a: &WorkerInfo, b: &WorkerInfo) -> bool {
    (device_kind(&a.device), &a.libtorch, &a.cpu_capability) == (device_kind(&b.device), &b.libtorch, &b.cpu_capability)
}

/// Ready lines of one run that the worker holds, or else of the run whose line is oldest.
fn choose_lines(state: &State, wish: &LeaseWish, sweep: i64, lines: Vec<i64>) -> Option<Claim> {
    let fitting = |id: &i64| fits(state.estimate(*id), wish.seconds_left) != Fit::TooLong;
    // Lines of one run wait in one name, so `lines` has all of them; what a worker has time for is seldom asked.
    let lines: Vec<i64> = lines.into_iter().filter(|id| wish.seconds_left.is_none() || fitting(id)).collect();
    let cached: BTreeSet<&RunDigest> = wish.cached_runs.iter().take(MAX_CACHED_RUNS).collect();
    let is_cached = |id: &&i64| cached.contains(&state.run(state.job(**id).run).digest);
    let first = lines.iter().find(is_cached).or(lines.first()).copied()?;
    let run = state.job(first).run;
    let estimate = wish.seconds_left.and_then(|_| state.estimate(first));
    let most = most_jobs(wish.max_jobs.max(1), estimate, wish.seconds_left) as usize;
    let jobs = lines.into_iter().filter(|id| state.job(*id).run == run).take(most).collect();
    Some(Claim { sweep, run, jobs })
}

fn choose_train(state: &State, wish: &LeaseWish, sweep: i64, trains: Vec<i64>, order: TrainingOrder) -> Option<Claim> {
    let fitting =
        |id: &i64| wish.seconds_left.is_none() || fits(state.estimate(*id), wish.seconds_left) != Fit::TooLong;
    let mut trains: Vec<i64> = trains.into_iter().filter(fitting).collect();
    if order == TrainingOrder::Longest {
        // The sort is stable: among equals the oldest stays first.
        trains.sort_by(|a, b| state.job(*b).cost.total_cmp(&state.job(*a).cost));
    }
    let id = trains.first().copied()?;
    Some(Claim { sweep, run: state.job(id).run, jobs: vec![id] })
}

pub(super) fn take(state: &mut State, worker: WorkerId, claim: &Claim, now: Timestamp) -> Result<Lease> {
    touch(state, worker.0, None, now);
    state.workers.get_mut(&worker.0).expect("whoever chose has looked").sweep = Some(claim.sweep);
    let until = now.plus(state.terms.lease);
    let keeps_attempt = state.has(Bug::AttemptNotRaised);
    for &id in &claim.jobs {
        if state.job(id).state == JobState::Queued {
            state.step(id, JobEvent::Lease);
        }
        let job = state.job_mut(id);
        job.attempt += u32::from(!keeps_attempt || job.attempt == 0);
        (job.worker, job.started_at, job.expires_at) = (Some(worker.0), Some(now), Some(until));
        job.fraction = 0.0;
        job.progress.clear();
    }
    if state.has(Bug::LeaseInTwoCommits) && state.writes.is_multiple_of(7) {
        for &id in &claim.jobs {
            state.job_mut(id).expires_at = None;
        }
        return Err(StoreError::Stopped);
    }
    Ok(lease(state, worker, claim))
}

fn lease(state: &State, worker: WorkerId, claim: &Claim) -> Lease {
    let run = state.run(claim.run);
    let is_training = state.job(claim.jobs[0]).is_train();
    let mut elsewhere = BTreeMap::new();
    for (need, tag) in claim.jobs.iter().flat_map(|id| &state.job(*id).needs) {
        let need = state.run(*need);
        if let Some((artifact, _)) = need.checkpoints.get(tag) {
            elsewhere.insert((need.digest.clone(), tag.as_str()), (tag.clone(), artifact.clone()));
        }
    }
    let checkpoints = run.checkpoints.iter().map(|(tag, (artifact, _))| (tag.clone(), artifact.clone()));
    let files: BTreeSet<_> = run
        .spec
        .starts()
        .iter()
        .filter_map(
            |start| if let Source::Artifact { artifact } = &start.source { Some(artifact.clone()) } else { None },
        )
        .collect();
    let leased = |id: &i64| {
        let job = state.job(*id);
        LeasedJob {
            job: JobAttempt { job: JobId(*id), attempt: Attempt(job.attempt) },
            line_spec: job.line.as_ref().map(|line| line.canonical.clone()),
            done_points: job.points.values().map(|(point, _)| (point.split, point.index)).collect(),
            curve: curve(job),
        }
    };
    Lease {
        run: run.digest.clone(),
        run_spec: run.canonical.to_string(),
        checkpoints: if is_training { vec![] } else { checkpoints.collect() },
        elsewhere: elsewhere.into_iter().map(|((run, _), (tag, artifact))| (run, tag, artifact)).collect(),
        artifacts: if is_training { files.into_iter().collect() } else { vec![] },
        jobs: claim.jobs.iter().map(leased).collect(),
        snapshot: if is_training { snapshot(state, worker, claim.run) } else { None },
    }
}

/// What a line goes on from whose further alphas follow from its losses.
fn curve(job: &JobRow) -> BTreeMap<(Split, u32), (f64, f64)> {
    let is_refined = job.line.as_ref().is_some_and(|line| line.spec.refine.is_some());
    let points = job.points.values().filter(|_| is_refined);
    points.map(|(point, _)| ((point.split, point.index), (point.alpha, point.loss))).collect()
}

/// Where a training goes on: bytes come out the same only on the same kind of device, libtorch and CPU capability.
fn snapshot(state: &State, worker: WorkerId, run: i64) -> Option<Snapshot> {
    let own = &state.workers[&worker.0].info;
    let goes_on = |taker: i64| state.has(Bug::SnapshotOnAnyDevice) || is_alike(&state.workers[&taker].info, own);
    let of = |run: i64| state.run(run).snapshot.as_ref().filter(|(_, taker)| goes_on(*taker));
    if state.has(Bug::SnapshotOfAnother) {
        return state.runs.keys().rev().find_map(|run| of(*run)).map(|(snapshot, _)| snapshot.clone());
    }
    of(run).map(|(snapshot, _)| snapshot.clone())
}
