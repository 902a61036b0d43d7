//! The audit log: segments of many events, rows of single ones, and the questions asked of both.

mod bounds;
mod found;
mod one;
mod pace;
mod prune;
mod search;
mod walk;
mod write;

use audit::{AuditQueries, AuditStore, AuditVisibility, Event, EventFilter, Pruned, Receipt};
use ids::{EventId, Page, PageRequest, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

use self::bounds::{Ahead, Bounds};
#[cfg(test)]
pub(crate) use self::write::of_changes;
pub(crate) use self::write::{fit_one_segment, guarded_with_events, one_by_one, together};
use crate::{
    session::{Session, Writing},
    tables::{
        audit_events::{self, End, EventRow},
        audit_segments,
    },
};

/// Within which ids the events are that a filter may list.
fn bounds_of<M>(session: &mut Session<M>, filter: &EventFilter) -> Result<Bounds, StoreError> {
    // From below the usual slack is enough: ids never run behind.
    let ahead = match filter.until {
        Some(_) => ahead(session)?,
        None => Ahead::of_hours(0),
    };
    Ok(Bounds::of(filter, ahead))
}

/// How far ids run ahead of times at the most.
fn ahead<M>(session: &mut Session<M>) -> Result<Ahead, StoreError> {
    let hours = session.run(audit_segments::ahead_hours)?;
    Ok(Ahead::of_hours(hours))
}

impl<M> AuditQueries for Session<M> {
    type Error = StoreError;

    fn event(
        &mut self,
        visibility: AuditVisibility,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        let event = one::find(self, id)?;
        Ok(event.filter(|event| visibility.includes(event)))
    }

    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let bounds = bounds_of(self, filter)?.and_below(page.after);
        walk::find(self, filter, bounds, End::Newest, page)
    }

    fn events_oldest_first(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let bounds = bounds_of(self, filter)?.and_above(page.after);
        walk::find(self, filter, bounds, End::Oldest, page)
    }
}

impl AuditStore for Session<Writing> {
    fn event_record(&mut self, event: &Event) -> Result<Receipt, StoreError> {
        self.add_event(event)
    }

    fn event_fold(&mut self, event: &Event) -> Result<(), StoreError> {
        let row = EventRow::from(event);
        self.run(|connection| audit_events::fold(connection, &row))
    }

    fn event_unfold(&mut self, id: EventId) -> Result<(), StoreError> {
        audit_events::delete(self, &[id])
    }

    fn events_prune(
        &mut self,
        before: OffsetDateTime,
        after: Option<Ulid>,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        prune::prune(self, before, after, limit)
    }
}
