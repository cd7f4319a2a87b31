//! Signs of life of workers that hold nothing: the most frequent write of a large cluster, and the smallest. Those that come
//! while others are being stored are stored together by the next statement.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::oneshot;

use super::db::{Db, sql};
use super::rows::json;
use crate::store::{Result, Timestamp, WorkerId};

/// Those that wait to be stored.
#[derive(Debug, Default)]
pub(super) struct Beats {
    waiting: Mutex<Vec<(Beat, oneshot::Sender<bool>)>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Serialize)]
struct Beat {
    worker: i64,
    now: String,
    until: String,
}

/// Notes that a worker is live. False where that was not stored, for whatever reason: then it is to be tried by itself.
pub(super) async fn beat(db: &Db, worker: WorkerId, now: Timestamp) -> Result<bool> {
    let (answer, mut answered) = oneshot::channel();
    let beat = Beat { worker: worker.0, now: now.to_string(), until: now.plus(db.terms.lease).to_string() };
    db.beats.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((beat, answer));
    let _turn = db.beats.turn.lock().await;
    match answered.try_recv() {
        Ok(is_stored) => return Ok(is_stored),
        // Those who stored it together with theirs could not.
        Err(oneshot::error::TryRecvError::Closed) => return Ok(false),
        Err(oneshot::error::TryRecvError::Empty) => {}
    }
    let together = std::mem::take(&mut *db.beats.waiting.lock().unwrap_or_else(PoisonError::into_inner));
    let rows: Vec<&Beat> = together.iter().map(|(beat, _)| beat).collect();
    let mut tx = db.begin().await?;
    let stored: Vec<i64> = sqlx::query_scalar(sql!("touch_workers")).bind(json(&rows)).fetch_all(&mut *tx).await?;
    db.commit(tx).await?;
    for (beat, answer) in together {
        // Who has gone away asks again.
        let _ = answer.send(stored.contains(&beat.worker));
    }
    Ok(answered.try_recv().unwrap_or(false))
}
