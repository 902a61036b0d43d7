//! The audit log: segments of many events, rows of single ones, and the questions asked of both.

mod bounds;
mod encode;
pub(crate) mod index;
mod one;
mod prune;
mod row;
mod segment;
mod walk;
mod write;

use audit::{AuditQueries, AuditSight, AuditStore, Event, EventFilter, Pruned};
use ids::{EventId, Page, PageRequest, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

use self::{bounds::Bounds, walk::End};
pub(crate) use self::{
    encode::Segment,
    row::EventRow,
    segment::{Subject, subjects_of},
    write::{fit_one_segment, of_changes, one_by_one, together, twice},
};
use crate::{
    dialect,
    session::{Session, Writing},
};

impl<M> AuditQueries for Session<M> {
    type Error = StoreError;

    fn event(&mut self, sight: AuditSight, id: EventId) -> Result<Option<Event>, StoreError> {
        let event = one::find(self, id)?;
        Ok(event.filter(|event| sight.includes(event)))
    }

    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let bounds = Bounds::of(filter).and_below(page.after);
        let most = page.limit.saturating_add(1);
        let events = walk::find(self, filter, bounds, End::Newest, most)?;
        Ok(Page::cut(events, page.limit))
    }

    fn events_oldest_first(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let bounds = Bounds::of(filter).and_above(page.after);
        let most = page.limit.saturating_add(1);
        let events = walk::find(self, filter, bounds, End::Oldest, most)?;
        Ok(Page::cut(events, page.limit))
    }
}

impl AuditStore for Session<Writing> {
    fn event_insert(&mut self, event: &Event) -> Result<(), StoreError> {
        self.add_event(event)
    }

    fn event_fold(&mut self, event: &Event) -> Result<(), StoreError> {
        let row = EventRow::from(event);
        self.run(|connection| dialect::event_fold(connection, &row))
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
