//! A worker is spoken for by whoever registered it.

use tonic::Code;
use transect_common::pb;
use transect_common::pb::worker_service_client::WorkerServiceClient;

use crate::process::{Client, Process};

#[tokio::test]
async fn another_token_cannot_speak_for_a_worker() {
    let process = Process::start(tempfile::tempdir().unwrap(), &["--auth", "tokens"]).await;
    let url = process.url("http", "127.0.0.1");
    let (mine, other) = (process.token("mine", "work", None).await, process.token("other", "work,read", None).await);
    let workers = |token: &str| WorkerServiceClient::new(Client::default().with_token(token).channel(&url));
    let info = pb::WorkerInfo { host: "here".into(), device: "cpu".into(), threads: 1, ..Default::default() };
    let registered = workers(&mine).register(pb::RegisterRequest { info: Some(info) }).await.unwrap().into_inner();
    let id = registered.worker_id;

    let heartbeat = || pb::HeartbeatRequest { worker_id: id.clone(), jobs: vec![], draining: false };
    workers(&mine).heartbeat(heartbeat()).await.unwrap();
    let lease = pb::LeaseRequest { worker_id: id.clone(), max_jobs: 1, ..Default::default() };
    let report = pb::ReportRequest { worker_id: id.clone(), ..Default::default() };
    let refusals = [
        workers(&other).heartbeat(heartbeat()).await.map(drop),
        workers(&other).lease(lease).await.map(drop),
        workers(&other).report(tokio_stream::iter([report])).await.map(drop),
        workers(&other).leave(pb::LeaveRequest { worker_id: id.clone() }).await.map(drop),
        workers(&other).signals(pb::SignalsRequest { worker_id: id.clone() }).await.map(drop),
    ];
    for refusal in refusals {
        let status = refusal.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(&format!("{id} was registered with another token")), "{status}");
    }
    // One that nobody registered with a token is asked to register again, which workers do by themselves.
    let unknown = pb::HeartbeatRequest { worker_id: "w-99".into(), jobs: vec![], draining: false };
    assert_eq!(workers(&mine).heartbeat(unknown).await.unwrap_err().code(), Code::NotFound);
}
