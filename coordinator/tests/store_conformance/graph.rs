//! Claims about runs that start from other runs, and lines that end in them.

use std::collections::BTreeSet;

use transect_common::digest::ArtifactDigest;
use transect_common::job::{ErrorClass, JobState};
use transect_common::line::{Elsewhere, LineSpec};
use transect_common::run::{LayerStart, Origin, RunSpec, Source, StopRule, Tag};
use transect_common::schedule::Schedule;
use transect_common::sweep::{ExpandedRun, Expansion};
use transect_coordinator::store::{Lease, NewSweep, Retry, StoreError, Sweep, SweepState};

use crate::world::{World, artifact, checkpoint, done, epoch, expanded, failed, import, line, run, trained};

/// A run that starts from `source`, whole.
fn started(seed: u64, source: Source) -> RunSpec {
    with(run(seed), |origin| {
        if let Origin::Trained { init, .. } = origin {
            init.layers = vec![LayerStart { mask: "all".into(), source }];
        }
    })
}

/// A run that starts from another one's `tag`.
fn after(seed: u64, other: &RunSpec, tag: &str) -> RunSpec {
    started(seed, Source::Checkpoint { run: other.digest(), tag: tag.parse().unwrap() })
}

fn with(mut run: RunSpec, change: impl FnOnce(&mut Origin)) -> RunSpec {
    change(&mut run.origin);
    run
}

/// A run that keeps epoch 2 as well and may stop early.
fn stopping(seed: u64) -> RunSpec {
    with(run(seed), |origin| {
        if let Origin::Trained { train, .. } = origin {
            train.stop = Some(StopRule { accuracy: Some(0.9), loss: None });
            train.keep.insert(Tag::epoch(2));
        }
    })
}

/// A line that ends in `other`.
fn to(other: &RunSpec, mask: &str) -> LineSpec {
    LineSpec { elsewhere: Some(Elsewhere::Run { run: other.digest() }), hold: "from".parse().unwrap(), ..line(mask) }
}

fn with_lines(spec: &RunSpec, lines: Vec<LineSpec>) -> ExpandedRun {
    ExpandedRun { lines: lines.into(), ..expanded(spec.clone(), &1.into(), &[]) }
}

fn sweep_of(name: &str, runs: Vec<ExpandedRun>) -> NewSweep {
    let expansion = Expansion { name: name.to_owned(), axes: vec![], runs, schedule: Schedule::default() };
    NewSweep { file: name.to_owned(), idempotency_key: name.to_owned(), expansion }
}

/// A sweep of these runs with one whole line each.
async fn sweep(world: &World, name: &str, runs: &[&RunSpec]) -> Sweep {
    let runs = runs.iter().map(|run| with_lines(run, vec![line("all")])).collect();
    world.submit(sweep_of(name, runs)).await.unwrap().sweep
}

async fn refused(world: &World, runs: Vec<ExpandedRun>) -> String {
    let error = world.submit(sweep_of("refused", runs)).await.unwrap_err();
    assert!(matches!(error, StoreError::Invalid(_)), "{error}");
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.sweeps, counts.jobs.len()), (0, 0), "nothing is half-submitted");
    error.to_string()
}

/// Other runs' checkpoints of a lease, as (run, tag).
fn elsewhere(lease: &Lease) -> BTreeSet<(String, String)> {
    lease.elsewhere.iter().map(|(run, tag, _)| (run.to_string(), tag.to_string())).collect()
}

fn named(run: &RunSpec, tag: &str) -> (String, String) {
    (run.digest().to_string(), tag.to_owned())
}

async fn retry(world: &World, sweep: &Sweep, which: Retry) -> u64 {
    world.store.retry(sweep.id, which, world.now()).await.unwrap()
}

pub async fn a_run_waits_for_the_run_that_it_starts_from(world: World) {
    let worker = world.worker().await;
    let (first, second) = (run(0), after(1, &run(0), "final"));
    // Whichever comes first in the expansion.
    let stored = world
        .submit(sweep_of("chain", vec![with_lines(&second, vec![line("all")]), with_lines(&first, vec![])]))
        .await
        .unwrap()
        .sweep;
    assert_eq!((stored.runs, stored.jobs, stored.train_jobs), (2, 3, 2));
    let lease = world.train_next(worker).await;
    assert_eq!((lease.run, lease.elsewhere, lease.artifacts), (first.digest(), vec![], vec![]));
    let lease = world.train_next(worker).await;
    assert_eq!((&lease.run, elsewhere(&lease)), (&second.digest(), [named(&first, "final")].into()));
    assert_eq!(lease.elsewhere[0].2, artifact("final"));
    let lease = world.measure_next(worker).await;
    assert_eq!((&lease.run, elsewhere(&lease)), (&second.digest(), [].into()), "its line needs nothing else");
    assert_eq!(world.progress(&stored).await.state, SweepState::Done);
}

pub async fn nothing_is_leased_while_its_source_is_trained(world: World) {
    let worker = world.worker().await;
    sweep(&world, "chain", &[&after(1, &run(0), "init"), &run(0)]).await;
    let held = world.lease(worker).await;
    assert!(world.try_lease(worker).await.is_none(), "not even once `init` is stored: a later attempt may replace it");
    world.store_rows(worker, held.jobs[0].job, vec![checkpoint("init")]).await;
    assert!(world.try_lease(worker).await.is_none());
    world.store_rows(worker, held.jobs[0].job, trained()).await;
    assert!(world.try_lease(worker).await.is_some());
}

pub async fn lines_wait_for_the_runs_in_which_they_end(world: World) {
    let worker = world.worker().await;
    let (from, one, two) = (run(0), run(1), run(2));
    let lines = vec![to(&one, "all"), to(&two, "all"), to(&two, "conv1"), line("all")];
    let runs = vec![with_lines(&from, lines), with_lines(&one, vec![]), with_lines(&two, vec![])];
    let stored = world.submit(sweep_of("between", runs)).await.unwrap().sweep;
    world.train_next(worker).await;
    let lease = world.measure_next(worker).await;
    assert_eq!((lease.jobs.len(), elsewhere(&lease)), (1, [].into()), "the line within the run is ready first");
    world.train_next(worker).await;
    let lease = world.lease(worker).await;
    assert_eq!((lease.jobs.len(), elsewhere(&lease)), (1, [named(&one, "final")].into()));
    world.store.leave(worker, world.now()).await.unwrap();

    let worker = world.worker().await;
    let training = world.store.expire(world.now()).await.unwrap();
    assert_eq!(training, []);
    // The line that was given back goes first; the run in which the others end comes then.
    world.measure_next(worker).await;
    world.train_next(worker).await;
    let lease = world.measure_next(worker).await;
    assert_eq!((lease.jobs.len(), elsewhere(&lease)), (2, [named(&two, "final")].into()));
    assert_eq!(world.progress(&stored).await.state, SweepState::Done);

    let points = world.store.points(stored.id, None, 1000).await.unwrap().rows;
    let ends: BTreeSet<Option<String>> = points.iter().map(|point| point.line.elsewhere.clone()).collect();
    let run = |run: &RunSpec| Some(format!("run:{}", run.digest()));
    assert_eq!(ends, [None, run(&one), run(&two)].into(), "lines that end elsewhere can be told apart");
}

pub async fn lines_that_end_in_several_runs_are_leased_together(world: World) {
    let worker = world.worker().await;
    let (from, one, two) = (run(0), run(1), run(2));
    let runs = vec![
        with_lines(&one, vec![]),
        with_lines(&two, vec![]),
        with_lines(&from, vec![to(&one, "all"), to(&two, "all")]),
    ];
    world.submit(sweep_of("between", runs)).await.unwrap();
    for _ in 0..3 {
        world.train_next(worker).await;
    }
    let lease = world.measure_next(worker).await;
    assert_eq!((lease.jobs.len(), elsewhere(&lease)), (2, [named(&one, "final"), named(&two, "final")].into()));
}

/// Three runs, each from the one before, with a line each; and one that has nothing to do with them.
fn chain() -> [RunSpec; 4] {
    let first = run(0);
    let second = after(1, &first, "final");
    let third = after(2, &second, "init");
    [first, second, third, run(9)]
}

pub async fn a_failure_takes_along_all_that_waits_for_it(world: World) {
    let worker = world.worker().await;
    let [first, second, third, other] = chain();
    let sweep = sweep(&world, "chain", &[&third, &second, &first, &other]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged at step 412").await;
    world.work_it_all(worker).await;
    let stored = world.progress(&sweep).await;
    assert_eq!((stored.state, stored.failed, stored.done), (SweepState::Failed, 6, 2));
    let reason = format!("run lenet5 seed 0 ({}) failed: diverged at step 412", first.digest().short());
    for job in world.store.jobs(sweep.id, Some(JobState::Failed), None, 10).await.unwrap().rows {
        let is_source = job.run == first.digest() && job.mask.is_none();
        let expected = if is_source { "diverged at step 412" } else { reason.as_str() };
        assert_eq!(job.error.as_deref(), Some(expected), "{job:?}");
    }
    // What comes later and waits for the same run fails at once, for the same reason.
    let more = vec![
        with_lines(&first, vec![]),
        with_lines(&second, vec![]),
        with_lines(&third, vec![line("conv1")]),
        with_lines(&after(5, &third, "final"), vec![]),
    ];
    let late = world.submit(sweep_of("late", more)).await.unwrap().sweep;
    assert_eq!((late.state, late.failed), (SweepState::Failed, 5));
    assert!(world.jobs(late.id).await.iter().skip(3).all(|job| job.error.as_ref() == Some(&reason)));
}

pub async fn retrying_the_source_brings_all_of_it_back(world: World) {
    let worker = world.worker().await;
    let [first, second, third, _] = chain();
    let sweep_all = sweep(&world, "chain", &[&first, &second, &third]).await;
    let alone = sweep(&world, "alone", &[&first]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    assert_eq!(world.progress(&sweep_all).await.failed, 6);
    assert_eq!(retry(&world, &alone, Retry::default()).await, 2, "of its own");
    assert_eq!(world.progress(&sweep_all).await.queued, 6, "and in the other sweep all that waits for it");
    assert!(world.jobs(sweep_all.id).await.iter().all(|job| job.error.is_none()));
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep_all).await.state, SweepState::Done);
}

pub async fn what_waits_for_two_failures_waits_for_both_retries(world: World) {
    let worker = world.worker().await;
    let (one, two) = (run(0), run(1));
    let both = with(after(2, &one, "final"), |origin| {
        if let Origin::Trained { init, .. } = origin {
            let source = Source::Checkpoint { run: two.digest(), tag: Tag::init() };
            init.layers.push(LayerStart { mask: "fc1".into(), source });
        }
    });
    let sweep_all = sweep(&world, "all", &[&one, &two, &both]).await;
    let left = sweep(&world, "one", &[&one]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    world.fail_next(worker, ErrorClass::Run, "the data are wrong").await;
    assert_eq!(world.progress(&sweep_all).await.failed, 6);
    assert_eq!(retry(&world, &left, Retry::default()).await, 2);
    let stored = world.progress(&sweep_all).await;
    assert_eq!((stored.queued, stored.failed), (2, 4), "nothing waits for what will not come");
    let error = world.jobs(sweep_all.id).await.pop().unwrap().error.unwrap();
    assert!(error.contains("seed 1") && error.ends_with("failed: the data are wrong"), "{error}");
    assert_eq!(retry(&world, &sweep_all, Retry::default()).await, 4);
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&sweep_all).await.state, SweepState::Done);
}

pub async fn a_chain_is_cancelled_together_but_for_what_others_need(world: World) {
    let worker = world.worker().await;
    let [first, second, third, _] = chain();
    let all = sweep(&world, "chain", &[&first, &second, &third]).await;
    let other = sweep(&world, "other", &[&second, &first]).await;
    assert_eq!(world.store.cancel(all.id, world.now()).await.unwrap(), 2, "the third run and its line");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&other).await.state, SweepState::Done);
    assert_eq!(world.progress(&all).await.cancelled, 2);
    let [a, b] = [run(20), after(21, &run(20), "final")];
    let lonely = sweep(&world, "lonely", &[&a, &b]).await;
    assert_eq!(world.store.cancel(lonely.id, world.now()).await.unwrap(), 4);
    assert!(world.try_lease(worker).await.is_none());
    // Submitted again, all of it is queued again, in order.
    let again = sweep(&world, "again", &[&b, &a]).await;
    assert_eq!(again.queued, 4);
    assert_eq!(world.train_next(worker).await.run, a.digest());
}

pub async fn a_stored_source_need_not_be_listed(world: World) {
    let worker = world.worker().await;
    let [first, second, third, _] = chain();
    let listed = sweep(&world, "listed", &[&first, &second]).await;
    // The third needs the second, and through it the first: this sweep keeps both alive.
    let unlisted = sweep(&world, "unlisted", &[&third]).await;
    assert_eq!((unlisted.runs, unlisted.jobs, unlisted.train_jobs), (1, 4, 3));
    assert_eq!(world.store.cancel(listed.id, world.now()).await.unwrap(), 2, "the lines that nobody else needs");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&unlisted).await.state, SweepState::Done);
    // What is trained is waited for no longer.
    let fourth = after(4, &second, "init");
    sweep(&world, "later", &[&fourth]).await;
    let lease = world.train_next(worker).await;
    assert_eq!((&lease.run, elsewhere(&lease)), (&fourth.digest(), [named(&second, "init")].into()));
}

pub async fn a_source_that_was_cancelled_is_queued_again(world: World) {
    let worker = world.worker().await;
    let [first, second, ..] = chain();
    let old = sweep(&world, "old", &[&first]).await;
    world.store.cancel(old.id, world.now()).await.unwrap();
    let new = sweep(&world, "new", &[&second]).await;
    assert_eq!((new.state, new.queued), (SweepState::Running, 3));
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&new).await.state, SweepState::Done);
}

pub async fn retrying_brings_cancelled_sources_of_what_failed_back(world: World) {
    let worker = world.worker().await;
    let (one, two) = (run(0), run(1));
    let both = with(after(2, &one, "final"), |origin| {
        if let Origin::Trained { init, .. } = origin {
            let source = Source::Checkpoint { run: two.digest(), tag: Tag::init() };
            init.layers.push(LayerStart { mask: "fc1".into(), source });
        }
    });
    let runs = [&one, &two, &both].map(|run| with_lines(run, vec![])).to_vec();
    let stored = world.submit(sweep_of("all", runs)).await.unwrap().sweep;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    assert_eq!(world.store.cancel(stored.id, world.now()).await.unwrap(), 1, "the second source");
    assert_eq!(retry(&world, &stored, Retry::default()).await, 3, "nobody waits for what was cancelled");
    world.work_it_all(worker).await;
    assert_eq!(world.progress(&stored).await.state, SweepState::Done);
}

pub async fn what_is_needed_must_be_there(world: World) {
    let unknown = after(1, &run(0), "final");
    let message = refused(&world, vec![with_lines(&unknown, vec![])]).await;
    let (this, that) = (unknown.digest(), run(0).digest());
    assert_eq!(
        message,
        format!(
            "run {} starts from checkpoint `final` of run {}, which is neither in the sweep nor in the store; add that \
             run to the sweep",
            this.short(),
            that.short()
        )
    );
    let message = refused(&world, vec![with_lines(&run(1), vec![to(&run(0), "all")])]).await;
    assert!(message.contains("has a line that ends in checkpoint `final` of run"), "{message}");
    let early = after(1, &run(0), "epoch-1");
    let message = refused(&world, vec![with_lines(&early, vec![]), with_lines(&run(0), vec![])]).await;
    assert!(message.ends_with("which keeps init, final; have it keep `epoch-1`, or name another"), "{message}");

    world.sweep("stored", &[0], &[]).await;
    let error = world.submit(sweep_of("refused", vec![with_lines(&early, vec![])])).await.unwrap_err().to_string();
    assert!(error.ends_with("which keeps init, final; have it keep `epoch-1`, or name another"), "{error}");
}

pub async fn imported_files_are_handed_out_once_they_are_known(world: World) {
    let worker = world.worker().await;
    let import = import("mine");
    let file: ArtifactDigest = import.checkpoints[&Tag::last()].0.clone();
    let spec = started(1, Source::Artifact { artifact: file.clone() });
    let message = refused(&world, vec![with_lines(&spec, vec![])]).await;
    assert!(
        message.contains("starts from file") && message.contains("import it first (`transect import`)"),
        "{message}"
    );
    world.store.import(import, world.now()).await.unwrap();
    sweep(&world, "tuned", &[&spec]).await;
    let lease = world.train_next(worker).await;
    assert_eq!((lease.artifacts, lease.elsewhere), (vec![file], vec![]));
    assert_eq!(world.measure_next(worker).await.artifacts, vec![], "the line needs the run's own checkpoints only");
}

pub async fn training_that_stops_early_fails_what_needs_the_rest(world: World) {
    let worker = world.worker().await;
    let early = stopping(0);
    let next = after(1, &early, "epoch-2");
    let beyond = after(2, &next, "final");
    let middle = LineSpec { from: Tag::epoch(2), ..line("all") };
    let runs = vec![
        with_lines(&early, vec![line("all"), middle.clone(), to(&next, "conv1")]),
        with_lines(&next, vec![line("all")]),
        with_lines(&beyond, vec![]),
    ];
    let stored = world.submit(sweep_of("early", runs)).await.unwrap().sweep;
    let job = world.lease(worker).await.jobs[0].job;
    let test = transect_common::data::Split::Test;
    world.store_rows(worker, job, vec![checkpoint("init"), epoch(0, test), epoch(1, test)]).await;
    let (_, message) = world.refused(worker, job, done()).await;
    assert!(message.contains("checkpoint final is not stored"), "{message}");
    world.store_rows(worker, job, vec![checkpoint("final"), done()]).await;

    let reason = format!(
        "run lenet5 seed 0 ({}) has no checkpoint `epoch-2`: its training stopped early, after epoch 1",
        early.digest().short()
    );
    let failed = world.store.jobs(stored.id, Some(JobState::Failed), None, 10).await.unwrap().rows;
    let told: Vec<bool> = failed.iter().map(|job| job.error.as_ref().unwrap().ends_with(&reason)).collect();
    assert_eq!(told, [true; 5], "a line, the run that starts there, and what waits for that: {failed:?}");
    world.work_it_all(worker).await;
    let progress = world.progress(&stored).await;
    assert_eq!((progress.state, progress.done, progress.failed), (SweepState::Failed, 2, 5));
    // Neither another sweep nor a retry waits for what never comes.
    let late = vec![with_lines(&early, vec![LineSpec { to: Tag::epoch(2), ..line("fc1") }])];
    let late = world.submit(sweep_of("late", late)).await.unwrap().sweep;
    assert_eq!((late.failed, late.queued), (1, 0));
    assert_eq!(retry(&world, &stored, Retry::default()).await, 0);
    assert_eq!(world.progress(&stored).await.failed, 5);
}

pub async fn a_source_that_loses_its_lease_too_often_fails_the_same_way(world: World) {
    let worker = world.worker().await;
    let [first, second, ..] = chain();
    let stored = sweep(&world, "chain", &[&first, &second]).await;
    for _ in 0..crate::world::MAX_ATTEMPTS {
        let job = world.lease(worker).await.jobs[0].job;
        world.store_rows(worker, job, vec![failed(ErrorClass::Machine, "out of memory")]).await;
        world.wait(60);
    }
    assert_eq!(world.progress(&stored).await.failed, 4);
    let only = Retry { machine_errors_only: true, cancelled: false };
    assert_eq!(retry(&world, &stored, only).await, 4);
}
