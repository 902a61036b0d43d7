//! Making events durable: what is committed together stands in the same segments.

use std::time::Instant;

use audit::Event;
use audit_log::EncodedSegment;
use ids::{EventId, TypedId as _};
use stores::StoreError;

use super::bounds::{Ahead, MOST_SPAN_MS};
use crate::{
    group_commit::acks::PendingAcks,
    session::{Session, Writing},
    stamps::{Deadline, Stamps, duplicate_id},
    tables::{audit_segments, values},
};

/// How many events a segment has at the most.
const MOST_EVENTS: usize = 512;

/// Adds the events of this transaction's changes, and some that came by themselves and have to be
/// written until `deadline`; what became of each of the latter, and its id.
///
/// # Errors
/// When nothing was added.
pub(crate) fn together(
    session: &mut Session<Writing>,
    pending: &PendingAcks,
    deadline: Deadline,
) -> Result<Vec<Result<EventId, StoreError>>, StoreError> {
    let mut changes = session.take_events(0);
    for change in &mut changes {
        change.stamp(pending.stamps());
    }
    let pending = pending.events();
    let of_changes = changes.iter().map(|change| (&change.event, None));
    let alone = (0..).zip(pending).map(|(n, event)| (&**event, Some(n)));
    let mut all: Vec<(&Event, Option<usize>)> = of_changes.chain(alone).collect();
    // Of two with one id the change's comes first, for it can't be refused any more.
    all.sort_unstable_by_key(|(event, place)| (event.id, *place));
    let mut outcomes: Vec<_> = pending.iter().map(|event| Ok(event.id)).collect();
    let mut sorted: Vec<&Event> = Vec::with_capacity(all.len());
    for (event, place) in all {
        if sorted.last().is_none_or(|last| last.id != event.id) {
            sorted.push(event);
        } else if let Some(outcome) = place.and_then(|place| outcomes.get_mut(place)) {
            *outcome = Err(duplicate_id());
        } else {
            return Err(duplicate_id());
        }
    }
    insert(session, &sorted, deadline)?;
    Ok(outcomes)
}

/// Adds events, each under a savepoint or in a transaction of its own; what became of each, and its id.
pub(crate) fn one_by_one(
    session: &mut Session<Writing>,
    pending: &mut PendingAcks,
) -> Vec<Result<EventId, StoreError>> {
    let stamps = pending.stamps().clone();
    let events = pending.stamped();
    events
        .map(|event| {
            let deadline = stamps.deadline();
            session
                .nested(|session| insert(session, &[event], deadline))
                .map(|()| event.id)
        })
        .collect()
}

/// As [`Session::guarded`], and the events that the work has left are written with it.
pub(crate) fn guarded_with_events<T, E: From<StoreError>>(
    session: &mut Session<Writing>,
    work: impl FnOnce(&mut Session<Writing>) -> Result<T, E>,
    stamps: &Stamps,
) -> Result<T, E> {
    let before = session.event_count();
    session.guarded(|session| {
        let value = work(session)?;
        of_changes(session, before, stamps)?;
        Ok(value)
    })
}

/// Adds the events that this transaction's changes have left since there were `from` of them.
pub(crate) fn of_changes(
    session: &mut Session<Writing>,
    from: usize,
    stamps: &Stamps,
) -> Result<(), StoreError> {
    let mut changes = session.take_events(from);
    let deadline = stamps.deadline();
    for change in &mut changes {
        change.stamp(stamps);
    }
    let mut events: Vec<&Event> = changes.iter().map(|change| &change.event).collect();
    events.sort_unstable_by_key(|event| event.id);
    insert(session, &events, deadline)
}

/// Adds events that are sorted by id, all or none.
fn insert(
    session: &mut Session<Writing>,
    sorted: &[&Event],
    deadline: Deadline,
) -> Result<(), StoreError> {
    if let Some(hours) = Ahead::hours_of(sorted) {
        session.run(|connection| audit_segments::raise_ahead_hours(connection, hours))?;
    }
    for events in cut(sorted) {
        let segment = EncodedSegment::new(events).map_err(values::undecodable)?;
        if let Some(segment) = segment {
            insert_segment(session, &segment, deadline)?;
        }
    }
    Ok(())
}

fn insert_segment(
    session: &mut Session<Writing>,
    segment: &EncodedSegment,
    deadline: Deadline,
) -> Result<(), StoreError> {
    let latest = match deadline {
        None => i64::MAX,
        Some(deadline) => session.server_micros(deadline)?,
    };
    if deadline.is_some_and(|deadline| Instant::now() > deadline) {
        return Err(session.too_late());
    }
    if !session.run(|connection| audit_segments::insert(connection, segment, latest))? {
        // Its clock may have been set, too.
        session.forget_server_clock();
        return Err(session.too_late());
    }
    Ok(())
}

/// Whether events, in whatever order, fit into one segment.
pub(crate) fn fit_one_segment(events: &[Box<Event>]) -> bool {
    let times = events.iter().map(|event| event.id.ulid().timestamp_ms());
    let span = times.clone().max().unwrap_or(0) - times.min().unwrap_or(0);
    events.len() <= MOST_EVENTS && span <= MOST_SPAN_MS
}

/// The events in pieces that fit into a segment.
fn cut<'e, 'a>(sorted: &'e [&'a Event]) -> impl Iterator<Item = &'e [&'a Event]> {
    let mut rest = sorted;
    std::iter::from_fn(move || {
        let first = rest.first()?.id.ulid().timestamp_ms();
        let fits = |event: &&&Event| event.id.ulid().timestamp_ms() - first <= MOST_SPAN_MS;
        let count = rest.iter().take(MOST_EVENTS).take_while(fits).count();
        let (piece, others) = rest.split_at_checked(count.max(1))?;
        rest = others;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use ids::{EventId, Ulid};
    use testkit::build::Build;

    use super::*;

    #[track_caller]
    fn check(milliseconds: impl Iterator<Item = u64>, expect: &[usize]) {
        let build = Build::new();
        let key = build.key(&build.partner());
        let events: Vec<Event> = (0..)
            .zip(milliseconds)
            .map(|(n, ms)| Event {
                id: EventId::from_ulid(Ulid::from_parts(ms, n)),
                ..build.event(&key)
            })
            .collect();
        let sorted: Vec<&Event> = events.iter().collect();
        let pieces: Vec<_> = cut(&sorted).collect();
        assert_eq!(pieces.concat(), sorted);
        let sizes: Vec<_> = pieces.iter().map(|piece| piece.len()).collect();
        assert_eq!(sizes, expect);
        let reversed: Vec<_> = events.into_iter().rev().map(Box::new).collect();
        assert_eq!(fit_one_segment(&reversed), expect.len() <= 1);
    }

    #[test]
    fn a_segment_has_512_events_over_a_minute_at_the_most() {
        check([].into_iter(), &[]);
        check([7].into_iter(), &[1]);
        check([7; 512].into_iter(), &[512]);
        check([7; 1025].into_iter(), &[512, 512, 1]);
        check([0, 60_000].into_iter(), &[2]);
        check([0, 60_001].into_iter(), &[1, 1]);
        check([0, 1, 60_000, 60_001, 120_001].into_iter(), &[3, 2]);
    }
}
