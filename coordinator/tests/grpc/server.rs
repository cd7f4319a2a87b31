//! Starting and stopping, and what is said when that does not work.

use std::fs;
use std::path::Path;
use std::time::Duration;

use transect_coordinator::{Config, StartError, home, start};

use crate::harness::{SMALL, Server, Worker, config, connect, page, submit};

#[tokio::test]
async fn pages_say_that_it_lives_is_ready_and_what_it_has_done() {
    let server = Server::start().await;
    server.submit(SMALL).await;
    let http = server.coordinator.http_address().unwrap();
    assert!(page(http, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
    assert!(page(http, "/readyz").await.starts_with("HTTP/1.1 200 OK"));
    assert!(page(http, "/").await.contains("/metrics"));
    assert!(page(http, "/other").await.starts_with("HTTP/1.1 404"));
    let metrics = page(http, "/metrics").await;
    assert!(metrics.contains("application/openmetrics-text"), "{metrics}");
    for line in [
        r#"transect_jobs{kind="train",state="queued"} 2"#,
        r#"transect_jobs{kind="line",state="done"} 0"#,
        "transect_points 0",
        "transect_workers_live 0",
        "transect_leases_expired_total 0",
        r#"transect_rpcs_total{method="/transect.v1.SweepService/Submit",code="Ok"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let home = tempfile::tempdir().unwrap();
    let error = start(Config { listen: address, ..config(home.path()) }).await.unwrap_err();
    assert!(matches!(error, StartError::PortInUse { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(error.to_string().contains("--listen"), "{error}");
    let error = start(Config { http: Some(address), ..config(home.path()) }).await.unwrap_err();
    assert!(error.to_string().contains("--http"), "{error}");
    // The home is free again.
    start(config(home.path())).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_home_that_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for home in [file.as_path(), &file.join("below"), Path::new("/proc/transect")] {
        let error = start(config(home)).await.unwrap_err();
        assert!(matches!(error, StartError::Home(_)), "{error}");
        assert!(error.to_string().contains(&home.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_home_has_one_coordinator_and_others_find_it() {
    let server = Server::start().await;
    let address = server.coordinator.address();
    assert_eq!(home::running(server.home.path()), Some(address));
    let error = start(config(server.home.path())).await.unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    server.coordinator.shutdown().await;
    assert_eq!(home::running(server.home.path()), None);
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let home = tempfile::tempdir().unwrap();
    for wrong in [
        Config { lease: Duration::ZERO, ..config(home.path()) },
        Config { lease: Duration::from_secs(4000), ..config(home.path()) },
        Config { max_attempts: 0, ..config(home.path()) },
    ] {
        assert!(matches!(start(wrong).await, Err(StartError::Config(_))));
    }
}

#[tokio::test]
async fn a_restart_forgets_nothing_and_takes_up_where_it_was() {
    let server = Server::start().await;
    let sweep = server.submit(SMALL).await;
    let mut worker = Worker::register(server.channel.clone()).await;
    let lease = worker.lease(1).await;
    worker.finish(&lease).await;
    let held = worker.lease(1).await;
    let before = server.sweep(&sweep.sweep_id).await;
    server.coordinator.shutdown().await;

    let again = start(config(server.home.path())).await.unwrap();
    let channel = connect(again.address()).await;
    assert_eq!(submit(channel.clone(), SMALL).await, before);
    // A worker's lease outlives the coordinator that gave it.
    let mut worker = Worker::known(channel, worker.id);
    worker.finish(&held).await;
    worker.finish_all().await;
    again.shutdown().await;
}
