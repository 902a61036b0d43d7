//! Writing to PostgreSQL: transactions on a pool, and a thread that takes audit events in batches.

use std::{sync::Arc, thread, time::Duration};

use audit::Event;
use stores::StoreError;
use tokio::sync::{mpsc, oneshot};

use crate::{
    backlog::{Appended, Backlog, Told},
    error::OpenError,
    events,
    pool::{Pool, PooledSession, Sessions},
    session::{Session, Writing},
    url::DatabaseUrl,
};

/// How many transactions run at once, the events' own among them.
const WRITERS: u8 = 16;
/// How many events may wait.
const QUEUE: usize = 4096;
/// How many events share a commit at the most; they fit into one segment.
const BATCH: usize = 512;
/// How often work runs when other transactions are in its way.
const ATTEMPTS: u32 = 10;

/// What waits for the thread.
enum Waiting {
    /// An event, and who is told of it.
    Event(Box<Event>, Told),
    /// Someone who waits for what was queued before.
    Settled(oneshot::Sender<()>),
}

/// The way to change a PostgreSQL database.
pub(crate) struct PostgresWriter {
    pool: Pool<Writing>,
    events: mpsc::Sender<Waiting>,
    backlog: Arc<Backlog>,
}

impl PostgresWriter {
    pub(crate) fn open(url: &DatabaseUrl, backlog: Arc<Backlog>) -> Result<Self, OpenError> {
        // The `BEGIN` of each transaction tells whether the connection lives.
        let pool = Pool::open(url, WRITERS, false);
        let (events, waiting) = mpsc::channel(QUEUE);
        let (sessions, ledger) = (pool.sessions().clone(), Arc::clone(&backlog));
        thread::Builder::new()
            .name("audit-events".to_owned())
            .spawn(move || append_all(&sessions, &ledger, waiting))?;
        Ok(Self {
            pool,
            events,
            backlog,
        })
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

    pub(crate) async fn append(&self, event: Event) -> Result<(), StoreError> {
        let (told, answered) = self.backlog.admit(&event);
        if let Err(error) = self.events.try_send(Waiting::Event(Box::new(event), told)) {
            if answered.is_none() {
                self.backlog.withdraw();
            }
            return Err(match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Overloaded,
                mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable(None),
            });
        }
        match answered {
            Some(answered) => answered.await.unwrap_or(Err(StoreError::Unavailable(None))),
            None => Ok(()),
        }
    }

    /// Waits until what was queued before is durable, or has failed.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let (caller, settled) = oneshot::channel();
        let gone = || StoreError::Unavailable(None);
        self.events
            .send(Waiting::Settled(caller))
            .await
            .map_err(|_| gone())?;
        settled.await.map_err(|_| gone())
    }
}

/// Takes whatever waits, again and again, until nobody can send any more.
fn append_all(
    sessions: &Sessions<Writing>,
    backlog: &Arc<Backlog>,
    mut waiting: mpsc::Receiver<Waiting>,
) {
    let mut batch = Vec::with_capacity(BATCH);
    while waiting.blocking_recv_many(&mut batch, BATCH) > 0 {
        let mut appended = Appended::new(Arc::clone(backlog));
        let mut settled = Vec::new();
        for waiting in batch.drain(..) {
            match waiting {
                Waiting::Event(event, told) => appended.push(*event, told),
                Waiting::Settled(caller) => settled.push(caller),
            }
        }
        let outcomes = append(sessions, appended.events());
        appended.answer(outcomes.into_iter());
        // Whoever has gone away needs no answer.
        for caller in settled {
            let _ = caller.send(());
        }
    }
}

/// Adds events; what became of each.
fn append(sessions: &Sessions<Writing>, events: &[Event]) -> Vec<Result<(), StoreError>> {
    if events.is_empty() {
        return Vec::new();
    }
    let all = transaction(sessions, &|session: &mut Session<Writing>| {
        events::together(session, events)
    });
    let outcome = match all {
        Err(error) if events.len() > 1 && !error.is_temporary() => {
            // One of them is to blame; the others have done nothing wrong.
            transaction(sessions, &|session: &mut Session<Writing>| {
                Ok(events::one_by_one(session, events))
            })
        }
        all => all,
    };
    outcome.unwrap_or_else(|error: StoreError| {
        tracing::error!(%error, events = events.len(), "audit events could not be written");
        events.iter().map(|_| Err(error.clone())).collect()
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
        session.forget_events();
        let outcome = session.guarded_with_events(work);
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
