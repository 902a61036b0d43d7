//! Segments between two positions.

use diesel::{QueryResult, dsl, prelude::*};

use super::audit_segments;
use crate::connection::{AnyConnection, prepared};

/// The ids by which segments are sorted, and their bodies.
pub(crate) type Bodies = Vec<(Vec<u8>, Vec<u8>)>;

/// A position among segments: a second, and an id within it.
pub(crate) struct Position {
    pub(crate) second: i64,
    pub(crate) id: Vec<u8>,
}

/// Segments whose last ids are not below `from` and are below `below`, the last first.
pub(crate) fn below(
    connection: &mut AnyConnection,
    from: &Position,
    below: &Position,
    limit: i64,
) -> QueryResult<Bodies> {
    let question = audit_segments::table
        .filter(audit_segments::second.between(from.second, below.second))
        .filter(audit_segments::last_id.ge(&from.id))
        .filter(audit_segments::last_id.lt(&below.id))
        .order((
            audit_segments::second.desc(),
            audit_segments::last_id.desc(),
        ))
        .limit(limit)
        .select((audit_segments::last_id, audit_segments::body));
    prepared::load(connection, question)
}

/// The bodies of segments that begin above an id and below another, which they do not end below.
pub(crate) fn astride(
    connection: &mut AnyConnection,
    above: &[u8],
    below: &[u8],
) -> QueryResult<Vec<Vec<u8>>> {
    let question = audit_segments::table
        .filter(audit_segments::first_id.gt(above))
        .filter(audit_segments::first_id.lt(below))
        .filter(audit_segments::last_id.ge(below))
        .select(audit_segments::body);
    prepared::load_by_type(connection, question)
}

/// Segments whose first ids are above `after` and below `below`, and whose last ids are not below
/// `from`, the first first.
pub(crate) fn from(
    connection: &mut AnyConnection,
    after: &[u8],
    from: &[u8],
    below: &[u8],
    limit: i64,
) -> QueryResult<Bodies> {
    audit_segments::table
        .filter(audit_segments::first_id.gt(after))
        .filter(audit_segments::first_id.lt(below))
        .filter(audit_segments::last_id.ge(from))
        .order(audit_segments::first_id.asc())
        .limit(limit)
        .select((audit_segments::first_id, audit_segments::body))
        .load(connection)
}

/// The bodies of the segments whose ids go from `low` or above to `id` or beyond, and have `id` between
/// their first and their last.
pub(crate) fn around(
    connection: &mut AnyConnection,
    id: &[u8],
    low: &[u8],
) -> QueryResult<Vec<Vec<u8>>> {
    audit_segments::table
        .filter(audit_segments::first_id.le(id))
        .filter(audit_segments::first_id.ge(low))
        .filter(audit_segments::last_id.ge(id))
        .order(audit_segments::first_id.desc())
        .select(audit_segments::body)
        .load(connection)
}

/// The seconds, last ids and bodies of segments.
type Stored = Vec<(i64, Vec<u8>, Vec<u8>)>;

/// The first segments between two seconds, both included: about `limit`, and all of each second.
/// Whether there may be more comes with them.
pub(crate) fn whole_seconds(
    connection: &mut AnyConnection,
    from: i64,
    to: i64,
    limit: usize,
) -> QueryResult<(Stored, bool)> {
    let columns = (
        audit_segments::second,
        audit_segments::last_id,
        audit_segments::body,
    );
    let mut segments: Stored = audit_segments::table
        .filter(audit_segments::second.between(from, to))
        .order((audit_segments::second, audit_segments::last_id))
        .limit(i64::try_from(limit).unwrap_or(i64::MAX))
        .select(columns)
        .load(connection)?;
    let more = segments.len() >= limit;
    if more && let Some((second, last_id, _)) = segments.last() {
        let rest: Stored = audit_segments::table
            .filter(audit_segments::second.eq(second))
            .filter(audit_segments::last_id.gt(last_id))
            .order(audit_segments::last_id)
            .select(columns)
            .load(connection)?;
        segments.extend(rest);
    }
    Ok((segments, more))
}

/// The highest number of a segment.
pub(crate) fn newest(connection: &mut AnyConnection) -> QueryResult<i64> {
    let question = audit_segments::table.select(dsl::max(audit_segments::number));
    let last: Option<Option<i64>> = prepared::first_by_type(connection, question)?;
    Ok(last.flatten().unwrap_or(0))
}

/// The first segments after a number.
pub(crate) fn after(
    connection: &mut AnyConnection,
    number: i64,
    limit: i64,
) -> QueryResult<Vec<Uncovered>> {
    let question = audit_segments::table
        .filter(audit_segments::number.gt(number))
        .order(audit_segments::number.asc())
        .select((
            audit_segments::number,
            audit_segments::last_id,
            audit_segments::events,
            audit_segments::body,
        ))
        .limit(limit);
    prepared::load(connection, question)
}

/// A segment that is to be covered.
#[derive(Debug, Queryable)]
pub(crate) struct Uncovered {
    pub(crate) number: i64,
    pub(crate) last_id: Vec<u8>,
    pub(crate) events: i64,
    pub(crate) body: Vec<u8>,
}

/// The last id of the segment of a number.
pub(crate) fn last_id(connection: &mut AnyConnection, number: i64) -> QueryResult<Option<Vec<u8>>> {
    let question = audit_segments::table
        .find(number)
        .select(audit_segments::last_id);
    prepared::first_by_type(connection, question)
}
