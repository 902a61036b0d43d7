//! The database: one door to read, one to write, one to append to the audit log.

use std::{
    future::Future,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use audit::{Event, Stamper};
use ids::{EventId, KeyId};
use stores::{Database, Requester, StoreError, Transaction};
use time::OffsetDateTime;

use crate::{
    connection::{
        error::{self, OpenError},
        pooler,
        url::{DatabaseUrl, Engine},
    },
    control::{Control, connect_to_postgres},
    group_commit::acks::AckPolicy,
    indexer::IndexSettings,
    list_queue::{ListQueue, ListStats},
    migrations,
    options::Options,
    pool::Pool,
    postgres::{self, PostgresWriter},
    session::{Reading, Session, Writing},
    shares::{OF_THREADS, shares},
    sqlite::SqliteWriter,
    stamps::Stamps,
    stats::{PoolStats, QueueStats},
};

/// How many readers an SQLite file has at the least, however few processors there are.
const SQLITE_READERS: u8 = 4;

/// How many changes of different callers are made by one closure at the most: what they gain by more is
/// little, and they wait for each other.
const TOGETHER: usize = 128;

/// How long a connection that the start needs is tried for.
const START_TIMEOUT: Duration = Duration::from_secs(2);

/// A database on SQLite or PostgreSQL. A clone is another handle to the same; when the last one is
/// dropped, what waits is still written, and then the connections close.
#[derive(Clone)]
pub struct SqlDatabase(Arc<Handle>);

struct Handle {
    readers: Pool<Reading>,
    lists: ListQueue,
    control: Control,
    timeout: Duration,
    writer: Writer,
    ack_policy: Arc<AckPolicy>,
    together: usize,
}

enum Writer {
    Sqlite(SqliteWriter),
    Postgres(PostgresWriter),
}

impl SqlDatabase {
    /// Opens a database that has been migrated; every event is durable before its answer.
    ///
    /// # Errors
    /// When it can't be reached, or its migrations are not exactly those of this program.
    pub fn open(url: &DatabaseUrl) -> Result<Self, OpenError> {
        Self::open_with(url, Options::default())
    }

    /// Opens a database that has been migrated. With [`crate::AuditMode::Relaxed`], call
    /// [`SqlDatabase::settle`] before the program ends.
    ///
    /// # Errors
    /// When it can't be reached, or its migrations are not exactly those of this program.
    pub fn open_with(url: &DatabaseUrl, options: Options) -> Result<Self, OpenError> {
        Self::open_indexing(url, options, IndexSettings::DEFAULT, Stamps::default())
    }

    /// As [`SqlDatabase::open_with`]; events get their ids and times from the stamper, right before they
    /// are committed.
    ///
    /// # Errors
    /// When it can't be reached, or its migrations are not exactly those of this program.
    pub fn open_stamping(
        url: &DatabaseUrl,
        options: Options,
        stamper: Stamper,
    ) -> Result<Self, OpenError> {
        Self::open_indexing(url, options, IndexSettings::DEFAULT, Stamps::new(stamper))
    }

    /// As [`SqlDatabase::open_with`]; the audit log is indexed in pieces of these sizes.
    pub(crate) fn open_indexing(
        url: &DatabaseUrl,
        options: Options,
        sizes: IndexSettings,
        stamps: Stamps,
    ) -> Result<Self, OpenError> {
        let calls = pooler::for_calls(url)?;
        let url = &url.direct();
        migrations::check::<Reading>(url)?;
        let ack_policy = AckPolicy::stamping(options.audit, stamps);
        let handle = match &url.0 {
            Engine::Sqlite(_) => {
                let processors = thread::available_parallelism().map_or(1, |n| n.get());
                let readers = u8::try_from(processors).unwrap_or(u8::MAX);
                let writer =
                    SqliteWriter::open(url, Arc::clone(&ack_policy), options.sqlite_batch, sizes)?;
                let readers = readers.clamp(SQLITE_READERS, 16);
                Handle {
                    readers: Pool::open(url, readers, false),
                    lists: ListQueue::new(readers.into()),
                    control: Control::start(url, Session::connect, None, writer.probe())?,
                    timeout: options.timeout,
                    writer: Writer::Sqlite(writer),
                    ack_policy,
                    together: options.sqlite_batch.get().min(TOGETHER),
                }
            }
            Engine::Postgres(_) | Engine::Pooled(_) => {
                Self::open_postgres([&calls, url], options, ack_policy, sizes)?
            }
        };
        Ok(Self(Arc::new(handle)))
    }

    /// Calls may go through a pooler; what needs sessions of its own goes past it.
    fn open_postgres(
        [calls, url]: [&DatabaseUrl; 2],
        options: Options,
        ack_policy: Arc<AckPolicy>,
        sizes: IndexSettings,
    ) -> Result<Handle, OpenError> {
        let (readers, writers) = shares(options.connections);
        // A question has no transaction whose beginning would tell that the connection is dead.
        let lists = ListQueue::new(readers.into());
        let readers = Pool::open(calls, readers, true);
        let (mut control, mut events) = (None, None);
        let too_few = |source| OpenError::TooFewConnections {
            url: url.to_string(),
            source,
        };
        if options.connect_now {
            let mut session = patiently(|| connect_to_postgres(url)).map_err(too_few)?;
            events = Some(patiently(|| Session::connect(url)).map_err(too_few)?);
            patiently(|| readers.connect()).map_err(too_few)?;
            let is_shared = calls != url;
            let wanted = if is_shared {
                OF_THREADS
            } else {
                options.connections
            };
            postgres::warn_when_few(&mut session, wanted);
            control = Some(session);
        }
        let writer = PostgresWriter::open(
            [calls, url],
            writers,
            events,
            Arc::clone(&ack_policy),
            sizes,
        )?;
        if options.connect_now {
            patiently(|| writer.connect()).map_err(too_few)?;
        }
        Ok(Handle {
            readers,
            lists,
            control: Control::start(url, connect_to_postgres, control, ())?,
            timeout: options.timeout,
            writer: Writer::Postgres(writer),
            ack_policy,
            together: TOGETHER,
        })
    }

    /// Waits until what has been appended so far is durable, also that for which nobody waits.
    ///
    /// # Errors
    /// When the database takes no more.
    pub async fn settle(&self) -> Result<(), StoreError> {
        match &self.0.writer {
            // It does everything in its order.
            Writer::Sqlite(writer) => writer.write(|_| Ok(())).await,
            Writer::Postgres(writer) => writer.settle().await,
        }
    }

    /// Whether the database answers and takes changes, as it was less than a second ago; that costs
    /// nothing. It is known once something has been asked by [`Database::read_control`].
    ///
    /// # Errors
    /// When it does not.
    pub fn readiness(&self) -> Result<(), StoreError> {
        self.0.control.readiness()
    }

    /// What lists do, and what has become of them.
    #[must_use]
    pub fn list_stats(&self) -> ListStats {
        self.0.lists.stats()
    }

    /// The connections in use. An SQLite file has one writer, whose queue says what waits for it.
    #[must_use]
    pub fn pool_stats(&self) -> Vec<PoolStats> {
        let readers = self.0.readers.stats("read");
        match &self.0.writer {
            Writer::Sqlite(_) => vec![readers],
            Writer::Postgres(writer) => vec![readers, writer.pool_stats()],
        }
    }

    /// What waits for the thread that writes audit events; on SQLite it makes all changes.
    #[must_use]
    pub fn audit_queue_stats(&self) -> QueueStats {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.queue_stats(),
            Writer::Postgres(writer) => writer.queue_stats(),
        }
    }

    /// Has somebody told how long each commit of audit events takes, from when the thread takes them until they are
    /// durable; on SQLite also of changes, which share its commits. The first observer stays.
    pub fn observe_audit_commits(&self, observer: impl Fn(Duration) + Send + Sync + 'static) {
        self.0.ack_policy.observe_commits(observer);
    }

    /// How many events could not be made durable although their calls had been answered; none unless
    /// the mode is [`crate::AuditMode::Relaxed`].
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.0.ack_policy.lost_events()
    }

    /// What an indexer of an SQLite file makes its changes with.
    #[cfg(test)]
    pub(crate) fn index_writer(&self) -> crate::sqlite::SqliteIndexWriter {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.index_writer(),
            Writer::Postgres(_) => unreachable!("it is not on SQLite"),
        }
    }

    /// How many transactions the SQLite writer has committed.
    #[cfg(test)]
    pub(crate) fn commits(&self) -> u64 {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.commits(),
            Writer::Postgres(_) => 0,
        }
    }
}

/// Connects, again for a while when it fails: the server may still count connections that have just been
/// closed.
fn patiently<T>(connect: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        match connect() {
            Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
}

/// What comes of work that may take so long and no longer. What has begun goes on without anybody waiting
/// for it: it may still be carried out, as when a connection dies over it.
async fn within<T, E: From<StoreError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(error::unavailable("the database has not answered in time").into()),
    }
}

impl Database for SqlDatabase {
    type View = Session<Reading>;
    type Tx = Session<Writing>;

    async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let read = self.0.readers.run(|sessions| sessions.get()?.ask(work));
        within(self.0.timeout, read).await
    }

    async fn read_control<T, E>(
        &self,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        within(self.0.timeout, self.0.control.run(work)).await
    }

    async fn read_list<T, E>(
        &self,
        by: Requester,
        work: impl FnOnce(&mut Self::View) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let read = self.0.lists.run(by, &self.0.readers, work);
        within(self.0.timeout, read).await
    }

    async fn write<T, E>(
        &self,
        work: impl Fn(&mut Self::Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let limit = self.0.timeout;
        match &self.0.writer {
            Writer::Sqlite(writer) => within(limit, writer.write(work)).await,
            Writer::Postgres(writer) => within(limit, writer.write(work)).await,
        }
    }

    async fn write_control<T, E>(
        &self,
        work: impl Fn(&mut Self::Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let limit = self.0.timeout;
        match &self.0.writer {
            Writer::Sqlite(writer) => within(limit, writer.write_first(work)).await,
            Writer::Postgres(_) => within(limit, self.0.control.write(work)).await,
        }
    }

    fn max_batch(&self) -> usize {
        self.0.together
    }

    async fn append(&self, event: Box<Event>) -> Result<EventId, StoreError> {
        let limit = self.0.timeout;
        match &self.0.writer {
            Writer::Sqlite(writer) => within(limit, writer.append(event)).await,
            Writer::Postgres(writer) => within(limit, writer.append(event)).await,
        }
    }

    async fn key_used(
        &self,
        id: KeyId,
        secret: Option<OffsetDateTime>,
        at: OffsetDateTime,
    ) -> Result<(), StoreError> {
        let limit = self.0.timeout;
        match &self.0.writer {
            Writer::Sqlite(writer) => within(limit, writer.key_used(id, secret, at)).await,
            Writer::Postgres(writer) => within(limit, writer.key_used(id, secret, at)).await,
        }
    }
}

impl Transaction for Session<Writing> {
    fn savepoint<T, E: From<StoreError>>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.nested(part)
    }
}
