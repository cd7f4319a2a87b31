//! Submission of a large sweep: how long until it is stored, and how much memory that takes.

use std::time::Instant;

use transect_common::pb;

use crate::coordinator::Coordinator;
use crate::report::Report;
use crate::sweep::{POINTS, Points};
use crate::{process, sweep};

/// Imports what a sweep of `jobs` probes needs and submits it; returns its id. What the measured sweep is called says `prefix`.
pub async fn quietly(
    coordinator: &Coordinator,
    prefix: &str,
    jobs: usize,
    points: Points,
) -> anyhow::Result<pb::Sweep> {
    let (runs, _) = sweep::shape(jobs);
    sweep::import(coordinator, prefix, runs, 0).await?;
    sweep::submit(&mut coordinator.sweeps().await?, &sweep::file(prefix, jobs, points)).await
}

/// Submits a sweep of about `jobs` probes, with everything measured.
pub async fn measure(coordinator: &Coordinator, jobs: usize, report: &mut Report) -> anyhow::Result<pb::Sweep> {
    let (runs, lines) = sweep::shape(jobs);
    let began = Instant::now();
    sweep::import(coordinator, "big", runs, 0).await?;
    report.add(
        "imports",
        runs as f64 / began.elapsed().as_secs_f64(),
        "imports/s",
        None,
        "with the upload of a checkpoint, 16 at once",
    );

    let file = sweep::file("big", jobs, POINTS);
    let mut sweeps = coordinator.sweeps().await?;
    process::forget_peak(coordinator.pid())?;
    let (cpu, server) = coordinator.cpu()?;
    let began = Instant::now();
    let sweep = sweep::submit(&mut sweeps, &file).await?;
    let seconds = began.elapsed().as_secs_f64();
    let how = format!("{} probe jobs ({runs} imported runs x {lines} lines) until the answer", sweep.jobs);
    report.add("submit", seconds, "s", Some(60.0), &how);
    let peak = process::memory(coordinator.pid())?.peak;
    report.add("submit_peak_memory", peak, "MB", Some(300.0), "VmHWM of the coordinator meanwhile");
    let (cpu_after, server_after) = coordinator.cpu()?;
    report.add("submit_cpu", cpu_after - cpu, "s", None, "processor time of the coordinator");
    if coordinator.server.is_some() {
        report.add("submit_cpu_database", server_after - server, "s", None, "processor time of the database server");
    }

    process::forget_peak(coordinator.pid())?;
    let began = Instant::now();
    let plan = sweeps.plan(pb::PlanRequest { sweep_file: file }).await?.into_inner();
    let how = format!("Plan of the same file once it is stored: {} probe jobs", plan.probe_jobs);
    report.add("plan", began.elapsed().as_secs_f64(), "s", None, &how);
    let peak = process::memory(coordinator.pid())?.peak;
    report.add("plan_peak_memory", peak, "MB", Some(300.0), "VmHWM of the coordinator meanwhile");
    Ok(sweep)
}
