//! The audit log, as its readers see it.

use audit::{AuditQueries as _, AuditSight, Event, EventFilter};
use ids::{EventId, Page, PageRequest};
use ratelimit::Limiter;
use stores::Database;

use crate::{Answer, Caller, Context, Error, OPEN_AT_MOST, Refusal, Service, audited::Done};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists events; the filter's sight is the caller's, see [`Service::audit_sight`].
    ///
    /// # Errors
    /// As for every use case.
    pub async fn audit_list(
        &self,
        context: &Context,
        mut filter: EventFilter,
        page: PageRequest,
    ) -> Result<Answer<Page<Event>>, Refusal> {
        filter.open_before = Some(self.world.now() - OPEN_AT_MOST);
        self.look(context, move |view| {
            let Page { items, has_more } = view.events(&filter, page)?;
            let items = items.into_iter().map(Event::closed).collect();
            Ok(Done::new(200, Page { items, has_more }))
        })
        .await
    }

    /// Reads one event; one that the caller's list would not show is not found.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn audit_read(
        &self,
        context: &Context,
        id: EventId,
    ) -> Result<Answer<Event>, Refusal> {
        let mut filter = EventFilter::all(self.audit_sight(context));
        filter.open_before = Some(self.world.now() - OPEN_AT_MOST);
        self.look(context, move |view| {
            let found = view.event(filter.sight, id)?;
            let event = found.filter(|event| filter.shows(event));
            Ok(Done::new(200, event.ok_or(Error::NotFound)?.closed()))
        })
        .await
    }

    /// The sight within which the caller sees events.
    #[must_use]
    pub fn audit_sight(&self, context: &Context) -> AuditSight {
        match &context.caller {
            Caller::Admin(_) => AuditSight::All,
            Caller::Partner(held) => match held.key.org_id {
                Some(org) => AuditSight::Org(held.partner.id, org),
                None => AuditSight::Partner(held.partner.id),
            },
        }
    }
}
