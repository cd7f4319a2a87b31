//! Why a job is where it is, in lines that say what would change it.

use super::order::before;
use super::{Offer, Queue};
use crate::job::JobState;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// A word for programs, as in `transect.v1.Reason`.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// Where the sweeps that need a job stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The sweep in whose name the job waits, as `s-7 NAME`.
    pub name: String,
    /// The same for the scheduler.
    pub queue: Queue,
}

/// What is known of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobFacts {
    /// Its state.
    pub state: JobState,
    /// How often it was leased.
    pub attempt: u32,
    /// The worker that holds it, or held it last.
    pub worker: Option<String>,
    /// What its worker says, and the share that is done.
    pub progress: (String, f64),
    /// The last error, or why it will not run.
    pub error: Option<String>,
    /// Trainings that it waits for and that are not done, each as people read it, with its state; at most a few.
    pub waits_for: Vec<(String, JobState)>,
    /// Seconds until its back-off ends; 0 when it is in none.
    pub back_off: f64,
    /// The sweep in whose name it waits; none when no live sweep needs it.
    pub standing: Option<Standing>,
    /// Jobs of that sweep that are leased before it.
    pub ahead: u64,
    /// All live sweeps that have jobs waiting, that one as well.
    pub queues: Vec<Queue>,
}

/// The reasons, the most telling first; at least one. `workers` are those that are there, each with its name.
pub fn explain(job: &JobFacts, workers: &[(String, Offer)]) -> Vec<Reason> {
    let one = |code, text| vec![Reason { code, text }];
    let last = job.worker.as_deref().unwrap_or("a worker");
    match job.state {
        JobState::Leased => {
            let (text, fraction) = &job.progress;
            let text = if text.is_empty() { String::new() } else { format!(": {text}") };
            let text = format!("it runs on {last}, attempt {}, {:.0} % done{text}", job.attempt, 100.0 * fraction);
            return one("running", text);
        }
        JobState::Done => return one("done", format!("it is done, by {last} at attempt {}", job.attempt)),
        JobState::Failed => {
            let error = job.error.as_deref().unwrap_or("no error was kept");
            return one("failed", format!("it failed: {error}. `transect retry` queues it again"));
        }
        JobState::Cancelled => {
            let text = "every sweep that needs it was cancelled; `transect retry --cancelled` queues it again";
            return one("cancelled", text.to_owned());
        }
        JobState::Queued => {}
    }
    let mut reasons: Vec<Reason> = job
        .waits_for
        .iter()
        .map(|(what, state)| Reason { code: "waits-for-run", text: format!("it waits for {what}, which is {state}") })
        .collect();
    if job.back_off > 0.0 {
        let error = job.error.as_deref().unwrap_or("no error was kept");
        let text = format!("it is tried again in {:.0} s, after attempt {} failed: {error}", job.back_off, job.attempt);
        reasons.push(Reason { code: "back-off", text });
    }
    let Some(standing) = &job.standing else {
        reasons.push(Reason { code: "cancelled", text: "no live sweep needs it".to_owned() });
        return reasons;
    };
    reasons.extend(of_sweep(standing, workers));
    if reasons.is_empty() {
        reasons.push(of_queue(job, standing));
    }
    reasons
}

/// Why nobody may serve the sweep.
fn of_sweep(standing: &Standing, workers: &[(String, Offer)]) -> Option<Reason> {
    let (name, queue) = (&standing.name, &standing.queue);
    if queue.is_paused {
        return Some(Reason { code: "paused", text: format!("{name} is paused; `transect resume` lets it go on") });
    }
    let open: Vec<&(String, Offer)> = workers.iter().filter(|(_, offer)| !offer.is_closed).collect();
    if open.is_empty() {
        let text = match workers.len() {
            0 => "no worker is there; start one with transect-worker".to_owned(),
            n => format!("none of {n} workers takes new work: they drain or are in quarantine (`transect workers`)"),
        };
        return Some(Reason { code: "no-worker", text });
    }
    let lacks: Vec<(&str, String)> = open
        .iter()
        .filter_map(|(worker, offer)| Some((worker.as_str(), queue.schedule.requires.lack(offer)?)))
        .collect();
    if lacks.len() == open.len() {
        let (worker, lack) = &lacks[0];
        let text = format!("none of {} workers is what {name} requires: of {worker}, {lack}", open.len());
        return Some(Reason { code: "requirements", text });
    }
    if let Some(most) = queue.schedule.max_workers.filter(|most| queue.workers >= *most) {
        let text = format!("{name} is limited to {most} workers, and all of them are at work (`transect adjust`)");
        return Some(Reason { code: "sweep-limit", text });
    }
    None
}

/// Who comes before it.
fn of_queue(job: &JobFacts, standing: &Standing) -> Reason {
    let first = job
        .queues
        .iter()
        .filter(|queue| queue.sweep != standing.queue.sweep && !queue.is_paused)
        .filter(|queue| before(queue, &standing.queue).is_lt())
        .count();
    match (first, job.ahead) {
        (0, 0) => Reason { code: "next", text: "the next worker that asks is given it".to_owned() },
        (0, ahead) => Reason { code: "behind", text: format!("{ahead} jobs of {} come before it", standing.name) },
        (sweeps, ahead) => Reason {
            code: "behind",
            text: format!("{sweeps} other sweeps are served first, and {ahead} jobs of {}", standing.name),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;

    fn facts() -> JobFacts {
        let queue = Queue { sweep: 1, schedule: Schedule::default(), is_paused: false, workers: 0 };
        JobFacts {
            state: JobState::Queued,
            attempt: 0,
            worker: None,
            progress: (String::new(), 0.0),
            error: None,
            waits_for: vec![],
            back_off: 0.0,
            standing: Some(Standing { name: "s-1 first".into(), queue: queue.clone() }),
            ahead: 0,
            queues: vec![queue],
        }
    }

    fn cpu() -> Vec<(String, Offer)> {
        vec![("host/cpu/1".into(), Offer { device: "cpu".into(), ..Offer::default() })]
    }

    fn codes(job: &JobFacts, workers: &[(String, Offer)]) -> Vec<&'static str> {
        explain(job, workers).iter().map(|reason| reason.code).collect()
    }

    #[test]
    fn every_hindrance_has_its_reason() {
        assert_eq!(codes(&facts(), &cpu()), ["next"]);
        assert_eq!(codes(&JobFacts { ahead: 3, ..facts() }, &cpu()), ["behind"]);
        assert_eq!(codes(&facts(), &[]), ["no-worker"]);
        let mut closed = cpu();
        closed[0].1.is_closed = true;
        assert_eq!(codes(&facts(), &closed), ["no-worker"]);
        let waits = vec![("training of lenet5 seed 1".to_owned(), JobState::Leased)];
        assert_eq!(codes(&JobFacts { waits_for: waits, ..facts() }, &cpu()), ["waits-for-run"]);
        assert_eq!(codes(&JobFacts { back_off: 4.0, ..facts() }, &cpu()), ["back-off"]);
        assert_eq!(codes(&JobFacts { standing: None, ..facts() }, &cpu()), ["cancelled"]);
        for (state, code) in [
            (JobState::Leased, "running"),
            (JobState::Done, "done"),
            (JobState::Failed, "failed"),
            (JobState::Cancelled, "cancelled"),
        ] {
            assert_eq!(codes(&JobFacts { state, ..facts() }, &cpu()), [code]);
        }
    }

    #[test]
    fn what_holds_back_the_sweep_holds_back_the_job() {
        let with = |change: &dyn Fn(&mut Queue)| {
            let mut job = facts();
            let standing = job.standing.as_mut().unwrap();
            change(&mut standing.queue);
            codes(&job, &cpu())
        };
        assert_eq!(with(&|queue| queue.is_paused = true), ["paused"]);
        assert_eq!(with(&|queue| queue.schedule.requires.device = Some("cuda".into())), ["requirements"]);
        assert_eq!(with(&|queue| (queue.schedule.max_workers, queue.workers) = (Some(1), 1)), ["sweep-limit"]);
    }

    #[test]
    fn a_sweep_that_comes_first_is_counted() {
        let mut job = facts();
        let mut urgent = job.queues[0].clone();
        (urgent.sweep, urgent.schedule.priority) = (2, 5);
        job.queues.push(urgent);
        assert_eq!(codes(&job, &cpu()), ["behind"]);
        assert!(explain(&job, &cpu())[0].text.starts_with("1 other sweeps"));
    }
}
