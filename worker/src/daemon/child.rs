//! The executor child: started, spoken to, listened to, and buried with its cause of death.
//!
//! Invariants: one child has one owner. It leads a process group of its own, so that Ctrl-C in a terminal reaches the
//! daemon alone, and it dies with the daemon. What it prints on standard error goes to the daemon's log, line by line.

use std::collections::VecDeque;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use transect_common::executor_pb::executor_event::Event;
use transect_common::executor_pb::{ExecutorEvent, ExecutorRequest, Hello};

use crate::executor::pipe;

/// Loading libtorch from a cold network disk, and waking a GPU, may take a while.
const START: Duration = Duration::from_mins(5);
/// Last lines of standard error that go into the cause of death.
const LAST_WORDS: usize = 6;
/// Events that are read ahead. When nobody takes them, the pipe fills and the executor waits.
const EVENTS: usize = 256;
/// A line of standard error is cut at so many bytes in the cause of death.
const LINE: usize = 500;

/// How an executor is started.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The worker binary; `/proc/self/exe` names this one even when it was replaced on disk.
    pub program: PathBuf,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Threads, at least 1.
    pub threads: u32,
    /// What lines are measured with.
    pub evaluator: &'static str,
}

/// An executor did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process could not be made.
    #[error("the executor could not be started: {0}")]
    Spawn(#[from] io::Error),
    /// It ended by itself; its own sentence.
    #[error("{0}")]
    Ended(String),
    /// It said something other than hello.
    #[error("the executor answered something unexpected at its start: {0}")]
    Garbled(String),
    /// It said nothing.
    #[error("the executor said nothing for {} s after its start", START.as_secs())]
    Silent,
}

/// A running executor.
#[derive(Debug)]
pub struct Child {
    process: Process,
    input: Option<ChildStdin>,
    events: mpsc::Receiver<Result<ExecutorEvent, pipe::PipeError>>,
    last_words: Arc<Mutex<VecDeque<String>>>,
    log: JoinHandle<()>,
    /// What it said of itself.
    pub hello: Hello,
}

impl Child {
    /// Starts an executor and waits for its hello.
    ///
    /// Must be called on a thread that lives as long as the daemon: the kernel kills the child when that thread ends.
    pub async fn start(setup: &Setup) -> Result<Self, StartError> {
        let threads = setup.threads.to_string();
        let mut process = Command::new(&setup.program)
            .arg0("transect-worker")
            .arg("executor")
            .args(["--device", &setup.device, "--threads", &threads, "--evaluator", setup.evaluator])
            .args(["--parent", &std::process::id().to_string()])
            // It talks to nobody, so it has no secret to keep.
            .env_remove("TRANSECT_TOKEN")
            .env("OMP_NUM_THREADS", &threads)
            .env("MKL_NUM_THREADS", &threads)
            .env("OMP_DYNAMIC", "FALSE")
            // cuBLAS gives the same bytes twice only with a workspace of fixed size.
            .env("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            .env("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
            // glibc would give every large tensor back to the kernel and take it again, page by page, for the next:
            // on a ResNet-20's lines a quarter of the time, on a VGG-11's half. Keep what was taken; leaving frees it.
            .env("MALLOC_MMAP_MAX_", "0")
            .env("MALLOC_TOP_PAD_", (64 << 20).to_string())
            .env("MALLOC_TRIM_THRESHOLD_", (1 << 30).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let piped = "all three streams were piped";
        let input = process.stdin.take().expect(piped);
        let (sender, events) = mpsc::channel(EVENTS);
        tokio::spawn(read_events(process.stdout.take().expect(piped), sender));
        let last_words = Arc::new(Mutex::new(VecDeque::new()));
        let log = tokio::spawn(read_log(process.stderr.take().expect(piped), Arc::clone(&last_words)));
        let mut child = Self { process, input: Some(input), events, last_words, log, hello: Hello::default() };
        match tokio::time::timeout(START, child.events.recv()).await {
            Ok(Some(Ok(ExecutorEvent { event: Some(Event::Hello(hello)), .. }))) => child.hello = hello,
            Ok(Some(other)) => return Err(StartError::Garbled(format!("{other:?}"))),
            Ok(None) => return Err(StartError::Ended(child.last_sentence().await)),
            Err(_) => return Err(StartError::Silent),
        }
        Ok(child)
    }

    /// Process id, for the log; 0 once it has ended.
    pub fn pid(&self) -> u32 {
        self.process.id().unwrap_or(0)
    }

    /// Sends one group. A failure means that the executor is gone, which [`Child::next`] will also tell.
    pub async fn send(&mut self, request: &ExecutorRequest) -> Result<(), pipe::PipeError> {
        let bytes = pipe::frame(request)?;
        let Some(input) = &mut self.input else { return Err(pipe::PipeError::Cut) };
        input.write_all(&bytes).await?;
        Ok(input.flush().await?)
    }

    /// Asks it to end the group in hand as soon as it can, a training with a snapshot, and to leave.
    pub async fn stop(&mut self) -> Result<(), pipe::PipeError> {
        self.send(&ExecutorRequest { stop: true, ..ExecutorRequest::default() }).await
    }

    /// The next event; nothing once the executor has ended and all it said was read. Cancel-safe.
    pub async fn next(&mut self) -> Option<Result<ExecutorEvent, pipe::PipeError>> {
        self.events.recv().await
    }

    /// Kills it. What it had said can still be read with [`Child::next`].
    pub fn kill(&mut self) {
        // It may have ended by itself in this very moment.
        let _ = self.process.start_kill();
    }

    /// Asks it to leave by ending its input, and kills it when it does not.
    pub async fn end(mut self) {
        self.input = None;
        if tokio::time::timeout(Duration::from_secs(2), self.process.wait()).await.is_err() {
            self.kill();
            let _ = self.process.wait().await;
        }
    }

    /// Waits for its end and says how it ended, with its last words.
    pub async fn cause_of_death(&mut self) -> String {
        let cause = self.bury().await;
        let words = self.last_words();
        if words.is_empty() { cause } else { format!("{cause}; its last words: {words}") }
    }

    /// The error with which it left by itself, else how it ended.
    async fn last_sentence(&mut self) -> String {
        let cause = self.cause_of_death().await;
        let lines = self.last_words.lock().expect("nobody panics while holding this lock");
        lines.iter().rev().find_map(|line| line.strip_prefix("error: ")).map_or(cause, str::to_owned)
    }

    async fn bury(&mut self) -> String {
        // An executor that closed its pipe and lives on is of no use.
        if tokio::time::timeout(Duration::from_secs(5), self.process.wait()).await.is_err() {
            self.kill();
        }
        let status = self.process.wait().await;
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.log).await;
        match status {
            Ok(status) => describe(status),
            Err(error) => format!("the executor is gone, and how it ended cannot be learned: {error}"),
        }
    }

    fn last_words(&self) -> String {
        let lines = self.last_words.lock().expect("nobody panics while holding this lock");
        lines.iter().cloned().collect::<Vec<_>>().join(" | ")
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    let Some(number) = status.signal() else {
        return format!("the executor exited with code {}", status.code().unwrap_or(-1));
    };
    let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
    let hint = if number == Signal::SIGKILL as i32 { "; out of memory?" } else { "" };
    format!("the executor was killed by signal {number} ({name}{hint})")
}

/// Reads whole events into a channel, because reading itself cannot be cancelled half-way.
async fn read_events(output: ChildStdout, sender: mpsc::Sender<Result<ExecutorEvent, pipe::PipeError>>) {
    let mut output = BufReader::new(output);
    loop {
        let event = pipe::read_async(&mut output).await;
        let is_last = event.is_err();
        let Some(event) = event.transpose() else { return };
        if sender.send(event).await.is_err() || is_last {
            return;
        }
    }
}

async fn read_log(stderr: ChildStderr, last_words: Arc<Mutex<VecDeque<String>>>) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(stderr.read_until(b'\n', &mut line).await, Ok(1..)) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        tracing::info!("executor: {text}");
        let mut kept = last_words.lock().expect("nobody panics while holding this lock");
        if kept.len() == LAST_WORDS {
            kept.pop_front();
        }
        kept.push_back(text[..text.floor_char_boundary(LINE)].to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_death_is_told_in_words() {
        let killed = describe(ExitStatus::from_raw(9));
        assert_eq!(killed, "the executor was killed by signal 9 (SIGKILL; out of memory?)");
        assert_eq!(describe(ExitStatus::from_raw(11)), "the executor was killed by signal 11 (SIGSEGV)");
        assert_eq!(describe(ExitStatus::from_raw(3 << 8)), "the executor exited with code 3");
    }
}
