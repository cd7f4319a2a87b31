//! Signs of life of workers that hold nothing: the most frequent write of a large cluster, and the smallest.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde::Serialize;

use super::db::{Db, sql};
use super::rows::json;
use super::together::Together;
use crate::store::{Result, Timestamp, WorkerId};

/// Most workers of one statement.
const MOST: usize = 10_000;

/// Those that wait to be stored.
pub(super) type Beats = Together<Beat, bool>;

/// One sign of life.
#[derive(Debug, Serialize)]
pub(super) struct Beat {
    worker: i64,
    now: String,
    until: String,
}

/// Nothing waits yet.
pub(super) fn beats() -> Beats {
    Together::new(store, |_| 1, MOST, 1)
}

/// Notes that a worker is live. False where that was not stored, for whatever reason: then it is to be tried by itself.
pub(super) async fn beat(db: &Db, worker: WorkerId, now: Timestamp) -> Result<bool> {
    let beat = Beat { worker: worker.0, now: now.to_string(), until: now.plus(db.terms.lease).to_string() };
    db.beats.add(db, beat).await
}

fn store<'a>(db: &'a Db, beats: &'a [Beat]) -> BoxFuture<'a, Result<Vec<Result<bool>>>> {
    async move {
        let mut tx = db.begin().await?;
        let stored: Vec<i64> = sqlx::query_scalar(sql!("touch_workers")).bind(json(beats)).fetch_all(&mut *tx).await?;
        db.commit(tx).await?;
        Ok(beats.iter().map(|beat| Ok(stored.contains(&beat.worker))).collect())
    }
    .boxed()
}
