//! A training job: from its description, or from the snapshot that an earlier attempt left, to its last checkpoint.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tch::Device;
use transect_common::checkpoint;
use transect_common::data::Split;
use transect_common::digest::ArtifactDigest;
use transect_common::executor_pb::{ExecutorRequest, SnapshotFile};
use transect_common::pb::report_request::Row;
use transect_common::pb::{CheckpointRow, EpochRow, SnapshotRow};
use transect_common::run::RunSpec;

use super::rows::Rows;
use super::work::{Fault, run_fault};
use crate::Stop;
use crate::data::Data;
use crate::nn::{Model, device};
use crate::sources::Sources;
use crate::train::{self, Ask, Course, Made, Snapshot, TrainError, TrainEvent};

/// What a training is worked with.
pub struct Training<'t> {
    pub model: &'t Model,
    pub run: &'t RunSpec,
    pub data: &'t Data,
    pub sources: &'t Sources,
    /// Set when the training is to end with a snapshot.
    pub stop: &'t AtomicBool,
}

impl Training<'_> {
    /// Trains, as the one job of `rows`.
    pub fn perform(&self, request: &ExecutorRequest, device: Device, rows: &mut Rows) -> Result<(), Fault> {
        let (began, scratch) = (Instant::now(), Path::new(&request.scratch));
        let made = self.made(device);
        let from = request.snapshot.as_ref().and_then(|file| self.take_up(file, &made, rows));
        let before = from.as_ref().map_or(0.0, Snapshot::seconds);
        // The group's bytes depend on the threads with which it began.
        let _threads = Threads::set(rows.threads, rows.own_threads);
        let every = Duration::try_from_secs_f64(request.snapshot_seconds).ok().filter(|every| !every.is_zero());
        let last = Cell::new(began);
        let mut ask = || {
            if self.stop.load(Ordering::Relaxed) {
                return Ask::SnapshotAndStop;
            }
            let is_due = every.is_some_and(|every| last.get().elapsed() >= every);
            if is_due {
                last.set(Instant::now());
            }
            if is_due { Ask::Snapshot } else { Ask::GoOn }
        };
        // What goes wrong while an event is passed on; training itself only learns that it has to stop.
        let mut fault = None;
        let course = Course { from, ask: &mut ask };
        let trained = train::train_from(course, self.model, self.run, self.data, self.sources, &mut |event| {
            self.pass_on(event, scratch, &made, rows).map_err(|f| {
                fault = Some(f);
                Stop
            })
        });
        match (trained, fault) {
            (_, Some(fault)) => Err(fault),
            (Err(TrainError::Stopped(_)), None) => Err(Fault::Stop),
            (Err(TrainError::Source(error)), None) => Err(Fault::Machine(error.to_string())),
            (Err(error), None) => Err(run_fault(error)),
            (Ok(()), None) => Ok(rows.done(0, before + began.elapsed().as_secs_f64())?),
        }
    }

    /// What a snapshot that is taken here and now belongs to.
    fn made(&self, device: Device) -> Made {
        let info = device::describe(device);
        let kind = if device.is_cuda() { format!("cuda ({})", info.device_name) } else { "cpu".to_owned() };
        let machine = format!("{kind}, libtorch {}, {}", info.libtorch, info.cpu_capability);
        Made { run: self.run.digest(), images: self.data.len(Split::Train), machine }
    }

    /// Where to go on; nothing when that cannot be read, which is said, and costs time only.
    fn take_up(&self, file: &SnapshotFile, made: &Made, rows: &mut Rows) -> Option<Snapshot> {
        let snapshot = std::fs::read(&file.path).map_err(|e| format!("it cannot be read: {e}")).and_then(|bytes| {
            Snapshot::decode(&bytes, self.run, self.model.description(), made).map_err(|e| e.to_string())
        });
        match snapshot {
            Ok(snapshot) => {
                rows.threads = if file.threads == 0 { rows.own_threads } else { file.threads };
                let (epoch, step, threads) = (snapshot.epoch(), snapshot.step(), rows.threads);
                eprintln!("{} goes on after step {step} (epoch {epoch}) with {threads} threads", rows.run);
                Some(snapshot)
            }
            Err(reason) => {
                eprintln!("the snapshot of {} cannot be used, so it begins at its beginning: {reason}", rows.run);
                None
            }
        }
    }

    fn pass_on(&self, event: TrainEvent, scratch: &Path, made: &Made, rows: &mut Rows) -> Result<(), Fault> {
        match event {
            TrainEvent::Progress { fraction, text } => rows.progress(0, fraction, text)?,
            TrainEvent::Epoch(score) => {
                let row = EpochRow {
                    epoch: score.epoch,
                    split: score.split.name().to_owned(),
                    loss: score.loss,
                    accuracy: score.accuracy,
                    learning_rate: score.learning_rate,
                    seconds: score.seconds,
                };
                rows.row(0, Row::Epoch(row), String::new())?;
            }
            TrainEvent::Checkpoint { tag, checkpoint } => {
                let bytes = checkpoint::encode(self.model.description(), &checkpoint);
                let path = scratch.join(format!("{}-{tag}.safetensors", rows.job(0)));
                std::fs::write(&path, &bytes).map_err(|e| {
                    Fault::Machine(format!("checkpoint `{tag}` could not be written to {}: {e}", path.display()))
                })?;
                let artifact = ArtifactDigest::of(&bytes).to_string();
                let row = CheckpointRow { tag: tag.to_string(), artifact, bytes: bytes.len() as u64 };
                rows.row(0, Row::Checkpoint(row), path.display().to_string())?;
            }
            TrainEvent::Snapshot(snapshot) => {
                let (bytes, step) = (snapshot.encode(made), snapshot.step());
                let path = scratch.join(format!("{}-snapshot-{step}.safetensors", rows.job(0)));
                if let Err(error) = std::fs::write(&path, &bytes) {
                    // A training that cannot be taken up elsewhere is better than none.
                    let _ = std::fs::remove_file(&path);
                    eprintln!("no snapshot of {}: it could not be written to {}: {error}", rows.run, path.display());
                    return Ok(());
                }
                let artifact = ArtifactDigest::of(&bytes).to_string();
                let row = SnapshotRow { artifact, bytes: bytes.len() as u64, step, threads: rows.threads };
                rows.row(0, Row::Snapshot(row), path.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// libtorch's number of threads for as long as this lives.
struct Threads {
    own: u32,
}

impl Threads {
    fn set(threads: u32, own: u32) -> Self {
        tch::set_num_threads(threads as i32);
        Self { own }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        tch::set_num_threads(self.own as i32);
    }
}
