//! Leases, signs of life and reports over the wire.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt as _;
use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::pb::report_request::Row;
use transect_common::run::RunSpec;
use transect_coordinator::Config;

use crate::harness::{SMALL, Server, Worker, attempt, epoch, line_points, until};

#[tokio::test]
async fn a_worker_trains_every_run_then_walks_its_lines() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(10).await;
    assert_eq!(lease.jobs.len(), 1);
    assert_eq!(lease.jobs[0].line_spec, "");
    assert_eq!(RunSpec::from_canonical(&lease.run_spec).unwrap().digest().as_str(), lease.run);
    worker.finish(&lease).await;

    let lines = worker.lease(10).await;
    assert_eq!((lines.run.as_str(), lines.jobs.len()), (lease.run.as_str(), 1));
    assert_eq!(lines.checkpoints.iter().map(|c| c.tag.as_str()).collect::<Vec<_>>(), ["init", "final"]);
    worker.finish(&lines).await;
    worker.finish_all().await;

    let sweep = server.sweep(&sweep).await;
    assert_eq!((sweep.state.as_str(), sweep.done, sweep.train_done, sweep.points), ("done", 4, 2, 6));
    let workers = server.sweeps().workers(pb::WorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!((workers.len(), workers[0].state.as_str(), workers[0].done), (1, "live", 4));
    assert_eq!(workers[0].info.as_ref().unwrap().host, "here");
    assert_eq!(worker.leave().await, 0);
    let workers = server.sweeps().workers(pb::WorkersRequest {}).await.unwrap().into_inner().workers;
    assert_eq!(workers[0].state, "gone");
}

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_new_sweep() {
    let server = Server::start().await;
    let mut worker = Worker::register(server.channel.clone()).await;
    let waiting = tokio::spawn(async move { worker.try_lease(1, 60).await });
    let sweep = server.submit(SMALL).await.sweep_id;
    let lease = waiting.await.unwrap().unwrap();
    assert_eq!(lease.jobs.len(), 1);
    assert_eq!(server.sweep(&sweep).await.leased, 1);
}

#[tokio::test]
async fn a_waiting_worker_is_sent_away_when_the_coordinator_stops() {
    let server = Server::start().await;
    let mut worker = Worker::register(server.channel.clone()).await;
    let waiting = tokio::spawn(async move { worker.try_lease(1, 60).await });
    let http = server.coordinator.http_address().unwrap();
    until("the worker waits", async || {
        crate::harness::page(http, "/metrics").await.contains(r#"method="/transect.v1.WorkerService/Register""#)
    })
    .await;
    server.coordinator.shutdown().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn rows_of_a_stale_attempt_are_refused_and_change_nothing() {
    let server = Server::start().await;
    let sweep = server.submit(&SMALL.replace("seed = [0, 1]", "seed = 0")).await.sweep_id;
    let mut slow = Worker::register(server.channel.clone()).await;
    let lost = slow.lease(1).await;
    assert_eq!(slow.leave().await, 1);
    let mut quick = Worker::register(server.channel.clone()).await;
    let lease = quick.lease(1).await;
    assert_eq!((lease.jobs[0].job_id, lease.jobs[0].attempt), (lost.jobs[0].job_id, lost.jobs[0].attempt + 1));

    let stale = attempt(&lost.jobs[0]);
    let done = Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 });
    let answer = slow.report(vec![(stale, Row::Epoch(epoch(1, 0.1))), (stale, done)]).await;
    assert_eq!(answer.stored, 0);
    assert_eq!(
        answer.refused.iter().map(|r| (r.row, r.reason.as_str())).collect::<Vec<_>>(),
        [(0, "stale"), (1, "stale")]
    );
    assert_eq!(quick.heartbeat(attempt(&lease.jobs[0]), "").await, []);
    assert_eq!(server.sweep(&sweep).await.leased, 1);
    quick.finish(&lease).await;
    quick.finish_all().await;
}

#[tokio::test]
async fn a_row_that_is_wrong_is_refused_by_itself_and_sending_a_row_twice_is_harmless() {
    let server = Server::start().await;
    let sweep = server.submit(&SMALL.replace("seed = [0, 1]", "seed = 0")).await.sweep_id;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;
    worker.finish(&lease).await;
    let lease = worker.lease(1).await;
    let job = attempt(&lease.jobs[0]);
    let never_leased = pb::JobAttempt { job_id: 99, attempt: 1 };
    let no_job = pb::JobAttempt { job_id: u64::MAX, attempt: 1 };
    let line = LineSpec::from_canonical(&lease.jobs[0].line_spec).unwrap();
    let points = line_points(&line, f64::from);
    let point = |row: pb::PointRow| Row::Point(row);
    let answer = worker
        .report(vec![
            (job, point(points[0].clone())),
            (job, point(points[0].clone())),
            (job, point(pb::PointRow { alpha: 0.4, ..points[1].clone() })),
            (job, point(pb::PointRow { index: 3, ..points[1].clone() })),
            (job, point(pb::PointRow { split: "train".into(), ..points[1].clone() })),
            (job, point(pb::PointRow { split: "odd".into(), ..points[1].clone() })),
            (job, point(pb::PointRow { accuracy: f64::NAN, ..points[1].clone() })),
            (never_leased, point(points[0].clone())),
            (no_job, point(points[0].clone())),
            (job, Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 })),
            (job, point(points[1].clone())),
        ])
        .await;
    assert_eq!(answer.stored, 3, "{:?}", answer.refused);
    assert_eq!(
        answer.refused.iter().map(|r| (r.row, r.reason.as_str())).collect::<Vec<_>>(),
        [
            (2, "invalid"),
            (3, "invalid"),
            (4, "invalid"),
            (5, "invalid"),
            (6, "invalid"),
            (7, "unknown"),
            (8, "unknown"),
            (9, "invalid"),
        ]
    );
    assert_eq!(server.sweep(&sweep).await.points, 2);
    let done = Row::Done(pb::DoneRow { seconds: 1.0, threads: 1 });
    let answer = worker.report(vec![(job, point(points[2].clone())), (job, done)]).await;
    assert_eq!(answer.refused, []);
    assert_eq!(server.sweep(&sweep).await.state, "done");
}

#[tokio::test]
async fn a_half_done_line_goes_on_where_it_was() {
    let server = Server::start().await;
    server.submit(&SMALL.replace("seed = [0, 1]", "seed = 0")).await;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;
    worker.finish(&lease).await;
    let lease = worker.lease(1).await;
    let line = LineSpec::from_canonical(&lease.jobs[0].line_spec).unwrap();
    let point = line_points(&line, f64::from).swap_remove(1);
    worker.report(vec![(attempt(&lease.jobs[0]), Row::Point(point))]).await;
    worker.leave().await;
    let mut other = Worker::register(server.channel.clone()).await;
    let lease = other.lease(1).await;
    assert_eq!(lease.jobs[0].done_points, [pb::PointKey { split: "test".into(), index: 1, alpha: None, loss: None }]);
}

#[tokio::test]
async fn the_job_of_a_silent_worker_goes_to_another() {
    let server = Server::start_with(|config| Config { lease: Duration::from_millis(200), ..config }).await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut silent = Worker::register(server.channel.clone()).await;
    let lost = silent.lease(1).await;
    until("the lease runs out", async || server.sweep(&sweep).await.leased == 0).await;
    assert_eq!(silent.heartbeat(attempt(&lost.jobs[0]), "").await, [attempt(&lost.jobs[0])]);
    let http = server.coordinator.http_address().unwrap();
    let metrics = crate::harness::page(http, "/metrics").await;
    assert!(metrics.contains("transect_leases_expired_total 1"), "{metrics}");
    let jobs = server.jobs(&sweep).await;
    let errors: Vec<_> = jobs.iter().flat_map(|job| &job.errors).map(|error| error.class.as_str()).collect();
    assert_eq!(errors, ["gone"], "a lost lease is kept, and is no failure: {jobs:?}");
}

#[tokio::test]
async fn requests_of_workers_that_make_no_sense_are_told_what_is_wrong() {
    let server = Server::start().await;
    let mut client = server.workers();
    let mut known = Worker::register(server.channel.clone()).await;
    let wrong = |status: tonic::Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        status.get_details_bad_request().unwrap().field_violations.remove(0).field
    };
    assert_eq!(wrong(client.register(pb::RegisterRequest::default()).await.unwrap_err()), "info");
    let nothing = pb::RegisterRequest { info: Some(pb::WorkerInfo::default()) };
    assert_eq!(wrong(client.register(nothing).await.unwrap_err()), "info.device");
    assert_eq!(wrong(known.try_lease(1001, 0).await.unwrap_err()), "max_jobs");
    assert_eq!(wrong(known.try_lease(1, 61).await.unwrap_err()), "wait_seconds");
    let cached = pb::LeaseRequest { worker_id: known.id.clone(), cached_runs: vec!["x".into()], ..Default::default() };
    assert_eq!(wrong(client.lease(cached).await.unwrap_err()), "cached_runs");
    assert_eq!(wrong(client.lease(pb::LeaseRequest::default()).await.unwrap_err()), "worker_id");
    let row = pb::ReportRequest::default();
    assert_eq!(wrong(client.report(tokio_stream::iter([row])).await.unwrap_err()), "worker_id");
    let empty = client.report(tokio_stream::iter([])).await.unwrap().into_inner();
    assert_eq!(empty, pb::ReportResponse::default());

    let mut unknown = Worker::known(server.channel.clone(), "w-99".into());
    let status = unknown.try_lease(1, 0).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert_eq!(status.get_details_resource_info().unwrap().resource_type, "worker");
    let beat = pb::HeartbeatRequest { worker_id: "w-99".into(), ..Default::default() };
    assert_eq!(client.heartbeat(beat).await.unwrap_err().code(), Code::NotFound);
    let odd = pb::JobProgress { job: None, fraction: f64::NAN, text: "ä".repeat(10_000) };
    let beat = pb::HeartbeatRequest { worker_id: known.id.clone(), jobs: vec![odd], draining: false };
    assert_eq!(client.heartbeat(beat).await.unwrap().into_inner().stop.len(), 1);
}
