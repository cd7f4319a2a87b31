//! Leases and reports of many workers at a steady rate, and as many as there can be.

use crate::coordinator::Coordinator;
use crate::load::{self, Load};
use crate::report::Report;
use crate::stats::percentile;

/// Measures with a queue of `queued` jobs.
pub async fn measure(coordinator: &Coordinator, steady: Load, most: Load, report: &mut Report) -> anyhow::Result<()> {
    coordinator.settle().await?;
    let done = load::run(coordinator, steady).await?;
    let Load { workers, jobs_per_lease, job, .. } = steady;
    let how = format!(
        "{workers} workers, each leasing {jobs_per_lease} lines, {} ms a line, a report of {} points and the end for each: \
         {:.0} jobs/s, {} leases",
        job.as_millis(),
        crate::sweep::POINTS.number(),
        done.jobs as f64 / done.seconds,
        done.leases.len()
    );
    let at = |values: &[f64], p| percentile(values, p).unwrap_or(f64::NAN);
    report.add("lease_p50", at(&done.leases, 0.5), "ms", None, &how);
    report.add("lease_p99", at(&done.leases, 0.99), "ms", Some(20.0), "the same");
    report.add("report_p50", at(&done.reports, 0.5), "ms", None, "the same");
    report.add("report_p99", at(&done.reports, 0.99), "ms", None, "the same");
    let bytes = done.bytes as f64 / done.jobs.max(1) as f64;
    report.add("wire_bytes_per_job", bytes, "bytes", None, "protobuf of leases and reports, both ways");

    let (cpu, server) = coordinator.cpu()?;
    let done = load::run(coordinator, most).await?;
    let (cpu_after, server_after) = coordinator.cpu()?;
    let Load { workers, jobs_per_lease, .. } = most;
    let how = format!("{workers} workers without a pause, {jobs_per_lease} lines a lease, one report for each line");
    report.add("most_jobs", done.jobs as f64 / done.seconds, "jobs/s", None, &how);
    report.add("most_jobs_lease_p99", at(&done.leases, 0.99), "ms", None, "the same");
    report.add("most_jobs_report_p99", at(&done.reports, 0.99), "ms", None, "the same");
    let cores = (cpu_after - cpu) / done.seconds;
    report.add("most_jobs_cores", cores, "cores", None, "processors that the coordinator kept busy meanwhile");
    if coordinator.server.is_some() {
        let cores = (server_after - server) / done.seconds;
        report.add("most_jobs_cores_database", cores, "cores", None, "and the database server");
    }
    Ok(())
}
