//! Sweeps over the wire: check, submit, read, cancel, retry.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use transect_common::line::LineSpec;
use transect_common::pb;
use transect_common::pb::report_request::Row;

use crate::harness::{SMALL, Server, Worker, attempt, line_points};

async fn plan(server: &Server, sweep_file: &str) -> Result<pb::PlanResponse, Status> {
    let request = pb::PlanRequest { sweep_file: sweep_file.to_owned() };
    Ok(server.sweeps().plan(request).await?.into_inner())
}

async fn try_submit(server: &Server, sweep_file: &str, key: &str) -> Result<pb::SubmitResponse, Status> {
    let request = pb::SubmitRequest { sweep_file: sweep_file.to_owned(), idempotency_key: key.to_owned() };
    Ok(server.sweeps().submit(request).await?.into_inner())
}

async fn results(server: &Server, sweep: &str) -> Vec<pb::LinePoint> {
    let request = pb::ResultsRequest { sweep: sweep.to_owned() };
    let mut stream = server.sweeps().results(request).await.unwrap().into_inner();
    let mut points = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        points.extend(response.points);
    }
    points
}

async fn cancel(server: &Server, sweep: &str) -> pb::CancelResponse {
    server.sweeps().cancel(pb::CancelRequest { sweep: sweep.to_owned() }).await.unwrap().into_inner()
}

async fn retry(server: &Server, sweep: &str, machine_errors_only: bool, cancelled: bool) -> pb::RetryResponse {
    let request = pb::RetryRequest { sweep: sweep.to_owned(), machine_errors_only, cancelled };
    server.sweeps().retry(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_plan_says_what_is_to_do_and_stores_nothing() {
    let server = Server::start().await;
    let plan_before = plan(&server, SMALL).await.unwrap();
    assert_eq!(plan_before.name, "small");
    assert_eq!(plan_before.axes.len(), 1, "{:?}", plan_before.axes);
    assert_eq!(
        (plan_before.axes[0].setting.as_str(), plan_before.axes[0].values.as_slice()),
        ("train.seed", ["0".to_owned(), "1".to_owned()].as_slice())
    );
    assert_eq!((plan_before.runs.len(), plan_before.runs_done, plan_before.probe_jobs), (2, 0, 2));
    assert_eq!((plan_before.points, plan_before.probe_images), (6, 6 * 50));
    // 2 runs x 2 epochs x 100 images; 2 runs x init and final x 61,706 parameters.
    assert_eq!((plan_before.training_images, plan_before.checkpoint_bytes), (400, 4 * 61_706 * 4));
    assert_eq!((plan_before.runs[1].model.as_str(), plan_before.runs[1].seed), ("lenet5", Some(1)));
    assert_eq!(plan_before.runs[1].settings, r#"{"train.seed":1}"#);
    assert!(server.sweeps().list(pb::ListRequest::default()).await.unwrap().into_inner().sweeps.is_empty());

    server.submit(SMALL).await;
    let mut worker = Worker::register(server.channel.clone()).await;
    worker.finish_all().await;
    let plan_after = plan(&server, SMALL).await.unwrap();
    assert_eq!((plan_after.runs_done, plan_after.probe_jobs_done), (2, 2));
    assert_eq!((plan_after.training_images, plan_after.probe_images, plan_after.checkpoint_bytes), (0, 0, 0));
}

#[tokio::test]
async fn submitting_the_same_file_twice_gives_the_same_sweep() {
    let server = Server::start().await;
    let first = try_submit(&server, SMALL, "").await.unwrap();
    let second = try_submit(&server, SMALL, "").await.unwrap();
    assert!(first.created && !second.created);
    assert_eq!(first.sweep, second.sweep);
    let sweep = first.sweep.unwrap();
    assert_eq!((sweep.name.as_str(), sweep.state.as_str()), ("small", "running"));
    assert_eq!((sweep.runs, sweep.jobs, sweep.queued, sweep.train_jobs, sweep.points_expected), (2, 4, 4, 2, 6));
    let by_name = server.sweeps().get(pb::GetRequest { sweep: "small".into() }).await.unwrap().into_inner();
    assert_eq!(by_name.sweep_file, SMALL);
    assert_eq!(by_name.sweep, Some(sweep));
}

#[tokio::test]
async fn a_key_that_was_used_for_other_content_is_refused() {
    let server = Server::start().await;
    let first = try_submit(&server, SMALL, "mine").await.unwrap();
    let again = try_submit(&server, SMALL, "mine").await.unwrap();
    assert_eq!((again.created, &again.sweep), (false, &first.sweep));
    let other = SMALL.replace("small", "other");
    let status = try_submit(&server, &other, "mine").await.unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert_eq!(status.get_details_resource_info().unwrap().resource_name, "mine");
    let status = try_submit(&server, SMALL, &"k".repeat(129)).await.unwrap_err();
    assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "idempotency_key");
}

#[tokio::test]
async fn two_clients_that_submit_at_once_get_one_sweep() {
    let server = Server::start().await;
    let answers = futures::future::join_all((0..8).map(|_| try_submit(&server, SMALL, ""))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.created).count(), 1);
    assert!(answers.iter().all(|answer| answer.sweep.as_ref().unwrap().sweep_id == "s-1"));
}

#[tokio::test]
async fn every_mistake_comes_with_its_line_and_column_and_nothing_is_stored() {
    let server = Server::start().await;
    let wrong = SMALL.replace("epochs = 2", "epocks = 2").replace("train_size = 100", "train_size = -1");
    for status in [try_submit(&server, &wrong, "").await.unwrap_err(), plan(&server, &wrong).await.unwrap_err()] {
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert!(fields[0].starts_with("5:") && fields[0].ends_with(" data.train_size"), "{fields:?}");
        assert!(fields[1].starts_with("11:") && fields[1].ends_with(" train.epocks"), "{fields:?}");
        assert!(violations[1].description.contains("epochs"), "{violations:?}");
        assert!(status.message().contains("2 mistakes"), "{}", status.message());
    }
    assert!(server.sweeps().list(pb::ListRequest::default()).await.unwrap().into_inner().sweeps.is_empty());
}

#[tokio::test]
async fn odd_sweep_files_are_answered_with_a_sentence() {
    let server = Server::start().await;
    let huge = format!("{SMALL}\n# {}", "x".repeat(1 << 20));
    for (file, about) in [
        ("", "name"),
        ("\0", ""),
        ("name = ", ""),
        ("[[[[[[", ""),
        (&huge, "1 MiB"),
        (&SMALL.replace("seed = [0, 1]", "seed = \"0..99999999999\""), ""),
        (&SMALL.replace("epochs = 2", "epochs = 1000000000"), "epochs"),
        (&SMALL.replace("seed = [0, 1]", "seed = []"), "seed"),
        (&format!("{SMALL}\n[init]\nscale = nan\n"), "scale"),
    ] {
        let status = try_submit(&server, file, "").await.unwrap_err();
        let start: String = file.chars().take(40).collect();
        assert_eq!(status.code(), Code::InvalidArgument, "{start:?}: {status}");
        assert!(status.message().contains(about), "{start:?}: {status}");
        assert!(!status.get_details_bad_request().unwrap().field_violations.is_empty(), "{start:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::start().await;
    let mut client = server.sweeps();
    let sweep = || "nothing".to_owned();
    for status in [
        client.get(pb::GetRequest { sweep: sweep() }).await.unwrap_err(),
        client.watch(pb::WatchRequest { sweep: sweep() }).await.unwrap_err(),
        client.results(pb::ResultsRequest { sweep: sweep() }).await.unwrap_err(),
        client.curves(pb::CurvesRequest { sweep: sweep() }).await.unwrap_err(),
        client.jobs(pb::JobsRequest { sweep: sweep(), ..Default::default() }).await.unwrap_err(),
        client.cancel(pb::CancelRequest { sweep: sweep() }).await.unwrap_err(),
        client.retry(pb::RetryRequest { sweep: sweep(), ..Default::default() }).await.unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::NotFound);
        let resource = status.get_details_resource_info().unwrap();
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("sweep", "nothing"));
    }
    for id in ["s-1", "s-0", "s--1", "s-99999999999999999999", "", "'; drop table sweeps; --"] {
        let status = client.get(pb::GetRequest { sweep: id.to_owned() }).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound, "{id}");
    }
}

#[tokio::test]
async fn sweeps_and_jobs_come_in_pages() {
    let server = Server::start().await;
    for name in ["a", "b", "c"] {
        server.submit(&SMALL.replace("small", name)).await;
    }
    let mut client = server.sweeps();
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = client.list(pb::ListRequest { page_size: 2, page_token }).await.unwrap().into_inner();
        names.extend(page.sweeps.into_iter().map(|sweep| sweep.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["c", "b", "a"]);

    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request =
            pb::JobsRequest { sweep: "a".into(), state: "queued".into(), page_size: 3, page_token: page_token.clone() };
        let page = client.jobs(request).await.unwrap().into_inner();
        ids.extend(page.jobs.iter().map(|job| job.job_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 4);
    assert!(ids.is_sorted());
    let none = pb::JobsRequest { sweep: "a".into(), state: "done".into(), ..Default::default() };
    assert!(client.jobs(none).await.unwrap().into_inner().jobs.is_empty());

    for (field, status) in [
        ("page_size", client.list(pb::ListRequest { page_size: 1001, ..Default::default() }).await.unwrap_err()),
        (
            "page_token",
            client.list(pb::ListRequest { page_token: "x".into(), ..Default::default() }).await.unwrap_err(),
        ),
        (
            "state",
            client
                .jobs(pb::JobsRequest { sweep: "a".into(), state: "lost".into(), ..Default::default() })
                .await
                .unwrap_err(),
        ),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
}

#[tokio::test]
async fn results_and_curves_hold_what_was_reported_also_what_is_not_finite() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut worker = Worker::register(server.channel.clone()).await;
    for _ in 0..2 {
        let lease = worker.lease(1).await;
        worker.finish(&lease).await;
        // The lines of a trained run come before other trainings; give this one odd losses.
        let lease = worker.lease(10).await;
        let job = attempt(&lease.jobs[0]);
        let line = LineSpec::from_canonical(&lease.jobs[0].line_spec).unwrap();
        let odd = [f64::INFINITY, 0.25, f64::NAN];
        let points = line_points(&line, |index| odd[index as usize]);
        let mut rows: Vec<_> = points.into_iter().map(|point| (job, Row::Point(point))).collect();
        rows.push((job, Row::Done(pb::DoneRow { seconds: 0.5, threads: 1 })));
        assert_eq!(worker.report(rows).await, pb::ReportResponse { stored: 4, refused: vec![] });
    }
    let points = results(&server, &sweep).await;
    assert_eq!(points.len(), 6);
    let first = &points[0];
    assert_eq!((first.model.as_str(), first.settings.as_str()), ("lenet5", r#"{"train.seed":0}"#));
    assert_eq!((first.from_tag.as_str(), first.to_tag.as_str(), first.hold.as_str()), ("init", "final", "final"));
    assert_eq!((first.mask.as_str(), first.batch_norm.as_str(), first.split.as_str()), ("all", "none", "test"));
    assert_eq!(points[..3].iter().map(|point| point.alpha).collect::<Vec<_>>(), [0.0, 0.5, 1.0]);
    assert!(points[0].loss == f64::INFINITY && points[2].loss.is_nan());
    assert_eq!((points[1].loss, points[1].accuracy, points[1].count), (0.25, 0.5, 50));

    let mut stream = server.sweeps().curves(pb::CurvesRequest { sweep: sweep.clone() }).await.unwrap().into_inner();
    let curves = stream.message().await.unwrap().unwrap().points;
    assert_eq!(curves.len(), 2);
    assert_eq!((curves[0].epoch, curves[0].split.as_str(), curves[0].loss), (1, "train", 0.5));

    let of = pb::checkpoints_request::Of::Run(first.run[..8].to_owned());
    let request = pb::CheckpointsRequest { of: Some(of) };
    let checkpoints = server.sweeps().checkpoints(request).await.unwrap().into_inner().checkpoints;
    assert_eq!(checkpoints.iter().map(|c| c.tag.as_str()).collect::<Vec<_>>(), ["init", "final"]);
    let of = Some(pb::checkpoints_request::Of::Sweep(sweep));
    let checkpoints =
        server.sweeps().checkpoints(pb::CheckpointsRequest { of }).await.unwrap().into_inner().checkpoints;
    assert_eq!(checkpoints.len(), 4);
    for of in [None, Some(pb::checkpoints_request::Of::Run("abc".into()))] {
        let status = server.sweeps().checkpoints(pb::CheckpointsRequest { of }).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn many_points_arrive_whole_in_messages_of_at_most_1000() {
    let server = Server::start().await;
    let dense = SMALL.replace("count = 3", "count = 1201").replace("seed = [0, 1]", "seed = 0");
    let sweep = server.submit(&dense).await.sweep_id;
    Worker::register(server.channel.clone()).await.finish_all().await;
    let mut stream = server.sweeps().results(pb::ResultsRequest { sweep }).await.unwrap().into_inner();
    let mut sizes = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        sizes.push(response.points.len());
    }
    assert_eq!(sizes, [1000, 201]);
}

#[tokio::test]
async fn a_cancelled_sweep_is_not_worked_on_and_can_be_taken_up_again() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;

    let answer = cancel(&server, &sweep).await;
    assert_eq!((answer.cancelled, answer.sweep.unwrap().state.as_str()), (4, "cancelled"));
    assert_eq!(cancel(&server, "small").await.cancelled, 0);
    assert!(worker.lease(1).await.jobs.is_empty());
    assert_eq!(worker.heartbeat(attempt(&lease.jobs[0]), "").await, [attempt(&lease.jobs[0])]);

    assert_eq!(retry(&server, &sweep, false, false).await.queued, 0);
    let answer = retry(&server, &sweep, false, true).await;
    assert_eq!((answer.queued, answer.sweep.unwrap().state.as_str()), (4, "running"));
    worker.finish_all().await;
    assert_eq!(server.sweep(&sweep).await.state, "done");
}

#[tokio::test]
async fn a_failed_run_says_why_its_lines_will_not_run_and_is_tried_again_on_demand() {
    let server = Server::start().await;
    let sweep = server.submit(&SMALL.replace("seed = [0, 1]", "seed = 0")).await.sweep_id;
    let mut worker = Worker::register(server.channel.clone()).await;
    let job = attempt(&worker.lease(1).await.jobs[0]);
    let failed = pb::FailedRow { class: "run".into(), message: "diverged at step 412".into() };
    worker.report(vec![(job, Row::Failed(failed))]).await;

    let jobs = server.jobs(&sweep).await;
    assert_eq!(
        jobs.iter().map(|job| (job.kind.as_str(), job.state.as_str())).collect::<Vec<_>>(),
        [("train", "failed"), ("line", "failed")]
    );
    assert_eq!(jobs[0].errors.len(), 1);
    assert_eq!((jobs[0].errors[0].class.as_str(), jobs[0].errors[0].message.as_str()), ("run", "diverged at step 412"));
    assert!(jobs[1].error.as_ref().unwrap().contains("diverged at step 412"), "{:?}", jobs[1].error);
    assert_eq!(server.sweep(&sweep).await.state, "failed");

    assert_eq!(retry(&server, &sweep, true, false).await.queued, 0);
    assert_eq!(retry(&server, &sweep, false, false).await.queued, 2);
    worker.finish_all().await;
    assert_eq!(server.sweep(&sweep).await.state, "done");
}
