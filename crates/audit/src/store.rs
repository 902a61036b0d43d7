//! What a store of audit events must offer.

use ids::{AdminKeyId, KeyId, OrgId, Page, PageRequest, PartnerId};
use time::OffsetDateTime;

use crate::{Action, Actor, Event, Outcome};

/// Which events a caller can see. A store that is given a sight returns nothing beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditSight {
    /// Every event: the operator's sight.
    All,
    /// What the partner's keys did and what the system did to its orgs; never an admin's doing.
    Partner(PartnerId),
    /// Of that, what was about one org.
    Org(PartnerId, OrgId),
}

impl AuditSight {
    /// Whether the event is in sight.
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

/// Which events to list. `None` leaves a member open.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Those in sight.
    pub sight: AuditSight,
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
    /// From this time on.
    pub since: Option<OffsetDateTime>,
    /// Before this time.
    pub until: Option<OffsetDateTime>,
}

impl EventFilter {
    /// All events in sight.
    #[must_use]
    pub const fn all(sight: AuditSight) -> Self {
        Self {
            sight,
            actor: None,
            partner_id: None,
            org_id: None,
            action: None,
            outcome: None,
            since: None,
            until: None,
        }
    }
}

/// Questions to a store of audit events.
pub trait AuditQueries {
    /// What can go wrong in the store.
    type Error;

    /// Events, newest first.
    fn events(
        &mut self,
        filter: &EventFilter,
        page: PageRequest,
    ) -> Result<Page<Event>, Self::Error>;
}

/// Changes to a store of audit events; all within the caller's transaction.
pub trait AuditStore: AuditQueries {
    /// Adds an event.
    fn event_insert(&mut self, event: &Event) -> Result<(), Self::Error>;

    /// Adds an event, or, when one of its id is there, replaces that one's details: a count goes on.
    fn event_fold(&mut self, event: &Event) -> Result<(), Self::Error>;
}
