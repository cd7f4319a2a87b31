//! Certificates: good ones, and every way in which they can be wrong.

use std::process::Command;
use std::time::Duration;

use crate::authority::Authority;
use crate::process::{Client, LATER, Process, command};

#[track_caller]
fn has(said: &str, words: &str) {
    assert!(said.contains(words), "`{words}` is not in: {said}");
}

#[tokio::test]
async fn a_certificate_must_be_valid_of_a_known_authority_and_for_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let process = Process::with_pair(&ours.sign("localhost", LATER), &[]).await;
    let url = process.url("https", "localhost");
    let client = Client::trusting(&ours).with_token(&process.token("reader", "read", None).await);
    client.ask(&url).await.unwrap();
    has(&Client::trusting(&ours).ask(&url).await.unwrap_err(), "asks for a token");
    has(&Client::trusting(&other).ask(&url).await.unwrap_err(), "--tls-ca");
    has(&client.ask(&process.url("https", "127.0.0.1")).await.unwrap_err(), "another host name");
    has(&Client::default().ask(&process.url("http", "localhost")).await.unwrap_err(), "begins with https://");

    let expired = Process::with_pair(&ours.sign("localhost", 2002), &[]).await;
    has(&client.ask(&expired.url("https", "localhost")).await.unwrap_err(), "certificate has expired");
    let plain = Process::start(tempfile::tempdir().unwrap(), &[]).await;
    has(&client.ask(&plain.url("https", "localhost")).await.unwrap_err(), "does not speak TLS");
}

#[tokio::test]
async fn mutual_tls_lets_in_those_with_a_certificate_of_the_authority_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, callers) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "callers"));
    let ca = callers.pem();
    let process = Process::with_pair(&ours.sign("localhost", LATER), &["--tls-client-ca", ca.to_str().unwrap()]).await;
    let url = process.url("https", "localhost");
    let client = Client::trusting(&ours);
    client.with_pair(&callers.sign("me", LATER)).ask(&url).await.unwrap();
    has(&client.ask(&url).await.unwrap_err(), "--tls-client-cert");
    has(&client.with_pair(&ours.sign("me", LATER)).ask(&url).await.unwrap_err(), "this client's certificate");
    has(&client.with_pair(&callers.sign("me", 2002)).ask(&url).await.unwrap_err(), "this client's certificate");
}

#[tokio::test]
async fn with_tokens_a_certificate_alone_is_not_enough() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let ca = ours.pem();
    let more = ["--tls-client-ca", ca.to_str().unwrap(), "--auth", "tokens"];
    let process = Process::with_pair(&ours.sign("localhost", LATER), &more).await;
    let url = process.url("https", "localhost");
    let client = Client::trusting(&ours).with_pair(&ours.sign("me", LATER));
    has(&client.ask(&url).await.unwrap_err(), "asks for a token");
    let token = process.token("reader", "read", None).await;
    client.with_token(&token).ask(&url).await.unwrap();
}

#[tokio::test]
async fn a_replaced_certificate_is_used_without_a_restart_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(folder.path(), "old"), Authority::new(folder.path(), "new"));
    let pair = old.sign("localhost", LATER);
    let process = Process::with_pair(&pair, &[]).await;
    let url = process.url("https", "localhost");
    let token = process.token("reader", "read", None).await;
    std::fs::write(&pair.cert, "not a certificate").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    Client::trusting(&old).with_token(&token).ask(&url).await.unwrap();
    let fresh = new.sign("localhost", LATER);
    std::fs::copy(&fresh.key, &pair.key).unwrap();
    std::fs::copy(&fresh.cert, &pair.cert).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    Client::trusting(&new).with_token(&token).ask(&url).await.unwrap();
    has(&process.log(), "going on with the one before");
}

/// What a coordinator says that does not start.
async fn output(args: &[&str]) -> String {
    let home = tempfile::tempdir().unwrap();
    let mut command: Command = command(home.path());
    command.args(args).stderr(std::process::Stdio::piped());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_coordinator_that_others_reach_does_not_start_without_tls_and_says_what_to_add() {
    for args in [
        &["--listen", "0.0.0.0:0", "--http", "off"] as &[&str],
        &["--listen", "127.0.0.1:0", "--http", "0.0.0.0:0"],
        &["--listen", "[::]:0", "--http", "off", "--auth", "tokens"],
    ] {
        let said = output(args).await;
        for word in ["--tls-cert", "--tls-key", "--tls-client-ca", "--insecure"] {
            has(&said, word);
        }
    }
    let said =
        output(&["--listen", "127.0.0.1:0", "--http", "off", "--tls-cert", "/no/such", "--tls-key", "/no/such"]).await;
    has(&said, "--tls-cert /no/such: No such file");
    has(&output(&["--tls-cert", "/no/such"]).await, "--tls-key");
}

#[tokio::test]
async fn off_loopback_tokens_are_asked_for_and_pages_are_encrypted() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let pair = ours.sign("localhost", LATER);
    let home = tempfile::tempdir().unwrap();
    let (cert, key) = (pair.cert.to_str().unwrap(), pair.key.to_str().unwrap());
    let process = Process::start_on(home, "0.0.0.0:0", "0.0.0.0:0", &["--tls-cert", cert, "--tls-key", key]).await;
    let (url, client) = (process.url("https", "localhost"), Client::trusting(&ours));
    has(&client.ask(&url).await.unwrap_err(), "Unauthenticated: this coordinator asks for a token");
    let token = process.token("reader", "read", None).await;
    client.with_token(&token).ask(&url).await.unwrap();
    has(&process.log(), "there is none yet");

    let pages = process.pages_port();
    let get = |path: &'static str, token: Option<String>| {
        let ca = std::fs::read(ours.pem()).unwrap();
        async move {
            let client = reqwest::Client::builder()
                .tls_certs_only([reqwest::Certificate::from_pem(&ca).unwrap()])
                .build()
                .unwrap();
            let mut request = client.get(format!("https://localhost:{pages}{path}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        }
    };
    // Needed once in a process that uses reqwest without a provider of its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    assert_eq!(get("/healthz", None).await.0, 200);
    assert_eq!(get("/readyz", None).await.0, 200);
    let (code, said) = get("/metrics", None).await;
    assert_eq!(code, 401, "{said}");
    assert_eq!(get("/metrics", Some(token)).await.0, 200);
    let work = process.token("worker", "work", None).await;
    assert_eq!(get("/metrics", Some(work)).await.0, 403);
    assert!(reqwest::get(format!("http://localhost:{pages}/metrics")).await.is_err(), "plain text");
}
