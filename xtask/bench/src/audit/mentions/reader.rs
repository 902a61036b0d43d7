//! Pages of lists, from the newest segment on.

use anyhow::Result;
use audit::{ActorId, AuditVisibility, Event, EventFilter};
use audit_log::{Corrupt, Segment, Subject, SubjectKind, subject};
use diesel::{SqliteConnection, prelude::*, sql_types::Binary};
use storage::PgConnection;

use super::{super::rows::PAGE_BUDGET, mentions, segments, unindexed};

/// How many segments are read at once.
const AT_ONCE: i64 = 64;

define_sql_function! {
    /// Where bytes begin in others, from 1 on; 0 where they are not. PostgreSQL's alone.
    #[sql_name = "pg_catalog.position"]
    fn bytes_position(all: Binary, some: Binary) -> Integer;
}

/// The subject by which a filter's events are looked up.
fn subject_of(filter: &EventFilter) -> Option<Subject> {
    match (filter.actor, filter.org_id, filter.visibility) {
        (Some(ActorId::Key(key)), ..) => Some(subject(SubjectKind::Key, key)),
        (_, Some(org), _) => Some(subject(SubjectKind::Org, org)),
        (_, _, AuditVisibility::Partner(partner)) => Some(subject(SubjectKind::Partner, partner)),
        _ => None,
    }
}

/// What a page has found.
struct Found<'f> {
    filter: &'f EventFilter,
    limit: usize,
    events: Vec<Event>,
    decoded: i64,
}

impl Found<'_> {
    fn add(&mut self, body: &[u8], subject: Option<&Subject>) -> Result<(), Corrupt> {
        let segment = match subject {
            Some(subject) => Segment::decode_if_mentions(body, subject)?,
            None => Some(Segment::decode(body)?),
        };
        let Some(segment) = segment else {
            return Ok(());
        };
        for entry in segment.entries().iter().rev() {
            self.decoded += 1;
            if segment.may_match(self.filter, entry) {
                let event = segment.event(entry)?;
                if self.filter.includes(&event) {
                    self.events.push(event);
                }
            }
        }
        Ok(())
    }

    const fn is_done(&self) -> bool {
        self.events.len() > self.limit || self.decoded >= PAGE_BUDGET
    }
}

/// A page of a list: segments in the order of their last ids, from the newest on.
macro_rules! page {
    ($connection:expr, $found:expr, $subject:expr, $unindexed:expr) => {{
        let (found, subject): (&mut Found<'_>, Option<Subject>) = ($found, $subject);
        if let Some(subject) = &subject {
            let mut below = vec![u8::MAX; 17];
            while !found.is_done() {
                let read = $unindexed($connection, subject, &below)?;
                let Some((last, _)) = read.last() else {
                    break;
                };
                below.clone_from(last);
                for (_, body) in &read {
                    found.add(body, Some(subject))?;
                    if found.is_done() {
                        break;
                    }
                }
            }
        }
        let mut below = vec![u8::MAX; 17];
        let mut limit = 4;
        while !found.is_done() {
            let read: Vec<(Vec<u8>, Vec<u8>)> = match &subject {
                Some(subject) => mentions::table
                    .inner_join(segments::table)
                    .filter(mentions::subject.eq(&subject[..]))
                    .filter(mentions::last_id.lt(&below))
                    .order(mentions::last_id.desc())
                    .limit(limit)
                    .select((mentions::last_id, segments::body))
                    .load($connection)?,
                None => segments::table
                    .filter(segments::last_id.lt(&below))
                    .order(segments::last_id.desc())
                    .limit(limit)
                    .select((segments::last_id, segments::body))
                    .load($connection)?,
            };
            let Some((last, _)) = read.last() else {
                break;
            };
            below.clone_from(last);
            limit = (limit * 2).min(AT_ONCE);
            for (_, body) in &read {
                found.add(body, subject.as_ref())?;
                if found.is_done() {
                    break;
                }
            }
        }
        anyhow::Ok(())
    }};
}

/// The last ids and bodies of segments.
type Bodies = Vec<(Vec<u8>, Vec<u8>)>;

/// The next segments that have no mentions yet.
fn unindexed_sqlite(
    sqlite: &mut SqliteConnection,
    _: &Subject,
    below: &Vec<u8>,
) -> QueryResult<Bodies> {
    unindexed::table
        .inner_join(segments::table)
        .filter(unindexed::last_id.lt(below))
        .order(unindexed::last_id.desc())
        .limit(AT_ONCE)
        .select((unindexed::last_id, segments::body))
        .load(sqlite)
}

/// Those of them that may mention the subject: what is not wanted need not come over the network.
fn unindexed_postgres(
    postgres: &mut PgConnection,
    subject: &Subject,
    below: &Vec<u8>,
) -> QueryResult<Bodies> {
    unindexed::table
        .inner_join(segments::table)
        .filter(unindexed::last_id.lt(below))
        .filter(bytes_position(segments::body, &subject[..]).gt(0))
        .order(unindexed::last_id.desc())
        .limit(AT_ONCE)
        .select((unindexed::last_id, segments::body))
        .load(postgres)
}

/// A reader of design D.
pub(crate) enum Reader {
    Sqlite(SqliteConnection),
    Postgres(Box<PgConnection>),
}

impl Reader {
    pub(crate) fn page(&mut self, filter: &EventFilter, limit: usize) -> Result<Vec<Event>> {
        let mut found = Found {
            filter,
            limit,
            events: Vec::new(),
            decoded: 0,
        };
        let subject = subject_of(filter);
        match self {
            Self::Sqlite(sqlite) => page!(sqlite, &mut found, subject, unindexed_sqlite)?,
            Self::Postgres(postgres) => {
                let postgres = postgres.as_mut();
                page!(postgres, &mut found, subject, unindexed_postgres)?;
            }
        }
        let mut events = found.events;
        events.sort_unstable_by_key(|event| std::cmp::Reverse(event.id));
        events.truncate(limit + 1);
        Ok(events)
    }
}
