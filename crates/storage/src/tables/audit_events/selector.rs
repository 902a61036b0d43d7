//! By what the events of a list are looked up.

use audit::{ActorId, AuditVisibility, EventFilter};
use audit_log::{Subject, SubjectKind, subject};
use ids::{AdminKeyId, KeyId, OrgId, PartnerId};

/// By whom or what events are looked up in an index; the rest of the filter is applied to what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    Key(KeyId),
    Admin(AdminKeyId),
    Org(OrgId),
    Partner(PartnerId),
}

impl Selector {
    /// The one by which the fewest rows are to be read: a key acts less than its partner, and an org has
    /// less done to it. `None` when all events are to be read.
    ///
    /// It is the caller's own or one that it may see; see [`EventFilter::actor`].
    pub(crate) fn of(filter: &EventFilter) -> Option<Self> {
        let (partner, org) = match filter.visibility {
            AuditVisibility::All => (None, None),
            AuditVisibility::Partner(partner) => (Some(partner), None),
            AuditVisibility::Org(partner, org) => (Some(partner), Some(org)),
        };
        match filter.actor {
            Some(ActorId::Key(id)) => return Some(Self::Key(id)),
            Some(ActorId::Admin(id)) => return Some(Self::Admin(id)),
            None => {}
        }
        let org = org.or(filter.org_id).map(Self::Org);
        org.or_else(|| partner.or(filter.partner_id).map(Self::Partner))
    }

    /// As segments and their index name it.
    pub(crate) fn subject(self) -> Subject {
        match self {
            Self::Key(id) => subject(SubjectKind::Key, id),
            Self::Admin(id) => subject(SubjectKind::Admin, id),
            Self::Org(id) => subject(SubjectKind::Org, id),
            Self::Partner(id) => subject(SubjectKind::Partner, id),
        }
    }
}
