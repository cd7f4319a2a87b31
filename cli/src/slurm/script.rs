//! The batch script of an array of workers, as text. Pure.
//!
//! Slurm signals the batch shell itself (`B:`), and the shell has become the worker (`exec`), so SIGTERM reaches the
//! worker that long before the limit and when it is pre-empted. A job that Slurm stops is requeued and goes on in the same log.

use std::fmt::Write as _;
use std::time::Duration;

use crate::errors::Failure;

/// The worker takes the limit to be so many seconds earlier, and keeps to it by itself should Slurm's signal not come.
const MARGIN: u64 = 10;

/// What the script says.
#[derive(Debug, Clone)]
pub struct Script {
    /// Name of the job.
    pub name: String,
    /// More options for sbatch, each `--option=value`.
    pub sbatch: Vec<String>,
    /// Cores.
    pub cpus: u32,
    /// Time limit.
    pub time: Duration,
    /// SIGTERM comes so long before the limit.
    pub drain: Duration,
    /// Without work for so long, a worker leaves.
    pub idle_exit: Option<Duration>,
    /// Where the coordinator answers.
    pub coordinator: String,
    /// Device.
    pub device: String,
    /// Labels.
    pub labels: Vec<String>,
    /// File with the token.
    pub token_file: Option<String>,
    /// File with certificates.
    pub ca: Option<String>,
    /// Folder of data sets.
    pub data: Option<String>,
    /// Folder of the cache; the node's shell expands it.
    pub cache: String,
    /// Folder of logs.
    pub logs: String,
    /// The worker's program.
    pub program: String,
}

impl Script {
    /// The script for so many workers, of which at most `at_once` run at a time.
    pub fn text(&self, workers: u32, at_once: Option<u32>) -> Result<String, Failure> {
        let limit = self.time.as_secs();
        let drain = self.drain.as_secs();
        if limit < 60 || drain + 30 > limit {
            return Err(Failure::Usage(format!(
                "--time {} leaves a worker that drains {} before its end less than 30 s of work",
                humantime::format_duration(self.time),
                humantime::format_duration(self.drain)
            )));
        }
        let throttle = at_once.map_or(String::new(), |n| format!("%{n}"));
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--array=0-{}{throttle}", workers.saturating_sub(1)),
            format!("--time={}", slurm_time(limit)),
            format!("--signal=B:TERM@{drain}"),
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--output={}/{}-%A_%a.log", self.logs, self.name),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", self.cpus),
        ];
        options.extend(self.sbatch.iter().cloned());

        let mut text = "#!/bin/bash\n".to_owned();
        for option in options {
            if !option.starts_with("--") || option.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"') {
                return Err(Failure::Usage(format!("`{option}` is no option of sbatch without blanks or quotes")));
            }
            let _ = writeln!(text, "#SBATCH {option}");
        }
        let _ = writeln!(text, "set -eu");
        let _ = writeln!(text, "export TRANSECT_COORDINATOR={}", quoted(&self.coordinator));
        for (name, value) in [("TOKEN_FILE", &self.token_file), ("TLS_CA", &self.ca), ("DATA", &self.data)] {
            if let Some(value) = value {
                let _ = writeln!(text, "export TRANSECT_{name}={}", quoted(value));
            }
        }
        let cache = self.cache.replace(['"', '`', '\n'], "");
        let _ = writeln!(text, "export TRANSECT_CACHE=\"{cache}\"");
        let _ = writeln!(text, "# Slurm tells the end from 23.02 on; before that the limit is known.");
        let _ = writeln!(text, "now=$(date +%s)");
        let _ = writeln!(text, "left=$(( ${{SLURM_JOB_END_TIME:-$(( now + {limit} ))}} - now - {MARGIN} ))");
        let _ = write!(text, "exec {} --log-json --device {}", quoted(&self.program), quoted(&self.device));
        let _ = write!(text, " --threads {} --time-limit \"${{left}}s\"", self.cpus);
        if let Some(idle) = self.idle_exit {
            let _ = write!(text, " --idle-exit {}s", idle.as_secs().max(1));
        }
        for label in &self.labels {
            let _ = write!(text, " --label {}", quoted(label));
        }
        text.push('\n');
        Ok(text)
    }
}

/// Seconds as `D-HH:MM:SS`.
fn slurm_time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    format!("{days}-{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

/// One word for the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        Script {
            name: "transect-worker".into(),
            sbatch: vec!["--partition=gpu".into(), "--gres=gpu:1".into()],
            cpus: 4,
            time: Duration::from_hours(26),
            drain: Duration::from_mins(2),
            idle_exit: Some(Duration::from_mins(5)),
            coordinator: "http://c:7700".into(),
            device: "cuda:0".into(),
            labels: vec!["it's mine".into()],
            token_file: Some("/etc/token".into()),
            ca: None,
            data: None,
            cache: "$SLURM_TMPDIR/transect".into(),
            logs: "/logs".into(),
            program: "/opt/transect-worker".into(),
        }
    }

    #[test]
    fn an_array_drains_before_its_limit_and_is_requeued() {
        let text = script().text(8, Some(4)).unwrap();
        for line in [
            "#SBATCH --array=0-7%4",
            "#SBATCH --time=1-02:00:00",
            "#SBATCH --signal=B:TERM@120",
            "#SBATCH --requeue",
            "#SBATCH --open-mode=append",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --gres=gpu:1",
            "export TRANSECT_TOKEN_FILE='/etc/token'",
            "left=$(( ${SLURM_JOB_END_TIME:-$(( now + 93600 ))} - now - 10 ))",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        let last = text.lines().last().unwrap();
        assert_eq!(
            last,
            "exec '/opt/transect-worker' --log-json --device 'cuda:0' --threads 4 --time-limit \"${left}s\" \
             --idle-exit 300s --label 'it'\\''s mine'"
        );
    }

    #[test]
    fn the_shell_finds_no_mistake_in_it() {
        let text = script().text(1, None).unwrap();
        let checked = std::process::Command::new("bash").args(["-n", "-c", &text]).status().unwrap();
        assert!(checked.success());
    }

    #[test]
    fn what_would_be_another_line_or_leaves_no_time_is_refused() {
        for sbatch in ["--x=1\n#SBATCH --y", "--comment=a b", "rm", "--a=\"b"] {
            let script = Script { sbatch: vec![sbatch.into()], ..script() };
            assert!(script.text(1, None).is_err(), "{sbatch}");
        }
        let short = Script { time: Duration::from_mins(2), ..script() };
        assert!(short.text(1, None).unwrap_err().to_string().contains("less than 30 s"));
    }
}
