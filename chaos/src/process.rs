//! A process that is kept running, as systemd would, and to which things are done.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One that ended by itself is started again so much later.
const AGAIN: Duration = Duration::from_millis(400);

/// A program with its arguments, started any number of times.
pub struct Process {
    /// As it is called in messages.
    pub name: String,
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    /// Not started before.
    down_until: Option<Instant>,
    frozen: bool,
    /// Its end is expected.
    is_asked: bool,
}

impl Process {
    /// Does not start it yet.
    pub fn new(name: String, program: &Path, arguments: Vec<String>, log: PathBuf) -> Self {
        Self {
            name,
            program: program.to_owned(),
            arguments,
            variables: vec![],
            log,
            child: None,
            down_until: None,
            frozen: false,
            is_asked: false,
        }
    }

    /// Sets environment variables.
    #[must_use]
    pub fn with(mut self, variables: &[(String, String)]) -> Self {
        self.variables.extend_from_slice(variables);
        self
    }

    /// Starts it; it ends with this process. Must be called from a thread that stays.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.program).args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRANSECT_") {
                command.env_remove(name);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        (self.child, self.down_until, self.frozen, self.is_asked) = (Some(child), None, false, false);
        Ok(())
    }

    /// It runs, and is not frozen.
    pub fn is_up(&self) -> bool {
        self.child.is_some() && !self.frozen && !self.is_asked
    }

    /// Its id.
    pub fn id(&self) -> Option<Pid> {
        self.child.as_ref().map(|child| pid(child.id()))
    }

    /// SIGKILL; started again at `until`.
    pub fn kill(&mut self, until: Instant) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.down_until = Some(until);
    }

    /// SIGTERM; started again at `until`, or when it has ended if that is later. One that does not listen yet is killed.
    pub fn stop(&mut self, until: Instant) {
        if self.id().is_some_and(listens) {
            self.signal(Signal::SIGTERM);
            self.is_asked = true;
            self.down_until = Some(until);
        } else {
            self.kill(until);
        }
    }

    /// SIGSTOP of it, and of its children if `whole`.
    pub fn freeze(&mut self, whole: bool) {
        if whole {
            self.children().into_iter().for_each(|child| send(child, Signal::SIGSTOP));
        }
        self.signal(Signal::SIGSTOP);
        self.frozen = true;
    }

    /// SIGCONT of it and its children.
    pub fn thaw(&mut self) {
        self.children().into_iter().for_each(|child| send(child, Signal::SIGCONT));
        self.signal(Signal::SIGCONT);
        self.frozen = false;
    }

    /// SIGKILL of its children.
    pub fn kill_children(&self) {
        self.children().into_iter().for_each(|child| send(child, Signal::SIGKILL));
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id() {
            send(id, signal);
        }
    }

    fn children(&self) -> Vec<Pid> {
        self.id().map(children).unwrap_or_default()
    }

    /// Starts it again where that is due. Says so when it ended by itself, or was asked to and did not end well.
    pub fn tend(&mut self, now: Instant) -> anyhow::Result<Option<String>> {
        let mut said = None;
        if let Some(child) = &mut self.child
            && let Some(status) = child.try_wait()?
        {
            if !(self.is_asked && status.success()) {
                said = Some(self.ended(status));
            }
            self.child = None;
            self.down_until.get_or_insert(now + AGAIN);
        }
        if self.child.is_none() && self.down_until.is_some_and(|until| until <= now) {
            self.start()?;
        }
        Ok(said)
    }

    fn ended(&self, status: ExitStatus) -> String {
        let asked = if self.is_asked { " after it was asked to stop" } else { " by itself" };
        format!("{} ended{asked} ({status}): {}", self.name, tail(&self.log, 1).trim())
    }

    /// SIGTERM once it listens, unless it was sent before, and its end, within `patience`.
    pub async fn end(&mut self, patience: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        while let Some(child) = &mut self.child {
            let id = pid(child.id());
            if let Some(status) = child.try_wait()? {
                self.child = None;
                anyhow::ensure!(self.is_asked && status.success(), "{}", self.ended(status));
                break;
            }
            if !self.is_asked && listens(id) {
                send(id, Signal::SIGTERM);
                self.is_asked = true;
            }
            if began.elapsed() > patience {
                anyhow::bail!("{} did not end within {patience:?} of SIGTERM:\n{}", self.name, tail(&self.log, 12));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The end of its log.
    pub fn last_words(&self, lines: usize) -> String {
        format!("--- {} ({})\n{}", self.name, self.log.display(), tail(&self.log, lines))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process id as signals want it.
pub const fn pid(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

/// Sends a signal; whoever is gone already needs none.
pub fn send(to: Pid, signal: Signal) {
    let _ = kill(to, signal);
}

/// Whether a process handles SIGTERM. One that has only begun ends by it, as any program does.
fn listens(id: Pid) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    caught >> (Signal::SIGTERM as u32 - 1) & 1 == 1
}

/// Processes that a process has started, of all its threads.
pub fn children(parent: Pid) -> Vec<Pid> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let threads = threads.into_iter().flatten().filter_map(Result::ok);
    let texts = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let ids: Vec<String> =
        texts.flat_map(|text| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    ids.iter().filter_map(|id| id.parse().ok().map(Pid::from_raw)).collect()
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// The last lines of a file.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that listens for SIGTERM a while after it was started.
    fn slow_to_listen(folder: &Path) -> Process {
        let script = "sleep 0.3; trap 'exit 0' TERM; while :; do sleep 0.02; done";
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        Process::new("shell".to_owned(), Path::new("sh"), arguments, folder.join("log"))
    }

    #[tokio::test]
    async fn one_that_has_only_begun_is_ended_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = slow_to_listen(folder.path());
        process.start().unwrap();
        process.end(Duration::from_secs(20)).await.unwrap();
        process.end(Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_stopped_before_it_listens_is_nothing_to_remark() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = slow_to_listen(folder.path());
        process.start().unwrap();
        process.stop(Instant::now());
        assert_eq!(process.tend(Instant::now()).unwrap(), None);
        assert!(process.is_up());
        process.end(Duration::from_secs(20)).await.unwrap();
    }
}
