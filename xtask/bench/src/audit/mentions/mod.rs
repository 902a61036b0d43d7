//! Design D: segments as they are in use, and a row for each subject that a segment mentions. Those rows
//! are added behind, of many segments at a time and sorted. A list reads segments that have none yet as
//! they are: a table names them, so that no numbers and no locks are needed to know which they are.

mod reader;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::Result;
use audit::Event;
use audit_log::{EncodedSegment, Subject, subjects_of};
use diesel::{
    Connection as _, SqliteConnection,
    connection::SimpleConnection as _,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Binary},
};
use storage::PgConnection;

pub(super) use self::reader::Reader;
use super::{batcher::Sink, sqlite};

/// How many segments share a sorted batch of mentions, as many as a run of the index in use has.
const SEGMENTS: usize = 256;
/// How many mentions are added in one transaction.
const CHUNK: usize = 2048;

const TABLES: &str = "
    CREATE TABLE segments (
        last_id BYTEA NOT NULL PRIMARY KEY,
        first_id BYTEA NOT NULL,
        events BIGINT NOT NULL,
        body BYTEA NOT NULL
    );
    CREATE INDEX segments_first_id ON segments (first_id, last_id);
    CREATE TABLE unindexed (last_id BYTEA NOT NULL PRIMARY KEY);
    CREATE TABLE mentions (
        subject BYTEA NOT NULL,
        last_id BYTEA NOT NULL,
        PRIMARY KEY (subject, last_id)
    )";

diesel::table! {
    segments (last_id) {
        last_id -> Binary,
        first_id -> Binary,
        events -> BigInt,
        body -> Binary,
    }
}

diesel::table! {
    unindexed (last_id) {
        last_id -> Binary,
    }
}

diesel::table! {
    mentions (subject, last_id) {
        subject -> Binary,
        last_id -> Binary,
    }
}

diesel::joinable!(mentions -> segments (last_id));
diesel::joinable!(unindexed -> segments (last_id));
diesel::allow_tables_to_appear_in_same_query!(mentions, segments, unindexed);

/// The last id of a segment, by which it is known.
type LastId = [u8; 16];

type Mention = (Subject, LastId);

/// The sorted mentions of some segments, and which those are.
struct Batch {
    mentions: Vec<Mention>,
    segments: Vec<LastId>,
}

/// Collects the mentions of segments.
#[derive(Default)]
struct Collector {
    mentions: Vec<Mention>,
    segments: Vec<LastId>,
}

impl Collector {
    /// Adds a segment; the mentions of all, once there are enough.
    fn add(&mut self, subjects: &[Subject], last_id: LastId) -> Option<Batch> {
        self.mentions
            .extend(subjects.iter().map(|subject| (*subject, last_id)));
        self.segments.push(last_id);
        if self.segments.len() < SEGMENTS {
            return None;
        }
        let Self {
            mut mentions,
            segments,
        } = std::mem::take(self);
        mentions.sort_unstable();
        Some(Batch { mentions, segments })
    }
}

/// How many segments have no mentions yet.
#[derive(Default)]
pub(crate) struct Progress(AtomicI64);

impl Progress {
    fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn indexed(&self, segments: &[LastId]) {
        self.add(-i64::try_from(segments.len()).unwrap_or(0));
    }

    pub(crate) fn lag(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What differs between the engines: SQLite's one writer adds the mentions too, a piece with each commit;
/// on PostgreSQL a thread with a connection of its own does.
pub(crate) enum Mentions {
    Sqlite {
        sqlite: SqliteConnection,
        checkpointer: sqlite::Checkpointer,
        collector: Collected,
        progress: Arc<Progress>,
    },
    Postgres {
        postgres: PgConnection,
        filler: mpsc::Sender<(Vec<Subject>, LastId)>,
        progress: Arc<Progress>,
    },
}

/// Collected mentions, and those of a sorted batch that are yet to be added.
#[derive(Default)]
pub(crate) struct Collected {
    collector: Collector,
    batches: Vec<Batch>,
    added: usize,
}

impl Mentions {
    pub(crate) fn create_sqlite(path: &Path, progress: &Arc<Progress>) -> Result<Self> {
        let mut sqlite = sqlite::connect(path)?;
        let tables = TABLES.replace("BYTEA", "BLOB");
        sqlite.batch_execute(&format!("{tables} WITHOUT ROWID"))?;
        Ok(Self::Sqlite {
            sqlite,
            checkpointer: sqlite::Checkpointer::start(path)?,
            collector: Collected::default(),
            progress: Arc::clone(progress),
        })
    }

    pub(crate) fn create_postgres(url: &str, progress: &Arc<Progress>) -> Result<Self> {
        let mut postgres = PgConnection::establish(url)?;
        postgres.batch_execute(TABLES)?;
        postgres.batch_execute("ALTER TABLE segments ALTER COLUMN body SET STORAGE EXTERNAL")?;
        let mut connection = PgConnection::establish(url)?;
        // What a crash takes of them is added again.
        connection.batch_execute("SET synchronous_commit = off")?;
        let (filler, segments) = mpsc::channel();
        let filled = Arc::clone(progress);
        thread::spawn(move || {
            if let Err(error) = fill(&mut connection, &segments, &filled) {
                eprintln!("no mentions are added any more: {error:#}");
            }
        });
        Ok(Self::Postgres {
            postgres,
            filler,
            progress: Arc::clone(progress),
        })
    }
}

/// Adds the mentions of segments until there are no more.
fn fill(
    connection: &mut PgConnection,
    segments: &mpsc::Receiver<(Vec<Subject>, LastId)>,
    progress: &Progress,
) -> Result<()> {
    let mut collector = Collector::default();
    while let Ok((subjects, last_id)) = segments.recv() {
        if let Some(batch) = collector.add(&subjects, last_id) {
            for chunk in batch.mentions.chunks(CHUNK) {
                AddMentions::of(chunk).execute(connection)?;
            }
            diesel::delete(unindexed::table)
                .filter(unindexed::last_id.eq_any(&batch.segments))
                .execute(connection)?;
            progress.indexed(&batch.segments);
        }
    }
    Ok(())
}

/// Adds a segment.
macro_rules! insert {
    ($connection:expr, $segment:expr) => {{
        diesel::insert_into(segments::table)
            .values((
                segments::last_id.eq(&$segment.last_id[..]),
                segments::first_id.eq(&$segment.first_id[..]),
                segments::events.eq($segment.events),
                segments::body.eq(&$segment.body),
            ))
            .execute($connection)?;
        diesel::insert_into(unindexed::table)
            .values(unindexed::last_id.eq(&$segment.last_id[..]))
            .execute($connection)
    }};
}

impl Sink for Mentions {
    fn commit(&mut self, events: &[Event]) -> Result<()> {
        let mut sorted: Vec<&Event> = events.iter().collect();
        sorted.sort_unstable_by_key(|event| event.id);
        let Some(segment) = EncodedSegment::new(&sorted)? else {
            return Ok(());
        };
        match self {
            Self::Postgres {
                postgres,
                filler,
                progress,
            } => {
                // One statement, which is its own transaction.
                AddSegment(&segment).execute(postgres)?;
                progress.add(1);
                filler.send((subjects_of(&segment.body)?.to_vec(), segment.last_id))?;
            }
            Self::Sqlite {
                sqlite,
                checkpointer,
                collector,
                progress,
            } => {
                sqlite.immediate_transaction(|sqlite| {
                    insert!(sqlite, segment)?;
                    collector.add_some(sqlite, progress)
                })?;
                progress.add(1);
                collector.add(subjects_of(&segment.body)?, segment.last_id);
                checkpointer.committed(sqlite)?;
            }
        }
        Ok(())
    }
}

impl Collected {
    fn add(&mut self, subjects: &[Subject], last_id: LastId) {
        self.batches.extend(self.collector.add(subjects, last_id));
    }

    /// Adds the next mentions of the oldest batch.
    fn add_some(&mut self, sqlite: &mut SqliteConnection, progress: &Progress) -> QueryResult<()> {
        let Some(batch) = self.batches.first() else {
            return Ok(());
        };
        for (subject, last_id) in batch.mentions.iter().skip(self.added).take(CHUNK) {
            diesel::insert_into(mentions::table)
                .values((
                    mentions::subject.eq(&subject[..]),
                    mentions::last_id.eq(&last_id[..]),
                ))
                .execute(sqlite)?;
        }
        self.added += CHUNK;
        if self.added >= batch.mentions.len() {
            for last_id in &batch.segments {
                diesel::delete(unindexed::table.find(&last_id[..])).execute(sqlite)?;
            }
            progress.indexed(&batch.segments);
            self.batches.remove(0);
            self.added = 0;
        }
        Ok(())
    }
}

/// A segment, and that it is not indexed yet.
struct AddSegment<'a>(&'a EncodedSegment);

impl QueryFragment<Pg> for AddSegment<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH added AS (INSERT INTO segments VALUES (");
        out.push_bind_param::<Binary, [u8]>(&self.0.last_id)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, [u8]>(&self.0.first_id)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, i64>(&self.0.events)?;
        out.push_sql(", ");
        out.push_bind_param::<Binary, Vec<u8>>(&self.0.body)?;
        out.push_sql(") RETURNING last_id) INSERT INTO unindexed SELECT last_id FROM added");
        Ok(())
    }
}

impl QueryId for AddSegment<'_> {
    type QueryId = AddSegment<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for AddSegment<'_> {}

/// One statement for many mentions.
struct AddMentions<'a> {
    subjects: Vec<&'a [u8]>,
    last_ids: Vec<&'a [u8]>,
}

impl<'a> AddMentions<'a> {
    fn of(mentions: &'a [Mention]) -> Self {
        Self {
            subjects: mentions.iter().map(|(subject, _)| &subject[..]).collect(),
            last_ids: mentions.iter().map(|(_, last_id)| &last_id[..]).collect(),
        }
    }
}

impl QueryFragment<Pg> for AddMentions<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("INSERT INTO mentions SELECT * FROM unnest(");
        out.push_bind_param::<Array<Binary>, _>(&self.subjects)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Binary>, _>(&self.last_ids)?;
        out.push_sql(") ON CONFLICT DO NOTHING");
        Ok(())
    }
}

impl QueryId for AddMentions<'_> {
    type QueryId = AddMentions<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<C> RunQueryDsl<C> for AddMentions<'_> {}
