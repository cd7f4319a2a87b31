//! A worker killed at each phase of its work: phases are seen in the store, not guessed by time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::ensure;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::tables::Place;

/// When a worker is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It holds a training.
    BeforeTheFirstStep,
    /// It trains for half a second.
    InAnEpoch,
    /// Bytes of a file are on their way, slowly.
    Uploading,
    /// A snapshot is stored.
    AfterASnapshot,
    /// More checkpoints than the first are stored, not all.
    BetweenCheckpoints,
    /// Points of a line are stored, not all.
    Probing,
    /// What it measured is stored, and it does not know.
    Reporting,
    /// So many milliseconds after SIGTERM.
    Leaving(u64),
}

impl Phase {
    /// In the order in which they come up in a sweep.
    pub const ALL: [Self; 11] = [
        Self::BeforeTheFirstStep,
        Self::InAnEpoch,
        Self::Uploading,
        Self::AfterASnapshot,
        Self::BetweenCheckpoints,
        Self::Reporting,
        Self::Leaving(5),
        Self::Leaving(60),
        Self::Leaving(250),
        Self::Leaving(900),
        Self::Probing,
    ];

    /// A query that gives 1 when the phase is there for the worker that came last, whose row is `n`.
    const fn query(self) -> &'static str {
        match self {
            Self::BeforeTheFirstStep | Self::InAnEpoch | Self::Uploading | Self::Leaving(_) => {
                "EXISTS (SELECT 1 FROM jobs AS j WHERE j.worker = n.id AND j.state = 'leased' AND j.kind = 'train')"
            }
            Self::AfterASnapshot => "EXISTS (SELECT 1 FROM snapshots AS s WHERE s.worker = n.id)",
            Self::BetweenCheckpoints => {
                "EXISTS (SELECT 1 FROM jobs AS j INNER JOIN checkpoints AS c ON c.run = j.run WHERE j.worker = n.id
                 AND j.state = 'leased' AND j.kind = 'train' AND c.tag LIKE 'epoch-%' AND c.stored_at > j.started_at)"
            }
            Self::Probing => {
                "EXISTS (SELECT 1 FROM jobs AS j INNER JOIN points AS p ON p.job = j.id WHERE j.worker = n.id
                 AND j.state = 'leased')"
            }
            Self::Reporting => {
                "EXISTS (SELECT 1 FROM jobs AS j INNER JOIN curves AS c ON c.run = j.run WHERE j.worker = n.id
                 AND j.state = 'leased' AND j.kind = 'train')"
            }
        }
    }

    /// From when it is seen to the kill.
    pub const fn wait(self) -> Duration {
        Duration::from_millis(match self {
            Self::InAnEpoch | Self::Leaving(_) => 500,
            // The next batch of rows is stored, unanswered.
            Self::Reporting => 700,
            _ => 0,
        })
    }
}

/// Looks into a store that is in use.
pub struct Eye {
    place: Place,
    /// Where what is being uploaded lies.
    staging: PathBuf,
    /// The worker that was killed last.
    killed: i64,
}

/// A phase comes up within this.
const PATIENCE: Duration = Duration::from_mins(1);

impl Eye {
    /// Opens nothing yet: the store may not be there.
    pub const fn new(place: Place, staging: PathBuf) -> Self {
        Self { place, staging, killed: 0 }
    }

    /// Returns when a worker that came after the last one killed is in `phase`.
    pub async fn wait_for(&mut self, phase: Phase) -> anyhow::Result<()> {
        let query = format!(
            "SELECT CAST(n.id AS BIGINT), CAST(CASE WHEN {} THEN 1 ELSE 0 END AS BIGINT) FROM workers AS n ORDER BY n.id DESC LIMIT 1",
            phase.query()
        );
        let began = Instant::now();
        loop {
            // That the store cannot be read at this moment is waited out.
            if let Ok((worker, 1)) = self.ask(&query).await
                && worker > self.killed
                && (phase != Phase::Uploading || self.is_uploading())
            {
                self.killed = worker;
                return Ok(());
            }
            ensure!(began.elapsed() < PATIENCE, "no worker came to the phase {phase:?} within {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn ask(&self, query: &str) -> anyhow::Result<(i64, i64)> {
        Ok(match &self.place {
            Place::File(path) => {
                let mut file = SqliteConnection::connect(&format!("sqlite:{}?mode=ro", path.display())).await?;
                sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut file).await?
            }
            Place::Url(url) => {
                let mut server = PgConnection::connect(url).await?;
                sqlx::query_as(AssertSqlSafe(query)).fetch_one(&mut server).await?
            }
        })
    }

    fn is_uploading(&self) -> bool {
        let files = std::fs::read_dir(&self.staging).into_iter().flatten().filter_map(Result::ok);
        files.filter_map(|file| file.metadata().ok()).any(|file| file.is_file() && file.len() > 0)
    }
}
