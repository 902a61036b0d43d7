//! Finding events in segments: only those segments are read that can have some.

use std::collections::BTreeMap;

use audit::{ActorId, AuditSight, Event, EventFilter};
use ids::{EventId, TypedId as _, Ulid};
use stores::StoreError;

use super::{
    bounds::Bounds,
    index::{Search, Slot},
    row,
    segment::{Body, Kind, Subject, bytes, second, subject, ulid},
};
use crate::{
    dialect::{
        self,
        index::Stretch,
        segments::{Bodies, Place},
    },
    session::Session,
};

/// How many segments are read at first; then twice as many each time.
const FIRST_READ: i64 = 4;
/// How many segments are read at once at the most.
const MOST_READ: i64 = 512;
/// How many slots of the index are looked into at once at the most.
const MOST_SLOTS: usize = 64;
/// How many events may come with them.
const MOST_EVENTS_READ: usize = 16_384;

/// The end of the list from which events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Newest,
    Oldest,
}

/// Up to `most` events that the filter lists within the bounds: those nearest to this end, from it on.
///
/// What this transaction has yet to write counts too.
pub(super) fn find<M>(
    session: &mut Session<M>,
    filter: &EventFilter,
    bounds: Bounds,
    end: End,
    most: usize,
) -> Result<Vec<Event>, StoreError> {
    let mut found = Found {
        filter,
        bounds,
        end,
        most,
        events: BTreeMap::new(),
    };
    for event in session.events_to_come() {
        if filter.includes(event) && bounds.include(event.id.ulid()) {
            found.add(event.clone());
        }
    }
    session.snapshot(|session| {
        let rows = match end {
            End::Newest => row::newest(session, filter, bounds, most)?,
            End::Oldest => row::oldest(session, filter, bounds, most)?,
        };
        rows.into_iter().for_each(|event| found.add(event));
        match end {
            End::Newest => newest_first(session, &mut found),
            End::Oldest => oldest_first(session, &mut found),
        }
    })?;
    let events = found.events.into_values();
    Ok(match end {
        End::Newest => events.rev().collect(),
        End::Oldest => events.collect(),
    })
}

/// Reads segments by their last ids, downwards.
fn newest_first<M>(session: &mut Session<M>, found: &mut Found<'_>) -> Result<(), StoreError> {
    let lowest = found.bounds.from.unwrap_or(Ulid::from(0));
    let Some(highest) = found.bounds.highest_of_segments() else {
        return Ok(());
    };
    let Some(whom) = most_selective(found.filter) else {
        let (from, below) = (place(lowest), place_above(highest));
        return downwards(
            session,
            found,
            None,
            below,
            Pace::new(FIRST_READ),
            |session, below, limit| {
                session.run(|connection| dialect::segments::below(connection, &from, below, limit))
            },
        );
    };
    uncovered(session, found, &whom)?;
    let mut search = Search::begin(session, whom, Slot::of(lowest), Slot::of(highest))?;
    // Few at first, for each has an event at least; the more are wanted, the more are taken at once.
    let mut most = session.at_once();
    loop {
        let slots = search.next(session, most)?;
        let Some(newest) = slots.first().map(|slot| slot.highest()) else {
            return Ok(());
        };
        if found.is_beyond(newest) {
            return Ok(());
        }
        let stretches: Vec<Stretch> = slots
            .iter()
            .map(|slot| Stretch {
                second: second(slot.lowest()),
                from: stored(slot.lowest().max(lowest)),
                below: place_above(slot.highest().min(highest)).id,
            })
            .collect();
        let below = place_above(newest);
        // When there is one segment for each, the first answer tells that there are no others.
        let one_more = i64::try_from(slots.len()).unwrap_or(MOST_READ) + 1;
        downwards(
            session,
            found,
            Some(&whom),
            below,
            Pace::new(FIRST_READ.max(one_more)),
            |session, below, limit| {
                session.run(|connection| {
                    dialect::index::segments_within(connection, &whom, &stretches, &below.id, limit)
                })
            },
        )?;
        most = if most > 1 {
            (most * 2).min(MOST_SLOTS)
        } else {
            most
        };
    }
}

/// Reads the segments that the index does not cover yet; hardly ever are there many.
fn uncovered<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: &Subject,
) -> Result<(), StoreError> {
    let covered = session.run(dialect::index::covered)?;
    let mut below = i64::MAX;
    loop {
        let read = session.run(|connection| {
            dialect::index::segments_before(connection, whom, covered, below, MOST_READ)
        })?;
        for (number, last_id, body) in &read {
            below = *number;
            if !found.is_beyond(id(last_id)?)
                && let Some(body) = Body::read_of(body, Some(whom))?
            {
                found.add_of(&body)?;
            }
        }
        if i64::try_from(read.len()).unwrap_or(i64::MAX) < MOST_READ {
            return Ok(());
        }
    }
}

/// Reads segments downwards, as many at once as is good: those that mention the subject, if there is one.
fn downwards<M>(
    session: &mut Session<M>,
    found: &mut Found<'_>,
    whom: Option<&Subject>,
    mut below: Place,
    mut pace: Pace,
    mut read: impl FnMut(&mut Session<M>, &Place, i64) -> Result<Bodies, StoreError>,
) -> Result<(), StoreError> {
    loop {
        let read = read(session, &below, pace.limit)?;
        for (last_id, body) in &read {
            if found.is_beyond(id(last_id)?) {
                return Ok(());
            }
            if let Some(body) = Body::read_of(body, whom)? {
                pace.events += found.add_of(&body)?;
            }
        }
        match read.last() {
            Some((last_id, _)) if pace.goes_on(read.len()) => below = place(id(last_id)?),
            Some(_) | None => return Ok(()),
        }
    }
}

/// Reads segments by their first ids, upwards.
fn oldest_first<M>(session: &mut Session<M>, found: &mut Found<'_>) -> Result<(), StoreError> {
    let from = found.bounds.from.map_or(LOWEST.to_vec(), stored);
    let below = found.bounds.below.map_or(ABOVE_ALL.to_vec(), stored);
    let mut after = found.bounds.below_segments().map_or(Vec::new(), stored);
    let mut pace = Pace::new(FIRST_READ);
    loop {
        let limit = pace.limit;
        let read = session
            .run(|connection| dialect::segments::from(connection, &after, &from, &below, limit))?;
        for (first_id, body) in &read {
            if found.is_beyond(id(first_id)?) {
                return Ok(());
            }
            pace.events += found.add_of(&Body::read(body)?)?;
        }
        match read.last() {
            Some((first_id, _)) if pace.goes_on(read.len()) => after.clone_from(first_id),
            Some(_) | None => return Ok(()),
        }
    }
}

/// The least id.
const LOWEST: [u8; 16] = [0; 16];
/// What sorts above every id.
const ABOVE_ALL: [u8; 17] = [u8::MAX; 17];

/// The place right after an id.
fn place_above(id: Ulid) -> Place {
    u128::from(id).checked_add(1).map_or_else(
        || Place {
            second: i64::MAX,
            id: ABOVE_ALL.to_vec(),
        },
        |next| {
            let next = Ulid::from(next);
            Place {
                second: second(next),
                id: stored(next),
            }
        },
    )
}

fn place(id: Ulid) -> Place {
    Place {
        second: second(id),
        id: stored(id),
    }
}

fn stored(id: Ulid) -> Vec<u8> {
    bytes(id).to_vec()
}

fn id(stored: &[u8]) -> Result<Ulid, StoreError> {
    stored
        .try_into()
        .map(ulid)
        .map_err(|_| crate::values::corrupt("the id of a segment"))
}

/// By whom the fewest segments are to be read: a key acts less than its partner, and an org has less
/// done to it.
fn most_selective(filter: &EventFilter) -> Option<Subject> {
    let (partner, org) = match filter.sight {
        AuditSight::All => (None, None),
        AuditSight::Partner(partner) => (Some(partner), None),
        AuditSight::Org(partner, org) => (Some(partner), Some(org)),
    };
    match filter.actor {
        Some(ActorId::Key(id)) => return Some(subject(Kind::Key, id)),
        Some(ActorId::Admin(id)) => return Some(subject(Kind::Admin, id)),
        None => {}
    }
    if let Some(org) = org.or(filter.org_id) {
        return Some(subject(Kind::Org, org));
    }
    partner
        .or(filter.partner_id)
        .map(|partner| subject(Kind::Partner, partner))
}

/// How many segments to read at once: few when few are needed, more the longer it takes.
struct Pace {
    limit: i64,
    /// How many events the last ones had.
    events: usize,
}

impl Pace {
    const fn new(first: i64) -> Self {
        Self {
            limit: first,
            events: 0,
        }
    }

    /// Whether there may be more after this many segments, and then how many to read.
    fn goes_on(&mut self, read: usize) -> bool {
        let all = i64::try_from(read).unwrap_or(i64::MAX) < self.limit;
        let fitting = read.saturating_mul(MOST_EVENTS_READ) / self.events.max(1);
        self.limit = (self.limit * 2)
            .min(i64::try_from(fitting).unwrap_or(MOST_READ))
            .clamp(FIRST_READ, MOST_READ);
        self.events = 0;
        !all
    }
}

/// The events nearest to one end so far, each id once.
struct Found<'a> {
    filter: &'a EventFilter,
    bounds: Bounds,
    end: End,
    most: usize,
    events: BTreeMap<EventId, Event>,
}

impl Found<'_> {
    fn add(&mut self, event: Event) {
        if self.is_beyond(event.id.ulid()) {
            return;
        }
        self.events.entry(event.id).or_insert(event);
        if self.events.len() > self.most {
            match self.end {
                End::Newest => self.events.pop_first(),
                End::Oldest => self.events.pop_last(),
            };
        }
    }

    /// Adds the events of a segment; how many it has.
    fn add_of(&mut self, body: &Body<'_>) -> Result<usize, StoreError> {
        let mut entries = body.entries().iter();
        while let Some(entry) = match self.end {
            End::Newest => entries.next_back(),
            End::Oldest => entries.next(),
        } {
            let id = ulid(entry.id);
            if self.is_beyond(id) {
                break;
            }
            if self.bounds.include(id) && body.may_match(self.filter, entry) {
                let event = body.event(entry)?;
                if self.filter.includes(&event) {
                    self.add(event);
                }
            }
        }
        Ok(body.entries().len())
    }

    /// Whether there are as many as wanted, and all of them come before this id.
    fn is_beyond(&self, id: Ulid) -> bool {
        let last = match self.end {
            End::Newest => self.events.first_key_value(),
            End::Oldest => self.events.last_key_value(),
        };
        self.events.len() >= self.most
            && last.is_none_or(|(last, _)| match self.end {
                End::Newest => id < last.ulid(),
                End::Oldest => id > last.ulid(),
            })
    }
}
