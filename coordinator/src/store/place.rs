//! Where a store is: beside the home's artifacts, in a file elsewhere, or in a Postgres database.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use super::{PostgresStore, Result, SqliteStore, Store, Terms};

/// Where a store is. What it prints never holds a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum StorePlace {
    /// `transect.db` in the home folder.
    #[default]
    Home,
    /// A `SQLite` file.
    Sqlite(PathBuf),
    /// A Postgres database, by its URL.
    Postgres(String),
}

/// Text that is no place of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a store is `sqlite:PATH` or `postgres://USER@HOST/DATABASE`; what was given begins with neither `sqlite:` nor `postgres:`"
)]
pub struct NoStorePlace;

impl FromStr for StorePlace {
    type Err = NoStorePlace;

    fn from_str(text: &str) -> std::result::Result<Self, NoStorePlace> {
        let text = text.trim();
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => Ok(Self::Postgres(text.to_owned())),
            _ => Err(NoStorePlace),
        }
    }
}

impl StorePlace {
    /// Opens the store there; `home` is the file that stands for [`StorePlace::Home`].
    pub async fn open(&self, home: &Path, terms: Terms) -> Result<Arc<dyn Store>> {
        Ok(match self {
            Self::Home => Arc::new(SqliteStore::open(home, terms).await?),
            Self::Sqlite(path) => Arc::new(SqliteStore::open(path, terms).await?),
            Self::Postgres(url) => Arc::new(PostgresStore::open(url, terms).await?),
        })
    }

    /// Whether its text holds a password, which the list of processes would show to everybody on the machine.
    pub fn holds_a_secret(&self) -> bool {
        let Self::Postgres(url) = self else { return false };
        let (rest, query) = url.split_once('?').unwrap_or((url, ""));
        let user = rest.split_once("//").and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(user, _)| user);
        user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
    }
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("the home's database"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let rest = url.split_once("//").map_or(url.as_str(), |(_, rest)| rest);
                let rest = rest.split(['?', '#']).next().unwrap_or_default();
                write!(f, "postgres://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host))
            }
        }
    }
}

impl fmt::Debug for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePlace({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_passwords_never_printed() {
        let read = |text: &str| text.parse::<StorePlace>();
        assert_eq!(read("sqlite:/var/t.db"), Ok(StorePlace::Sqlite("/var/t.db".into())));
        for wrong in ["", "sqlite:", "mysql://h/d", "/var/t.db", "postgres:d"] {
            assert_eq!(read(wrong), Err(NoStorePlace), "{wrong}");
        }
        for (text, printed, secret) in [
            ("postgres://u:hush@h:5/d?sslmode=require", "postgres://h:5/d", true),
            ("postgresql://u@h/d?password=hush", "postgres://h/d", true),
            ("postgres://u@h/d", "postgres://h/d", false),
            ("postgres://u:hu@sh@h/d", "postgres://h/d", true),
        ] {
            let place = read(text).unwrap();
            assert_eq!((place.to_string().as_str(), place.holds_a_secret()), (printed, secret));
            assert!(!format!("{place:?}").contains("hu"), "{place:?}");
        }
    }
}
