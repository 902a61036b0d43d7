//! The audit log, as its readers see it.

use audit::{AuditQueries as _, AuditSight, Event, EventFilter};
use ids::{EventId, Page, PageRequest};
use ratelimit::Limiter;
use stores::Database;

use crate::{Answer, Caller, Context, Error, Refusal, Service, audited::Done};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists events; the filter's sight is the caller's, see [`Service::audit_sight`].
    ///
    /// # Errors
    /// As for every use case.
    pub async fn audit_list(
        &self,
        context: &Context,
        filter: EventFilter,
        page: PageRequest,
    ) -> Result<Answer<Page<Event>>, Refusal> {
        self.look(context, move |view| {
            Ok(Done::new(200, view.events(&filter, page)?))
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
        let sight = self.audit_sight(context);
        self.look(context, move |view| {
            let event = view.event(sight, id)?.ok_or(Error::NotFound)?;
            Ok(Done::new(200, event))
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
