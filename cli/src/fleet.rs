//! The worker processes of `transect run`: started, looked after, stopped.
//!
//! Invariant: no worker outlives this process. Each runs in a process group of its own, so that Ctrl-C reaches only this
//! process, which then stops them in order; should this process be killed, `--exit-with-parent` ends them.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::errors::Failure;

/// A worker that ends sooner than this was no use.
const SHORT_LIFE: Duration = Duration::from_secs(5);
/// So many short lives in a row, and it is not started again.
const SHORT_LIVES: u32 = 3;
/// Longest wait before a worker is started again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Seconds in which a worker that is asked to stop leaves a snapshot and sends what it measured.
const GRACE: &str = "12";
/// Lines of a log that an error shows.
const SHOWN_LINES: usize = 8;

/// How workers are started.
#[derive(Debug, Clone)]
pub struct Orders {
    /// The `transect-worker` binary.
    pub program: PathBuf,
    /// Where the coordinator answers.
    pub coordinator: String,
    /// Variables that say what they show to it: names of files, never secrets.
    pub access: Vec<(&'static str, PathBuf)>,
    /// One for each worker, taken in turn.
    pub devices: Vec<String>,
    /// Number of workers, at least 1.
    pub workers: u32,
    /// Threads of each.
    pub threads: u32,
    /// What they measure lines with.
    pub evaluator: String,
    /// Folder of the data sets.
    pub data: PathBuf,
    /// The home folder: logs and cache lie in it.
    pub home: PathBuf,
}

/// All workers.
pub struct Fleet {
    orders: Orders,
    posts: Vec<Post>,
}

/// One worker's place.
struct Post {
    number: u32,
    state: State,
    short_lives: u32,
}

enum State {
    Works { child: Child, since: Instant },
    Waits { until: Instant },
    GivenUp,
}

impl Fleet {
    /// Starts all workers.
    pub fn start(orders: Orders, now: Instant) -> Result<Self, Failure> {
        let logs = orders.home.join("logs");
        std::fs::create_dir_all(&logs).with_context(|| format!("cannot make the folder {}", logs.display()))?;
        let mut fleet = Self { orders, posts: vec![] };
        for number in 0..fleet.orders.workers {
            let child = fleet.spawn(number)?;
            fleet.posts.push(Post { number, state: State::Works { child, since: now }, short_lives: 0 });
        }
        Ok(fleet)
    }

    /// Starts again what died; returns what the user should know. An error when no worker is left to hope for.
    pub fn tend(&mut self, now: Instant) -> Result<Vec<String>, Failure> {
        let mut warnings = vec![];
        for i in 0..self.posts.len() {
            let number = self.posts[i].number;
            match &mut self.posts[i].state {
                State::Works { child, since } => {
                    let Some(status) = child.try_wait().context("cannot tell whether a worker lives")? else {
                        continue;
                    };
                    let short = now.duration_since(*since) < SHORT_LIFE;
                    warnings.push(self.bury(i, status, short, now));
                }
                State::Waits { until } if *until <= now => {
                    let child = self.spawn(number)?;
                    self.posts[i].state = State::Works { child, since: now };
                }
                State::Waits { .. } | State::GivenUp => {}
            }
        }
        if self.posts.iter().all(|post| matches!(post.state, State::GivenUp)) {
            let log = self.log(0);
            return Err(Failure::Other(anyhow::anyhow!(
                "every worker ended as soon as it was started. {} ends with:\n{}",
                log.display(),
                tail(&log, SHOWN_LINES)
            )));
        }
        Ok(warnings)
    }

    fn bury(&mut self, i: usize, status: ExitStatus, short: bool, now: Instant) -> String {
        let log = self.log(self.posts[i].number);
        let post = &mut self.posts[i];
        post.short_lives = if short { post.short_lives + 1 } else { 0 };
        let gives_up = post.short_lives >= SHORT_LIVES;
        let wait = Duration::from_secs(1 << post.short_lives.min(5)).min(LONGEST_WAIT);
        post.state = if gives_up { State::GivenUp } else { State::Waits { until: now + wait } };
        let number = post.number;
        let next = if gives_up { "is not started again".into() } else { format!("is started again in {wait:?}") };
        format!("worker {number} ended ({status}) and {next}; its log is {}", log.display())
    }

    /// Asks every worker to stop and waits for them; kills those that have not after `patience`, or once `hurry` ends.
    pub async fn stop(self, patience: Duration, hurry: impl Future<Output = ()>) {
        let mut children: Vec<Child> = self.posts.into_iter().filter_map(Post::into_child).collect();
        for child in &children {
            // A worker that is gone already needs no signal.
            let _ = child.id().map(|id| kill(Pid::from_raw(id.cast_signed()), Signal::SIGTERM));
        }
        let all = async {
            for child in &mut children {
                let _ = child.wait().await;
            }
        };
        tokio::select! {
            () = all => {}
            () = tokio::time::sleep(patience) => {}
            () = hurry => {}
        }
        for child in &mut children {
            // Fails for those that have ended, which is what is wanted.
            let _ = child.kill().await;
        }
    }

    fn spawn(&self, number: u32) -> Result<Child, Failure> {
        let orders = &self.orders;
        let log = self.log(number);
        let open = || -> std::io::Result<(File, File)> {
            let file = OpenOptions::new().create(true).append(true).open(&log)?;
            Ok((file.try_clone()?, file))
        };
        let (out, err) = open().with_context(|| format!("cannot write {}", log.display()))?;
        let device = &orders.devices[number as usize % orders.devices.len()];
        let child = Command::new(&orders.program)
            .args(["--coordinator", &orders.coordinator, "--device", device])
            .args(["--threads", &orders.threads.to_string()])
            .args(["--slots", "auto", "--evaluator", &orders.evaluator])
            .args(["--exit-with-parent", &std::process::id().to_string()])
            .args(["--grace-seconds", GRACE])
            .arg("--data")
            .arg(&orders.data)
            .arg("--cache")
            .arg(orders.home.join("cache"))
            .envs(orders.access.iter().map(|(name, path)| (name, path)))
            .env("TRANSECT_HOME", &orders.home)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        Ok(child.with_context(|| format!("cannot start {}", orders.program.display()))?)
    }

    fn log(&self, number: u32) -> PathBuf {
        self.orders.home.join("logs").join(format!("worker-{number}.log"))
    }
}

impl Post {
    fn into_child(self) -> Option<Child> {
        match self.state {
            State::Works { child, .. } => Some(child),
            State::Waits { .. } | State::GivenUp => None,
        }
    }
}

/// The worker binary: beside this one, else on the PATH.
pub fn find_worker() -> Result<PathBuf, Failure> {
    const NAME: &str = "transect-worker";
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(NAME)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(NAME));
    beside.iter().cloned().chain(on_path).find(|candidate| candidate.is_file()).ok_or_else(|| {
        let place = beside.unwrap_or_else(|| NAME.into());
        Failure::Other(anyhow::anyhow!(
            "there is no {} and no {NAME} on the PATH; build it with: cargo build --release",
            place.display()
        ))
    })
}

/// The last lines of a log.
fn tail(log: &Path, lines: usize) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(home: &Path, script: &str) -> Orders {
        use std::os::unix::fs::PermissionsExt as _;
        let program = home.join("worker.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Orders {
            program,
            coordinator: "http://127.0.0.1:1".into(),
            access: vec![],
            devices: vec!["cpu".into()],
            workers: 1,
            threads: 1,
            evaluator: "group".to_owned(),
            data: home.join("data"),
            home: home.to_owned(),
        }
    }

    async fn until_it_ended(fleet: &mut Fleet) {
        let State::Works { child, .. } = &mut fleet.posts[0].state else { panic!("it does not work") };
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_that_dies_is_started_again_until_it_is_hopeless() {
        let home = tempfile::tempdir().unwrap();
        let mut now = Instant::now();
        let mut fleet = Fleet::start(orders(home.path(), "echo no such device >&2; exit 1"), now).unwrap();
        for wait in [2, 4] {
            until_it_ended(&mut fleet).await;
            let [warning] = &fleet.tend(now).unwrap()[..] else { panic!("one warning") };
            assert!(warning.contains(&format!("started again in {wait}s")), "{warning}");
            assert!(fleet.tend(now).unwrap().is_empty());
            now += Duration::from_secs(wait);
            assert!(fleet.tend(now).unwrap().is_empty());
        }
        until_it_ended(&mut fleet).await;
        let error = fleet.tend(now).unwrap_err().to_string();
        assert!(error.ends_with("worker-0.log ends with:\nno such device\nno such device\nno such device"), "{error}");
    }

    #[tokio::test]
    async fn stopping_is_asked_for_first_and_then_enforced() {
        let home = tempfile::tempdir().unwrap();
        let script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
        let log = home.path().join("logs/worker-0.log");
        let ready = async || {
            while !tail(&log, 9).contains("ready") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let fleet = Fleet::start(orders(home.path(), script), Instant::now()).unwrap();
        ready().await;
        fleet.stop(Duration::from_mins(1), std::future::pending()).await;
        assert_eq!(tail(&log, 9), "ready\nasked");

        std::fs::remove_file(&log).unwrap();
        let deaf = "trap '' TERM; echo ready; while :; do sleep 0.05; done";
        let fleet = Fleet::start(orders(home.path(), deaf), Instant::now()).unwrap();
        ready().await;
        fleet.stop(Duration::from_mins(1), std::future::ready(())).await;
    }
}
