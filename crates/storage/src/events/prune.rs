//! Deleting what is older than it need be, a little at a time.

use audit::{Event, Pruned};
use audit_log::{EncodedSegment, Segment, id_second, lowest_id};
use ids::{TypedId as _, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

use super::bounds;
use crate::{
    session::{Session, Writing},
    tables::{audit_events, audit_index, audit_segments, values},
};

/// Deletes events that happened before a time: of segments the first after the second in `after`,
/// about `limit` and all of each second, and of rows the first `limit`.
pub(super) fn prune(
    session: &mut Session<Writing>,
    before: OffsetDateTime,
    after: Option<Ulid>,
    limit: usize,
) -> Result<Pruned, StoreError> {
    let limit = limit.max(1);
    let from = after.map_or(0, |id| id_second(id).saturating_add(1));
    session.run(audit_segments::prune_alone)?;
    let ahead = super::ahead(session)?;
    let to = id_second(bounds::end_of_segments(before, ahead));
    let (segments, more_segments) =
        session.run(|connection| audit_segments::whole_seconds(connection, from, to, limit))?;
    let mut deleted = 0;
    let mut reached = after;
    for segments in segments.chunk_by(|one, other| one.0 == other.0) {
        deleted += prune_second(session, segments, before)?;
        if let Some((second, ..)) = segments.last() {
            reached = Some(last_of(*second));
        }
    }
    session.run(audit_index::drop_empty)?;
    let outdated =
        audit_events::outdated(session, before, bounds::lowest_after(before, ahead), limit)?;
    audit_events::delete(session, &outdated)?;
    let last_row = outdated.last().map(|id| id.ulid());
    let next = if more_segments {
        reached
    } else if outdated.len() >= limit {
        reached.max(last_row)
    } else {
        None
    };
    Ok(Pruned {
        deleted: deleted + outdated.len(),
        next,
    })
}

/// The last id of a second.
fn last_of(second: i64) -> Ulid {
    let next = u64::try_from(second).unwrap_or(0).saturating_add(1) * 1000;
    let first_of_next = lowest_id(next);
    Ulid::from(u128::from(first_of_next).saturating_sub(1))
}

/// Deletes what happened before a time of all segments of one second; how many events that were.
fn prune_second(
    session: &mut Session<Writing>,
    segments: &[(i64, Vec<u8>, Vec<u8>)],
    before: OffsetDateTime,
) -> Result<usize, StoreError> {
    let before = values::micros(before);
    let mut deleted = 0;
    for (second, last_id, body) in segments {
        let segment = Segment::decode(body).map_err(values::undecodable)?;
        let entries = segment.entries();
        let events: Vec<Event> = entries
            .iter()
            .filter(|entry| entry.micros() >= before)
            .map(|entry| segment.event(entry))
            .collect::<Result<_, _>>()
            .map_err(values::undecodable)?;
        if events.len() == entries.len() {
            continue;
        }
        deleted += entries.len() - events.len();
        session.run(|connection| audit_index::delete_segment(connection, *second, last_id))?;
        // What is left is sorted, and fits into a segment, as it did before.
        let rest = EncodedSegment::new(&events.iter().collect::<Vec<_>>());
        if let Some(rest) = rest.map_err(values::undecodable)? {
            session.run(|connection| audit_segments::insert(connection, &rest, i64::MAX))?;
        }
    }
    Ok(deleted)
}
