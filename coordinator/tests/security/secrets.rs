//! Secrets are in no log, no process list, no `--help` and no database.

use std::path::Path;
use std::process::Command;

use transect_common::pb;
use transect_common::pb::admin_service_client::AdminServiceClient;

use crate::process::{Client, Process};

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn secrets_are_kept_nowhere_in_the_clear() {
    let process = Process::start(tempfile::tempdir().unwrap(), &["--auth", "tokens"]).await;
    let url = process.url("http", "127.0.0.1");
    let admin = process.token("boss", "admin", None).await;
    let mut tokens = AdminServiceClient::new(Client::default().with_token(&admin).channel(&url));
    let request = pb::CreateTokenRequest { name: "new".into(), scopes: vec!["read".into()], expires_seconds: None };
    let made = tokens.create_token(request).await.unwrap().into_inner().secret;
    let unknown = format!("transect_{}", "0123456789abcdef".repeat(4));
    Client::default().with_token(&made).ask(&url).await.unwrap();
    Client::default().with_token(&unknown).ask(&url).await.unwrap_err();
    tokens.revoke_token(pb::RevokeTokenRequest { token: "new".into() }).await.unwrap();

    let mut seen = 0;
    for secret in [&admin, &made, &unknown] {
        // The digits alone would do for whoever finds them.
        let digits = secret.strip_prefix("transect_").unwrap();
        for path in files(process.home.path()) {
            seen += 1;
            assert!(!holds(&std::fs::read(&path).unwrap(), digits), "{} holds a secret", path.display());
        }
        for name in ["cmdline", "environ"] {
            let bytes = std::fs::read(format!("/proc/{}/{name}", process.pid())).unwrap();
            assert!(!holds(&bytes, digits), "{name}");
        }
    }
    assert!(seen > 6, "the database and the log were looked at");
    assert!(process.log().contains("token made"), "{}", process.log());

    let mut help = Command::new(env!("CARGO_BIN_EXE_transect-coordinator"));
    let help = help.arg("--help").env("TRANSECT_TOKEN", &admin).env("TRANSECT_TLS_KEY", "/a/key").output().unwrap();
    assert!(!holds(&help.stdout, &admin));
}
