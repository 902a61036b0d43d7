//! Writing to PostgreSQL: transactions on a pool, and a thread that takes audit events in batches.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use audit::Event;
use ids::{EventId, KeyId};
use keys::KeyStore as _;
use stores::StoreError;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::{
    backlog::{Backlog, Told},
    connections::{Connections, PooledSession},
    dialect,
    error::{MIN_AT_ONCE, OpenError},
    indexer::{Indexing, News, Sizes},
    pool::Pool,
    queue::{Queue, Queued, queue},
    session::{Reading, Session, Writing},
    stamps::Stamps,
    threads,
    url::DatabaseUrl,
};

mod appender;
mod hand;

use appender::Appender;
pub(crate) use hand::Alone;

/// How often work runs when other transactions are in its way.
const ATTEMPTS: u32 = 10;

/// What waits for the thread.
enum Job {
    /// An event, and who is told of it.
    Event(Box<Event>, Told),
    /// Someone who waits for what was queued before.
    Settled(oneshot::Sender<()>),
}

impl Queued for Job {
    fn event(event: Box<Event>, told: Told) -> Self {
        Self::Event(event, told)
    }

    fn is_awaited(&self) -> bool {
        match self {
            Self::Event(_, told) => told.is_awaited(),
            Self::Settled(_) => true,
        }
    }
}

/// The way to change a PostgreSQL database.
pub(crate) struct PostgresWriter {
    pool: Pool<Writing>,
    jobs: Queue<Job>,
    stamps: Stamps,
    /// Has one more with each transaction, which adds a segment at the most, or a few.
    news: News,
    _indexing: Indexing,
}

impl PostgresWriter {
    pub(crate) fn open(
        url: &DatabaseUrl,
        writers: u8,
        events: Option<Session<Writing>>,
        backlog: Arc<Backlog>,
        sizes: Sizes,
    ) -> Result<Self, OpenError> {
        // The `BEGIN` of each transaction tells whether the connection lives.
        let pool = Pool::open(url, writers, false);
        let (jobs, waiting) = queue(Arc::clone(&backlog));
        let stamps = backlog.stamps().clone();
        let news = News::default();
        let appender = Appender::new(url.clone(), events, backlog, Arc::clone(&news));
        threads::spawn("audit-events", move || appender.run(waiting))?;
        let indexing = Indexing::start(url, sizes, Alone::new(url), Arc::clone(&news))?;
        Ok(Self {
            pool,
            jobs,
            stamps,
            news,
            _indexing: indexing,
        })
    }

    /// Has a writer connected.
    pub(crate) fn connect(&self) -> Result<(), StoreError> {
        self.pool.connect()
    }

    pub(crate) async fn write<T, E>(
        &self,
        work: impl Fn(&mut Session<Writing>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let stamps = self.stamps.clone();
        let written = self
            .pool
            .run(move |sessions| transaction(sessions, &work, &stamps))
            .await;
        self.news.fetch_add(1, Ordering::Relaxed);
        written
    }

    /// Notes a use of a key by one statement, which is a transaction of its own: that spares two ways
    /// over the network.
    pub(crate) async fn key_used(&self, id: KeyId, at: OffsetDateTime) -> Result<(), StoreError> {
        let note = move |sessions: &Connections<Writing>| {
            // It does no harm to note the same use twice, as when a connection dies over it.
            for _ in 0..sessions.most() {
                let mut session = sessions.get()?;
                let noted = session.key_touch(id, at);
                if noted.is_ok() || !session.is_broken() {
                    return noted;
                }
            }
            sessions.get()?.key_touch(id, at)
        };
        self.pool.run(note).await
    }

    pub(crate) async fn append(&self, event: Box<Event>) -> Result<EventId, StoreError> {
        self.jobs.append(event).await
    }

    /// Waits until what was queued before is durable, or has failed.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let (caller, settled) = oneshot::channel();
        self.jobs.send_patiently(Job::Settled(caller)).await?;
        settled.await.map_err(|_| StoreError::Unavailable(None))
    }
}

/// Warns the operator when the server has fewer connections left than this process is to have, of which it
/// has some. It works with those that it gets.
pub(crate) fn warn_when_few(session: &mut Session<Reading>, wanted: u8) {
    match session.run(dialect::server::free_connections) {
        Ok(free) => {
            let most = free.saturating_add(MIN_AT_ONCE.into());
            if most < wanted.into() {
                tracing::warn!(
                    free,
                    wanted,
                    "the database server has fewer connections left than this instance may use; it works                      with those that it gets, and is slower: raise max_connections, or lower                      MOLECULE_CP_DATABASE_POOL"
                );
            }
        }
        Err(error) => tracing::debug!(%error, "free connections were not counted"),
    }
}

/// Runs work in a transaction, again when another transaction was in its way.
fn transaction<T, E: From<StoreError>>(
    sessions: &Connections<Writing>,
    work: &impl Fn(&mut Session<Writing>) -> Result<T, E>,
    stamps: &Stamps,
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let mut session = begin(sessions)?;
        session.forget_conflict();
        session.forget_events();
        let outcome = session.guarded_with_events(work, stamps);
        if outcome.is_ok() || !session.forget_conflict() || attempt == ATTEMPTS {
            return outcome;
        }
        drop(session);
        thread::sleep(pause(attempt));
        attempt += 1;
    }
}

/// How long to wait after an attempt that was in others' way.
fn pause(attempt: u32) -> Duration {
    Duration::from_millis(2) * attempt
}

/// A session in a transaction. After a restart of the server the pool is full of dead connections, and
/// the transaction's beginning tells.
fn begin(sessions: &Connections<Writing>) -> Result<PooledSession<Writing>, StoreError> {
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
