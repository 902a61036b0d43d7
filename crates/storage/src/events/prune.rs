//! Deleting what is older than it need be, a little at a time.

use audit::{Event, Pruned};
use ids::{TypedId as _, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

use super::{
    bounds, row,
    segment::{Body, bytes, ulid},
    write,
};
use crate::{
    dialect,
    session::{Session, Writing},
    values,
};

/// Deletes events that happened before a time: of those with ids above `after` the first, in up to
/// `limit` rows and segments each.
///
/// It goes by the last ids of segments, so that it comes to each of them once. A segment that is
/// rewritten has no higher ids than before.
pub(super) fn prune(
    session: &mut Session<Writing>,
    before: OffsetDateTime,
    after: Option<Ulid>,
    limit: usize,
) -> Result<Pruned, StoreError> {
    let above = after.map_or(Vec::new(), |id| bytes(id).to_vec());
    // A segment whose first id is within the bound has its last a span above it.
    let below = bounds::Bounds {
        from: None,
        below: Some(bounds::lowest_after(before)),
    };
    let below = below
        .above_segments()
        .map_or(Vec::new(), |id| bytes(id).to_vec());
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let segments = session
        .run(|connection| dialect::segments::between(connection, &above, &below, most))?
        .into_iter()
        .map(|(last_id, body)| Ok((last(&last_id)?, body)))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let rows = row::outdated(session, before, after, limit)?;
    // Whichever source has more to come settles how far this part goes.
    let end_of = |full: bool, last: Option<Ulid>| last.filter(|_| full);
    let ends = [
        end_of(segments.len() >= limit, segments.last().map(|(id, _)| *id)),
        end_of(rows.len() >= limit, rows.last().map(|id| id.ulid())),
    ];
    let end = ends.into_iter().flatten().min();
    let within = |id: Ulid| end.is_none_or(|end| id <= end);

    let rows: Vec<_> = rows.into_iter().filter(|id| within(id.ulid())).collect();
    let mut deleted = rows.len();
    row::delete(session, &rows)?;
    for (id, body) in segments.iter().filter(|(id, _)| within(*id)) {
        deleted += prune_segment(session, *id, body, before)?;
    }
    Ok(Pruned { deleted, next: end })
}

/// Deletes of one segment what happened before a time; how many events that were.
fn prune_segment(
    session: &mut Session<Writing>,
    id: Ulid,
    stored: &[u8],
    before: OffsetDateTime,
) -> Result<usize, StoreError> {
    let body = Body::read(stored)?;
    let before = values::micros(before);
    let kept: Vec<Event> = body
        .entries
        .iter()
        .filter(|entry| entry.micros() >= before)
        .map(|entry| body.event(entry))
        .collect::<Result<_, _>>()?;
    let deleted = body.entries.len().saturating_sub(kept.len());
    if deleted > 0 {
        let id = bytes(id);
        session.run(|connection| dialect::segments::delete(connection, &id, &body.subjects))?;
        write::insert(session, &kept.iter().collect::<Vec<_>>())?;
    }
    Ok(deleted)
}

fn last(stored: &[u8]) -> Result<Ulid, StoreError> {
    stored
        .try_into()
        .map(ulid)
        .map_err(|_| values::corrupt("the id of a segment"))
}
