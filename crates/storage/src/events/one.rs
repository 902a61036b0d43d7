//! Finding one event by its id.

use audit::Event;
use audit_log::{Corrupt, Segment, id_bytes, lowest_id};
use ids::{EventId, TypedId as _, Ulid};
use stores::StoreError;

use super::bounds::MOST_SPAN_MS;
use crate::{
    session::Session,
    tables::{audit_events, audit_segments, values},
};

/// The event of this id. What this transaction has yet to write counts too.
pub(super) fn find<M>(session: &mut Session<M>, id: EventId) -> Result<Option<Event>, StoreError> {
    let unwritten = session.events_to_come().find(|event| event.id == id);
    if let Some(event) = unwritten.cloned() {
        return Ok(Some(event));
    }
    session.snapshot(|session| {
        if let Some(event) = audit_events::one(session, id)? {
            return Ok(Some(event));
        }
        let (id, low) = (id.ulid(), lowest_first_id(id.ulid()));
        let bodies = session
            .run(|connection| audit_segments::around(connection, &id_bytes(id), &id_bytes(low)))?;
        for body in bodies {
            if let Some(event) = in_segment(&body, id).map_err(values::undecodable)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    })
}

/// No segment that has this id begins below.
fn lowest_first_id(id: Ulid) -> Ulid {
    lowest_id(id.timestamp_ms().saturating_sub(MOST_SPAN_MS))
}

fn in_segment(body: &[u8], id: Ulid) -> Result<Option<Event>, Corrupt> {
    let segment = Segment::decode(body)?;
    let entries = segment.entries();
    let found = entries.binary_search_by_key(&id, |entry| entry.id());
    let entry = found.ok().and_then(|place| entries.get(place));
    entry.map(|entry| segment.event(entry)).transpose()
}
