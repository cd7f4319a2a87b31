//! Slurm's own commands: squeue, sbatch, scancel. They are what every site has and what stays the same between versions.

use std::process::Stdio;

use anyhow::{Context as _, anyhow};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::errors::Failure;

/// This user's jobs of one name.
#[derive(Debug)]
pub struct Queue {
    name: String,
}

/// What is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Jobs that wait, oldest first; a task of an array is `17_3`.
    pub waiting: Vec<String>,
    /// Number of jobs that run.
    pub running: u32,
}

impl Queue {
    /// The queue of jobs of that name.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Every task of every array, each by itself.
    pub async fn list(&self) -> Result<Seen, Failure> {
        let name = format!("--name={}", self.name);
        let states = "--states=PENDING,CONFIGURING,RUNNING,SUSPENDED,REQUEUED,REQUEUE_HOLD";
        let said = output("squeue", &["--noheader", "--array", "--me", &name, states, "--format=%i %T"], "").await?;
        Ok(seen(&said))
    }

    /// Submits a script; returns the job's id.
    pub async fn submit(&self, script: &str) -> Result<String, Failure> {
        let said = output("sbatch", &["--parsable"], script).await?;
        // `17`, or `17;CLUSTER`.
        Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
    }

    /// Cancels those of `jobs` that still wait.
    pub async fn cancel_waiting(&self, jobs: &[String]) -> Result<(), Failure> {
        let arguments: Vec<&str> = std::iter::once("--state=PENDING").chain(jobs.iter().map(String::as_str)).collect();
        output("scancel", &arguments, "").await.map(drop)
    }
}

fn seen(lines: &str) -> Seen {
    let mut seen = Seen::default();
    for line in lines.lines() {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [id, "PENDING" | "REQUEUED" | "REQUEUE_HOLD"] => seen.waiting.push(id.to_owned()),
            [_, _] => seen.running += 1,
            _ => {}
        }
    }
    seen.waiting.sort_by_key(|id| id.split('_').map(|part| part.parse().unwrap_or(u64::MAX)).collect::<Vec<_>>());
    seen
}

/// What a command says when it is given `input`.
async fn output(program: &str, arguments: &[&str], input: &str) -> Result<String, Failure> {
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child =
        spawned.with_context(|| format!("cannot start {program}: this is to run where Slurm's commands are"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes()).await.with_context(|| format!("{program} does not read its input"))?;
    }
    let done = child.wait_with_output().await.with_context(|| format!("{program} cannot be waited for"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(Failure::Other(anyhow!("{program} failed ({}): {}", done.status, said.trim())));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_wait_are_listed_oldest_first_and_those_that_run_are_counted() {
        let seen = seen("10_2 PENDING\n9_11 PENDING\n9_3 PENDING\n8 RUNNING\n7_0 CONFIGURING\n");
        assert_eq!(seen.waiting, ["9_3", "9_11", "10_2"]);
        assert_eq!(seen.running, 2);
    }
}
