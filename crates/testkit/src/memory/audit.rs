//! Audit events in memory.

use audit::{AuditQueries, AuditStore, AuditVisibility, Event, EventFilter, Pruned, Receipt};
use ids::{EventId, Page, PageRequest, TypedId as _, Ulid};
use stores::StoreError;
use time::OffsetDateTime;

use super::session::{MemoryTx, Session};

impl<Mode> AuditQueries for Session<Mode> {
    type Error = StoreError;

    fn event(
        &mut self,
        visibility: AuditVisibility,
        id: EventId,
    ) -> Result<Option<Event>, StoreError> {
        let event = self.state.events.get(&id);
        Ok(event.filter(|event| visibility.includes(event)).cloned())
    }

    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let wanted = |event: &Event| filter.includes(event);
        Ok(self.state.events.page(page, wanted))
    }

    fn events_oldest_first(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let wanted = |event: &Event| filter.includes(event);
        Ok(self.state.events.page_oldest_first(page, wanted))
    }
}

impl AuditStore for MemoryTx {
    fn event_record(&mut self, event: &Event) -> Result<Receipt, StoreError> {
        self.state.insert_event(event.clone())?;
        Ok(Receipt::kept(event.id))
    }

    fn event_fold(&mut self, event: &Event) -> Result<(), StoreError> {
        match self.state.events.get_mut(&event.id) {
            Some(stored) => {
                stored.details.clone_from(&event.details);
                Ok(())
            }
            None => self.event_record(event).map(drop),
        }
    }

    fn event_unfold(&mut self, id: EventId) -> Result<(), StoreError> {
        self.state.events.retain(|event| event.id != id);
        Ok(())
    }

    fn events_prune(
        &mut self,
        before: OffsetDateTime,
        after: Option<Ulid>,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        let ids: Vec<Ulid> = self
            .state
            .events
            .rows()
            .map(|event| event.id.ulid())
            .filter(|&id| after.is_none_or(|after| id > after))
            .take(limit)
            .collect();
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        let total = self.state.events.rows().count();
        self.state.events.retain(|event| {
            event.occurred_at >= before || ids.binary_search(&event.id.ulid()).is_err()
        });
        let deleted = total - self.state.events.rows().count();
        Ok(Pruned { deleted, next })
    }
}
