//! Tokens: scopes, expiry, revocation, and limits.

use std::time::{Duration, Instant};

use tonic::Code;
use transect_common::pb;
use transect_common::pb::admin_service_client::AdminServiceClient;
use transect_common::pb::worker_service_client::WorkerServiceClient;

use crate::process::{Client, Process};

const SWEEP: &str = r#"
name = "small"
[data]
set = "mnist"
[model]
architecture = "lenet5"
[train]
epochs = 1
optimizer = { name = "sgd", lr = 0.1 }
[[probe]]
kind = "line"
alphas = { start = 0.0, stop = 1.0, count = 3 }
layers = ["all"]
"#;

async fn with_tokens() -> (Process, String) {
    let process = Process::start(tempfile::tempdir().unwrap(), &["--auth", "tokens"]).await;
    let url = process.url("http", "127.0.0.1");
    (process, url)
}

fn submission() -> pb::SubmitRequest {
    pb::SubmitRequest { sweep_file: SWEEP.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn a_scope_allows_its_own_and_nothing_else() {
    let (process, url) = with_tokens().await;
    let client = |token: &str| Client::default().with_token(token);
    let read = process.token("reader", "read", None).await;
    let submit = process.token("submitter", "submit", None).await;
    let work = process.token("worker", "work", None).await;

    let refused = client(&read).sweeps(&url).submit(submission()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert_eq!(refused.message(), "the token `reader` may read; Submit needs `submit`");
    client(&read).ask(&url).await.unwrap();

    client(&submit).sweeps(&url).submit(submission()).await.unwrap();
    client(&submit).ask(&url).await.unwrap();
    let mut workers = WorkerServiceClient::new(client(&submit).channel(&url));
    let lease = pb::LeaseRequest { worker_id: "w-1".into(), ..Default::default() };
    let refused = workers.lease(lease).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::PermissionDenied, "the token `submitter` may submit; Lease needs `work`")
    );

    assert!(client(&work).ask(&url).await.unwrap_err().contains("PermissionDenied"));
    let mut admin = AdminServiceClient::new(client(&submit).channel(&url));
    assert_eq!(admin.list_tokens(pb::ListTokensRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn without_a_good_token_nothing_is_answered() {
    let (process, url) = with_tokens().await;
    let said = Client::default().ask(&url).await.unwrap_err();
    assert!(said.contains("Unauthenticated") && said.contains("--token-file"), "{said}");
    let unknown = format!("transect_{}", "0".repeat(64));
    assert!(Client::default().with_token(&unknown).ask(&url).await.unwrap_err().contains("does not know that token"));
    let short = process.token("short", "read", Some(Duration::from_secs(1))).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(Client::default().with_token(&short).ask(&url).await.unwrap_err().contains("`short` expired at"));
    // Health is asked by those who have no token.
    let mut health = tonic_health::pb::health_client::HealthClient::new(Client::default().channel(&url));
    health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_5_seconds_and_its_open_streams_end_within_a_minute() {
    let (process, url) = with_tokens().await;
    let admin = process.token("boss", "admin", None).await;
    let token = process.token("ci", "submit", None).await;
    let mut sweeps = Client::default().with_token(&token).sweeps(&url);
    let sweep = sweeps.submit(submission()).await.unwrap().into_inner().sweep.unwrap().sweep_id;
    let mut watch = sweeps.watch(pb::WatchRequest { sweep }).await.unwrap().into_inner();
    watch.message().await.unwrap().unwrap();

    let mut tokens = AdminServiceClient::new(Client::default().with_token(&admin).channel(&url));
    let revoked = tokens.revoke_token(pb::RevokeTokenRequest { token: "ci".into() }).await.unwrap().into_inner();
    assert_eq!(revoked.token.unwrap().state, "revoked");
    let since = Instant::now();
    while Client::default().with_token(&token).ask(&url).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let said = Client::default().with_token(&token).ask(&url).await.unwrap_err();
    assert!(said.contains("`ci` was revoked at"), "{said}");

    let end = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match watch.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended as if the sweep had"),
                Err(status) => return status,
            }
        }
    });
    let end = end.await.unwrap();
    assert_eq!(end.code(), Code::Unauthenticated, "{end}");
}

#[tokio::test]
async fn admins_make_tokens_whose_secret_is_shown_once() {
    let (process, url) = with_tokens().await;
    let admin = process.token("boss", "admin", None).await;
    let mut tokens = AdminServiceClient::new(Client::default().with_token(&admin).channel(&url));
    let request = pb::CreateTokenRequest { name: "new".into(), scopes: vec!["read".into()], expires_seconds: Some(60) };
    let made = tokens.create_token(request.clone()).await.unwrap().into_inner();
    Client::default().with_token(&made.secret).ask(&url).await.unwrap();
    assert_eq!(made.token.unwrap().created_by, "boss");
    assert_eq!(tokens.create_token(request.clone()).await.unwrap_err().code(), Code::AlreadyExists);
    let list = tokens.list_tokens(pb::ListTokensRequest {}).await.unwrap().into_inner().tokens;
    let names: Vec<_> = list.iter().map(|token| (token.name.as_str(), token.state.as_str())).collect();
    assert_eq!(names, [("boss", "live"), ("new", "live")]);
    assert!(list[1].expires_at.is_some());
    let wrong = pb::CreateTokenRequest { scopes: vec!["root".into()], ..request.clone() };
    assert_eq!(tokens.create_token(wrong).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(
        tokens.revoke_token(pb::RevokeTokenRequest { token: "t-99".into() }).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn whoever_calls_too_often_is_told_when_to_try_again() {
    use tonic_types::StatusExt as _;
    let process = Process::start(tempfile::tempdir().unwrap(), &["--auth", "tokens", "--rate-per-token", "5"]).await;
    let url = process.url("http", "127.0.0.1");
    let (busy, quiet) = (process.token("busy", "read", None).await, process.token("quiet", "read", None).await);
    let mut sweeps = Client::default().with_token(&busy).sweeps(&url);
    let mut refused = None;
    for _ in 0..100 {
        if let Err(status) = sweeps.list(pb::ListRequest::default()).await {
            refused = Some(status);
            break;
        }
    }
    let refused = refused.expect("5 a second, and 20 at once, are fewer than 100");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{refused}");
    Client::default().with_token(&quiet).ask(&url).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    sweeps.list(pb::ListRequest::default()).await.unwrap();
}
