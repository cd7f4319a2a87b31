//! Claims about reading.

use transect_common::data::Split;
use transect_common::job::{ErrorClass, JobKind, JobState};
use transect_coordinator::store::{CheckpointsOf, JobProgress, StoreError, SweepState};

use crate::world::{ALPHAS, POINTS, World, artifact, checkpoint, line, point, run, sweep};

pub async fn progress_counts_what_there_is(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0, 1, 2], &["all", "conv1"]).await;
    world.fail_next(worker, ErrorClass::Run, "diverged").await;
    world.train_next(worker).await;
    let lines = world.try_lease_up_to(worker, 1).await.unwrap();
    world.store_rows(worker, lines.jobs[0].job, vec![point(Split::Test, 0)]).await;
    let stored = world.progress(&first).await;
    assert_eq!((stored.queued, stored.leased, stored.done, stored.failed, stored.cancelled), (4, 1, 1, 3, 0));
    assert_eq!((stored.points, stored.points_expected), (1, 6 * POINTS));
    assert_eq!((stored.train_jobs, stored.train_done, stored.state), (3, 1, SweepState::Running));
}

pub async fn a_sweep_whose_jobs_were_all_done_is_done(world: World) {
    world.sweep("first", &[0], &["all"]).await;
    world.work_it_all(world.worker().await).await;
    world.wait(100);
    let second = world.sweep("second", &[0], &["all"]).await;
    assert_eq!((second.state, second.points), (SweepState::Done, POINTS));
    assert_eq!(second.finished_at, Some(second.submitted_at), "it cannot have ended before it came");
}

pub async fn points_come_in_order_and_page_by_page(world: World) {
    let worker = world.worker().await;
    world.sweep("other", &[2], &["conv1"]).await;
    let sweep = world.sweep("first", &[2, 1], &["conv1", "all"]).await;
    world.work_it_all(worker).await;
    let all = world.store.points(sweep.id, None, 1000).await.unwrap();
    assert_eq!((all.rows.len() as u64, all.next), (4 * POINTS, None));
    let mut expected = vec![];
    for seed in [2, 1] {
        for mask in ["conv1", "all"] {
            for split in [Split::Test, Split::Train] {
                expected.extend(ALPHAS.map(|alpha| (Some(seed), mask.to_owned(), split, alpha)));
            }
        }
    }
    let found: Vec<_> = all.rows.iter().map(|p| (p.line.run.seed, p.line.mask.clone(), p.split, p.alpha)).collect();
    assert_eq!(found, expected);
    assert_eq!(all.rows[0].line.run.settings, r#"{"train.seed":2}"#);
    assert_eq!(
        (all.rows[0].line.from.as_str(), all.rows[0].line.to.as_str(), all.rows[0].line.hold.as_str()),
        ("init", "final", "final")
    );
    assert_eq!((all.rows[0].line.batch_norm.as_str(), all.rows[0].count), ("none", 1000));
    for size in [1, 5, 24] {
        let (mut paged, mut after) = (vec![], None);
        loop {
            let page = world.store.points(sweep.id, after, size).await.unwrap();
            assert!(page.rows.len() <= size as usize);
            paged.extend(page.rows);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all.rows, "pages of {size}");
    }
}

pub async fn curves_come_in_order_and_page_by_page(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[2, 1], &["all"]).await;
    world.work_it_all(worker).await;
    let all = world.store.curves(sweep.id, None, 1000).await.unwrap().rows;
    let found: Vec<_> = all.iter().map(|c| (c.label.seed, c.epoch.epoch, c.epoch.split)).collect();
    let of = |seed| (0..3).flat_map(move |epoch| [(Some(seed), epoch, Split::Test), (Some(seed), epoch, Split::Train)]);
    assert_eq!(found, of(2).chain(of(1)).collect::<Vec<_>>());
    let first = world.store.curves(sweep.id, None, 5).await.unwrap();
    let second = world.store.curves(sweep.id, first.next, 1000).await.unwrap();
    assert_eq!([first.rows, second.rows].concat(), all);
}

pub async fn jobs_come_by_id_and_page_by_page(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[0, 1], &["all"]).await;
    world.fail_next(worker, ErrorClass::Machine, "killed").await;
    let all = world.jobs(sweep.id).await;
    assert!(all.is_sorted_by_key(|job| job.id));
    assert_eq!((all[0].kind, all[0].mask.as_deref(), all[0].seed), (JobKind::Train, None, Some(0)));
    assert_eq!(all[3].mask.as_deref(), Some("all"));
    assert_eq!(all[0].errors[0].message, "killed");
    let first = world.store.jobs(sweep.id, None, None, 3).await.unwrap();
    let second = world.store.jobs(sweep.id, None, first.next, 3).await.unwrap();
    assert_eq!((second.next, [first.rows, second.rows].concat()), (None, all));
    let done = world.store.jobs(sweep.id, Some(JobState::Done), None, 10).await.unwrap();
    assert!(done.rows.is_empty());
}

pub async fn sweeps_come_newest_first_and_page_by_page(world: World) {
    for number in 0..5 {
        world.sweep(&format!("sweep-{number}"), &[number], &["all"]).await;
    }
    let first = world.store.sweeps(None, 3).await.unwrap();
    let second = world.store.sweeps(first.next, 3).await.unwrap();
    assert_eq!(second.next, None);
    let names: Vec<_> = first.rows.iter().chain(&second.rows).map(|sweep| sweep.name.as_str()).collect();
    assert_eq!(names, ["sweep-4", "sweep-3", "sweep-2", "sweep-1", "sweep-0"]);
}

pub async fn sweeps_at_work_are_those_with_something_left_to_do(world: World) {
    let worker = world.worker().await;
    let (finished, paused, running) = (
        world.sweep("finished", &[0], &["all"]).await,
        world.sweep("paused", &[1], &["all"]).await,
        world.sweep("running", &[2], &["all"]).await,
    );
    let cancelled = world.sweep("cancelled", &[3], &["all"]).await;
    world.store.pause(paused.id, world.now()).await.unwrap();
    world.store.cancel(cancelled.id, world.now()).await.unwrap();
    world.train_next(worker).await;
    world.measure_next(worker).await;
    assert_eq!(world.progress(&finished).await.state, SweepState::Done);
    for books in ["open", "closed"] {
        let found: Vec<_> =
            world.store.sweeps_at_work().await.unwrap().into_iter().map(|sweep| (sweep.id, sweep.state)).collect();
        let expected = [(paused.id, SweepState::Paused), (running.id, SweepState::Running)];
        assert_eq!(found, expected, "with {books} books");
        world.store.roll_up(world.now()).await.unwrap();
    }
}

pub async fn checkpoints_come_by_run_and_moment(world: World) {
    let worker = world.worker().await;
    let sweep = world.sweep("first", &[5, 3], &["all"]).await;
    let lease = world.lease(worker).await;
    world.store_rows(worker, lease.jobs[0].job, vec![checkpoint("final"), checkpoint("init")]).await;
    world.train_next(worker).await;
    let found = world.store.checkpoints(&CheckpointsOf::Sweep(sweep.id)).await.unwrap();
    let rows: Vec<_> = found.iter().map(|c| (c.seed, c.tag.as_str(), c.bytes)).collect();
    assert_eq!(rows, [(Some(5), "init", 99), (Some(5), "final", 99), (Some(3), "init", 99), (Some(3), "final", 99)]);
    let digest = run(3).digest();
    let by_prefix = CheckpointsOf::Run(digest.as_str()[..8].to_owned());
    assert_eq!(world.store.checkpoints(&by_prefix).await.unwrap()[0].run, Some(digest));
    for (prefix, what) in [("abc", "invalid"), ("ABCDEF", "invalid"), ("%%%%%%", "invalid"), ("000000", "unknown")] {
        let error = world.store.checkpoints(&CheckpointsOf::Run(prefix.into())).await.unwrap_err();
        let is_right = match what {
            "invalid" => matches!(error, StoreError::Invalid(_)),
            _ => matches!(error, StoreError::NotFound { what: "run", .. }),
        };
        assert!(is_right, "{prefix}: {error}");
    }
    assert_eq!(world.store.artifacts().await.unwrap(), [artifact("init"), artifact("final")].into());
    let asked = [artifact("init"), artifact("never stored")];
    assert_eq!(world.store.named_artifacts(&asked).await.unwrap(), [artifact("init")].into());
    assert!(world.store.named_artifacts(&[]).await.unwrap().is_empty());
}

pub async fn what_is_done_can_be_asked_for(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0, 1], &["all", "conv1"]).await;
    world.train_next(worker).await;
    let lease = world.try_lease_up_to(worker, 1).await.unwrap();
    world.store_rows(worker, lease.jobs[0].job, crate::world::measured(&lease.jobs[0])).await;
    let runs = [0, 1, 2].map(|seed| run(seed).digest());
    assert_eq!(world.store.trained(&runs).await.unwrap(), [run(0).digest()].into());
    let lines = ["all", "conv1", "fc1"].map(|mask| (run(0).digest(), line(mask).digest()));
    assert_eq!(world.store.measured(&lines).await.unwrap(), [lines[0].clone()].into());
    assert!(world.store.trained(&[]).await.unwrap().is_empty());
}

pub async fn activity_shows_leased_training(world: World) {
    let worker = world.worker().await;
    let first = world.sweep("first", &[0, 1], &["all"]).await;
    let other = world.submit(sweep("other", &[7], &["all"])).await.unwrap().sweep;
    let job = world.lease(worker).await.jobs[0].job;
    let beat = JobProgress { job, fraction: 0.25, text: "epoch 1 of 4".into() };
    world.store.heartbeat(worker, &[beat], false, world.now()).await.unwrap();
    let activity = world.store.activity(first.id).await.unwrap();
    assert_eq!(activity.len(), 1);
    let now = &activity[0];
    assert_eq!(
        (now.job, now.worker.as_str(), now.model.as_str(), now.seed),
        (job.job, "host/cpu/7", "lenet5", Some(0))
    );
    assert_eq!((now.text.as_str(), now.fraction), ("epoch 1 of 4", 0.25));
    assert!(world.store.activity(other.id).await.unwrap().is_empty());
}

pub async fn counts_are_kept_for_metrics(world: World) {
    let worker = world.worker().await;
    world.sweep("first", &[0, 1], &["all"]).await;
    world.train_next(worker).await;
    world.measure_next(worker).await;
    world.store.ping().await.unwrap();
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.sweeps, counts.points, counts.workers), (1, POINTS, 1));
    assert_eq!(
        counts.jobs,
        [
            ((JobKind::Train, JobState::Queued), 1),
            ((JobKind::Train, JobState::Done), 1),
            ((JobKind::Line, JobState::Queued), 1),
            ((JobKind::Line, JobState::Done), 1),
        ]
        .into()
    );
}
