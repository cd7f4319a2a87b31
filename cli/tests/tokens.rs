//! `transect token`: made beside the store, shown once, kept nowhere in the clear.

mod support;

use std::os::unix::fs::PermissionsExt as _;

use support::Bench;

#[test]
fn a_token_is_shown_once_and_is_nowhere_in_the_clear() {
    let bench = Bench::new();
    let secret = bench.ok(&["token", "create", "ci", "--scope", "read,work", "--expires", "30d"]);
    let secret = secret.trim();
    assert!(secret.starts_with("transect_") && secret.len() == 73, "{secret}");
    let digits = &secret[9..];
    let listed = bench.json(&["token", "list"]);
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&"ci".into(), &"live".into()));
    assert!(!listed.to_string().contains(digits));
    for file in std::fs::read_dir(bench.path(".transect")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(64).any(|window| window == digits.as_bytes()), "{}", path.display());
        }
    }
    let help = bench.command(&["sweeps", "--help"]).env("TRANSECT_TOKEN", secret).output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains(digits));
}

#[test]
fn a_token_is_written_where_only_its_owner_reads_and_never_over_a_file() {
    let bench = Bench::new();
    let answer = bench.ok(&["token", "create", "ci", "--scope", "submit", "--write", "ci.token"]);
    let secret = std::fs::read_to_string(bench.path("ci.token")).unwrap();
    assert!(!answer.contains(secret.trim()), "{answer}");
    assert_eq!(std::fs::metadata(bench.path("ci.token")).unwrap().permissions().mode() & 0o777, 0o600);
    let again = bench.run(&["token", "create", "other", "--scope", "submit", "--write", "ci.token"]);
    assert_eq!(again.code, 1);
    assert_eq!(bench.json(&["token", "list"]).as_array().unwrap().len(), 1, "none was made whose secret is lost");
}

#[test]
fn a_revoked_name_is_free_and_mistakes_are_told() {
    let bench = Bench::new();
    bench.ok(&["token", "create", "ci", "--scope", "read"]);
    assert_eq!(bench.run(&["token", "create", "ci", "--scope", "read"]).code, 2, "the name is taken");
    bench.ok(&["token", "revoke", "ci"]);
    bench.ok(&["token", "create", "ci", "--scope", "read"]);
    assert_eq!(bench.run(&["token", "revoke", "other"]).code, 4);
    for wrong in [
        &["token", "create", "a b", "--scope", "read"] as &[&str],
        &["token", "create", "x"],
        &["token", "create", "x", "--scope", "root"],
        &["token", "create", "x", "--scope", "read", "--expires", "0s"],
    ] {
        assert_eq!(bench.run(wrong).code, 2, "{wrong:?}");
    }
}

#[test]
fn a_token_is_not_sent_in_plain_text_nor_repeated_when_it_is_none() {
    let bench = Bench::new();
    let secret = bench.ok(&["token", "create", "ci", "--scope", "read", "--write", "ci.token"]);
    assert!(!secret.contains("transect_"), "{secret}");
    let far = bench.run(&["--coordinator", "http://192.0.2.1:7700", "--token-file", "ci.token", "sweeps"]);
    assert_eq!(far.code, 2);
    assert!(far.stderr.contains("in plain text") && far.stderr.contains("https://"), "{}", far.stderr);
    bench.write("wrong.token", "hunter2");
    let wrong = bench.run(&["--coordinator", "http://127.0.0.1:1", "--token-file", "wrong.token", "sweeps"]);
    assert_eq!(wrong.code, 2);
    assert!(!wrong.stderr.contains("hunter2") && wrong.stderr.contains("wrong.token"), "{}", wrong.stderr);
}

#[test]
fn a_store_elsewhere_is_named_and_a_password_is_neither_taken_from_the_command_line_nor_repeated() {
    let bench = Bench::new();
    let place = format!("sqlite:{}", bench.path("elsewhere.db").display());
    bench.ok(&["--store", &place, "token", "create", "ci", "--scope", "read"]);
    assert!(bench.path("elsewhere.db").exists() && !bench.path(".transect/transect.db").exists());
    let listed = bench.command(&["--json", "token", "list"]).env("TRANSECT_STORE", &place).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains("\"ci\""));

    let seen = bench.command(&["--store", "postgres://u:hush@127.0.0.1:1/d", "token", "list"]).output().unwrap();
    assert_eq!(seen.status.code(), Some(2));
    let wrong = bench.command(&["token", "list"]).env("TRANSECT_STORE", "postgress://u:hush@h/d").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    for output in [seen, wrong] {
        assert!(!String::from_utf8(output.stderr).unwrap().contains("hush"));
    }
}
