//! One request and who makes it.

use std::{net::IpAddr, sync::Arc};

use audit::{Action, Actor, Event, Outcome, Request, Target, TargetKind};
use ids::{EventId, KeyId, OrgId, TypedId as _, Ulid};
use keys::{AdminKey, KeyWithPartner, UsedSecret};
use ratelimit::Decision;
use stores::Requester;
use time::OffsetDateTime;

use crate::{IdempotencyKey, Operation, authn::credential_cache::ReadVersion};

/// Where a request comes from.
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

/// A request, as far as it is known before anything is done about it.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// When it was received.
    pub at: OffsetDateTime,
    /// The client's own id or ours.
    pub request_id: Arc<str>,
    /// The HTTP method.
    pub method: &'static str,
    /// The route's template, such as `/cp/orgs/{id}`.
    pub route: &'static str,
    /// The operation that the route stands for.
    pub operation: Operation,
    /// The id of what it is about, where the route names one in its right form.
    pub subject: Option<Arc<str>>,
    /// The org that it is about, where the route names one.
    pub org_id: Option<OrgId>,
    /// The client's address.
    pub client: ClientAddress,
    /// The header `User-Agent`.
    pub user_agent: Option<Arc<str>>,
    /// The secret of the partner key that it was authenticated by; `None` before that, and for admin keys.
    pub secret: Option<UsedSecret>,
}

impl RequestInfo {
    /// What the request is about: the caller itself, or what the route names.
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

    /// The event of this request; the use case may complete it before it is written.
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
                key_prefix: self
                    .secret
                    .as_ref()
                    .map(|secret| Arc::clone(&secret.key_prefix)),
            }),
            details: audit::Details::new(),
        }
    }
}

/// The credential behind a request.
#[derive(Clone, Debug)]
pub enum Caller {
    /// An admin key.
    Admin(Arc<AdminKey>),
    /// A partner key and its partner.
    Partner(Arc<KeyWithPartner>),
}

impl Caller {
    /// Whether it is an admin key.
    #[must_use]
    pub const fn is_admin(&self) -> bool {
        matches!(self, Self::Admin(_))
    }

    /// What the cursors of the caller's lists are bound to, so that none continues another caller's list.
    #[must_use]
    pub fn cursor_scope(&self) -> String {
        format!("{:?}", crate::orgs::reading_visibility(self))
    }

    /// The credential's id, whatever its kind.
    #[must_use]
    pub fn ulid(&self) -> Ulid {
        match self {
            Self::Admin(key) => key.id.ulid(),
            Self::Partner(held) => held.key.id.ulid(),
        }
    }

    /// Whose share of the readers a list of this caller takes.
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
    /// The one for a key's rotations of itself.
    Rotation,
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
            Self::Rotation => "rotation",
        }
    }
}

/// What the caller is told whose secret has a successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// Since when there is another secret.
    pub since: OffsetDateTime,
    /// Until when this one works.
    pub until: OffsetDateTime,
}

/// A request by a known credential that can be used.
#[derive(Clone, Debug)]
pub struct Context {
    /// The request.
    pub request: RequestInfo,
    /// The credential.
    pub caller: Caller,
    /// The version at which the caller was read.
    pub(crate) read_version: ReadVersion,
    /// Whether it is the first of its minute by this key: then it is recorded as the key's last use.
    pub(crate) first_use: bool,
    /// The rate limits, as they are after this request.
    pub limits: Vec<(LimitName, Decision)>,
    /// Whether it was charged to the limits: a key's own revocation is not.
    pub(crate) is_charged: bool,
    /// The idempotency key, if the client sent one.
    pub idempotency_key: Option<IdempotencyKey>,
}

impl Context {
    /// Whether the request was charged to the limits.
    #[must_use]
    pub const fn is_charged(&self) -> bool {
        self.is_charged
    }

    /// The key whose last use this request is to be recorded as, and which of its secrets it was.
    pub(crate) fn used_key(&self) -> Option<(KeyId, Option<OffsetDateTime>)> {
        match &self.caller {
            Caller::Partner(held) if self.first_use => {
                let secret = self.request.secret.as_ref();
                let secret = secret.filter(|_| held.key.rotation.is_some());
                Some((held.key.id, secret.map(|secret| secret.created_at)))
            }
            Caller::Partner(_) | Caller::Admin(_) => None,
        }
    }

    /// Since when the secret in use has a successor, and until when it works.
    #[must_use]
    pub fn deprecation(&self) -> Option<Deprecation> {
        let Caller::Partner(held) = &self.caller else {
            return None;
        };
        let (since, until) = held.key.deprecation(self.request.secret.as_ref()?)?;
        Some(Deprecation { since, until })
    }

    /// Whether the request rotates the key that makes it, or ends such a rotation.
    pub(crate) fn rotates_itself(&self) -> bool {
        let Caller::Partner(held) = &self.caller else {
            return false;
        };
        let rotates = matches!(
            self.request.operation.action,
            Action::KeyRotate | Action::KeyRotateFinish | Action::KeyRotateCancel
        );
        rotates && self.request.subject.as_deref() == Some(held.key.id.to_string().as_str())
    }
}
