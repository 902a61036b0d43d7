//! The audit log, as its readers see it.

use audit::{ActorId, AuditVisibility, Event, EventFilter, EventListRequest};
use ids::{EventId, Page, PageRequest};
use orgs::OrgVisibility;
use ratelimit::Limiter;
use stores::{Database, Queries, StoreError, prelude::*};

use crate::{
    Audited, Caller, Context, Error, MAX_OPEN_AGE, Rejection, Service, audited::Auditable,
};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists the events that the caller may see. What a request names beyond them matches nothing, and
    /// costs the same as what is not there.
    ///
    /// # Errors
    /// As for every use case.
    pub async fn audit_list(
        &self,
        context: &Context,
        request: EventListRequest,
        page: PageRequest,
    ) -> Result<Audited<Page<Event>>, Rejection> {
        let mut filter = request.within(visibility(&context.caller));
        filter.open_before = Some(self.env.now() - MAX_OPEN_AGE);
        self.audited_list(context, move |view| {
            let events = if names_only_visible(view, &filter)? {
                view.events(&filter, page)?.map(Event::closed)
            } else {
                Page::empty()
            };
            Ok(Auditable::new(200, events))
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
    ) -> Result<Audited<Event>, Rejection> {
        let mut filter = EventFilter::all(visibility(&context.caller));
        filter.open_before = Some(self.env.now() - MAX_OPEN_AGE);
        self.audited_read(context, move |view| {
            let found = view.event(filter.visibility, id)?;
            let event = found.filter(|event| filter.shows(event));
            Ok(Auditable::new(200, event.ok_or(Error::NotFound)?.closed()))
        })
        .await
    }
}

/// The events that the caller may see: for the operator all, for a key those of its partner or of its org.
fn visibility(caller: &Caller) -> AuditVisibility {
    match caller {
        Caller::Admin(_) => AuditVisibility::All,
        Caller::Partner(held) => match held.key.org_id {
            Some(org) => AuditVisibility::Org(held.partner.id, org),
            None => AuditVisibility::Partner(held.partner.id),
        },
    }
}

/// Whether the caller may see the key and the org that a filter names. A store looks events up by what the
/// filter names, so that must never be another partner's: the response time would tell that it exists.
fn names_only_visible(view: &mut impl Queries, filter: &EventFilter) -> Result<bool, StoreError> {
    let (partner, bound) = match filter.visibility {
        AuditVisibility::All => return Ok(true),
        AuditVisibility::Partner(partner) => (partner, None),
        AuditVisibility::Org(partner, org) => (partner, Some(org)),
    };
    let actor = match filter.actor {
        None => true,
        Some(ActorId::Admin(_)) => false,
        Some(ActorId::Key(id)) => {
            let held = view.key(id)?;
            held.is_some_and(|held| held.partner.id == partner)
        }
    };
    let org = match filter.org_id {
        None => true,
        Some(id) => {
            let org = view.org(OrgVisibility::Partner(partner), id)?;
            org.is_some() && bound.is_none_or(|bound| bound == id)
        }
    };
    Ok(actor && org)
}
