//! What systemd hears of a worker.
#![allow(clippy::unwrap_used, reason = "in tests an unwrap is an assertion")]

mod daemon_fake;

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use daemon_fake::worker::send;
use daemon_fake::{Fake, wait_for};
use nix::sys::signal::Signal;

/// The next message, or none within `patience`.
fn heard(socket: &UnixDatagram, patience: Duration) -> Option<String> {
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut bytes = [0; 512];
    let length = socket.recv(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn wait_to_hear(socket: &UnixDatagram, word: &str) {
    wait_for(word, || heard(socket, Duration::from_secs(1)).filter(|message| message.contains(word)));
}

#[test]
fn a_supervisor_hears_when_a_worker_is_ready_lives_hangs_and_stops() {
    let fake = Fake::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_transect-worker"))
        .args(["--coordinator", &fake.url(), "--threads", "1", "--home"])
        .arg(folder.path())
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "300000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = worker.id() as i32;

    wait_to_hear(&socket, "READY=1");
    for _ in 0..3 {
        wait_to_hear(&socket, "WATCHDOG=1");
    }
    // A stopped process says nothing more, and systemd would start it anew.
    send(pid, Signal::SIGSTOP);
    while heard(&socket, Duration::from_millis(50)).is_some() {}
    assert_eq!(heard(&socket, Duration::from_millis(900)), None);
    send(pid, Signal::SIGCONT);
    wait_to_hear(&socket, "WATCHDOG=1");
    send(pid, Signal::SIGTERM);
    wait_to_hear(&socket, "STOPPING=1");
    assert!(worker.wait().unwrap().success());
}
