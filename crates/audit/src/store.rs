//! The store trait for audit events.

use std::sync::Arc;

use ids::{AdminKeyId, EventId, KeyId, OrgId, Page, PageRequest, PartnerId, Ulid};
use time::OffsetDateTime;

use crate::{Action, Actor, Event, Outcome, Receipt};

/// Which events a caller can see. A store that is given a visibility returns nothing beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditVisibility {
    /// Every event, for the operator.
    All,
    /// What the partner's keys did and what the system did to its orgs; never what an admin did.
    Partner(PartnerId),
    /// Of that, what was about one org.
    Org(PartnerId, OrgId),
}

impl AuditVisibility {
    /// Whether the event is visible.
    #[must_use]
    pub fn includes(self, event: &Event) -> bool {
        let of_partner = |partner| match event.actor {
            Actor::PartnerKey { .. } | Actor::System { .. } => {
                event.actor.partner_id() == Some(partner)
            }
            Actor::Admin { .. } => false,
        };
        match self {
            Self::All => true,
            Self::Partner(partner) => of_partner(partner),
            Self::Org(partner, org) => of_partner(partner) && event.org_id == Some(org),
        }
    }
}

/// A credential that acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorId {
    /// A partner key.
    Key(KeyId),
    /// An admin key.
    Admin(AdminKeyId),
}

impl ActorId {
    /// Whether this credential is the actor.
    #[must_use]
    pub fn acted(self, actor: Actor) -> bool {
        match actor {
            Actor::PartnerKey { id, .. } => self == Self::Key(id),
            Actor::Admin { id } => self == Self::Admin(id),
            Actor::System { .. } => false,
        }
    }
}

/// Which events a caller asks for; `None` leaves a member open. It says nothing of what the caller may see:
/// that is for the use case to add.
#[derive(Clone, Debug, Default)]
pub struct EventListRequest {
    /// What this credential did.
    pub actor: Option<ActorId>,
    /// What was done on behalf of this partner.
    pub partner_id: Option<PartnerId>,
    /// What was about this org.
    pub org_id: Option<OrgId>,
    /// What was done.
    pub action: Option<Action>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What was done by the request with this id.
    pub request_id: Option<Arc<str>>,
    /// From this time on.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

impl EventListRequest {
    /// The store's filter for a caller of this visibility.
    #[must_use]
    pub fn within(self, visibility: AuditVisibility) -> EventFilter {
        let Self {
            actor,
            partner_id,
            org_id,
            action,
            outcome,
            request_id,
            since,
            until,
        } = self;
        EventFilter {
            visibility,
            actor,
            partner_id,
            org_id,
            action,
            outcome,
            request_id,
            since,
            until,
            open_before: None,
        }
    }
}

/// Which events a store lists. `None` leaves a member open.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// The caller's visibility.
    pub visibility: AuditVisibility,
    /// What this credential did. Stores look events up by it, and by the org, where it is named: a caller
    /// makes sure that both are visible to it.
    pub actor: Option<ActorId>,
    /// What was done on behalf of this partner.
    pub partner_id: Option<PartnerId>,
    /// What was about this org.
    pub org_id: Option<OrgId>,
    /// What was done.
    pub action: Option<Action>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What was done by the request with this id.
    pub request_id: Option<Arc<str>>,
    /// From this time on.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
    /// Of the events whose counts may still grow those alone that began before this time: whoever
    /// counts is gone.
    pub open_before: Option<OffsetDateTime>,
}

impl EventFilter {
    /// All events of this visibility.
    #[must_use]
    pub const fn all(visibility: AuditVisibility) -> Self {
        Self {
            visibility,
            actor: None,
            partner_id: None,
            org_id: None,
            action: None,
            outcome: None,
            request_id: None,
            since: None,
            until: None,
            open_before: None,
        }
    }

    /// Whether the event will not change any more.
    #[must_use]
    pub fn shows(&self, event: &Event) -> bool {
        let mut before = self.open_before.iter();
        before.all(|before| !event.is_open() || event.occurred_at < *before)
    }

    /// Whether the event is to be listed.
    #[must_use]
    pub fn includes(&self, event: &Event) -> bool {
        self.visibility.includes(event)
            && self.actor.is_none_or(|actor| actor.acted(event.actor))
            && (self.partner_id.is_none() || event.actor.partner_id() == self.partner_id)
            && (self.org_id.is_none() || event.org_id == self.org_id)
            && self.action.is_none_or(|action| event.action == action)
            && self.outcome.is_none_or(|how| event.outcome == how)
            && self.request_id.as_ref().is_none_or(|id| {
                let request = event.request.as_ref();
                request.is_some_and(|request| request.id == *id)
            })
            && self.since.is_none_or(|since| event.occurred_at >= since)
            && self.until.is_none_or(|until| event.occurred_at < until)
            && self.shows(event)
    }
}

/// What a part of a pruning has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many events were deleted.
    pub deleted: usize,
    /// Where the next part begins; `None` when this was the last.
    pub next: Option<Ulid>,
}

/// Queries of a store of audit events.
pub trait AuditQueries {
    /// The store's error.
    type Error;

    /// The event of this id, if it is visible.
    fn event(
        &mut self,
        visibility: AuditVisibility,
        id: EventId,
    ) -> Result<Option<Event>, Self::Error>;

    /// Events, newest first.
    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, Self::Error>;

    /// Events, oldest first: `limit` items with ids above `after`, the lowest id first.
    fn events_oldest_first(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, Self::Error>;
}

/// Writes of a store of audit events; all within the caller's transaction.
pub trait AuditStore: AuditQueries {
    /// Records an event: it is written at the end of the transaction, and may get another id and time then.
    /// The receipt tells the id. An event that comes a second time may be rejected, and is listed once.
    fn event_record(&mut self, event: &Event) -> Result<Receipt, Self::Error>;

    /// Adds an event, or, when one of its id was folded before, replaces that one's details: a count
    /// goes on. One that is open can be hidden from readers, see [`EventFilter::open_before`].
    fn event_fold(&mut self, event: &Event) -> Result<(), Self::Error>;

    /// Takes back an event that was folded.
    fn event_unfold(&mut self, id: EventId) -> Result<(), Self::Error>;

    /// Deletes events that happened before a time, in parts: this one goes on from where the part
    /// before it ended, and looks at about `limit` rows, however many events a row holds. What
    /// happened at that time or later stays.
    fn events_prune(
        &mut self,
        before: OffsetDateTime,
        after: Option<Ulid>,
        limit: usize,
    ) -> Result<Pruned, Self::Error>;
}
