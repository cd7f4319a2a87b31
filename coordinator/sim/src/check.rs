//! What must hold after every write, whatever went wrong before it.

use std::collections::{BTreeMap, BTreeSet};

use transect_common::job::{ErrorClass, JobEvent, JobKind, JobState};
use transect_common::schedule::{Offer, device_kind};
use transect_coordinator::store::{
    JobAttempt, JobProgress, Lease, ReportRow, Reported, Row, SeenJob, SeenSweep, Sight, Timestamp,
};

/// What was written.
pub enum Write<'a> {
    /// A lease was asked for.
    Lease(i64, Option<&'a Lease>),
    /// A worker's heartbeat, with what is to be stopped.
    Heartbeat(i64, &'a [JobProgress], &'a [JobAttempt]),
    /// A report, with its answer.
    Report(i64, &'a [ReportRow], &'a Reported),
    /// A worker left.
    Leave(i64),
    /// Leases ran out.
    Expire(&'a [JobAttempt]),
    /// Leases were extended because a coordinator started.
    Resume,
    /// A sweep was submitted.
    Submit,
    /// Anything else.
    Other,
}

/// Remembers what was answered, so that it must stay.
#[derive(Default)]
pub struct Checker {
    before: Sight,
    /// Snapshots that were stored, by run: the artifact and the worker.
    snapshots: BTreeMap<String, (String, i64)>,
    /// Jobs that were done, and how often a lease was given.
    pub leases: u64,
}

/// What a broken invariant says.
type Checked = Result<(), String>;

macro_rules! must {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}

/// States that up to three events lead to: what one write may do to one job.
fn is_reachable(from: JobState, to: JobState) -> bool {
    let mut now = BTreeSet::from([from]);
    for _ in 0..3 {
        let next: Vec<JobState> =
            now.iter().flat_map(|state| JobEvent::ALL.map(|event| state.after(event).ok())).flatten().collect();
        now.extend(next);
    }
    now.contains(&to)
}

impl Checker {
    /// Checks one write that was committed.
    pub fn wrote(&mut self, write: &Write<'_>, now: Timestamp, sight: Sight) -> Checked {
        let before = std::mem::take(&mut self.before);
        let checked = self.check(write, now, &before, &sight);
        self.before = sight;
        checked
    }

    fn check(&mut self, write: &Write<'_>, now: Timestamp, before: &Sight, after: &Sight) -> Checked {
        for (id, job) in &after.jobs {
            of_job(*id, job, after)?;
            if let Some(old) = before.jobs.get(id) {
                of_change(write, *id, old, job)?;
            }
        }
        must!(before.jobs.keys().all(|id| after.jobs.contains_key(id)), "a job is gone");
        match write {
            Write::Lease(worker, lease) => self.of_lease(*worker, *lease, now, before, after),
            Write::Heartbeat(worker, jobs, stop) => of_heartbeat(*worker, jobs, stop, now, before, after),
            Write::Report(worker, rows, answer) => self.of_report(*worker, rows, answer, before, after),
            Write::Leave(worker) => {
                let held = after.jobs.values().any(|job| job.state == JobState::Leased && job.worker == Some(*worker));
                must!(!held, "w-{worker} left and holds jobs still");
                Ok(())
            }
            Write::Expire(_) => of_expiry(now, before, after),
            Write::Resume | Write::Submit | Write::Other => Ok(()),
        }
    }

    fn of_lease(
        &mut self,
        worker: i64,
        lease: Option<&Lease>,
        now: Timestamp,
        before: &Sight,
        after: &Sight,
    ) -> Checked {
        let Some(lease) = lease else { return Ok(()) };
        self.leases += 1;
        let holder = &before.workers[&worker];
        must!(
            holder.quarantined_until.is_none_or(|until| until <= now),
            "w-{worker} is in quarantine and is given work"
        );
        for leased in &lease.jobs {
            let id = leased.job.job.0;
            let (old, new) = (&before.jobs[&id], &after.jobs[&id]);
            must!(old.state == JobState::Queued, "job {id} is leased, but it was {}", old.state);
            must!(new.attempt > old.attempt, "job {id} is leased again as attempt {}", new.attempt);
            must!(new.attempt == leased.job.attempt.0, "job {id} is leased as another attempt than is told");
            must!(old.due_at <= now, "job {id} is leased before it is due");
            let open = old.sources.iter().find(|source| before.jobs[source].state != JobState::Done);
            must!(open.is_none(), "job {id} is leased before job {open:?}, which it needs, is done");
            let sweep = new.sweep.and_then(|sweep| before.sweeps.get(&sweep));
            let Some(sweep) = sweep else { return Err(format!("job {id} is leased in no sweep's name")) };
            must!(sweep.is_live, "job {id} is leased for a sweep that is cancelled");
            must!(!sweep.is_paused, "job {id} is leased for a sweep that is paused");
            let offer = Offer {
                device: holder.info.device.clone(),
                memory_bytes: holder.info.memory_bytes,
                labels: holder.info.labels.clone(),
                ..Offer::default()
            };
            let lack = sweep.schedule.requires.lack(&offer);
            must!(lack.is_none(), "job {id} is leased to w-{worker}: {lack:?}");
            of_fairness(worker, id, new, before, now, &offer)?;
        }
        let at_work = at_work(after, None);
        for (id, sweep) in &after.sweeps {
            let workers = at_work.get(id).copied().unwrap_or(0);
            let was = self::at_work(before, None).get(id).copied().unwrap_or(0);
            let most = sweep.schedule.max_workers.unwrap_or(u32::MAX);
            must!(workers <= most || workers <= was, "{workers} workers are at work for s-{id}, limited to {most}");
        }
        if let Some(snapshot) = &lease.snapshot {
            let run = lease.run.to_string();
            let known = self.snapshots.get(&run);
            must!(
                known.is_some_and(|(artifact, _)| *artifact == snapshot.artifact.to_string()),
                "run {} is to go on from a snapshot that was not stored for it last",
                lease.run.short()
            );
            let taker = known.map(|(_, worker)| &after.workers[worker].info).expect("it is known");
            must!(
                device_kind(&taker.device) == device_kind(&holder.info.device)
                    && taker.libtorch == holder.info.libtorch,
                "run {} is to go on elsewhere than its snapshot was taken",
                lease.run.short()
            );
        }
        Ok(())
    }

    fn of_report(
        &mut self,
        worker: i64,
        rows: &[ReportRow],
        answer: &Reported,
        before: &Sight,
        after: &Sight,
    ) -> Checked {
        let refused: BTreeSet<u64> = answer.refused.iter().map(|refusal| refusal.place).collect();
        for row in rows.iter().filter(|row| !refused.contains(&row.place)) {
            let id = row.job.job.0;
            let Some(job) = after.jobs.get(&id) else { return Err(format!("rows of job {id}, which is not there")) };
            let old = &before.jobs[&id];
            let holds = is_held(old, row.job, worker);
            match &row.row {
                Row::Point(point) => {
                    let stored = job.points.contains_key(&(point.split.name(), point.index));
                    must!(stored, "a point of job {id} is answered as stored and is not there");
                }
                Row::Checkpoint { tag, artifact, .. } if holds => {
                    // A later row of the same report, or the run's end, cannot take it away.
                    let stored = job.checkpoints.get(tag.as_str()).is_some_and(|known| *known == artifact.to_string());
                    must!(stored, "checkpoint `{tag}` of job {id} is answered as stored and is not there");
                }
                Row::Done { .. } => {
                    must!(job.state == JobState::Done, "job {id} is answered as done and is {}", job.state);
                }
                Row::Snapshot(snapshot) if holds => {
                    self.snapshots.insert(job.run.to_string(), (snapshot.artifact.to_string(), worker));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// What holds of a store at any moment.
pub fn sound(sight: &Sight) -> Result<(), String> {
    sight.jobs.iter().try_for_each(|(id, job)| of_job(*id, job, sight))
}

/// What holds of a job at any moment.
fn of_job(id: i64, job: &SeenJob, sight: &Sight) -> Checked {
    let needs: Vec<&SeenSweep> = sight.sweeps.values().filter(|sweep| sweep.jobs.contains(&id)).collect();
    let is_live = needs.iter().any(|sweep| sweep.is_live);
    must!(!job.state.is_live() || is_live, "job {id} is {}, and no live sweep needs it", job.state);
    must!(
        (job.state == JobState::Leased) == job.expires_at.is_some(),
        "job {id} is {} without an end of lease",
        job.state
    );
    if job.state == JobState::Queued && needs.iter().any(|sweep| sweep.is_live && !sweep.is_paused) {
        let home = job.sweep.and_then(|sweep| sight.sweeps.get(&sweep));
        let is_open = home.is_some_and(|sweep| sweep.is_live && !sweep.is_paused);
        must!(is_open, "job {id} waits in the name of a sweep that is not served, though another needs it");
    }
    if job.state == JobState::Failed && is_live {
        let source = job.blocked_by.map(|source| sight.jobs[&source].state);
        must!(
            source.is_none_or(|state| state == JobState::Failed),
            "job {id} failed with a training that is {source:?}"
        );
    }
    must!(job.points_counted == job.points.len() as u64, "job {id} counts other points than it has");
    if job.state == JobState::Done {
        must!(job.points.len() as u64 == job.points_expected, "job {id} is done without all of its points");
        let is_trained =
            job.kind == JobKind::Line || ["init", "final"].iter().all(|tag| job.checkpoints.contains_key(*tag));
        must!(is_trained, "job {id} is done without its checkpoints");
    }
    Ok(())
}

/// What no write may do to a job.
fn of_change(write: &Write<'_>, id: i64, old: &SeenJob, new: &SeenJob) -> Checked {
    must!(new.attempt >= old.attempt, "the attempt of job {id} went back");
    must!(is_reachable(old.state, new.state), "job {id} was {} and is {}", old.state, new.state);
    must!(old.state != JobState::Done || new.state == JobState::Done, "job {id} was done and is {}", new.state);
    let is_lease = matches!(write, Write::Lease(..));
    must!(is_lease || new.attempt == old.attempt, "job {id} has a new attempt without a lease");
    must!(is_lease || old.state == JobState::Leased || new.state != JobState::Leased, "job {id} is leased by no lease");
    for (place, loss) in &old.points {
        must!(new.points.get(place) == Some(loss), "point {place:?} of job {id} is lost or changed");
    }
    if let Write::Report(worker, rows, _) = write {
        let is_holder = old.worker == Some(*worker);
        let own = |row: &&ReportRow| is_holder && row.job.job.0 == id && row.job.attempt.0 == old.attempt;
        let own: Vec<&ReportRow> = rows.iter().filter(own).collect();
        let changes =
            (new.state, new.points.len(), &new.checkpoints) != (old.state, old.points.len(), &old.checkpoints);
        let waits = old.state != JobState::Leased && new.state == JobState::Failed && new.blocked_by.is_some();
        must!(
            !changes || waits || (old.state == JobState::Leased && !own.is_empty()),
            "a stale attempt, or a worker that does not hold it, wrote to job {id}"
        );
        let ends = own.iter().any(|row| matches!(row.row, Row::Done { .. }));
        must!(
            new.state != JobState::Done || old.state == JobState::Done || ends,
            "job {id} is done, which its holder did not say"
        );
        let fails = own.iter().any(|row| matches!(row.row, Row::Failed { class, .. } if class != ErrorClass::Gone));
        must!(new.failures <= old.failures || fails, "job {id} counts a failure that nobody reported");
    } else {
        must!(new.failures <= old.failures, "job {id} counts a failure that nobody reported");
        let is_submit = matches!(write, Write::Submit);
        must!(is_submit || new.points == old.points, "points of job {id} changed without a report");
    }
    Ok(())
}

/// Whether a worker held this lease.
fn is_held(job: &SeenJob, lease: JobAttempt, worker: i64) -> bool {
    job.state == JobState::Leased && job.attempt == lease.attempt.0 && job.worker == Some(worker)
}

fn of_heartbeat(
    worker: i64,
    jobs: &[JobProgress],
    stop: &[JobAttempt],
    now: Timestamp,
    before: &Sight,
    after: &Sight,
) -> Checked {
    for said in jobs {
        let id = said.job.job.0;
        let holds = is_held(&before.jobs[&id], said.job, worker);
        must!(
            holds != stop.contains(&said.job),
            "job {id}, attempt {}: held {holds}, and told otherwise",
            said.job.attempt.0
        );
        let extended = after.jobs[&id].expires_at.is_some_and(|until| until > now);
        must!(!holds || extended, "the lease of job {id} was not extended");
    }
    Ok(())
}

fn of_expiry(now: Timestamp, before: &Sight, after: &Sight) -> Checked {
    for (id, old) in &before.jobs {
        let new = &after.jobs[id];
        let is_over = old.state == JobState::Leased && old.expires_at.is_some_and(|until| until <= now);
        must!(!is_over || new.state != JobState::Leased, "the lease of job {id} ran out and holds");
        let waits = new.blocked_by.is_some() && old.state == JobState::Queued;
        must!(is_over || waits || new.state == old.state, "job {id} was {} and is {} by expiry", old.state, new.state);
    }
    Ok(())
}

fn at_work(sight: &Sight, asker: Option<i64>) -> BTreeMap<i64, u32> {
    let mut busy = BTreeSet::new();
    for job in sight.jobs.values().filter(|job| job.state == JobState::Leased) {
        if let Some(worker) = job.worker.filter(|worker| Some(*worker) != asker)
            && let Some(sweep) = sight.workers[&worker].sweep
            && sight.workers[&worker].is_there
        {
            busy.insert((sweep, worker));
        }
    }
    let mut count = BTreeMap::new();
    for (sweep, _) in busy {
        *count.entry(sweep).or_insert(0) += 1;
    }
    count
}

/// Nobody is passed over: what is given belongs to a sweep of the highest priority that this worker could serve, and
/// among equals to one with the fewest workers.
fn of_fairness(worker: i64, given: i64, job: &SeenJob, before: &Sight, now: Timestamp, offer: &Offer) -> Checked {
    let at_work = at_work(before, Some(worker));
    let own = job.sweep.expect("it was looked up");
    let load =
        |sweep: i64| f64::from(at_work.get(&sweep).copied().unwrap_or(0) + 1) / before.sweeps[&sweep].schedule.share;
    let could = |id: i64, sweep: &SeenSweep| {
        let workers = at_work.get(&id).copied().unwrap_or(0);
        let has_room = sweep.schedule.max_workers.is_none_or(|most| workers < most);
        let is_open = sweep.is_live && !sweep.is_paused && has_room && sweep.schedule.requires.lack(offer).is_none();
        is_open
            && before.jobs.values().any(|job| {
                let is_free = job.sources.iter().all(|source| before.jobs[source].state == JobState::Done);
                // What failed before, or was begun elsewhere, may be left to another machine.
                let is_anyones = job.errors == 0 && !job.is_begun;
                let waits = job.state == JobState::Queued && job.due_at <= now && is_anyones;
                job.sweep == Some(id) && waits && is_free
            })
    };
    for (id, sweep) in before.sweeps.iter().filter(|(id, _)| **id != own) {
        let (mine, other) = (before.sweeps[&own].schedule.priority, sweep.schedule.priority);
        let comes_first = other > mine || (other == mine && load(*id) < load(own));
        must!(
            !comes_first || !could(*id, sweep),
            "job {given} of s-{own} is leased to w-{worker} before those of s-{id}"
        );
    }
    Ok(())
}
