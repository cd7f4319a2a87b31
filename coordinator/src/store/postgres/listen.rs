//! News between coordinators: each tells the others that it wrote, and wakes those who wait when another did.
//!
//! News is told after the commit, gathered over a moment, by a statement of its own: a notification within the transaction
//! would make all commits wait for each other. One that is lost (a crash between the two, a connection that broke) costs a
//! second, since whoever waits asks again after that. Without a connection that listens, this polls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use super::db::sql;

const CHANGED: &str = "transect_changed";
const FREED: &str = "transect_freed";
const STOPPED: &str = "transect_stopped";

/// News is gathered for this long before it is told again.
const GATHER: Duration = Duration::from_millis(20);
/// Between looks at the database while nothing is heard.
const POLL: Duration = Duration::from_millis(500);

/// What is to be told.
#[derive(Debug)]
pub(super) struct News {
    /// Who tells it: this open store, among all of them.
    own: String,
    changed: AtomicBool,
    freed: AtomicBool,
    stopped: AtomicBool,
    any: Notify,
}

impl News {
    pub(super) fn new(own: String) -> Self {
        let flag = || AtomicBool::new(false);
        Self { own, changed: flag(), freed: flag(), stopped: flag(), any: Notify::new() }
    }

    pub(super) fn changed(&self) {
        self.changed.store(true, Ordering::Release);
        self.any.notify_one();
    }

    pub(super) fn freed(&self) {
        self.freed.store(true, Ordering::Release);
        self.any.notify_one();
    }

    pub(super) fn stopped(&self) {
        self.stopped.store(true, Ordering::Release);
        self.any.notify_one();
    }
}

/// Tells the other coordinators what is new, for ever.
pub(super) async fn tell(pool: PgPool, news: Arc<News>) {
    loop {
        news.any.notified().await;
        for (flag, channel) in [(&news.stopped, STOPPED), (&news.freed, FREED), (&news.changed, CHANGED)] {
            if flag.swap(false, Ordering::AcqRel)
                && let Err(error) = sqlx::query(sql!("notify")).bind(channel).bind(&news.own).execute(&pool).await
            {
                tracing::debug!(%error, channel, "could not tell the other coordinators; they look for themselves");
            }
        }
        sleep(GATHER).await;
    }
}

/// Those who wait within this process.
#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) changed: watch::Sender<u64>,
    pub(super) work: watch::Sender<u64>,
    pub(super) stops: watch::Sender<u64>,
}

impl Waiting {
    fn wake(sender: &watch::Sender<u64>) {
        sender.send_modify(|revision| *revision += 1);
    }

    fn wake_all(&self) {
        Self::wake(&self.changed);
        Self::wake(&self.work);
        Self::wake(&self.stops);
    }
}

/// Hears what other coordinators tell, for ever; polls while it cannot listen.
pub(super) async fn listen(pool: PgPool, news: Arc<News>, waiting: Waiting) {
    let mut told = false;
    loop {
        match PgListener::connect_with(&pool).await {
            Ok(mut listener) => match listener.listen_all([CHANGED, FREED, STOPPED]).await {
                Ok(()) => {
                    told = false;
                    // Whatever happened while nobody listened.
                    waiting.wake_all();
                    hear(&mut listener, &news, &waiting).await;
                }
                Err(error) => tracing::debug!(%error, "could not listen to the database"),
            },
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "the database cannot be listened to; looking twice a second until it can");
            }
            Err(_) => {}
        }
        let _ = timeout(POLL, poll(&pool, &waiting)).await;
    }
}

/// Until the connection breaks and does not come back at once.
async fn hear(listener: &mut PgListener, news: &News, waiting: &Waiting) {
    loop {
        match listener.try_recv().await {
            Ok(Some(heard)) if heard.payload() == news.own => {}
            Ok(Some(heard)) if heard.channel() == STOPPED => Waiting::wake(&waiting.stops),
            Ok(Some(heard)) if heard.channel() == FREED => Waiting::wake(&waiting.work),
            Ok(Some(_)) => Waiting::wake(&waiting.changed),
            // The connection broke; the next call connects again, and what was said meanwhile is lost.
            Ok(None) => waiting.wake_all(),
            Err(error) => {
                tracing::debug!(%error, "stopped listening to the database");
                return;
            }
        }
    }
}

/// Looks for news, for ever: anything may have changed; jobs were stopped if a sweep was cancelled.
pub(super) async fn poll(pool: &PgPool, waiting: &Waiting) {
    let mut last: Option<Option<String>> = None;
    loop {
        sleep(POLL).await;
        Waiting::wake(&waiting.changed);
        Waiting::wake(&waiting.work);
        let Ok(newest) = sqlx::query_scalar::<_, Option<String>>(sql!("newest_stop")).fetch_one(pool).await else {
            continue;
        };
        if last.as_ref().is_some_and(|last| *last != newest) {
            Waiting::wake(&waiting.stops);
        }
        last = Some(newest);
    }
}
