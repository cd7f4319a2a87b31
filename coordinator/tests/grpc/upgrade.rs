//! A coordinator is replaced by a newer one while a sweep is being worked on. `half_done.sql` is the database of the version
//! before sweeps had priorities (migrations 1 to 3), as SIGKILL left it: of three runs one is trained, of its two lines, both
//! leased to worker w-1, one is partly measured.

use sqlx::Executor as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use transect_common::pb;
use transect_common::pb::report_request::Row;
use transect_coordinator::start;

use crate::harness::{Server, Worker, config, connect};

const ALPHAS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// The loss of the first point, as it was measured before.
const KEPT: f64 = 0.682_090_898_888_746;

/// The newer coordinator on the older one's home.
async fn upgraded() -> Server {
    let home = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new().filename(home.path().join("transect.db")).create_if_missing(true);
    let database = SqlitePool::connect_with(options).await.unwrap();
    database.execute(include_str!("half_done.sql")).await.unwrap();
    database.close().await;
    let coordinator = start(config(home.path())).await.unwrap();
    let channel = connect(coordinator.address()).await;
    Server { home, coordinator, channel }
}

/// A line job as its holder ends it, with losses that tell these points from those of before.
fn measured(job: pb::JobAttempt) -> Vec<(pb::JobAttempt, Row)> {
    let point = |split: &str, index: usize| {
        let (split, alpha) = (split.to_owned(), ALPHAS[index]);
        Row::Point(pb::PointRow { split, index: index as u32, alpha, loss: 7.0, accuracy: 0.5, count: 50 })
    };
    let points =
        ["test", "train"].into_iter().flat_map(|split| (0..ALPHAS.len()).map(move |index| point(split, index)));
    let done = Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 });
    points.chain([done]).map(|row| (job, row)).collect()
}

async fn losses(server: &Server) -> Vec<f64> {
    let request = pb::ResultsRequest { sweep: "half-done".to_owned() };
    let mut pages = server.sweeps().results(request).await.unwrap().into_inner();
    let mut losses = vec![];
    while let Some(page) = pages.message().await.unwrap() {
        losses.extend(page.points.into_iter().map(|point| point.loss));
    }
    losses
}

#[tokio::test]
async fn what_was_begun_under_an_older_version_is_finished_by_who_began_it() {
    let server = upgraded().await;
    let before = server.sweep("half-done").await;
    assert_eq!((before.state.as_str(), before.done, before.leased, before.queued), ("running", 1, 2, 6));
    assert_eq!((before.points, before.points_expected, before.priority, before.share), (4, 60, 0, 1.0));

    // An older worker knows neither labels nor an environment, nor any other field that came later.
    let mut worker = Worker::known(server.channel.clone(), "w-1".to_owned());
    let held = [4, 5].map(|job_id| pb::JobAttempt { job_id, attempt: 1 });
    for job in held {
        assert!(worker.heartbeat(job, "").await.is_empty(), "its leases are extended when the coordinator starts");
    }
    for job in held {
        let answer = worker.report(measured(job)).await;
        assert_eq!(answer.refused, [], "stored {}", answer.stored);
    }
    worker.finish_all().await;

    let after = server.sweep("half-done").await;
    assert_eq!((after.state.as_str(), after.done, after.points), ("done", 9, 60));
    let losses = losses(&server).await;
    assert_eq!(losses.iter().filter(|loss| **loss == 7.0).count(), 16, "what was measured before is not written again");
    assert!(losses.iter().any(|loss| (loss - KEPT).abs() < 1e-12), "{losses:?}");
}

#[tokio::test]
async fn what_was_begun_under_an_older_version_can_be_held_back_given_away_and_changed() {
    let server = upgraded().await;
    let mut worker = Worker::known(server.channel.clone(), "w-1".to_owned());
    assert_eq!(worker.leave().await, 2, "both leases are given back");
    let sweep = || "half-done".to_owned();
    server.sweeps().pause(pb::PauseRequest { sweep: sweep() }).await.unwrap();
    let mut newer = Worker::register(server.channel.clone()).await;
    assert_eq!(newer.lease(10).await.jobs, []);
    server.sweeps().resume(pb::ResumeRequest { sweep: sweep() }).await.unwrap();
    let adjust = pb::AdjustRequest { sweep: sweep(), priority: Some(4), max_workers: Some(1), ..Default::default() };
    server.sweeps().adjust(adjust).await.unwrap();
    newer.finish_all().await;
    let after = server.sweep("half-done").await;
    assert_eq!((after.state.as_str(), after.points, after.priority), ("done", 60, 4));
}
