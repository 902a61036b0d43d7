//! One call and who makes it.

use std::{net::IpAddr, sync::Arc};

use audit::{Action, Actor, Event, Outcome, Request, Target, TargetKind};
use ids::{EventId, KeyId, OrgId, TypedId as _, Ulid};
use keys::{AdminKey, HeldKey};
use ratelimit::Decision;
use stores::Requester;
use time::OffsetDateTime;

use crate::{IdempotencyKey, Operation, credential_cache::Since};

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress {
    /// The client's address; `None` where a proxy named one that can't be read.
    pub ip: Option<IpAddr>,
    /// The address that sent the request, the client's or the last proxy's.
    pub peer: IpAddr,
}

impl ClientAddress {
    /// A client that is connected without a proxy.
    #[must_use]
    pub const fn direct(peer: IpAddr) -> Self {
        Self {
            ip: Some(peer),
            peer,
        }
    }

    /// The address that limits count by: a client that is not known shares its peer's.
    #[must_use]
    pub fn limited_by(self) -> IpAddr {
        self.ip.unwrap_or(self.peer)
    }
}

/// One call, as far as it is known before anything is done about it.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// When it came.
    pub at: OffsetDateTime,
    /// Its id, the client's own or ours.
    pub request_id: Arc<str>,
    /// Its method.
    pub method: &'static str,
    /// The route that it fits, with names for the parts that vary.
    pub route: &'static str,
    /// What it asks for.
    pub operation: Operation,
    /// The id of what it is about, where the route names one in its right form.
    pub subject: Option<Arc<str>>,
    /// The org that it is about, likewise.
    pub org_id: Option<OrgId>,
    /// Where it comes from.
    pub client: ClientAddress,
    /// What the client says it is.
    pub user_agent: Option<Arc<str>>,
}

impl RequestInfo {
    /// What the call is about: who asks for itself, else what the route names.
    fn target(&self, actor: &Actor) -> Target {
        match actor {
            Actor::PartnerKey { id, .. } if self.operation.action == Action::Whoami => {
                Target::one(TargetKind::PartnerKey, id)
            }
            Actor::Admin { id } if self.operation.action == Action::Whoami => {
                Target::one(TargetKind::AdminKey, id)
            }
            Actor::PartnerKey { .. } | Actor::Admin { .. } | Actor::System { .. } => Target {
                kind: self.operation.target,
                id: self.subject.clone(),
            },
        }
    }

    /// The event of this call; more may be said of it before it is written.
    #[must_use]
    pub(crate) fn event(&self, id: EventId, actor: Actor, status_code: u16) -> Event {
        Event {
            id,
            occurred_at: self.at,
            actor,
            action: self.operation.action,
            target: self.target(&actor),
            org_id: self.org_id,
            outcome: Outcome::of_status(status_code),
            request: Some(Request {
                id: Arc::clone(&self.request_id),
                method: self.method.into(),
                route: self.route.into(),
                ip: self.client.ip,
                user_agent: self.user_agent.clone(),
                status_code,
            }),
            details: audit::Details::new(),
        }
    }
}

/// The credential behind a call.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An admin key.
    Admin(Arc<AdminKey>),
    /// A partner key and its partner.
    Partner(Arc<HeldKey>),
}

impl Caller {
    /// The credential's id, whatever its kind.
    pub(crate) fn ulid(&self) -> Ulid {
        match self {
            Self::Admin(key) => key.id.ulid(),
            Self::Partner(held) => held.key.id.ulid(),
        }
    }

    /// Whose share of the database a list of this caller is read with.
    pub(crate) fn requester(&self) -> Requester {
        match self {
            Self::Admin(key) => Requester::admin_key(key.id),
            Self::Partner(held) => Requester::partner_key(held.partner.id, held.key.id),
        }
    }

    /// The credential as the audit log names it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin(key) => Actor::Admin { id: key.id },
            Self::Partner(held) => Actor::PartnerKey {
                id: held.key.id,
                partner_id: held.partner.id,
            },
        }
    }
}

/// The name of a limit, as in the `RateLimit` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// The key's own.
    Key,
    /// The one that the partner's keys share.
    Partner,
    /// An admin key's.
    Admin,
    /// The one for answers that are kept for idempotency keys.
    Idempotency,
    /// The one for unknown tokens from one address.
    Address,
}

impl LimitName {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Partner => "partner",
            Self::Admin => "admin",
            Self::Idempotency => "idempotency",
            Self::Address => "address",
        }
    }
}

/// A call by a known credential that may act.
#[derive(Clone, Debug)]
pub struct Context {
    /// The call.
    pub call: RequestInfo,
    /// Who makes it.
    pub caller: Caller,
    /// How old what is known of the caller is at the most.
    pub(crate) since: Since,
    /// Whether it is the first of its minute by this key, and so is noted there together with its event.
    pub(crate) first_use: bool,
    /// The limits that it counted against.
    pub limits: Vec<(LimitName, Decision)>,
    /// Whether it was counted: a key's own revocation is not.
    pub(crate) is_counted: bool,
    /// What makes it the same as an earlier call, when the caller says that it may be one.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Context {
    /// The key at which this call is to be noted.
    pub(crate) fn used(&self) -> Option<KeyId> {
        match &self.caller {
            Caller::Partner(held) if self.first_use => Some(held.key.id),
            Caller::Partner(_) | Caller::Admin(_) => None,
        }
    }
}
