//! Writes that share a commit. A commit waits for the disk, which takes longer than the work of most writes; so those
//! that wait for their turn meanwhile are worked off in one transaction, one after another, and committed together.
//!
//! Invariants: a write is answered once the commit that holds it is on the disk. One that fails is undone to its savepoint and
//! takes nothing of the others with it. Whoever leaves something uncommitted behind knows that another comes who commits it,
//! or has a task do so.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{Executor as _, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::store::{Result, StoreError};

/// Most writes of one commit: the first of them waits for the last.
const MOST: usize = 16;

/// The right to write, which one has at a time.
#[derive(Debug)]
pub(super) struct Group {
    pool: SqlitePool,
    state: Arc<Mutex<State>>,
    /// Those who wait for the right.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    open: Option<Transaction<'static, Sqlite>>,
    /// Those whose writes are in the open transaction, complete.
    answers: Vec<oneshot::Sender<Result<()>>>,
    /// The last write was dropped half-way.
    has_rest: bool,
}

impl State {
    async fn run(&mut self, statements: &'static str) -> Result<()> {
        match &mut self.open {
            Some(open) => Ok(open.execute(statements).await.map(|_| ())?),
            None => Err(StoreError::Stopped),
        }
    }

    /// Commits, and answers all whose writes that stores.
    async fn commit(&mut self) {
        let Some(open) = self.open.take() else { return };
        let done = open.commit().await.map_err(StoreError::from);
        self.answer(&done);
    }

    fn answer(&mut self, done: &Result<()>) {
        for answer in self.answers.drain(..) {
            // Who has gone away asks again.
            let _ = answer.send(copy(done));
        }
    }

    /// Undoes a write behind others. Where the database cannot, it has undone all of them: a full disk may do that.
    async fn undo(&mut self) {
        if let Err(error) = self.run("ROLLBACK TO write; RELEASE write").await {
            self.open = None;
            self.answer(&Err(error));
        }
    }

    /// Undoes what was dropped half-way.
    async fn clean(&mut self) {
        if std::mem::take(&mut self.has_rest) {
            self.undo().await;
        }
    }
}

/// A result for each of those who share it.
fn copy(done: &Result<()>) -> Result<()> {
    match done {
        Ok(()) => Ok(()),
        Err(StoreError::Full) => Err(StoreError::Full),
        Err(StoreError::Stopped) => Err(StoreError::Stopped),
        Err(StoreError::Damaged(what)) => Err(StoreError::Damaged(what.clone())),
        Err(other) => Err(StoreError::Database(Box::new(std::io::Error::other(other.to_string())))),
    }
}

impl Group {
    /// Writes over the one connection of `pool`.
    pub(super) fn new(pool: SqlitePool) -> Arc<Self> {
        Arc::new(Self { pool, state: Arc::default(), waiting: AtomicUsize::new(0) })
    }

    /// Waits for the right to write. Who writes `alone` shares no commit: what takes long holds up nobody's answer.
    pub(super) async fn begin(self: &Arc<Self>, alone: bool) -> Result<Tx> {
        let mut turn = Turn::new(self);
        let mut state = self.state.clone().lock_owned().await;
        turn.taken();
        state.clean().await;
        if alone {
            state.commit().await;
        }
        let is_behind = state.open.is_some();
        if is_behind {
            if let Err(error) = state.run("SAVEPOINT write").await {
                self.leave(&mut state).await;
                return Err(error);
            }
        } else {
            state.open = Some(self.pool.begin_with("BEGIN IMMEDIATE").await?);
        }
        Ok(Tx { state: Some(state), group: self.clone(), alone, is_behind })
    }

    /// Commits what others left if nobody comes who does.
    async fn leave(&self, state: &mut State) {
        if !state.answers.is_empty() && self.waiting.load(Ordering::Acquire) == 0 {
            state.commit().await;
        }
    }

    /// Does so in a task, where nobody can wait for it.
    fn leave_later(self: &Arc<Self>) {
        let group = self.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut state = group.state.lock().await;
                state.clean().await;
                group.leave(&mut state).await;
            });
        }
    }
}

/// A place among those who wait.
struct Turn<'a> {
    group: &'a Arc<Group>,
    is_taken: bool,
}

impl<'a> Turn<'a> {
    fn new(group: &'a Arc<Group>) -> Self {
        group.waiting.fetch_add(1, Ordering::AcqRel);
        Self { group, is_taken: false }
    }

    fn taken(&mut self) {
        self.is_taken = true;
        self.group.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.is_taken {
            // Somebody may have counted on this one.
            self.group.waiting.fetch_sub(1, Ordering::AcqRel);
            self.group.leave_later();
        }
    }
}

/// One write. Dropped, it leaves nothing.
#[derive(Debug)]
pub(super) struct Tx {
    /// Until it has ended.
    state: Option<OwnedMutexGuard<State>>,
    group: Arc<Group>,
    alone: bool,
    /// Others wrote before it in the same transaction.
    is_behind: bool,
}

impl Tx {
    /// Ends it well, and waits until it is on the disk.
    pub(super) async fn commit(mut self) -> Result<()> {
        let (answer, answered) = oneshot::channel();
        let state = self.state.as_mut().expect("a write has the right to write until it ends");
        if self.is_behind {
            state.run("RELEASE write").await?;
        }
        state.answers.push(answer);
        let is_last = self.group.waiting.load(Ordering::Acquire) == 0;
        if self.alone || is_last || state.answers.len() >= MOST {
            state.commit().await;
        }
        self.state = None;
        answered.await.unwrap_or(Err(StoreError::Stopped))
    }

    /// Undoes it.
    pub(super) async fn rollback(mut self) -> Result<()> {
        let mut state = self.state.take().expect("a write has the right to write until it ends");
        if self.is_behind {
            state.undo().await;
            self.group.leave(&mut state).await;
        } else if let Some(open) = state.open.take() {
            open.rollback().await?;
        }
        Ok(())
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        let state = self.state.as_ref().expect("a write has the right to write until it ends");
        state.open.as_ref().expect("what a write works in is open")
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        let state = self.state.as_mut().expect("a write has the right to write until it ends");
        state.open.as_mut().expect("what a write works in is open")
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut state) = self.state.take() else { return };
        if self.is_behind {
            state.has_rest = true;
        } else {
            state.open = None;
        }
        drop(state);
        self.group.leave_later();
    }
}
