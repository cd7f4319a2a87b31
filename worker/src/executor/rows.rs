//! The rows of one group: which job they belong to, and which jobs are still open.

use transect_common::executor_pb::executor_event::Event;
use transect_common::pb::report_request::Row;
use transect_common::pb::{DoneRow, FailedRow, JobAttempt, JobProgress, LeasedJob, ReportRequest};

use super::work::Fault;
use crate::Stop;

/// Sends an event, and for a checkpoint the path of its file, to the daemon.
pub type Emit<'e> = &'e mut dyn FnMut(Event, String) -> Result<(), Stop>;

/// Hands out the rows of a group.
pub struct Rows<'e> {
    jobs: Vec<Job>,
    /// Threads that the group is worked with.
    pub threads: u32,
    /// The executor's own, with which it works unless a snapshot says otherwise.
    pub own_threads: u32,
    emit: Emit<'e>,
    /// The run's name for messages, once it is known.
    pub run: String,
    /// What was last said of the progress, for messages.
    pub at: String,
}

struct Job {
    attempt: JobAttempt,
    /// `training`, `` line `fc1` ``.
    what: String,
    is_open: bool,
}

impl<'e> Rows<'e> {
    /// All jobs open.
    pub fn new(jobs: &[LeasedJob], threads: u32, emit: Emit<'e>) -> Self {
        let job = |job: &LeasedJob| Job {
            attempt: JobAttempt { job_id: job.job_id, attempt: job.attempt },
            what: if job.line_spec.is_empty() { "training" } else { "a line" }.to_owned(),
            is_open: true,
        };
        Self {
            jobs: jobs.iter().map(job).collect(),
            threads,
            own_threads: threads,
            emit,
            run: String::new(),
            at: String::new(),
        }
    }

    /// Notes what a line job moves, for messages.
    pub fn set_line(&mut self, place: usize, mask: &str) {
        self.jobs[place].what = format!("line `{mask}`");
    }

    /// A name for files that belong to a job.
    pub fn job(&self, place: usize) -> String {
        let JobAttempt { job_id, attempt } = self.jobs[place].attempt;
        format!("job-{job_id}-{attempt}")
    }

    /// One row of a job, and for a checkpoint or snapshot the path of its file.
    pub fn row(&mut self, place: usize, row: Row, checkpoint_path: String) -> Result<(), Stop> {
        let job = Some(self.jobs[place].attempt);
        (self.emit)(Event::Row(ReportRequest { worker_id: String::new(), job, row: Some(row) }), checkpoint_path)
    }

    /// How far a job is.
    pub fn progress(&mut self, place: usize, fraction: f64, text: String) -> Result<(), Stop> {
        self.at.clone_from(&text);
        let job = Some(self.jobs[place].attempt);
        (self.emit)(Event::Progress(JobProgress { job, fraction, text }), String::new())
    }

    /// How far all jobs are.
    pub fn say(&mut self, text: &str, fraction: f64) -> Result<(), Stop> {
        (0..self.jobs.len()).try_for_each(|place| self.progress(place, fraction, text.to_owned()))
    }

    /// A job is complete after `seconds` of work.
    pub fn done(&mut self, place: usize, seconds: f64) -> Result<(), Stop> {
        self.jobs[place].is_open = false;
        let row = DoneRow { seconds, threads: self.threads };
        self.row(place, Row::Done(row), String::new())
    }

    /// A job failed.
    pub fn fail(&mut self, place: usize, fault: &Fault) -> Result<(), Stop> {
        let (class, message) = match fault {
            Fault::Stop => return Err(Stop),
            Fault::Run(message) => ("run", message),
            Fault::Machine(message) => ("machine", message),
        };
        let job = &mut self.jobs[place];
        job.is_open = false;
        let run = if self.run.is_empty() { "a run" } else { &self.run };
        let message = format!("job {}, {} of {run}: {message}", job.attempt.job_id, job.what);
        self.row(place, Row::Failed(FailedRow { class: class.to_owned(), message }), String::new())
    }

    /// Every job that has neither been done nor failed fails.
    pub fn fail_open(&mut self, fault: &Fault) -> Result<(), Stop> {
        let open: Vec<usize> = (0..self.jobs.len()).filter(|&place| self.jobs[place].is_open).collect();
        match fault {
            Fault::Stop => Err(Stop),
            _ => open.into_iter().try_for_each(|place| self.fail(place, fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_fails_the_jobs_that_are_open_and_names_them() {
        let job = |job_id, line: &str| LeasedJob { job_id, attempt: 1, line_spec: line.into(), done_points: vec![] };
        let mut events = Vec::new();
        let mut emit = |event, _| {
            events.push(event);
            Ok(())
        };
        let mut rows = Rows::new(&[job(7, "{}"), job(8, "{}")], 2, &mut emit);
        rows.run = "mlp seed 1 (3fa2bc012345)".into();
        rows.set_line(1, "fc1");
        rows.done(0, 1.5).unwrap();
        rows.fail_open(&Fault::Machine("no memory".into())).unwrap();
        rows.fail_open(&Fault::Machine("again".into())).unwrap();
        let [_, Event::Row(ReportRequest { row: Some(Row::Failed(failed)), .. })] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(failed.class, "machine");
        assert_eq!(failed.message, "job 8, line `fc1` of mlp seed 1 (3fa2bc012345): no memory");
    }
}
