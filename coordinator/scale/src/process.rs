//! Processes as the kernel sees them, through /proc.

use std::fs;

use anyhow::{Context as _, bail};

/// Ticks a second in /proc, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Memory of a process, in MB (10^6 bytes).
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Resident now.
    pub resident: f64,
    /// Most that ever was, since the last [`forget_peak`].
    pub peak: f64,
}

/// Memory of a process.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid} is gone"))?;
    let read = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
        kibibytes.map(|kibibytes| kibibytes * 1024.0 / 1e6).with_context(|| format!("/proc/{pid}/status has no {name}"))
    };
    Ok(Memory { resident: read("VmRSS")?, peak: read("VmHWM")? })
}

/// Has the peak of a process's memory counted from now on.
pub fn forget_peak(pid: u32) -> anyhow::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("the peak of the coordinator's memory cannot be reset")
}

/// Seconds of processor time of a process.
pub fn cpu(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    stat_cpu(&text).with_context(|| format!("/proc/{pid}/stat is odd: {text}"))
}

/// The name of the program may hold blanks; what follows its bracket does not. User and system time are the 12th and 13th.
fn stat_cpu(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS)
}

/// Seconds of processor time of the live children of a process, and its own.
pub fn cpu_with_children(pid: u32) -> anyhow::Result<f64> {
    let mut seconds = cpu(pid)?;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        // One that ended meanwhile is nobody's child.
        let Ok(stat) = fs::read_to_string(path.join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        if is_process && parent == Some(pid) {
            seconds += stat_cpu(&stat).unwrap_or(0.0);
        }
    }
    Ok(seconds)
}

/// Files and sockets that a process has open.
pub fn files(pid: u32) -> anyhow::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd")).with_context(|| format!("process {pid} is gone"))?.count())
}

/// Bytes that a process had written to the disk.
pub fn written(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    bytes.and_then(|bytes| bytes.parse().ok()).with_context(|| format!("/proc/{pid}/io says nothing of writes"))
}

/// Files that this process, and those that it starts, may have open.
pub fn most_files() -> anyhow::Result<usize> {
    let text = fs::read_to_string("/proc/self/limits")?;
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    match line.and_then(|line| line.split_whitespace().nth(3)) {
        Some(number) => Ok(number.parse().unwrap_or(usize::MAX)),
        None => bail!("/proc/self/limits names no limit of open files"),
    }
}

/// The machine in a few words: processor, cores, memory.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let name = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = read("/proc/meminfo");
    let kibibytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let gibibytes = kibibytes.and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0) / f64::from(1 << 20);
    format!("{}, {cores} cores, {gibibytes:.0} GiB", name.trim_start_matches(['\t', ' ', ':']))
}

/// How many processes want a processor, over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_all_of_it() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.resident > 1.0 && memory.peak >= memory.resident);
        assert!(files(own).unwrap() >= 3 && most_files().unwrap() > 3);
        assert!(cpu_with_children(own).unwrap() >= cpu(own).unwrap() - 0.1);
        assert!(machine().contains("cores"));
        assert_eq!(stat_cpu("1 (a) b) S 1 1 1 0 -1 4 1 1 1 1 150 50 0 0"), Some(2.0));
    }
}
