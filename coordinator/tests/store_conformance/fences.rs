//! Claims about reports: what is stored, what is refused, and why.

use futures::future::join_all;
use transect_common::data::Split;
use transect_common::job::{ErrorClass, JobState};
use transect_coordinator::store::{
    Attempt, CheckpointsOf, JobAttempt, JobId, Point, RefusalReason, ReportRow, Reported, Row, StoreError, SweepState,
    WorkerId,
};

use crate::world::{
    LEASE_SECONDS, World, artifact, checkpoint, done, epoch, failed, measured, point, point_with, run, trained,
};

/// A leased line of a trained run, and its worker.
async fn leased_line(world: &World) -> (WorkerId, transect_coordinator::store::LeasedJob) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    (worker, world.lease(worker).await.jobs.remove(0))
}

const SWEEP: transect_coordinator::store::SweepId = transect_coordinator::store::SweepId(1);

pub async fn a_stale_attempt_cannot_write(world: World) {
    let (slow, first) = leased_line(&world).await;
    world.wait(LEASE_SECONDS);
    world.store.expire(world.now()).await.unwrap();
    let (reason, message) = world.refused(slow, first.job, point(Split::Test, 0)).await;
    assert_eq!((reason, message.as_str()), (RefusalReason::Stale, "attempt 1 of job 2 has ended: the job is queued"));
    let other = world.worker().await;
    let second = world.lease(other).await.jobs.remove(0);
    for row in [point(Split::Test, 0), done(), failed(ErrorClass::Run, "late")] {
        let (reason, message) = world.refused(slow, first.job, row).await;
        assert_eq!(reason, RefusalReason::Stale);
        assert_eq!(message, "attempt 1 of job 2 has ended: it is at attempt 2, and leased");
    }
    world.store_rows(other, second.job, measured(&second)).await;
    assert_eq!(world.store.sweep(SWEEP).await.unwrap().state, SweepState::Done);
}

pub async fn a_job_that_was_never_leased_cannot_be_written(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    let line = world.jobs(sweep.id).await[1].id;
    for attempt in [0, 1] {
        let job = JobAttempt { job: line, attempt: Attempt(attempt) };
        let (reason, _) = world.refused(worker, job, point(Split::Test, 0)).await;
        assert_eq!(reason, RefusalReason::Stale);
    }
    let nobody = JobAttempt { job: JobId(999), attempt: Attempt(1) };
    let (reason, message) = world.refused(worker, nobody, point(Split::Test, 0)).await;
    assert_eq!((reason, message.as_str()), (RefusalReason::Unknown, "there is no job 999"));
    assert_eq!(world.store.counts().await.unwrap().points, 0);
}

pub async fn a_row_sent_twice_is_stored_once(world: World) {
    let (worker, job) = leased_line(&world).await;
    let rows = || vec![point(Split::Test, 0), point(Split::Test, 0), point(Split::Test, 1)];
    world.store_rows(worker, job.job, rows()).await;
    world.store_rows(worker, job.job, rows()).await;
    assert_eq!(world.store.counts().await.unwrap().points, 2);
    assert_eq!(world.store.points(SWEEP, None, 10).await.unwrap().rows.len(), 2);
}

pub async fn reports_that_come_at_once_are_judged_each_by_itself(world: World) {
    let trainer = world.worker().await;
    let sweep = world.sweep("first", &[0, 1, 2, 3], &["all"]).await;
    let mut held = vec![];
    for _ in 0..4 {
        world.train_next(trainer).await;
        let worker = world.worker().await;
        held.push((worker, world.lease(worker).await.jobs.remove(0)));
    }
    let own = join_all(held.iter().map(|(worker, job)| world.report(*worker, job.job, measured(job))));
    let anothers = world.report(held[0].0, held[1].1.job, vec![point(Split::Test, 0)]);
    let row = ReportRow { place: 0, job: held[2].1.job, row: done() };
    let strangers = world.store.report(WorkerId(999), vec![row], world.now());
    let (own, anothers, strangers) = tokio::join!(own, anothers, strangers);
    assert!(own.iter().all(|answer| answer.refused.is_empty()), "{own:?}");
    assert_eq!(anothers.refused.first().map(|refusal| refusal.reason), Some(RefusalReason::Stale));
    assert!(matches!(strangers, Err(StoreError::NotFound { .. })), "{strangers:?}");
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
}

pub async fn a_report_whose_answer_was_lost_may_be_sent_again(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all", "conv1"]).await;
    let training = world.train_next(worker).await.jobs.remove(0);
    world.store_rows(worker, training.job, trained()).await;
    let lease = world.lease(worker).await;
    let (good, bad) = (&lease.jobs[0], &lease.jobs[1]);
    for _ in 0..2 {
        world.store_rows(worker, good.job, measured(good)).await;
        let rows = vec![point(Split::Test, 0), failed(ErrorClass::Machine, "killed by signal 9")];
        world.store_rows(worker, bad.job, rows).await;
    }
    let jobs = world.jobs(SWEEP).await;
    assert_eq!(jobs[2].errors.len(), 1, "the failure counts once");
    assert_eq!(world.store.counts().await.unwrap().points, 7);
    let (reason, _) = world.refused(worker, bad.job, point(Split::Test, 1)).await;
    assert_eq!(reason, RefusalReason::Stale, "what is new is refused");
}

pub async fn what_cannot_be_true_is_refused_by_itself(world: World) {
    let (worker, job) = leased_line(&world).await;
    let off_grid =
        Row::Point(Point { split: Split::Test, index: 1, alpha: 0.100_000_1, loss: 1.0, accuracy: 0.5, count: 10 });
    let answer = world
        .report(worker, job.job, vec![point(Split::Test, 0), off_grid, point(Split::Test, 3), point(Split::Train, 2)])
        .await;
    let refused: Vec<_> = answer.refused.iter().map(|r| (r.place, r.reason, r.message.as_str())).collect();
    assert_eq!(
        refused,
        [
            (1, RefusalReason::Invalid, "alpha 0.1000001 is not on the grid: index 1 is 0.1"),
            (2, RefusalReason::Invalid, "index 3 is outside the grid of 3 alphas"),
        ]
    );
    assert_eq!((answer.stored, world.store.counts().await.unwrap().points), (2, 2), "the others are stored");
}

pub async fn a_line_is_not_done_before_its_last_point(world: World) {
    let (worker, job) = leased_line(&world).await;
    let mut rows = measured(&job);
    rows.remove(3);
    let answer = world.report(worker, job.job, rows).await;
    assert_eq!((answer.stored, answer.refused[0].reason), (5, RefusalReason::Invalid));
    assert_eq!(answer.refused[0].message, "not complete: some of its points are not stored");
    assert_eq!(world.job(SWEEP, &job).await.state, JobState::Leased);
    world.store_rows(worker, job.job, vec![point(Split::Test, 0), done()]).await;
    let finished = world.job(SWEEP, &job).await;
    assert_eq!((finished.state, finished.finished_at), (JobState::Done, Some(world.now())));
}

pub async fn training_is_not_done_before_its_last_checkpoint(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    let job = world.lease(worker).await.jobs.remove(0);
    let rows = vec![checkpoint("init"), epoch(0, Split::Test), checkpoint("epoch-1"), done()];
    let answer = world.report(worker, job.job, rows).await;
    let refused: Vec<_> = answer.refused.iter().map(|r| (r.place, r.message.as_str())).collect();
    assert_eq!(
        refused,
        [
            (2, "checkpoint `epoch-1` is not one that this run keeps (init, final)"),
            (3, "not complete: checkpoint final is not stored"),
        ]
    );
    world.store_rows(worker, job.job, vec![checkpoint("final"), done()]).await;
    assert_eq!(world.job(SWEEP, &job).await.state, JobState::Done);
}

pub async fn losses_that_are_not_finite_survive(world: World) {
    let (worker, job) = leased_line(&world).await;
    let losses = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
    let rows = (0..).zip(losses).map(|(index, loss)| point_with(Split::Test, index, loss)).collect();
    world.store_rows(worker, job.job, rows).await;
    world
        .store_rows(worker, job.job, (0..3).map(|i| point_with(Split::Train, i, f64::MAX)).chain([done()]).collect())
        .await;
    let stored: Vec<f64> = world.store.points(SWEEP, None, 10).await.unwrap().rows.iter().map(|p| p.loss).collect();
    assert_eq!(stored[..2], losses[..2]);
    assert!(stored[2].is_nan());
    assert_eq!(stored[3..], [f64::MAX; 3]);
}

pub async fn numbers_of_every_size_survive_to_the_last_bit(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all"]).await;
    world.train_next(worker).await;
    let job = world.lease(worker).await.jobs.remove(0);
    // Among them some that SQLite reads wrongly from their decimal digits.
    let losses = [
        7.268_983_611_650_721e-232,
        -2.520_967_059_130_699_6e-166,
        4.303_521_053_315_613e306,
        0.1 + 0.2,
        5e-324,
        f64::MAX,
    ];
    let places = [Split::Test, Split::Train].into_iter().flat_map(|split| (0..3).map(move |place| (split, place)));
    let rows = places.zip(losses).map(|((split, place), loss)| point_with(split, place, loss));
    let measure = Row::Measure { name: "distance".into(), split: None, value: -2.520_967_059_130_699_6e-166 };
    world.store_rows(worker, job.job, rows.chain([measure, done()]).collect()).await;
    let stored = world.store.points(sweep.id, None, 10).await.unwrap().rows;
    assert_eq!(stored.iter().map(|point| point.loss).collect::<Vec<_>>(), losses);
    let stored = world.store.measures(sweep.id, None, 10).await.unwrap().rows;
    assert_eq!(stored[0].value, -2.520_967_059_130_699_6e-166);
}

pub async fn rows_around_an_end_are_judged_in_their_order(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0], &["all", "conv1"]).await;
    world.train_next(worker).await;
    let jobs = world.lease(worker).await.jobs;
    let mut all = measured(&jobs[0]);
    let last = all.remove(5);
    // Five points and too early an end; the last point, the end, what was stored before, and what comes too late.
    let rows: Vec<_> = all.into_iter().chain([last.clone(), done(), last, failed(ErrorClass::Run, "late")]).collect();
    assert_eq!(rows.len(), 10);
    let rows = rows
        .into_iter()
        .map(|row| (jobs[0].job, row))
        .chain(measured(&jobs[1]).into_iter().map(|row| (jobs[1].job, row)));
    let rows = rows.enumerate().map(|(place, (job, row))| ReportRow { place: place as u64, job, row }).collect();
    let answer = world.store.report(worker, rows, world.now()).await.unwrap();
    let refused: Vec<_> = answer.refused.iter().map(|refusal| (refusal.place, refusal.reason)).collect();
    assert_eq!(refused, [(5, RefusalReason::Invalid), (9, RefusalReason::Stale)], "{answer:?}");
    assert_eq!(world.progress(&sweep).await.state, SweepState::Done);
}

pub async fn rows_after_the_end_are_refused(world: World) {
    let (worker, job) = leased_line(&world).await;
    let mut rows = measured(&job);
    rows.push(failed(ErrorClass::Run, "after the end"));
    let answer = world.report(worker, job.job, rows).await;
    assert_eq!((answer.stored, answer.refused.len()), (7, 1));
    assert_eq!(answer.refused[0].reason, RefusalReason::Stale);
    assert_eq!(world.job(SWEEP, &job).await.state, JobState::Done);
    assert_eq!(world.report(worker, job.job, vec![]).await, Reported::default(), "an empty report is no error");
}

pub async fn a_later_attempt_at_training_replaces_what_an_earlier_one_wrote(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0], &["all"]).await;
    let first = world.lease(worker).await.jobs[0].job;
    let other = Row::Checkpoint { tag: "init".parse().unwrap(), artifact: artifact("other"), bytes: 1 };
    world.store_rows(worker, first, vec![other, epoch(0, Split::Test), failed(ErrorClass::Machine, "gone")]).await;
    world.wait(2);
    world.train_next(worker).await;
    let stored = world.store.checkpoints(&CheckpointsOf::Run(run(0).digest().to_string())).await.unwrap();
    assert_eq!(stored.iter().map(|c| c.artifact.clone()).collect::<Vec<_>>(), [artifact("init"), artifact("final")]);
    assert_eq!(world.store.curves(SWEEP, None, 100).await.unwrap().rows.len(), 6);
}
