//! The program itself: what it says, how it stops, and that killing it loses nothing.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use transect_coordinator::home;

use crate::harness::{SMALL, Worker, connect, submit, until};

fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_transect-coordinator"));
    command.args(["--listen", "127.0.0.1:0", "--http", "off", "--home"]).arg(home);
    command.env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A coordinator as a process; killed when the test ends.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    async fn start(home: &Path) -> Self {
        let child = command(home).stderr(Stdio::null()).spawn().unwrap();
        until("the coordinator answers", async || home::running(home).is_some()).await;
        Self { child, address: home::running(home).unwrap() }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_terminated_coordinator_ends_open_streams_and_leaves_with_0() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut process = Process::start(folder.path()).await;
        let channel = connect(process.address).await;
        let sweep = submit(channel.clone(), SMALL).await.sweep_id;
        let mut watch = transect_common::pb::sweep_service_client::SweepServiceClient::new(channel.clone())
            .watch(transect_common::pb::WatchRequest { sweep })
            .await
            .unwrap()
            .into_inner();
        watch.message().await.unwrap().unwrap();
        process.signal(signal);
        let status = loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if the sweep had"),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
        let code = tokio::task::spawn_blocking(move || process.child.wait().unwrap().code()).await.unwrap();
        assert_eq!(code, Some(0));
        assert_eq!(home::running(folder.path()), None);
    }
}

#[tokio::test]
async fn a_killed_coordinator_loses_nothing_that_it_has_answered() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path()).await;
    let channel = connect(process.address).await;
    let sweep = submit(channel.clone(), SMALL).await;
    let mut worker = Worker::register(channel).await;
    let lease = worker.lease(1).await;
    worker.finish(&lease).await;
    let held = worker.lease(1).await;
    process.signal(Signal::SIGKILL);
    drop(process);

    let process = Process::start(folder.path()).await;
    let channel = connect(process.address).await;
    let after = submit(channel.clone(), SMALL).await;
    assert_eq!(after.sweep_id, sweep.sweep_id);
    assert_eq!((after.train_done, after.leased, after.jobs), (1, 1, 4));
    let mut worker = Worker::known(channel.clone(), worker.id);
    worker.finish(&held).await;
    worker.finish_all().await;
    let done = submit(channel, SMALL).await;
    assert_eq!((done.state.as_str(), done.points), ("done", 6));
}

#[tokio::test]
async fn addresses_that_others_reach_need_a_word_of_consent() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = Command::new(env!("CARGO_BIN_EXE_transect-coordinator"));
    open.args(["--listen", "0.0.0.0:0", "--http", "off", "--home"]).arg(folder.path());
    let output = output(open).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("--insecure"), "{said}");
}

#[tokio::test]
async fn a_start_that_fails_says_one_sentence_and_leaves_with_1() {
    let output = output(command(Path::new("/proc/transect"))).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.starts_with("transect-coordinator: the home folder /proc/transect cannot be used"), "{said}");
}

#[tokio::test]
async fn logs_are_json_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_owned();
    let mut child = command(&home).arg("--log-json").spawn().unwrap();
    until("the coordinator answers", async || home::running(&home).is_some()).await;
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let lines = tokio::task::spawn_blocking(move || {
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "", "logs belong on standard error");
        let lines: Vec<_> = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap).collect();
        assert!(child.wait().unwrap().success());
        lines
    });
    let lines = lines.await.unwrap();
    assert!(lines.len() >= 2, "{lines:?}");
    for line in &lines {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(value["level"].is_string(), "{line}");
    }
}

/// Waits until systemd, which `socket` stands for, hears `word`.
fn wait_to_hear(socket: &std::os::unix::net::UnixDatagram, word: &str) {
    socket.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    let mut bytes = [0; 512];
    loop {
        let length = socket.recv(&mut bytes).unwrap_or_else(|e| panic!("waited in vain for {word}: {e}"));
        if String::from_utf8_lossy(&bytes[..length]).contains(word) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_when_it_is_ready_while_it_answers_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut command = command(&folder.path().join("home"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "300000").stderr(Stdio::null());
    let mut process = Process { child: command.spawn().unwrap(), address: "127.0.0.1:0".parse().unwrap() };
    for word in ["READY=1", "WATCHDOG=1", "WATCHDOG=1"] {
        wait_to_hear(&socket, word);
    }
    process.signal(Signal::SIGTERM);
    wait_to_hear(&socket, "STOPPING=1");
    let code = tokio::task::spawn_blocking(move || process.child.wait().unwrap().code()).await.unwrap();
    assert_eq!(code, Some(0));
}
