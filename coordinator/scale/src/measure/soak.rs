//! A steady load for long: nothing may grow.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::coordinator::Coordinator;
use crate::load::{self, Load};
use crate::process;
use crate::report::Report;
use crate::stats::{percentile, settled, slope};

/// From here on it is a long soak, whose figures a short one does not replace.
const LONG: Duration = Duration::from_mins(20);

/// Measures under `load`, with a sample at every `pause`.
pub async fn measure(
    coordinator: &Coordinator,
    load: Load,
    pause: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let name = if load.time >= LONG { "long_soak" } else { "soak" };
    let (mut memory, mut files) = (vec![], vec![]);
    let began = Instant::now();
    let mut work = std::pin::pin!(load::run(coordinator, load));
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let done = loop {
        tokio::select! {
            done = &mut work => break done?,
            _ = ticks.tick() => {
                let at = began.elapsed().as_secs_f64() / 3600.0;
                memory.push((at, process::memory(coordinator.pid())?.resident));
                files.push((at, process::files(coordinator.pid())? as f64));
                if memory.len().is_multiple_of(30) {
                    let (_, resident) = memory[memory.len() - 1];
                    println!("  soak: {:.0} s, {resident:.1} MB, {} files", at * 3600.0, files[files.len() - 1].1);
                }
            }
        }
    };
    let how = format!(
        "{:.0} s, {} workers, {:.0} jobs/s, {} samples",
        done.seconds,
        load.workers,
        done.jobs as f64 / done.seconds,
        memory.len()
    );
    let values: Vec<f64> = memory.iter().map(|(_, value)| *value).collect();
    report.add(
        &format!("{name}_memory"),
        percentile(&values, 0.5).unwrap_or(f64::NAN),
        "MB",
        None,
        &format!("median; {how}"),
    );
    if let Some(growth) = slope(settled(&memory)) {
        report.add(&format!("{name}_memory_growth"), growth, "MB/hour", None, "after the first quarter of the time");
    }
    if let Some(growth) = slope(settled(&files)) {
        report.add(&format!("{name}_files_growth"), growth, "files/hour", None, "likewise");
    }
    let p99 = percentile(&done.leases, 0.99).unwrap_or(f64::NAN);
    report.add(&format!("{name}_lease_p99"), p99, "ms", None, "over all of it");
    Ok(())
}
