//! The database in memory: all stores of the control plane in one value, for tests without an engine.
//!
//! It refuses to be durable. In everything else it keeps what [`stores`] promises: a writer works on a
//! copy of the state that is swapped in at the commit, so that whatever fails leaves nothing behind.

mod audit;
mod idempotency;
mod instances;
mod key_rotations;
mod keys;
mod leaks;
mod org_parts;
mod org_work;
mod orgs;
mod peppers;
mod session;
mod table;
mod trust_rules;
mod webhook_queries;
mod webhooks;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use ::audit::Event;
use stores::{Database, StoreError};

use session::State;
pub use session::{MemoryTx, MemoryView, ReadOnly, ReadWrite, Session};

/// A database that lives and dies with its handles. Cloning gives another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Held for the length of a transaction: writers come one after another.
    writer: Mutex<()>,
    committed: Mutex<State>,
    writes_fail: AtomicBool,
    commits_unknown: AtomicBool,
    write_delay: Mutex<Duration>,
    reads: AtomicU64,
}

impl MemoryDatabase {
    /// An empty database.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on writes and appends fail as if the engine were away, or work again.
    pub fn fail_writes(&self, fail: bool) {
        self.shared.writes_fail.store(fail, Ordering::SeqCst);
    }

    /// From now on each write is committed and then fails, as when a connection breaks at the commit;
    /// or works again. Appends always work.
    pub fn lose_commits(&self, lose: bool) {
        self.shared.commits_unknown.store(lose, Ordering::SeqCst);
    }

    /// From now on the answer to each write comes so long after its commit. Appends are answered at once.
    pub fn delay_writes(&self, delay: Duration) {
        *lock(&self.shared.write_delay) = delay;
    }

    /// How many questions have been asked so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.shared.reads.load(Ordering::SeqCst)
    }

    fn snapshot(&self) -> State {
        lock(&self.shared.committed).clone()
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        if self.shared.writes_fail.load(Ordering::SeqCst) {
            Err(StoreError::Unavailable(None))
        } else {
            Ok(())
        }
    }

    fn transact<T, E: From<StoreError>>(
        &self,
        work: impl Fn(&mut MemoryTx) -> Result<T, E>,
    ) -> Result<T, E> {
        let _writer = lock(&self.shared.writer);
        self.check_writable()?;
        let mut tx = Session::new(self.snapshot());
        let value = caught(|| work(&mut tx))?;
        *lock(&self.shared.committed) = tx.into_state();
        if self.shared.commits_unknown.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable(None).into());
        }
        Ok(value)
    }
}

impl Database for MemoryDatabase {
    type View = MemoryView;
    type Tx = MemoryTx;

    async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut MemoryView) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        // As with a real engine, others get their turn before the answer is there.
        tokio::task::yield_now().await;
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        let mut view = Session::new(self.snapshot());
        caught(|| work(&mut view))
    }

    async fn write<T, E>(
        &self,
        work: impl Fn(&mut MemoryTx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        tokio::task::yield_now().await;
        let written = self.transact(work);
        let delay = *lock(&self.shared.write_delay);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        written
    }

    fn max_batch(&self) -> usize {
        64
    }

    async fn append(&self, event: Box<Event>) -> Result<ids::EventId, StoreError> {
        tokio::task::yield_now().await;
        let _writer = lock(&self.shared.writer);
        self.check_writable()?;
        // In place, since one insertion succeeds as a whole or not at all; a long log stays cheap.
        let id = event.id;
        lock(&self.shared.committed).insert_event(*event)?;
        Ok(id)
    }
}

fn caught<T, E: From<StoreError>>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreError::Panicked.into()))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
