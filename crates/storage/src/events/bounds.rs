//! Within which ids the events are that a question is about.

use audit::{Event, EventFilter};
use audit_log::lowest_id;
use ids::{TypedId as _, Ulid};
use time::{Duration, OffsetDateTime};

/// How far the time in an event's id may be from the time at which it happened, where nothing else is
/// recorded.
const ID_SLACK: Duration = Duration::hours(1);

/// How far the times in events' ids run ahead of the times at which they happened: ids only ever rise,
/// also after the clock was set back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead(Duration);

impl Ahead {
    /// What the database has recorded, in hours.
    pub(super) fn of_hours(hours: i64) -> Self {
        Self(Duration::hours(hours).max(ID_SLACK))
    }

    /// The hours to record for some events, if there are any.
    pub(super) fn hours_of(events: &[&Event]) -> Option<i64> {
        let ahead = |event: &&Event| {
            let id_ms = i128::from(event.id.ulid().timestamp_ms());
            id_ms - event.occurred_at.unix_timestamp_nanos() / 1_000_000
        };
        let most = events.iter().map(ahead).max().unwrap_or(0);
        // Well before the slack is used up, for it is looked up before the events are.
        if most <= ID_SLACK.whole_milliseconds() / 2 {
            return None;
        }
        i64::try_from(most / Duration::HOUR.whole_milliseconds() + 2).ok()
    }
}

/// How far apart the first and the last id of a segment can be, so that a question about some ids
/// need not look at all segments.
pub(super) const MOST_SPAN_MS: u64 = 60_000;

/// The ids from one on and below another. `None` is no bound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bounds {
    /// The lowest.
    pub(super) from: Option<Ulid>,
    /// The one above the highest.
    pub(super) below: Option<Ulid>,
}

impl Bounds {
    /// Those that the filter's times allow.
    pub(super) fn of(filter: &EventFilter, ahead: Ahead) -> Self {
        Self {
            from: filter
                .since
                .map(|since| lowest_id(milliseconds(since.saturating_sub(ID_SLACK)))),
            below: filter.until.map(|until| lowest_after(until, ahead)),
        }
    }

    /// Of them, those below this one.
    pub(super) fn and_below(self, id: Option<Ulid>) -> Self {
        let below = match (self.below, id) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { below, ..self }
    }

    /// Of them, those above this one.
    pub(super) fn and_above(self, id: Option<Ulid>) -> Self {
        let Some(id) = id else { return self };
        match u128::from(id).checked_add(1) {
            Some(next) => Self {
                from: self.from.max(Some(Ulid::from(next))),
                ..self
            },
            // There is none above the last.
            None => Self {
                from: None,
                below: Some(Ulid::from(0)),
            },
        }
    }

    /// Whether an id is within them.
    pub(super) fn include(self, id: Ulid) -> bool {
        self.from.is_none_or(|from| id >= from) && self.below.is_none_or(|below| id < below)
    }

    /// Of them, those not below this one.
    pub(super) fn and_from(self, id: Ulid) -> Self {
        Self {
            from: self.from.max(Some(id)),
            ..self
        }
    }

    /// Of them, those not above this one.
    pub(super) fn and_up_to(self, id: Ulid) -> Self {
        match u128::from(id).checked_add(1) {
            Some(next) => self.and_below(Some(Ulid::from(next))),
            None => self,
        }
    }

    /// The highest id within them; `None` when no id is.
    pub(super) fn highest(self) -> Option<Ulid> {
        let Some(below) = self.below else {
            return Some(Ulid::from(u128::MAX));
        };
        u128::from(below).checked_sub(1).map(Ulid::from)
    }

    /// Between which ids a segment begins that has ids below the upper bound and others that are not: above
    /// the first, and below the second, which is the bound.
    pub(super) fn astride(self) -> Option<(Ulid, Ulid)> {
        let below = self.below?;
        let earliest = below.timestamp_ms().saturating_sub(MOST_SPAN_MS + 1);
        Some((lowest_id(earliest), below))
    }

    /// An id below the first of every segment that may have ids within the bounds.
    pub(super) fn below_segments(self) -> Option<Ulid> {
        self.from
            .map(|from| lowest_id(from.timestamp_ms().saturating_sub(MOST_SPAN_MS + 1)))
    }
}

/// An id above that of every event that happened before this time.
pub(super) fn lowest_after(time: OffsetDateTime, ahead: Ahead) -> Ulid {
    lowest_id(milliseconds(time.saturating_add(ahead.0)).saturating_add(1))
}

/// An id above the last of every segment that has events from before this time.
pub(super) fn end_of_segments(time: OffsetDateTime, ahead: Ahead) -> Ulid {
    lowest_id(lowest_after(time, ahead).timestamp_ms() + MOST_SPAN_MS + 1)
}

fn milliseconds(time: OffsetDateTime) -> u64 {
    u64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(0)
}
