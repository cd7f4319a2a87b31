//! The `transect` command as a user runs it: submits, asks how far the sweep is, follows it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::bail;
use serde_json::Value;
use tokio::process::Command;

use crate::sweep::NAME;

/// A command that takes longer has hung.
const PATIENCE: Duration = Duration::from_mins(1);

/// Runs commands against some addresses.
#[derive(Debug, Clone)]
pub struct Client {
    /// The command.
    pub program: PathBuf,
    /// `--coordinator`.
    pub addresses: String,
    /// Where it runs.
    pub folder: PathBuf,
}

/// How far a sweep is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `running`, `done`, ...
    pub state: String,
    /// Jobs that failed.
    pub failed: u64,
    /// One line.
    pub line: String,
}

impl Client {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).args(["--coordinator", &self.addresses]).current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRANSECT_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// What a command prints; an error with what it says where it fails.
    pub async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let Ok(output) = tokio::time::timeout(PATIENCE, self.command(arguments).output()).await else {
            bail!("`transect {}` hangs", arguments.join(" "));
        };
        let output = output?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("`transect {}` ended with {}: {said}", arguments.join(" "), output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Submits until it is stored.
    pub async fn submit(&self, file: &Path) {
        let file = file.display().to_string();
        while self.run(&["submit", &file]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// How far the sweep is.
    pub async fn status(&self) -> anyhow::Result<Status> {
        let answer: Value = serde_json::from_str(&self.run(&["status", NAME, "--json"]).await?)?;
        let sweep = &answer["sweep"];
        let number = |name: &str| sweep[name].as_u64().unwrap_or_default();
        let line = ["jobs", "queued", "leased", "done", "failed", "cancelled", "points"]
            .map(|name| format!("{name} {}", number(name)))
            .join(", ");
        let state = sweep["state"].as_str().unwrap_or_default().to_owned();
        Ok(Status { state, failed: number("failed"), line })
    }

    /// Follows the sweep until it ends, beginning again whenever that fails.
    pub async fn watch(&self) {
        while self.run_long(&["watch", NAME]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn run_long(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = self.command(arguments);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().await?;
        anyhow::ensure!(status.success(), "{status}");
        Ok(())
    }

    /// What `explain` says of a few jobs that are not done, the sweep's failures, and the workers.
    pub async fn diagnosis(&self) -> String {
        let mut text = String::new();
        for arguments in [&["status", NAME][..], &["workers"]] {
            let said = self.run(arguments).await.unwrap_or_else(|error| error.to_string());
            text.push_str(&format!("$ transect {}\n{said}\n", arguments.join(" ")));
        }
        text
    }

    /// What `explain` says of a job.
    pub async fn explain(&self, job: i64) -> String {
        self.run(&["explain", &job.to_string()]).await.unwrap_or_else(|error| format!("{error}\n"))
    }

    /// Gives workers work again that were set aside.
    pub async fn release_all(&self) {
        let Ok(answer) = self.run(&["workers", "--json"]).await else { return };
        let workers: Value = serde_json::from_str(&answer).unwrap_or_default();
        for worker in workers.as_array().into_iter().flatten() {
            if worker["quarantined_until"].as_str().is_some_and(|until| !until.is_empty())
                && let Some(id) = worker["worker_id"].as_str()
            {
                let _ = self.run(&["release", id]).await;
            }
        }
    }
}
