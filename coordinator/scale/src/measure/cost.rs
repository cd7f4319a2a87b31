//! What one job costs, by the length of the queue.

use crate::coordinator::Coordinator;
use crate::load::{self, Load};
use crate::report::Report;
use crate::{process, stats};

/// What one job cost with a queue of so many.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Jobs in the queue.
    pub queued: usize,
    /// Milliseconds between two ends of jobs.
    pub wall: f64,
    /// Milliseconds of processor time, of the coordinator and of its database's server.
    pub cpu: f64,
}

/// Measures with a queue of `queued` jobs.
pub async fn measure(
    coordinator: &Coordinator,
    queued: usize,
    load: Load,
    report: &mut Report,
) -> anyhow::Result<Cost> {
    // The first leases prepare statements and fill caches.
    load::run(coordinator, Load { jobs: Some(load.jobs.unwrap_or(1000) / 10), ..load }).await?;
    let (own, server) = coordinator.cpu()?;
    let written = process::written(coordinator.pid())?;
    let done = load::run(coordinator, load).await?;
    let (own_after, server_after) = coordinator.cpu()?;
    let jobs = done.jobs.max(1) as f64;
    let wall = done.seconds * 1e3 / jobs;
    let (own, server) = ((own_after - own) * 1e3 / jobs, (server_after - server) * 1e3 / jobs);
    let size = power(queued);
    let how =
        format!("{} workers without a pause, {} line a lease, {queued} jobs queued", load.workers, load.jobs_per_lease);
    report.add(&format!("cost_wall_{size}"), wall, "ms/job", None, &how);
    report.add(&format!("cost_cpu_{size}"), own, "ms/job", None, "processor time of the coordinator");
    if coordinator.server.is_some() {
        report.add(&format!("cost_cpu_database_{size}"), server, "ms/job", None, "and of the database server");
    } else {
        let bytes = (process::written(coordinator.pid())? - written) / jobs;
        report.add(&format!("cost_written_{size}"), bytes, "bytes/job", None, "written to the disk by the coordinator");
    }
    Ok(Cost { queued, wall, cpu: own + server })
}

/// Says how the costs at several lengths of the queue compare.
pub fn compare(costs: &[Cost], report: &mut Report) {
    let of = |cost: fn(&Cost) -> f64| costs.iter().map(|c| (c.queued as f64, cost(c))).collect::<Vec<_>>();
    for (name, points) in [("cost_wall_exponent", of(|c| c.wall)), ("cost_cpu_exponent", of(|c| c.cpu))] {
        if let Some(exponent) = stats::exponent(&points) {
            let how = "b in cost = a x jobs^b: 0 is flat, 1 grows with the queue";
            report.add(name, exponent, "", Some(0.1), how);
        }
    }
}

/// 1e4 for 10,000.
fn power(number: usize) -> String {
    let digits = number.checked_ilog10().unwrap_or(0);
    if number == 10_usize.pow(digits) { format!("1e{digits}") } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_short_names() {
        assert_eq!([10_000, 1_000_000, 2_000].map(power), ["1e4", "1e6", "2000"]);
    }
}
