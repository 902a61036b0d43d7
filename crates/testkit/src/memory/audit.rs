//! Audit events in memory.

use audit::{Actor, ActorId, AuditQueries, AuditStore, Event, EventFilter};
use ids::{Page, PageRequest};
use stores::StoreError;

use super::session::{MemoryTx, Session};

impl<Mode> AuditQueries for Session<Mode> {
    type Error = StoreError;

    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, StoreError> {
        let wanted = |event: &Event| matches(filter, event);
        Ok(self.state.events.page(page, wanted))
    }
}

fn matches(filter: &EventFilter, event: &Event) -> bool {
    filter.sight.includes(event)
        && filter.actor.is_none_or(|actor| acted(actor, event.actor))
        && (filter.partner_id.is_none() || event.actor.partner_id() == filter.partner_id)
        && (filter.org_id.is_none() || event.org_id == filter.org_id)
        && filter.action.is_none_or(|action| event.action == action)
        && filter.outcome.is_none_or(|how| event.outcome == how)
        && filter.since.is_none_or(|since| event.occurred_at >= since)
        && filter.until.is_none_or(|until| event.occurred_at < until)
}

fn acted(wanted: ActorId, actor: Actor) -> bool {
    match actor {
        Actor::PartnerKey { id, .. } => wanted == ActorId::Key(id),
        Actor::Admin { id } => wanted == ActorId::Admin(id),
        Actor::System { .. } => false,
    }
}

impl AuditStore for MemoryTx {
    fn event_insert(&mut self, event: &Event) -> Result<(), StoreError> {
        self.state.insert_event(event.clone())
    }

    fn event_fold(&mut self, event: &Event) -> Result<(), StoreError> {
        match self.state.events.get_mut(&event.id) {
            Some(stored) => {
                stored.details.clone_from(&event.details);
                Ok(())
            }
            None => self.event_insert(event),
        }
    }
}
