//! The wire's messages as JSON, with the names of the proto files. Numbers that are not finite are the words that the
//! JSON form of protobuf uses: `NaN`, `Infinity`, `-Infinity`.

use serde_json::{Value, json};
use transect_common::pb;

/// A number, or the word for one that JSON cannot write.
pub fn number(x: f64) -> Value {
    match x {
        x if x.is_finite() => json!(x),
        x if x.is_nan() => json!("NaN"),
        x if x > 0.0 => json!("Infinity"),
        _ => json!("-Infinity"),
    }
}

/// JSON inside a text; the text itself should it not be JSON.
pub fn nested(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

/// A sweep.
pub fn sweep(s: &pb::Sweep) -> Value {
    json!({
        "sweep_id": s.sweep_id,
        "name": s.name,
        "state": s.state,
        "submitted_at": s.submitted_at,
        "finished_at": s.finished_at,
        "runs": s.runs,
        "jobs": s.jobs,
        "queued": s.queued,
        "leased": s.leased,
        "done": s.done,
        "failed": s.failed,
        "cancelled": s.cancelled,
        "points": s.points,
        "points_expected": s.points_expected,
        "train_jobs": s.train_jobs,
        "train_done": s.train_done,
        "priority": s.priority,
        "share": s.share,
        "max_workers": s.max_workers,
        "workers": s.workers,
        "seconds_left": s.seconds_left,
    })
}

/// A sweep and what its workers are doing.
pub fn watched(w: &pb::WatchResponse) -> Value {
    let activity =
        |a: &pb::Activity| json!({ "job_id": a.job_id, "worker": a.worker, "text": a.text, "fraction": a.fraction });
    json!({
        "sweep": w.sweep.as_ref().map(sweep),
        "activity": w.activity.iter().map(activity).collect::<Value>(),
    })
}

/// A job with its errors.
pub fn job(j: &pb::Job) -> Value {
    let error = |e: &pb::AttemptError| json!({ "attempt": e.attempt, "at": e.at, "class": e.class, "message": e.message, "worker": e.worker });
    json!({
        "job_id": j.job_id,
        "kind": j.kind,
        "state": j.state,
        "attempt": j.attempt,
        "worker": j.worker,
        "run": j.run,
        "model": j.model,
        "seed": j.seed,
        "mask": j.mask,
        "queued_at": j.queued_at,
        "started_at": j.started_at,
        "finished_at": j.finished_at,
        "error": j.error,
        "errors": j.errors.iter().map(error).collect::<Value>(),
    })
}

/// A point of a line.
pub fn line_point(p: &pb::LinePoint) -> Value {
    json!({
        "run": p.run,
        "model": p.model,
        "seed": p.seed,
        "settings": nested(&p.settings),
        "from_tag": p.from_tag,
        "to_tag": p.to_tag,
        "mask": p.mask,
        "hold": p.hold,
        "batch_norm": p.batch_norm,
        "split": p.split,
        "alpha": p.alpha,
        "loss": number(p.loss),
        "accuracy": p.accuracy,
        "count": p.count,
        "elsewhere": p.elsewhere,
        "align": p.align,
        "normalize": p.normalize,
        "refined": p.refined,
    })
}

/// A number of a whole line.
pub fn line_measure(m: &pb::LineMeasure) -> Value {
    json!({
        "run": m.run,
        "model": m.model,
        "seed": m.seed,
        "settings": nested(&m.settings),
        "from_tag": m.from_tag,
        "to_tag": m.to_tag,
        "mask": m.mask,
        "hold": m.hold,
        "batch_norm": m.batch_norm,
        "split": m.split,
        "name": m.name,
        "value": m.value,
        "elsewhere": m.elsewhere,
        "align": m.align,
        "normalize": m.normalize,
    })
}

/// A point of a training curve.
pub fn curve_point(p: &pb::CurvePoint) -> Value {
    json!({
        "run": p.run,
        "model": p.model,
        "seed": p.seed,
        "settings": nested(&p.settings),
        "epoch": p.epoch,
        "split": p.split,
        "loss": number(p.loss),
        "accuracy": p.accuracy,
        "learning_rate": p.learning_rate,
        "seconds": p.seconds,
    })
}

/// A worker.
pub fn worker(w: &pb::Worker) -> Value {
    let info = w.info.as_ref().map(|i| {
        json!({
            "host": i.host,
            "pid": i.pid,
            "device": i.device,
            "device_name": i.device_name,
            "memory_bytes": i.memory_bytes,
            "libtorch": i.libtorch,
            "cpu_capability": i.cpu_capability,
            "threads": i.threads,
            "version": i.version,
            "labels": i.labels,
        })
    });
    json!({
        "worker_id": w.worker_id,
        "name": w.name,
        "state": w.state,
        "info": info,
        "registered_at": w.registered_at,
        "seen_at": w.seen_at,
        "leased": w.leased,
        "done": w.done,
        "failures": w.failures,
        "quarantined_until": w.quarantined_until,
    })
}

/// What a sweep would do.
pub fn plan(p: &pb::PlanResponse) -> Value {
    let axis = |a: &pb::Axis| {
        let values: Value = a.values.iter().map(|v| nested(v)).collect();
        json!({ "setting": a.setting, "values": values })
    };
    let run = |r: &pb::PlannedRun| json!({ "run": r.run, "model": r.model, "seed": r.seed, "settings": nested(&r.settings), "done": r.done });
    json!({
        "name": p.name,
        "axes": p.axes.iter().map(axis).collect::<Value>(),
        "runs": p.runs.iter().map(run).collect::<Value>(),
        "runs_done": p.runs_done,
        "probe_jobs": p.probe_jobs,
        "probe_jobs_done": p.probe_jobs_done,
        "points": p.points,
        "further_points": p.further_points,
        "checkpoint_bytes": p.checkpoint_bytes,
        "training_images": p.training_images,
        "probe_images": p.probe_images,
        "missing_imports": p.missing_imports,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_that_are_not_finite_are_words() {
        let words: Vec<Value> = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.1].map(number).to_vec();
        assert_eq!(serde_json::to_string(&words).unwrap(), r#"["NaN","Infinity","-Infinity",0.1]"#);
    }
}
