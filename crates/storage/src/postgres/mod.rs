//! Writing to PostgreSQL: transactions on a pool, and a thread that takes audit events in batches.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use audit::Event;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _};
use ids::{EventId, KeyId};
use stores::{StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use crate::{
    connection::{
        AnyConnection,
        error::{MIN_AT_ONCE, OpenError},
        url::DatabaseUrl,
    },
    events::guarded_with_events,
    group_commit::{
        acks::{Ack, AckPolicy},
        queue::{Queue, Queueable, queue},
    },
    indexer::{IndexSettings, Indexing, SegmentCounter},
    pool::{
        Pool,
        connections::{Connections, PooledSession},
    },
    session::{Reading, Session, Writing},
    stamps::Stamps,
    stats::{PoolStats, QueueStats},
    threads,
};

mod appender;
mod index_writer;

use appender::Appender;
pub(crate) use index_writer::PostgresIndexWriter;

/// How often work runs when other transactions are in its way.
const ATTEMPTS: u32 = 10;

/// What waits for the thread.
enum Job {
    /// An event to be appended.
    Event(Box<Event>, Ack),
    /// Someone who waits for what was queued before.
    Settled(oneshot::Sender<()>),
}

impl Queueable for Job {
    fn append(event: Box<Event>, ack: Ack) -> Self {
        Self::Event(event, ack)
    }

    fn is_awaited(&self) -> bool {
        match self {
            Self::Event(_, ack) => ack.is_awaited(),
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
    segment_counter: SegmentCounter,
    _indexing: Indexing,
}

impl PostgresWriter {
    pub(crate) fn open(
        [calls, url]: [&DatabaseUrl; 2],
        writers: u8,
        events: Option<Session<Writing>>,
        ack_policy: Arc<AckPolicy>,
        sizes: IndexSettings,
    ) -> Result<Self, OpenError> {
        // The `BEGIN` of each transaction tells whether the connection lives.
        let pool = Pool::open(calls, writers, false);
        let (jobs, receiver) = queue(Arc::clone(&ack_policy));
        let stamps = ack_policy.stamps().clone();
        let segment_counter = SegmentCounter::default();
        let appender = Appender::new(
            url.clone(),
            events,
            ack_policy,
            Arc::clone(&segment_counter),
        );
        threads::spawn("audit-events", move || appender.run(receiver))?;
        let indexing = Indexing::start(
            url,
            sizes,
            PostgresIndexWriter::new(url),
            Arc::clone(&segment_counter),
        )?;
        Ok(Self {
            pool,
            jobs,
            stamps,
            segment_counter,
            _indexing: indexing,
        })
    }

    /// What waits for the thread that appends events.
    pub(crate) fn queue_stats(&self) -> QueueStats {
        self.jobs.stats()
    }

    pub(crate) fn pool_stats(&self) -> PoolStats {
        self.pool.stats("write")
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
        self.segment_counter.fetch_add(1, Ordering::Relaxed);
        written
    }

    /// Notes a use of a key by statements that are transactions of their own: that spares two ways
    /// over the network.
    pub(crate) async fn key_used(
        &self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let note = move |sessions: &Connections<Writing>| {
            // It does no harm to note the same use twice, as when a connection dies over it.
            for _ in 0..sessions.most() {
                let mut session = sessions.get()?;
                let noted = session.run_alone(|session| session.key_touch(id, secret, at));
                if noted.is_ok() || !session.is_broken() {
                    return noted;
                }
            }
            let mut session = sessions.get()?;
            session.run_alone(|session| session.key_touch(id, secret, at))
        };
        self.pool.run(note).await
    }

    pub(crate) async fn append(&self, event: Box<Event>) -> Result<EventId, StoreError> {
        self.jobs.append(event).await
    }

    /// Waits until what was queued before is durable, or has failed.
    pub(crate) async fn settle(&self) -> Result<(), StoreError> {
        let (caller, settled) = oneshot::channel();
        self.jobs.send_when_room(Job::Settled(caller)).await?;
        settled.await.map_err(|_| StoreError::Unavailable(None))
    }
}

/// Warns the operator when the server has fewer connections left than this process is to have, of which it
/// has some. It works with those that it gets.
pub(crate) fn warn_when_few(session: &mut Session<Reading>, wanted: u8) {
    match session.run(free_connections) {
        Ok(free) => {
            let most = free.saturating_add(MIN_AT_ONCE.into());
            if most < wanted.into() {
                tracing::warn!(
                    free,
                    wanted,
                    "the database server has fewer connections left than this instance may use; it works with those that it gets, and is slower: raise max_connections, or lower                      MOLECULE_CP_DATABASE_POOL"
                );
            }
        }
        Err(error) => tracing::debug!(%error, "free connections were not counted"),
    }
}

/// How many more connections the server would give to a role that is no superuser, for all that can be seen.
fn free_connections(connection: &mut AnyConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        free: i64,
    }
    let AnyConnection::Postgres(postgres) = connection else {
        return Ok(i64::MAX);
    };
    let answer: Answer = diesel::sql_query(
        "SELECT least(
             current_setting('max_connections')::bigint
                 - current_setting('superuser_reserved_connections')::bigint
                 - (SELECT sum(numbackends) FROM pg_stat_database),
             nullif(d.datconnlimit, -1) - s.numbackends,
             (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
         )::bigint AS free
         FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
         WHERE d.datname = current_database()",
    )
    .get_result(postgres)?;
    Ok(answer.free)
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
        let outcome = guarded_with_events(&mut session, work, stamps);
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
