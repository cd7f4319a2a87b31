//! A Postgres server for tests: started once for each test program, gone with it, with a database of its own for each test.
#![allow(dead_code, reason = "each test program uses some of these words")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::OnceCell;
use transect_coordinator::store::{PostgresStore, Store, Terms};

/// A server. It stops when its standard input closes, which happens at the latest when this process ends.
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// The command that runs another as the server's user; empty where that is this one.
    owner: Vec<String>,
    input: ChildStdin,
}

/// Is held while the server, which runs as another user, has to be able to read what is there.
const RUN: &str = r#"
"$@" &
read -r _
kill -QUIT $(head -n 1 "$FOLDER/data/postmaster.pid") 2>/dev/null
wait
rm -rf "$FOLDER"
"#;

impl Server {
    /// Makes a cluster in a new folder and serves it on a socket there.
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::Builder::new().prefix("transect-pg-").tempdir().unwrap().keep();
        let data = folder.join("data");
        let mut owner = vec![];
        if is_root(&folder) {
            owner = vec!["runuser".to_owned(), "-u".to_owned(), "postgres".to_owned(), "--".to_owned()];
            let chown = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(chown.success(), "the user postgres is missing: scripts/system.sh test");
        }
        let initdb = programs.join("initdb");
        let words = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "-D"];
        let mut command = owner.clone();
        command.push(initdb.to_string_lossy().into_owned());
        command.extend(words.map(str::to_owned));
        command.push(data.to_string_lossy().into_owned());
        let made = Command::new(&command[0]).args(&command[1..]).current_dir("/").output().unwrap();
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let input = Self::serve(&folder, &programs, &owner);
        let server = Self { folder, programs, owner, input };
        server.wait_until_it_answers();
        server
    }

    #[expect(clippy::zombie_processes, reason = "the shell ends by itself, when its input closes")]
    fn serve(folder: &Path, programs: &Path, owner: &[String]) -> ChildStdin {
        let mut command = Command::new("sh");
        command.args(["-c", RUN, "sh"]).args(owner).arg(programs.join("postgres")).arg("-D").arg(folder.join("data"));
        for setting in
            ["listen_addresses=", "max_connections=300", "fsync=off", "full_page_writes=off", "shared_buffers=64MB"]
        {
            command.args(["-c", setting]);
        }
        command.arg("-k").arg(folder).env("FOLDER", folder).current_dir("/");
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        child.stdin.take().unwrap()
    }

    fn wait_until_it_answers(&self) {
        let start = Instant::now();
        let answers = || {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.arg("-q").arg("-h").arg(&self.folder).status().is_ok_and(|status| status.success())
        };
        while !answers() {
            let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(start.elapsed() < Duration::from_mins(1), "Postgres does not answer: {log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops as a crash does, and starts again.
    pub fn restart(&mut self) {
        let (keep, run) = (self.folder.join("data"), self.programs.clone());
        let mut command = self.owner.clone();
        command.push(run.join("pg_ctl").to_string_lossy().into_owned());
        command.extend(["restart", "-m", "immediate", "-w", "-l", "/dev/null", "-D"].map(str::to_owned));
        command.push(keep.to_string_lossy().into_owned());
        let done = Command::new(&command[0]).args(&command[1..]).current_dir("/").stdout(Stdio::null()).status();
        assert!(done.unwrap().success(), "pg_ctl restart");
        self.wait_until_it_answers();
    }

    /// Where a database is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@localhost/{database}?host={}", self.folder.display())
    }

    /// A new database with the schema.
    pub async fn database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static TEMPLATE: OnceCell<()> = OnceCell::const_new();
        TEMPLATE
            .get_or_init(|| async {
                self.admin("CREATE DATABASE template_transect").await;
                let url = self.url("template_transect");
                PostgresStore::open(&url, Terms::default()).await.unwrap().close().await;
            })
            .await;
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        // Whoever has just left the template may still be seen there.
        for _ in 0..50 {
            if self.try_admin(&format!("CREATE DATABASE {name} TEMPLATE template_transect")).await {
                return self.url(&name);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the template cannot be copied");
    }

    /// A new database without anything.
    pub async fn empty_database(&self) -> String {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("empty_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.admin(&format!("CREATE DATABASE {name}")).await;
        self.url(&name)
    }

    async fn try_admin(&self, statement: &str) -> bool {
        let pool = PgPool::connect(&self.url("postgres")).await.unwrap();
        let done = pool.execute(AssertSqlSafe(statement.to_owned())).await.is_ok();
        pool.close().await;
        done
    }

    pub async fn admin(&self, statement: &str) {
        assert!(self.try_admin(statement).await, "{statement}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.input.write_all(b"\n");
    }
}

/// The server that all tests of this program share.
pub async fn server() -> &'static Server {
    static SERVER: OnceCell<Server> = OnceCell::const_new();
    SERVER.get_or_init(|| async { tokio::task::spawn_blocking(Server::start).await.unwrap() }).await
}

/// Whether a folder that this process made belongs to root, and so the process does. The server refuses to run as root.
fn is_root(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// Where the programs of the server are: on the path, or where Debian has them, newest first.
fn programs() -> PathBuf {
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(Result::ok).map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let found = folders.into_iter().find(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    found.expect("Postgres is not installed: run scripts/system.sh test, or install Debian's package postgresql")
}
