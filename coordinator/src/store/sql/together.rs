//! Work that is done together: what comes while the same is being done for others waits, and is all done in the next
//! transaction. The more there is to do, the fewer transactions each piece of it costs.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};

use super::db::Db;
use crate::store::{Result, StoreError};

/// Does several pieces of work in one transaction, which happens or does not; one answer for each of them, in their order.
pub(super) type Work<T, A> = for<'a> fn(&'a Db, &'a [T]) -> BoxFuture<'a, Result<Vec<Result<A>>>>;

/// Those who wait for the same work.
pub(super) struct Together<T, A> {
    work: Work<T, A>,
    weight: fn(&T) -> usize,
    /// Weight of what one transaction does at most, unless its first piece alone has more.
    most: usize,
    waiting: Mutex<VecDeque<(T, oneshot::Sender<Result<A>>)>>,
    turns: Semaphore,
}

impl<T, A> fmt::Debug for Together<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<T, A> Together<T, A> {
    /// Work of which `turns` transactions are under way at once, each with pieces of a weight of `most`.
    pub(super) fn new(work: Work<T, A>, weight: fn(&T) -> usize, most: usize, turns: usize) -> Self {
        Self { work, weight, most, waiting: Mutex::default(), turns: Semaphore::new(turns) }
    }

    /// Has a piece done. What fails together is done one by one, so that nothing fails for the sake of another.
    pub(super) async fn add(&self, db: &Db, piece: T) -> Result<A> {
        let (answer, mut answered) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back((piece, answer));
        let _turn = self.turns.acquire().await.map_err(|_| StoreError::Stopped)?;
        loop {
            match answered.try_recv() {
                Ok(answer) => return answer,
                // Whoever had it was cut off.
                Err(oneshot::error::TryRecvError::Closed) => return Err(StoreError::Stopped),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let (pieces, answers) = self.take();
            if pieces.is_empty() {
                // Another turn has it.
                return answered.await.unwrap_or(Err(StoreError::Stopped));
            }
            let done = self.work_off(db, pieces).await;
            for (answer, done) in answers.into_iter().zip(done) {
                // Who has gone away asks again.
                let _ = answer.send(done);
            }
        }
    }

    async fn work_off(&self, db: &Db, pieces: Vec<T>) -> Vec<Result<A>> {
        let together = (self.work)(db, &pieces).await;
        let error = match together {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        if pieces.len() == 1 {
            return vec![Err(error)];
        }
        tracing::debug!(%error, pieces = pieces.len(), "could not be done together; doing it one by one");
        let mut answers = vec![];
        for piece in pieces.chunks(1) {
            let alone = (self.work)(db, piece).await;
            answers.push(alone.and_then(|mut answers| answers.pop().unwrap_or(Err(StoreError::Stopped))));
        }
        answers
    }

    /// What is at the front, as far as it goes together.
    fn take(&self) -> (Vec<T>, Vec<oneshot::Sender<Result<A>>>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut weight = 0;
        let fits = |(piece, _): &(T, _)| {
            weight += (self.weight)(piece);
            weight <= self.most
        };
        let number = waiting.iter().map(fits).take_while(|fits| *fits).count();
        let number = number.max(1).min(waiting.len());
        waiting.drain(..number).unzip()
    }
}
