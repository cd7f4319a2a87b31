//! The executor: a child process that computes. It takes groups of jobs on its standard input and answers with what it
//! measured on its standard output, until its input ends.
//!
//! A thread reads the standard input, so that a word about the group in hand is heard while it is worked on.
//!
//! Invariants: the only process that touches libtorch. It talks to nobody but its daemon and writes nothing but
//! checkpoints and snapshots in the scratch folder. Nothing but messages goes to the pipe: whatever else prints to standard output
//! lands on standard error. A fault of a group, a panic included, is a row, not an end.

pub(crate) mod pipe;
mod rows;
mod training;
mod work;

use std::fs::File;
use std::io::BufWriter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use anyhow::Context as _;
use transect_common::executor_pb::executor_event::Event;
use transect_common::executor_pb::{ExecutorEvent, ExecutorRequest, Finished, Hello};
use transect_common::run::RunSpec;

use self::pipe::PipeError;
use self::work::Workshop;
use crate::Stop;
use crate::nn::device;
use crate::probe::Evaluator;

/// Serves groups from standard input until it ends.
///
/// # Errors
/// The device is missing, or the pipe holds something that is not ours.
pub fn run(device_name: &str, threads: u32, evaluator: Evaluator) -> anyhow::Result<()> {
    let mut output = BufWriter::new(keep_stdout().context("standard output cannot be kept for messages")?);
    tch::set_num_threads(threads as i32);
    tch::set_num_interop_threads(threads as i32);
    let device = device::open(device_name)?;
    let info = device::describe(device);
    let hello = Hello {
        libtorch: info.libtorch,
        cpu_capability: info.cpu_capability,
        device_name: info.device_name,
        memory_bytes: info.memory_bytes,
    };
    // A daemon that no longer listens has ended; so does this.
    let mut emit = |event: Event, checkpoint_path: String| {
        pipe::write(&mut output, &ExecutorEvent { event: Some(event), checkpoint_path }).map_err(|_| Stop)
    };
    if emit(Event::Hello(hello), String::new()).is_err() {
        return Ok(());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut workshop = Workshop::new(device, threads, evaluator, Arc::clone(&stop));
    let (sender, groups) = mpsc::channel();
    std::thread::spawn(move || read_requests(&sender, &stop));
    for request in groups {
        let done = workshop.perform(&request?, &mut emit);
        if done.is_err() || emit(Event::Finished(Finished {}), String::new()).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Hands on groups until the input ends, and sets `stop` at a word to stop. A group that comes later clears it: the word
/// was about one that had ended by then.
fn read_requests(groups: &mpsc::Sender<Result<ExecutorRequest, PipeError>>, stop: &AtomicBool) {
    let mut input = std::io::stdin().lock();
    while let Some(request) = pipe::read::<ExecutorRequest>(&mut input).transpose() {
        let (is_stop, is_last) = (request.as_ref().is_ok_and(|request| request.stop), request.is_err());
        stop.store(is_stop, Ordering::Relaxed);
        if !is_stop && (groups.send(request).is_err() || is_last) {
            return;
        }
    }
}

/// Takes standard output away for messages; from here on it means standard error.
fn keep_stdout() -> anyhow::Result<File> {
    let stdout = nix::unistd::dup(std::io::stdout())?;
    nix::unistd::dup2_stdout(std::io::stderr())?;
    Ok(stdout.into())
}

/// A run as people name it: `mlp seed 1 (3fa2bc012345)`.
pub fn name(run: &RunSpec) -> String {
    let seed = run.seed().map_or_else(|| "imported".to_owned(), |seed| format!("seed {seed}"));
    format!("{} {seed} ({})", run.model.name(), run.digest().short())
}
