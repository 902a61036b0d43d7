//! Writing to PostgreSQL: transactions on a pool, and a thread that takes audit events in batches.

use std::{thread, time::Duration};

use stores::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::OpenError,
    events::{self, EventRow},
    pool::{Pool, PooledSession, Sessions},
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// How many transactions run at once, the events' own among them.
const WRITERS: u8 = 16;
/// How many events may wait.
const QUEUE: usize = 4096;
/// How many events go into one statement; each has 17 parameters, of 65535 that a statement can have.
const BATCH: usize = 512;
/// How often work runs when other transactions are in its way.
const ATTEMPTS: u32 = 10;

/// An event that waits, and who waits for it.
type Waiting = (EventRow, oneshot::Sender<Result<(), StoreError>>);

/// The way to change a PostgreSQL database.
pub(crate) struct PostgresWriter {
    pool: Pool<Writing>,
    events: mpsc::Sender<Waiting>,
}

impl PostgresWriter {
    pub(crate) fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        // The `BEGIN` of each transaction tells whether the connection lives.
        let pool = Pool::open(url, WRITERS, false);
        let (events, waiting) = mpsc::channel(QUEUE);
        let sessions = pool.sessions().clone();
        thread::Builder::new()
            .name("audit-events".to_owned())
            .spawn(move || append_all(&sessions, waiting))?;
        Ok(Self { pool, events })
    }

    pub(crate) async fn write<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.pool
            .run(move |sessions| transaction(sessions, &work))
            .await
    }

    pub(crate) async fn append(&self, row: EventRow) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.events
            .try_send((row, answer))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable(None),
            })?;
        answered.await.unwrap_or(Err(StoreError::Unavailable(None)))
    }
}

/// Takes whatever waits, again and again, until nobody can send any more.
fn append_all(sessions: &Sessions<Writing>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        let (rows, callers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        for (caller, outcome) in callers.into_iter().zip(append(sessions, &rows)) {
            // Whoever has gone away needs no answer.
            drop(caller.send(outcome));
        }
    }
}

/// Adds events; what became of each.
fn append(sessions: &Sessions<Writing>, rows: &[EventRow]) -> Vec<Result<(), StoreError>> {
    let all = transaction(sessions, &|session: &mut Session<Writing>| {
        events::insert(session, rows)
    });
    let outcome = match all {
        Err(error) if rows.len() > 1 && !error.is_temporary() => {
            transaction(sessions, &|session: &mut Session<Writing>| {
                Ok(events::append(session, rows))
            })
        }
        all => all.map(|()| rows.iter().map(|_| Ok(())).collect()),
    };
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, events = rows.len(), "audit events could not be written");
        rows.iter().map(|_| Err(error.clone())).collect()
    })
}

/// Runs work in a transaction, again when another transaction was in its way.
fn transaction<T, E: From<StoreError>>(
    sessions: &Sessions<Writing>,
    work: &impl Fn(&mut Session<Writing>) -> Result<T, E>,
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let mut session = begin(sessions)?;
        session.forget_conflict();
        let outcome = session.guarded(work);
        if outcome.is_ok() || !session.forget_conflict() || attempt == ATTEMPTS {
            return outcome;
        }
        drop(session);
        thread::sleep(Duration::from_millis(2) * attempt);
        attempt += 1;
    }
}

/// A session in a transaction. After a restart of the server the pool is full of dead connections, and
/// the transaction's beginning tells.
fn begin(sessions: &Sessions<Writing>) -> Result<PooledSession<Writing>, StoreError> {
    let mut dead = 0;
    loop {
        let mut session = sessions.get()?;
        match session.begin() {
            Ok(()) => return Ok(session),
            Err(error) if dead == sessions.most() || !session.is_broken() => return Err(error),
            Err(_) => dead += 1,
        }
    }
}
