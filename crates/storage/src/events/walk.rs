//! Finding events: only those rows and segments are read that can have some, as many as a page may cost.
//!
//! A walk that has used up its budget stops at a position: whatever comes before it has been looked at.
//! Segments are walked by their last ids (upwards by their first), so those that are left hold no event
//! before the last id that was read.

use audit::Event;
use audit::EventFilter;
use audit_log::{Segment, Slot, Subject, id_bytes, id_from_bytes, id_second};
use ids::{Page, PageRequest, TypedId as _, Ulid};
use stores::StoreError;

use super::{
    bounds::Bounds,
    found::Found,
    pace::{FIRST_READ, MOST_READ, Pace},
    search::Search,
};
use crate::{
    budget::Budget,
    session::Session,
    tables::{
        audit_events::{self, End, Selector},
        audit_index,
        audit_segments::{self, Bodies, Position, Stretch},
        values,
    },
};

/// How many slots of the index are looked into at once at the most.
const MOST_SLOTS: usize = 64;
/// How many segments that the index does not cover are read as they are.
const MAX_UNCOVERED: usize = 512;
/// How many of them are read at once.
const UNCOVERED_READ: i64 = 128;

/// How a walk has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walked {
    /// All there is was read, or what is left comes after the page.
    ToTheEnd,
    /// The budget was used up at this position.
    To(Ulid),
}

/// A page of the events that the filter lists within the bounds: those nearest to this end.
///
/// What this transaction has yet to write counts too.
pub(super) fn find<M>(
    session: &mut Session<M>,
    filter: &EventFilter,
    bounds: Bounds,
    end: End,
    page: PageRequest,
) -> Result<Page<Event>, StoreError> {
    let mut found = Found::new(filter, bounds, end, page.limit);
    for event in session.events_to_come() {
        found.offer(event);
    }
    let stopped = session.snapshot(|session| {
        let rows = rows(session, &mut found, Budget::of(page))?;
        if let Walked::To(position) = rows {
            found.stop_at(position);
        }
        let segments = match end {
            End::Newest => newest_first(session, &mut found, Budget::of(page))?,
            End::Oldest => oldest_first(session, &mut found, Budget::of(page))?,
        };
        Ok(match (segments, rows) {
            (Walked::To(position), _) | (Walked::ToTheEnd, Walked::To(position)) => Some(position),
            (Walked::ToTheEnd, Walked::ToTheEnd) => None,
        })
    })?;
    if stopped.is_some() {
        session.note_cut();
    }
    Ok(found.page(page.limit, stopped))
}

/// Reads the events that stand in rows of their own. Only the selector is left to the engine, so that no
/// plan reads more rows than the budget has.
fn rows<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    mut budget: Budget,
) -> Result<Walked, StoreError> {
    let selector = Selector::of(found.filter);
    let mut bounds = found.bounds;
    let mut wanted = values::row_count(found.most());
    loop {
        let limit = budget.allow(wanted.min(MOST_READ));
        let read = audit_events::next(
            session,
            selector,
            (bounds.from, bounds.below),
            found.end,
            limit,
        )?;
        budget.spend_rows(read.len());
        read.iter().for_each(|event| found.offer(event));
        let Some(last) = read.last().map(|event| event.id.ulid()) else {
            return Ok(Walked::ToTheEnd);
        };
        if values::row_count(read.len()) < limit || found.is_beyond(last) {
            return Ok(Walked::ToTheEnd);
        }
        if session.must_stop(&budget)? {
            return Ok(Walked::To(last));
        }
        bounds = match found.end {
            End::Newest => bounds.and_below(Some(last)),
            End::Oldest => bounds.and_above(Some(last)),
        };
        wanted = limit.saturating_mul(2);
    }
}

/// Reads segments by their last ids, downwards.
fn newest_first<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    mut budget: Budget,
) -> Result<Walked, StoreError> {
    let lowest = found.bounds.from.unwrap_or(Ulid::from(0));
    let Some(highest) = found.bounds.highest() else {
        return Ok(Walked::ToTheEnd);
    };
    if highest < lowest {
        return Ok(Walked::ToTheEnd);
    }
    let whom = Selector::of(found.filter).map(Selector::subject);
    astride(session, found, whom.as_ref())?;
    let indexed = match whom {
        Some(whom) => {
            read_uncovered(session, found, &whom, budget.with_fewer_events())?.then_some(whom)
        }
        None => None,
    };
    let Some(whom) = indexed else {
        let (from, below) = (place(lowest), place_above(highest));
        return downwards(
            session,
            found,
            whom.as_ref(),
            below,
            FIRST_READ,
            &mut budget,
            |session, below, limit| {
                session.run(|connection| audit_segments::below(connection, &from, below, limit))
            },
        );
    };
    by_index(session, found, whom, (lowest, highest), budget)
}

/// Reads the segments that the index has for a subject, slot by slot.
fn by_index<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: Subject,
    (lowest, highest): (Ulid, Ulid),
    mut budget: Budget,
) -> Result<Walked, StoreError> {
    let mut search = Search::begin(session, whom, Slot::of(lowest), Slot::of(highest))?;
    // Few at first, for each has an event at least; the more are wanted, the more are taken at once.
    let mut most = session.at_once();
    loop {
        let slots = search.next(session, most)?;
        let (Some(newest), Some(oldest)) = (slots.first(), slots.last()) else {
            return Ok(Walked::ToTheEnd);
        };
        let newest = newest.highest().min(highest);
        if found.is_beyond(newest) {
            return Ok(Walked::ToTheEnd);
        }
        let stretches: Vec<Stretch> = slots
            .iter()
            .map(|slot| Stretch {
                second: id_second(slot.lowest()),
                from: stored(slot.lowest().max(lowest)),
                below: place_above(slot.highest().min(highest)).id,
            })
            .collect();
        // When there is one segment for each, the first answer tells that there are no others.
        let one_more = values::row_count(slots.len()).saturating_add(1);
        let before = budget.rows();
        let walked = downwards(
            session,
            found,
            Some(&whom),
            place_above(newest),
            FIRST_READ.max(one_more),
            &mut budget,
            |session, below, limit| {
                session.run(|connection| {
                    audit_segments::within(connection, &whom, &stretches, &below.id, limit)
                })
            },
        )?;
        if let Walked::To(_) = walked {
            return Ok(walked);
        }
        // To look into a slot costs something, whatever is there.
        let read = before.saturating_sub(budget.rows());
        budget.spend_rows(slots.len().saturating_sub(read));
        if session.must_stop(&budget)? {
            return Ok(Walked::To(oldest.lowest().max(lowest)));
        }
        if most > 1 {
            most = (most * 2).min(MOST_SLOTS);
        }
    }
}

/// Reads the segments that have ids on both sides of where the page begins. There are no more than were
/// being written at one time, so they cost none of the budget; a page that paid for them might not come
/// any further.
fn astride<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: Option<&Subject>,
) -> Result<(), StoreError> {
    let Some((above, below)) = found.bounds.astride() else {
        return Ok(());
    };
    let (above, below) = (stored(above), stored(below));
    let bodies = session.run(|connection| audit_segments::astride(connection, &above, &below))?;
    for body in &bodies {
        if let Some(segment) = decode(body, whom)? {
            found.add_of(&segment)?;
        }
    }
    Ok(())
}

/// Reads the segments that the index does not cover yet. `false` when that costs too much: they are in no
/// order, so the log is then to be walked without the index. That is no loss, for a subject whose segments
/// cost so much is in most of them.
fn read_uncovered<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: &Subject,
    mut budget: Budget,
) -> Result<bool, StoreError> {
    let covered = session.run(audit_index::covered)?;
    let newest = session.run(audit_segments::newest)?;
    let most = budget.rows().min(MAX_UNCOVERED);
    if usize::try_from(newest.saturating_sub(covered)).is_ok_and(|count| count > most) {
        return Ok(false);
    }
    let first_below = found.bounds.below.map_or(ABOVE_ALL.to_vec(), stored);
    let mut below = i64::MAX;
    loop {
        let read = session.run(|connection| {
            let numbers = (covered, below);
            audit_segments::before(connection, whom, numbers, &first_below, UNCOVERED_READ)
        })?;
        for (number, last_id, body) in &read {
            below = *number;
            if !found.is_beyond(id(last_id)?)
                && let Some(segment) = decode(body, Some(whom))?
            {
                budget.spend_segment(found.add_of(&segment)?);
                if session.must_stop(&budget)? {
                    return Ok(false);
                }
            }
        }
        if values::row_count(read.len()) < UNCOVERED_READ {
            return Ok(true);
        }
    }
}

/// Reads segments downwards, as many at once as is good: those that mention the subject, if there is one.
fn downwards<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: Option<&Subject>,
    mut below: Position,
    first_read: i64,
    budget: &mut Budget,
    mut read: impl FnMut(&mut Session<M>, &Position, i64) -> Result<Bodies, StoreError>,
) -> Result<Walked, StoreError> {
    let mut pace = Pace::new(first_read, budget);
    loop {
        let read = read(session, &below, pace.limit)?;
        let mut reached = None;
        for (last_id, body) in &read {
            let last_id = id(last_id)?;
            if found.is_beyond(last_id) {
                return Ok(Walked::ToTheEnd);
            }
            let events = match decode(body, whom)? {
                Some(segment) => found.add_of(&segment)?,
                None => 0,
            };
            pace.events += events;
            budget.spend_segment(events);
            if session.must_stop(budget)? {
                return Ok(Walked::To(last_id));
            }
            reached = Some(last_id);
        }
        let Some(reached) = reached else {
            return Ok(Walked::ToTheEnd);
        };
        if !pace.goes_on(read.len(), budget) {
            return Ok(Walked::ToTheEnd);
        }
        below = place(reached);
    }
}

/// Reads segments by their first ids, upwards.
fn oldest_first<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    mut budget: Budget,
) -> Result<Walked, StoreError> {
    let start = found.bounds.from.unwrap_or(Ulid::from(0));
    let from = stored(start);
    let below = found.bounds.below.map_or(ABOVE_ALL.to_vec(), stored);
    let mut after = found.bounds.below_segments().map_or(Vec::new(), stored);
    let mut pace = Pace::new(FIRST_READ, &budget);
    loop {
        let limit = pace.limit;
        let read = session
            .run(|connection| audit_segments::from(connection, &after, &from, &below, limit))?;
        let mut reached = None;
        for (first_id, body) in &read {
            let first_id = id(first_id)?;
            if found.is_beyond(first_id) {
                return Ok(Walked::ToTheEnd);
            }
            let events = found.add_of(&Segment::decode(body).map_err(values::undecodable)?)?;
            pace.events += events;
            reached = Some(first_id);
            // As with those astride the beginning of a page downwards.
            if first_id >= start {
                budget.spend_segment(events);
                if session.must_stop(&budget)? {
                    return Ok(Walked::To(first_id));
                }
            }
        }
        let Some(reached) = reached else {
            return Ok(Walked::ToTheEnd);
        };
        if !pace.goes_on(read.len(), &budget) {
            return Ok(Walked::ToTheEnd);
        }
        after = stored(reached);
    }
}

/// Decodes a segment, unless a subject is given that it doesn't mention.
fn decode<'a>(
    body: &'a [u8],
    subject: Option<&Subject>,
) -> Result<Option<Segment<'a>>, StoreError> {
    match subject {
        Some(subject) => Segment::decode_if_mentions(body, subject),
        None => Segment::decode(body).map(Some),
    }
    .map_err(values::undecodable)
}

/// What sorts above every id.
const ABOVE_ALL: [u8; 17] = [u8::MAX; 17];

/// The place right after an id.
fn place_above(id: Ulid) -> Position {
    u128::from(id).checked_add(1).map_or_else(
        || Position {
            second: i64::MAX,
            id: ABOVE_ALL.to_vec(),
        },
        |next| place(Ulid::from(next)),
    )
}

fn place(id: Ulid) -> Position {
    Position {
        second: id_second(id),
        id: stored(id),
    }
}

fn stored(id: Ulid) -> Vec<u8> {
    id_bytes(id).to_vec()
}

fn id(stored: &[u8]) -> Result<Ulid, StoreError> {
    stored
        .try_into()
        .map(id_from_bytes)
        .map_err(|_| values::corrupt("the id of a segment"))
}
