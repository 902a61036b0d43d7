//! The audit log, as its readers see it.

use audit::{ActorId, AuditQueries as _, AuditSight, Event, EventFilter};
use ids::{EventId, Page, PageRequest};
use orgs::OrgSight;
use ratelimit::Limiter;
use stores::{Database, Queries, StoreError};

use crate::{Answer, Caller, Context, Error, OPEN_AT_MOST, Refusal, Service, audited::Done};

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Lists events; the filter's sight is the caller's, see [`Service::audit_sight`].
    ///
    /// What a filter names beyond that sight matches nothing, and costs the same as what is not there.
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
        self.look_list(context, move |view| {
            let events = if names_only_visible(view, &filter)? {
                view.events(&filter, page)?.map(Event::closed)
            } else {
                Page::empty()
            };
            Ok(Done::new(200, events))
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

/// Whether the key and the org that a filter names are there for its sight. A store looks events up by what
/// the filter names, so that must never be another partner's: the time would tell that it exists.
fn names_only_visible(view: &mut impl Queries, filter: &EventFilter) -> Result<bool, StoreError> {
    let (partner, bound) = match filter.sight {
        AuditSight::All => return Ok(true),
        AuditSight::Partner(partner) => (partner, None),
        AuditSight::Org(partner, org) => (partner, Some(org)),
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
            let org = view.org(OrgSight::Partner(partner), id)?;
            org.is_some() && bound.is_none_or(|bound| bound == id)
        }
    };
    Ok(actor && org)
}
