//! The database: one door to read, one to write, one to append to the audit log.

use std::{num::NonZeroUsize, sync::Arc, thread};

use audit::Event;
use ids::KeyId;
use stores::{Database, StoreError, Transaction};
use time::OffsetDateTime;

use crate::{
    backlog::{AuditMode, Backlog},
    error::OpenError,
    indexer::Sizes,
    migrations,
    pool::Pool,
    postgres::PostgresWriter,
    session::{Reading, Session, Writing},
    sqlite::SqliteWriter,
    url::{DatabaseUrl, Engine},
};

/// How many readers a PostgreSQL server has from us at the most.
const POSTGRES_READERS: u8 = 8;
/// How many readers an SQLite file has at the least, however few processors there are.
const SQLITE_READERS: u8 = 4;

/// How many changes of different callers are made by one closure at the most: what they gain by more is
/// little, and they wait for each other.
const TOGETHER: usize = 128;

/// How many changes to an SQLite file share a commit at the most, so that none waits long for it.
pub const SQLITE_BATCH: NonZeroUsize = NonZeroUsize::MIN.saturating_add(511);

/// What can be chosen when a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the audit log promises.
    pub audit: AuditMode,
    /// How many changes to an SQLite file share a commit at the most; those that are made by one closure
    /// count once, and are no more than that either.
    pub sqlite_batch: NonZeroUsize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: AuditMode::Strict,
            sqlite_batch: SQLITE_BATCH,
        }
    }
}

/// A database on SQLite or PostgreSQL. A clone is another handle to the same; when the last one is
/// dropped, what waits is still written, and then the connections close.
#[derive(Clone)]
pub struct SqlDatabase(Arc<Handle>);

struct Handle {
    readers: Pool<Reading>,
    writer: Writer,
    backlog: Arc<Backlog>,
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

    /// Opens a database that has been migrated. With [`AuditMode::Relaxed`], call
    /// [`SqlDatabase::settle`] before the program ends.
    ///
    /// # Errors
    /// When it can't be reached, or its migrations are not exactly those of this program.
    pub fn open_with(url: &DatabaseUrl, options: Options) -> Result<Self, OpenError> {
        Self::open_indexing(url, options, Sizes::USUAL)
    }

    /// As [`SqlDatabase::open_with`]; the audit log is indexed in pieces of these sizes.
    pub(crate) fn open_indexing(
        url: &DatabaseUrl,
        options: Options,
        sizes: Sizes,
    ) -> Result<Self, OpenError> {
        migrations::check::<Reading>(url)?;
        let backlog = Backlog::new(options.audit);
        let handle = match &url.0 {
            Engine::Sqlite(_) => {
                let processors = thread::available_parallelism().map_or(1, |n| n.get());
                let readers = u8::try_from(processors).unwrap_or(u8::MAX);
                Handle {
                    readers: Pool::open(url, readers.clamp(SQLITE_READERS, 16), false),
                    writer: Writer::Sqlite(SqliteWriter::open(
                        url,
                        Arc::clone(&backlog),
                        options.sqlite_batch,
                        sizes,
                    )?),
                    backlog,
                    together: options.sqlite_batch.get().min(TOGETHER),
                }
            }
            // A question has no transaction whose beginning would tell that the connection is dead.
            Engine::Postgres(_) => Handle {
                readers: Pool::open(url, POSTGRES_READERS, true),
                writer: Writer::Postgres(PostgresWriter::open(url, Arc::clone(&backlog), sizes)?),
                backlog,
                together: TOGETHER,
            },
        };
        Ok(Self(Arc::new(handle)))
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

    /// How many events could not be made durable although their calls had been answered; none unless
    /// the mode is [`AuditMode::Relaxed`].
    #[must_use]
    pub fn lost_events(&self) -> u64 {
        self.0.backlog.lost()
    }

    /// What an indexer of an SQLite file makes its changes with.
    #[cfg(test)]
    pub(crate) fn hand(&self) -> crate::sqlite::ByTheWriter {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.hand(),
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
        self.0
            .readers
            .run(|sessions| work(&mut *sessions.get()?))
            .await
    }

    async fn write<T, E>(
        &self,
        work: impl Fn(&mut Self::Tx) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.write(work).await,
            Writer::Postgres(writer) => writer.write(work).await,
        }
    }

    fn together(&self) -> usize {
        self.0.together
    }

    async fn append(&self, event: Box<Event>) -> Result<(), StoreError> {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.append(event).await,
            Writer::Postgres(writer) => writer.append(event).await,
        }
    }

    async fn key_used(&self, id: KeyId, at: OffsetDateTime) -> Result<(), StoreError> {
        match &self.0.writer {
            Writer::Sqlite(writer) => writer.key_used(id, at).await,
            Writer::Postgres(writer) => writer.key_used(id, at).await,
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
