//! A sweep is followed as it changes.

use tonic::Code;
use transect_common::pb;

use crate::harness::{SMALL, Server, Worker, attempt};

#[tokio::test]
async fn a_watch_begins_at_once_shows_training_and_ends_with_the_sweep() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut stream = server.sweeps().watch(pb::WatchRequest { sweep: sweep.clone() }).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    assert_eq!((first.sweep.unwrap().queued, first.activity.len()), (4, 0));

    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;
    let job = attempt(&lease.jobs[0]);
    assert!(worker.heartbeat(job, "epoch 1 of 2").await.is_empty());
    let activity = loop {
        let now = stream.message().await.unwrap().unwrap();
        if let Some(activity) = now.activity.into_iter().find(|activity| activity.text.contains("epoch")) {
            break activity;
        }
    };
    assert_eq!((activity.job_id, activity.fraction), (job.job_id, 0.5));
    assert_eq!(activity.text, "lenet5 seed 0: epoch 1 of 2");

    worker.finish(&lease).await;
    worker.finish_all().await;
    let mut last = None;
    while let Some(now) = stream.message().await.unwrap() {
        assert_ne!(last.as_ref(), Some(&now), "nothing had changed");
        last = Some(now);
    }
    let last = last.unwrap().sweep.unwrap();
    assert_eq!((last.state.as_str(), last.done, last.points), ("done", 4, 6));
    assert!(last.finished_at.is_some());

    // Watching what is over says so and ends.
    let mut stream = server.sweeps().watch(pb::WatchRequest { sweep }).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().sweep, Some(last));
    assert!(stream.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_watch_goes_on_while_its_sweep_is_paused() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    server.sweeps().pause(pb::PauseRequest { sweep: sweep.clone() }).await.unwrap();
    let mut stream = server.sweeps().watch(pb::WatchRequest { sweep: sweep.clone() }).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().sweep.unwrap();
    assert_eq!((first.state.as_str(), first.queued), ("paused", 4));

    server.sweeps().resume(pb::ResumeRequest { sweep }).await.unwrap();
    let then = stream.message().await.unwrap().expect("the stream goes on").sweep.unwrap();
    assert_eq!((then.state.as_str(), then.queued), ("running", 4));
    Worker::register(server.channel.clone()).await.finish_all().await;
    let mut last = then;
    while let Some(now) = stream.message().await.unwrap() {
        last = now.sweep.unwrap();
    }
    assert_eq!((last.state.as_str(), last.done), ("done", 4));
}

#[tokio::test]
async fn a_watch_ends_with_unavailable_when_the_coordinator_stops() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await.sweep_id;
    let mut stream = server.sweeps().watch(pb::WatchRequest { sweep }).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let stopped = tokio::spawn(server.coordinator.shutdown());
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
    stopped.await.unwrap();
}
