//! One group of jobs: where requests from the daemon meet training and probes.
//!
//! Invariant: when [`Workshop::perform`] returns without [`Stop`], each job of the group has had its done or failed row.

use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use tch::Device;
use transect_common::checkpoint::{self, Checkpoint};
use transect_common::data::{DataSpec, Split};
use transect_common::executor_pb::ExecutorRequest;
use transect_common::line::LineSpec;
use transect_common::model::Description;
use transect_common::pb::report_request::Row;
use transect_common::pb::{LeasedJob, MeasureRow, PointRow};
use transect_common::run::{InitSpec, Origin, RunSpec, Tag};

use super::rows::{Emit, Rows};
use super::training::Training;
use crate::Stop;
use crate::data::Data;
use crate::nn::Model;
use crate::probe::refine::{self, Known};
use crate::probe::{Evaluator, Finding, LineTask, Measured, Point, ProbeError, Subject};
use crate::sources::{SourceError, Sources};

/// A panic's message is cut at so many bytes.
const PANIC: usize = 800;

/// Why work on a group, or on one of its jobs, ended.
#[derive(Debug)]
pub enum Fault {
    /// The daemon no longer listens.
    Stop,
    /// The run is at fault: it would end so on any machine.
    Run(String),
    /// This machine is at fault, or nobody knows.
    Machine(String),
}

impl From<Stop> for Fault {
    fn from(_: Stop) -> Self {
        Self::Stop
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub fn run_fault<E: ToString>(error: E) -> Fault {
    Fault::Run(error.to_string())
}

/// What stays between groups: the device, and the last data set, which the next group is likely to need.
pub struct Workshop {
    device: Device,
    threads: u32,
    evaluator: Evaluator,
    data: Option<(DataKey, Data)>,
    /// Set while the group in hand is to end early.
    stop: Arc<AtomicBool>,
}

/// What loaded data depend on.
#[derive(Debug, Clone, PartialEq)]
struct DataKey {
    spec: DataSpec,
    seed: Option<u64>,
    folder: PathBuf,
}

impl DataKey {
    fn new(run: &RunSpec, folder: &Path) -> Self {
        // Augmentation happens in training, and a seed matters only where labels are noisy.
        let spec = DataSpec { augment: transect_common::data::Augment::default(), ..run.data.clone() };
        let seed = label_seed(run).filter(|_| spec.label_noise > 0.0);
        Self { spec, seed, folder: folder.to_owned() }
    }
}

/// The seed of label noise, for a run that is trained here.
fn label_seed(run: &RunSpec) -> Option<u64> {
    match &run.origin {
        Origin::Trained { train, .. } => Some(train.seed.labels),
        Origin::Imported { .. } => None,
    }
}

impl Workshop {
    /// A workshop on an opened device, whose results are those of `threads` threads, and whose trainings end with a
    /// snapshot once `stop` is set.
    pub fn new(device: Device, threads: u32, evaluator: Evaluator, stop: Arc<AtomicBool>) -> Self {
        Self { device, threads, evaluator, data: None, stop }
    }

    /// Does a group, handing out rows and progress as they come. A fault becomes the failed row of every job that was
    /// not done.
    pub fn perform(&mut self, request: &ExecutorRequest, emit: Emit) -> Result<(), Stop> {
        let mut rows = Rows::new(&request.jobs, self.threads, emit);
        let done = catch_unwind(AssertUnwindSafe(|| self.work(request, &mut rows)));
        let fault = match done {
            Ok(Ok(())) => return rows.fail_open(&Fault::Machine("the executor ended early".into())),
            Ok(Err(fault)) => fault,
            Err(panic) => {
                // Whatever it left behind, the data on the device included, is not to be trusted.
                self.data = None;
                let place = if rows.at.is_empty() { String::new() } else { format!(", at {}", rows.at) };
                Fault::Machine(format!("the executor panicked{place}: {}", panic_message(panic.as_ref())))
            }
        };
        rows.fail_open(&fault)
    }

    fn work(&mut self, request: &ExecutorRequest, rows: &mut Rows) -> Result<(), Fault> {
        let run = RunSpec::from_canonical(&request.run_spec).map_err(run_fault)?;
        rows.run = super::name(&run);
        let description = run.model.describe(run.data.input(), run.data.classes()).map_err(run_fault)?;
        let model = Model::new(description, self.device);
        rows.say("loading data", 0.0)?;
        let (device, evaluator, stop) = (self.device, self.evaluator, Arc::clone(&self.stop));
        let data = self.data(&run, Path::new(&request.data))?;
        match request.jobs.as_slice() {
            [job] if job.line_spec.is_empty() => {
                let (model, run, sources, stop) = (&model, &run, &sources(request)?, &*stop);
                Training { model, run, data, sources, stop }.perform(request, device, rows)
            }
            jobs if jobs.iter().any(|job| job.line_spec.is_empty()) => {
                Err(Fault::Run("a group is one training job or line jobs, not a mixture".into()))
            }
            jobs => {
                let (checkpoints, sources) = (checkpoints(request, model.description())?, sources(request)?);
                let init = initialisation(&run);
                let (model, init, checkpoints, sources) = (&model, &init, &checkpoints, &sources);
                measure(evaluator, &Subject { model, data, init, checkpoints, sources }, jobs, rows)
            }
        }
    }

    fn data(&mut self, run: &RunSpec, folder: &Path) -> Result<&Data, Fault> {
        let key = DataKey::new(run, folder);
        if self.data.as_ref().is_none_or(|(loaded, _)| *loaded != key) {
            // The old set's memory goes before the new set's comes.
            self.data = None;
            let data = Data::load(&run.data, folder, label_seed(run), self.device).map_err(run_fault)?;
            self.data = Some((key, data));
        }
        Ok(&self.data.as_ref().expect("loaded just now").1)
    }
}

/// The checkpoint files of a request, checked against the model.
fn checkpoints(request: &ExecutorRequest, model: &Description) -> Result<BTreeMap<Tag, Checkpoint>, Fault> {
    let mut checkpoints = BTreeMap::new();
    for file in &request.checkpoints {
        let tag: Tag = file.tag.parse().map_err(run_fault)?;
        let bytes = std::fs::read(&file.path)
            .map_err(|e| Fault::Machine(format!("checkpoint `{tag}` at {} cannot be read: {e}", file.path)))?;
        let checkpoint =
            checkpoint::decode(model, &bytes).map_err(|e| Fault::Run(format!("checkpoint `{tag}`: {e}")))?;
        checkpoints.insert(tag, checkpoint);
    }
    Ok(checkpoints)
}

/// How the run's weights are drawn; PyTorch's default for one that was trained elsewhere.
fn initialisation(run: &RunSpec) -> InitSpec {
    match &run.origin {
        Origin::Trained { init, .. } => init.clone(),
        Origin::Imported { .. } => InitSpec::default(),
    }
}

/// Files of other runs, and imported ones, as the request names them.
fn sources(request: &ExecutorRequest) -> Result<Sources, Fault> {
    let mut sources = Sources::default();
    for file in &request.sources {
        let path = PathBuf::from(&file.path);
        if file.run.is_empty() {
            sources.artifacts.insert(file.artifact.parse().map_err(run_fault)?, path);
        } else {
            let name = (file.run.parse().map_err(run_fault)?, file.tag.parse().map_err(run_fault)?);
            sources.checkpoints.insert(name, path);
        }
    }
    Ok(sources)
}

/// A line of the group: its place among the jobs, what to measure, what is known of its curve, and whether all of that is
/// reported.
struct Task {
    place: usize,
    line: LineTask,
    known: Known,
    is_done: bool,
}

fn measure(evaluator: Evaluator, subject: &Subject, jobs: &[LeasedJob], rows: &mut Rows) -> Result<(), Fault> {
    let mut tasks = Vec::new();
    for (place, job) in jobs.iter().enumerate() {
        match task(place, job) {
            Ok(task) => {
                rows.set_line(place, &task.line.spec.mask);
                tasks.push(task);
            }
            Err(fault) => rows.fail(place, &fault)?,
        }
    }
    let all = measure_tasks(evaluator, subject, &mut tasks, rows);
    let Err(Fault::Run(_)) = all else { return all };
    // One bad line must not take the others along: each on its own, the good ones are measured.
    for task in tasks.iter_mut().filter(|task| !task.is_done) {
        match measure_tasks(evaluator, subject, std::slice::from_mut(task), rows) {
            Err(Fault::Stop) => return Err(Fault::Stop),
            Err(fault) => rows.fail(task.place, &fault)?,
            Ok(()) => {}
        }
    }
    Ok(())
}

fn task(place: usize, job: &LeasedJob) -> Result<Task, Fault> {
    let spec = LineSpec::from_canonical(&job.line_spec).map_err(run_fault)?;
    let points = job.done_points.iter().filter_map(|point| Some((Split::from_name(&point.split)?, point)));
    let points = points.filter(|(split, _)| spec.has_split(*split));
    if spec.refine.is_some() {
        // Without its loss a point is no help: it is measured again.
        let known: Known =
            points.filter_map(|(split, point)| Some(((split, point.index), (point.alpha?, point.loss?)))).collect();
        let done = known.keys().copied().collect();
        return Ok(Task { place, line: LineTask { done, ..LineTask::new(spec) }, known, is_done: false });
    }
    let on_grid = points.map(|(split, point)| (split, point.index));
    let done: HashSet<(Split, u32)> = on_grid.filter(|(_, index)| (*index as usize) < spec.alphas.len()).collect();
    Ok(Task { place, line: LineTask { done, ..LineTask::new(spec) }, known: Known::new(), is_done: false })
}

fn measure_tasks(evaluator: Evaluator, subject: &Subject, tasks: &mut [Task], rows: &mut Rows) -> Result<(), Fault> {
    let lines: Vec<LineTask> = tasks.iter().map(|task| task.line.clone()).collect();
    let known: Vec<Known> = tasks.iter().map(|task| task.known.clone()).collect();
    let mut began = Instant::now();
    let mut evaluate = |lines: &[LineTask], emit: refine::Emit| evaluator.measure(subject, lines, emit);
    let measured = refine::measure(&mut evaluate, &lines, &known, &mut |finding| {
        match finding {
            Finding::Point(point) => {
                let task = &mut tasks[point.line];
                rows.row(task.place, Row::Point(point_row(&point)), String::new())?;
                task.line.done.insert((point.split, point.index));
                task.known.insert((point.split, point.index), (point.alpha, point.loss));
                let (fraction, text) = progress(&task.line);
                rows.progress(task.place, fraction, text)?;
            }
            Finding::Measure { line, measured } => {
                rows.row(tasks[line].place, Row::Measure(measure_row(&measured)), String::new())?;
            }
            Finding::End { line } => {
                tasks[line].is_done = true;
                rows.done(tasks[line].place, began.elapsed().as_secs_f64())?;
                began = Instant::now();
            }
        }
        Ok(())
    });
    match measured {
        Ok(()) => Ok(()),
        Err(ProbeError::Stopped(_)) => Err(Fault::Stop),
        Err(error @ ProbeError::Source(SourceError::Unreadable { .. })) => Err(Fault::Machine(error.to_string())),
        Err(error) => Err(run_fault(error)),
    }
}

/// How far a line is: of a refined one, as if it were to use its whole budget.
fn progress(line: &LineTask) -> (f64, String) {
    let (done, grid, further) = (line.done.len() as u64, line.spec.points(), line.spec.further_points());
    let text = match done.checked_sub(grid) {
        Some(beyond) if beyond > 0 => format!("further point {beyond} of at most {further}"),
        _ if further > 0 => format!("point {done} of {grid} and at most {further} further"),
        _ => format!("point {done} of {grid}"),
    };
    (done as f64 / (grid + further) as f64, text)
}

fn measure_row(measured: &Measured) -> MeasureRow {
    let split = measured.split.map_or_else(String::new, |split| split.name().to_owned());
    MeasureRow { name: measured.name.name().to_owned(), split, value: measured.value }
}

fn point_row(point: &Point) -> PointRow {
    PointRow {
        split: point.split.name().to_owned(),
        index: point.index,
        alpha: point.alpha,
        loss: point.loss,
        accuracy: point.accuracy,
        count: point.count,
    }
}

/// A panic in one line for people. libtorch's errors carry a stack of C++ frames, which says nothing to them.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message");
    let text = text.split("Exception raised from").next().unwrap_or(text);
    // tch shows libtorch's sentence in debug form, with its line breaks escaped.
    let text = text.replace("\\n", " ").replace('\n', " ");
    let text = text.trim();
    text[..text.floor_char_boundary(PANIC)].to_owned()
}

#[cfg(test)]
mod tests {
    use transect_common::data::DataSet;
    use transect_common::executor_pb::executor_event::Event;
    use transect_common::model::ModelSpec;
    use transect_common::pb::ReportRequest;
    use transect_common::run::{InitSpec, Optimizer, Seeds, TrainSpec};

    use super::*;

    fn run(seed: impl Into<Seeds>, label_noise: f64) -> RunSpec {
        let origin = Origin::Trained { init: InitSpec::default(), train: TrainSpec::new(seed, Optimizer::sgd()) };
        let data = DataSpec { label_noise, ..DataSpec::new(DataSet::Mnist) };
        RunSpec { data, model: ModelSpec::lenet5(), origin }
    }

    #[test]
    fn data_are_shared_between_seeds_unless_labels_are_noisy() {
        let key = |seed, noise| DataKey::new(&run(seed, noise), Path::new("data"));
        assert_eq!(key(1, 0.0), key(2, 0.0));
        assert_ne!(key(1, 0.5), key(2, 0.5));
        assert_ne!(key(1, 0.0), DataKey::new(&run(1, 0.0), Path::new("elsewhere")));
    }

    #[test]
    fn of_a_runs_seeds_only_that_of_labels_changes_its_data() {
        let key = |seed: Seeds| DataKey::new(&run(seed, 0.5), Path::new("data"));
        let seed = Seeds::from(1);
        assert_eq!(key(seed), key(Seeds { init: 2, order: 2, augment: 2, ..seed }));
        assert_ne!(key(seed), key(Seeds { labels: 2, ..seed }));
    }

    #[test]
    fn a_panic_is_an_error_of_the_attempt_that_says_where() {
        let run = run(1, 0.0);
        let job = LeasedJob { job_id: 4, attempt: 1, ..LeasedJob::default() };
        let request = ExecutorRequest { run_spec: run.canonical(), jobs: vec![job], ..ExecutorRequest::default() };
        let mut events = Vec::new();
        let mut is_first = true;
        let mut emit = |event, _| {
            assert!(!std::mem::take(&mut is_first), "boom");
            events.push(event);
            Ok(())
        };
        Workshop::new(Device::Cpu, 1, Evaluator::default(), Arc::default()).perform(&request, &mut emit).unwrap();
        let [Event::Row(ReportRequest { row: Some(Row::Failed(failed)), .. })] = events.as_slice() else {
            panic!("{events:?}");
        };
        let digest = run.digest();
        let expected = format!(
            "job 4, training of lenet5 seed 1 ({}): the executor panicked, at loading data: boom",
            digest.short()
        );
        assert_eq!((failed.class.as_str(), failed.message.as_str()), ("machine", expected.as_str()));
    }

    #[test]
    fn a_libtorch_panic_is_told_without_its_stack() {
        let text = "called `Result::unwrap()` on an `Err` value: Torch(\"size mismatch\\nException raised from x at y.cpp\\nframe #0: z\")";
        let told = panic_message(&text.to_owned());
        assert_eq!(told, "called `Result::unwrap()` on an `Err` value: Torch(\"size mismatch");
        assert_eq!(panic_message(&"plain"), "plain");
        assert_eq!(panic_message(&7), "without a message");
    }

    #[test]
    fn of_the_points_that_are_done_those_on_the_grid_count() {
        let spec = LineSpec::new("all", vec![0.0, 0.5, 1.0], vec![Split::Test]);
        let point =
            |split: &str, index| transect_common::pb::PointKey { split: split.into(), index, ..Default::default() };
        let done_points = vec![point("test", 1), point("test", 9), point("train", 0), point("test", 1)];
        let job = LeasedJob { job_id: 1, attempt: 2, line_spec: spec.canonical(), done_points };
        let task = task(0, &job).unwrap();
        assert_eq!(task.line.done, HashSet::from([(Split::Test, 1)]));
    }
}
