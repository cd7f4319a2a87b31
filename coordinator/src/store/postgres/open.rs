//! Opening a database: what a URL may say, how the connections are set, and which schema there must be.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};
use tokio::sync::{Mutex, watch};

use super::beats::beats;
use super::db::{Db, sql};
use super::listen::{News, Waiting, listen, poll, tell};
use super::report::reports;
use super::specs::Specs;
use crate::store::{Result, StoreError, Terms};

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations/postgres");

/// Connections unless the URL says otherwise, beside the one that listens.
const CONNECTIONS: u32 = 16;
/// Transactions of reports under way at once: one is worked off while another waits for the disk.
const TURNS: usize = 2;
/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection that was used within this time is taken to be alive.
const FRESH: Duration = Duration::from_secs(1);

/// What a URL says beside what Postgres' own programs understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Settings {
    /// `connections=N`.
    connections: u32,
    /// `pooler=transaction`: a connection is another server process from one transaction to the next.
    pooled: bool,
}

/// Takes our own words out of a URL.
fn settings(url: &str) -> Result<(String, Settings)> {
    let mut settings = Settings { connections: CONNECTIONS, pooled: false };
    let Some((base, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), settings));
    };
    let mut rest = vec![];
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("connections", number)) => {
                settings.connections = number.parse().ok().filter(|n| (2..=1000).contains(n)).ok_or_else(|| {
                    StoreError::Invalid(format!("`connections={number}` in the store's URL: 2 to 1000 are possible"))
                })?;
            }
            Some(("pooler", "transaction")) => settings.pooled = true,
            Some(("pooler", other)) => {
                let message = format!("`pooler={other}` in the store's URL: only `pooler=transaction` is known");
                return Err(StoreError::Invalid(message));
            }
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    Ok((url, settings))
}

/// Connects to the database at `url`, and brings its schema up to date.
pub(super) async fn open(url: &str, terms: Terms) -> Result<Db> {
    let (url, settings) = settings(url)?;
    let mut options = plain_options(&url)?.statement_cache_capacity(300);
    if !settings.pooled {
        options = options.options([
            // A coordinator that is stopped in the middle of a transaction must not hold up the others.
            ("idle_in_transaction_session_timeout", "15s"),
            ("lock_timeout", "120s"),
            // Every statement is short, or reads much and simply; compiling them costs more than it saves.
            ("jit", "off"),
            // A statement is planned once and kept while tables grow from nothing to millions of rows, and every statement
            // looks rows up by a key: a plan that reads a whole table, fine as it may be at the beginning, must not be kept.
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("enable_seqscan", "off"),
        ]);
    }
    let place = PathBuf::from(place(&options));
    let pool = PgPoolOptions::new()
        .max_connections(settings.connections)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                // The server may have gone since; a connection that was just used is not asked.
                if meta.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await?;
    migrate(place, &pool).await?;
    let mut own = [0; 8];
    getrandom::fill(&mut own).map_err(|error| StoreError::Database(Box::new(std::io::Error::other(error))))?;
    let news = Arc::new(News::new(format!("{:016x}", u64::from_ne_bytes(own))));
    let (changed, work, stops) = (watch::Sender::new(0), watch::Sender::new(0), watch::Sender::new(0));
    let waiting = Waiting { changed: changed.clone(), work: work.clone(), stops: stops.clone() };
    let mut tasks = vec![];
    if settings.pooled {
        let pool = pool.clone();
        tasks.push(tokio::spawn(async move { poll(&pool, &waiting).await }).abort_handle());
    } else {
        tasks.push(tokio::spawn(listen(pool.clone(), news.clone(), waiting)).abort_handle());
    }
    // Those who listen are told even by one who cannot.
    tasks.push(tokio::spawn(tell(pool.clone(), news.clone())).abort_handle());
    let graph = Arc::new(Mutex::new(()));
    let (beats, reports, specs) = (beats(), reports(TURNS), Specs::default());
    Ok(Db { terms, readers: pool, beats, reports, specs, changed, work, stops, news, graph, tasks })
}

/// A connection without anything of ours.
pub(in crate::store) fn plain_options(url: &str) -> Result<PgConnectOptions> {
    let (url, _) = settings(url)?;
    let options = PgConnectOptions::from_str(&url)
        .map_err(|error| StoreError::Invalid(format!("the store's URL is not one of Postgres: {error}")))?;
    Ok(options.application_name("transect").disable_statement_logging())
}

/// Host and database, without user and password.
fn place(options: &PgConnectOptions) -> String {
    format!("postgres://{}/{}", options.get_host(), options.get_database().unwrap_or_default())
}

/// Brings the schema up to date, and refuses one that this program does not know. One that is up to date is only looked at;
/// otherwise whoever comes first changes it, under a lock that is held by the connection, and the others wait.
async fn migrate(place: PathBuf, pool: &PgPool) -> Result<()> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let has_schema: bool = sqlx::query_scalar(sql!("has_schema")).fetch_one(pool).await?;
    if has_schema {
        let database: i64 = sqlx::query_scalar(sql!("schema_version")).fetch_one(pool).await?;
        if database > known {
            return Err(StoreError::Newer { path: place, database, known });
        }
        if database == known {
            return Ok(());
        }
    }
    MIGRATIONS.run(pool).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        other => StoreError::Damaged(format!("{}: {other}", place.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_are_taken_out_of_a_url() {
        let plain = Settings { connections: CONNECTIONS, pooled: false };
        let read = |url: &str| settings(url).unwrap();
        assert_eq!(read("postgres://h/d"), ("postgres://h/d".to_owned(), plain));
        assert_eq!(read("postgres://h/d?sslmode=require"), ("postgres://h/d?sslmode=require".to_owned(), plain));
        assert_eq!(
            read("postgres://h/d?connections=4&host=/run&pooler=transaction"),
            ("postgres://h/d?host=/run".to_owned(), Settings { connections: 4, pooled: true })
        );
        for wrong in ["connections=1", "connections=many", "pooler=session"] {
            let error = settings(&format!("postgres://u:secret@h/d?{wrong}")).unwrap_err().to_string();
            assert!(error.contains(wrong.split_once('=').unwrap().0) && !error.contains("secret"), "{error}");
        }
    }
}
