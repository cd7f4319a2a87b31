//! What the store says, in the words of the wire.

use transect_common::pb;

use crate::store::{
    Activity, AttemptError, Checkpoint, CurvePoint, Job, JobAttempt, JobTotals, Lease, LineMeasure, LinePoint, Sweep,
    Worker, WorkerInfo,
};

pub fn sweep(sweep: Sweep) -> pb::Sweep {
    pb::Sweep {
        sweep_id: sweep.id.to_string(),
        name: sweep.name,
        state: sweep.state.name().to_owned(),
        submitted_at: sweep.submitted_at.to_string(),
        finished_at: sweep.finished_at.map(|at| at.to_string()),
        runs: sweep.runs,
        jobs: sweep.jobs,
        queued: sweep.queued,
        leased: sweep.leased,
        done: sweep.done,
        failed: sweep.failed,
        cancelled: sweep.cancelled,
        points: sweep.points,
        train_jobs: sweep.train_jobs,
        train_done: sweep.train_done,
        points_expected: sweep.points_expected,
        priority: sweep.priority,
        share: sweep.share,
        max_workers: sweep.max_workers,
        workers: u32::try_from(sweep.workers).unwrap_or(u32::MAX),
        seconds_left: sweep.seconds_left,
    }
}

pub fn totals(totals: JobTotals) -> pb::JobTotals {
    let JobTotals { kind, model, jobs, queued, leased, done, failed, cancelled } = totals;
    pb::JobTotals { kind: kind.name().to_owned(), model, jobs, queued, leased, done, failed, cancelled }
}

pub fn activity(activity: Activity) -> pb::Activity {
    let Activity { job, worker, model, seed, text, fraction } = activity;
    let who = seed.map_or_else(|| model.clone(), |seed| format!("{model} seed {seed}"));
    let text = if text.is_empty() { who } else { format!("{who}: {text}") };
    pb::Activity { job_id: job.0 as u64, worker, text, fraction }
}

pub fn line_point(point: LinePoint) -> pb::LinePoint {
    let line = point.line;
    pb::LinePoint {
        run: line.run.run.into(),
        model: line.run.model,
        seed: line.run.seed,
        settings: line.run.settings,
        from_tag: line.from,
        to_tag: line.to,
        mask: line.mask,
        hold: line.hold,
        batch_norm: line.batch_norm,
        split: point.split.name().to_owned(),
        alpha: point.alpha,
        loss: point.loss,
        accuracy: point.accuracy,
        count: point.count,
        elsewhere: line.elsewhere,
        align: line.align,
        normalize: line.normalize,
        refined: point.refined,
    }
}

pub fn line_measure(measure: LineMeasure) -> pb::LineMeasure {
    let line = measure.line;
    pb::LineMeasure {
        run: line.run.run.into(),
        model: line.run.model,
        seed: line.run.seed,
        settings: line.run.settings,
        from_tag: line.from,
        to_tag: line.to,
        mask: line.mask,
        hold: line.hold,
        batch_norm: line.batch_norm,
        split: measure.split.map(|split| split.name().to_owned()).unwrap_or_default(),
        name: measure.name,
        value: measure.value,
        elsewhere: line.elsewhere,
        align: line.align,
        normalize: line.normalize,
    }
}

pub fn curve_point(point: CurvePoint) -> pb::CurvePoint {
    pb::CurvePoint {
        run: point.label.run.into(),
        model: point.label.model,
        seed: point.label.seed,
        settings: point.label.settings,
        epoch: point.epoch.epoch,
        split: point.epoch.split.name().to_owned(),
        loss: point.epoch.loss,
        accuracy: point.epoch.accuracy,
        learning_rate: point.epoch.learning_rate,
        seconds: point.epoch.seconds,
    }
}

pub fn job(job: Job) -> pb::Job {
    pb::Job {
        job_id: job.id.0 as u64,
        kind: job.kind.name().to_owned(),
        state: job.state.name().to_owned(),
        attempt: job.attempt.0,
        worker: job.worker,
        run: job.run.into(),
        model: job.model,
        seed: job.seed,
        mask: job.mask,
        queued_at: job.queued_at.to_string(),
        started_at: job.started_at.map(|at| at.to_string()),
        finished_at: job.finished_at.map(|at| at.to_string()),
        error: job.error,
        errors: job.errors.into_iter().map(attempt_error).collect(),
    }
}

fn attempt_error(error: AttemptError) -> pb::AttemptError {
    pb::AttemptError {
        attempt: error.attempt.0,
        at: error.at.to_string(),
        class: error.class.name().to_owned(),
        message: error.message,
        worker: error.worker,
    }
}

pub fn checkpoint(checkpoint: Checkpoint) -> pb::Checkpoint {
    pb::Checkpoint {
        run: checkpoint.run.map(String::from).unwrap_or_default(),
        model: checkpoint.model,
        seed: checkpoint.seed,
        tag: checkpoint.tag.into(),
        artifact: checkpoint.artifact.into(),
        bytes: checkpoint.bytes,
    }
}

pub fn worker(worker: Worker) -> pb::Worker {
    pb::Worker {
        worker_id: worker.id.to_string(),
        name: worker.name,
        state: worker.state.name().to_owned(),
        info: Some(info_to_wire(worker.info)),
        registered_at: worker.registered_at.to_string(),
        seen_at: worker.seen_at.to_string(),
        leased: u32::try_from(worker.leased).unwrap_or(u32::MAX),
        done: worker.done,
        failures: worker.failures,
        quarantined_until: worker.quarantined_until.map(|at| at.to_string()),
    }
}

fn info_to_wire(info: WorkerInfo) -> pb::WorkerInfo {
    let WorkerInfo { host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads, version, labels } =
        info;
    let labels = labels.into_iter().collect();
    pb::WorkerInfo { host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads, version, labels }
}

pub fn info_from_wire(info: pb::WorkerInfo) -> WorkerInfo {
    let pb::WorkerInfo {
        host,
        pid,
        device,
        device_name,
        memory_bytes,
        libtorch,
        cpu_capability,
        threads,
        version,
        labels,
    } = info;
    let labels = labels.into_iter().collect();
    WorkerInfo { host, pid, device, device_name, memory_bytes, libtorch, cpu_capability, threads, version, labels }
}

pub fn job_attempt(job: JobAttempt) -> pb::JobAttempt {
    pb::JobAttempt { job_id: job.job.0 as u64, attempt: job.attempt.0 }
}

pub fn lease(lease: Lease) -> pb::LeaseResponse {
    let checkpoints = lease.checkpoints.into_iter();
    let elsewhere = lease.elsewhere.into_iter();
    let jobs = lease.jobs.into_iter().map(|leased| {
        let curve = leased.curve;
        let points = leased.done_points.into_iter().map(|(split, index)| {
            let (alpha, loss) = curve.get(&(split, index)).copied().unzip();
            pb::PointKey { split: split.name().to_owned(), index, alpha, loss }
        });
        pb::LeasedJob {
            job_id: leased.job.job.0 as u64,
            attempt: leased.job.attempt.0,
            line_spec: leased.line_spec.unwrap_or_default(),
            done_points: points.collect(),
        }
    });
    pb::LeaseResponse {
        jobs: jobs.collect(),
        run: lease.run.into(),
        run_spec: lease.run_spec,
        checkpoints: checkpoints
            .map(|(tag, artifact)| pb::TaggedArtifact { tag: tag.into(), artifact: artifact.into() })
            .collect(),
        elsewhere: elsewhere
            .map(|(run, tag, artifact)| pb::RunArtifact { run: run.into(), tag: tag.into(), artifact: artifact.into() })
            .collect(),
        artifacts: lease.artifacts.into_iter().map(String::from).collect(),
        snapshot: lease.snapshot.map(|snapshot| pb::Snapshot {
            artifact: snapshot.artifact.into(),
            bytes: snapshot.bytes,
            step: snapshot.step,
            threads: snapshot.threads,
        }),
    }
}
