//! One thing that happened.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr, sync::Arc};

use ids::{AdminKeyId, EventId, KeyId, OrgId, PartnerId};
use time::OffsetDateTime;

use crate::Action;

/// Whatever else is worth knowing of an event; never a secret.
pub type Details = serde_json::Map<String, serde_json::Value>;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A partner key.
    PartnerKey {
        /// The key.
        id: KeyId,
        /// Whose it is.
        partner_id: PartnerId,
    },
    /// An admin key.
    Admin {
        /// The key.
        id: AdminKeyId,
    },
    /// The control plane itself.
    System {
        /// The partner whose org it was about.
        partner_id: Option<PartnerId>,
    },
}

impl Actor {
    /// The partner on whose behalf it was done.
    #[must_use]
    pub const fn partner_id(&self) -> Option<PartnerId> {
        match self {
            Self::PartnerKey { partner_id, .. } => Some(*partner_id),
            Self::Admin { .. } => None,
            Self::System { partner_id } => *partner_id,
        }
    }
}

/// What kind of thing it was done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// A partner, or all of them.
    Partner,
    /// A partner key.
    PartnerKey,
    /// An admin key.
    AdminKey,
    /// An org.
    Org,
    /// A plan of orgs, or all of them.
    Plan,
    /// A workspace.
    Workspace,
    /// The audit log.
    AuditLog,
    /// An audit event.
    AuditEvent,
    /// A webhook endpoint.
    WebhookEndpoint,
    /// An instance of the program, or all of them.
    Instance,
    /// A trust rule, or all of them.
    TrustRule,
    /// Nothing that exists.
    Route,
}

impl TargetKind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Partner,
        Self::PartnerKey,
        Self::AdminKey,
        Self::Org,
        Self::Plan,
        Self::Workspace,
        Self::AuditLog,
        Self::AuditEvent,
        Self::WebhookEndpoint,
        Self::Instance,
        Self::TrustRule,
        Self::Route,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::PartnerKey => "partner_key",
            Self::AdminKey => "admin_key",
            Self::Org => "org",
            Self::Plan => "plan",
            Self::Workspace => "workspace",
            Self::AuditLog => "audit_log",
            Self::AuditEvent => "audit_event",
            Self::WebhookEndpoint => "webhook_endpoint",
            Self::Instance => "instance",
            Self::TrustRule => "trust_rule",
            Self::Route => "route",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }
}

/// What it was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What kind of thing.
    pub kind: TargetKind,
    /// Which one; `None` for a list, or where none was named rightly.
    pub id: Option<Arc<str>>,
}

impl Target {
    /// One thing of a kind.
    pub fn one(kind: TargetKind, id: impl fmt::Display) -> Self {
        Self {
            kind,
            id: Some(id.to_string().into()),
        }
    }

    /// A kind of things as a whole.
    #[must_use]
    pub const fn all(kind: TargetKind) -> Self {
        Self { kind, id: None }
    }
}

/// A text that is not an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an outcome is one of success, denied, failed")]
pub struct UnknownOutcome;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was rejected: the caller may not do it, or asked for what is not possible.
    Denied,
    /// It was allowed and went wrong on our side.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Success, Self::Denied, Self::Failed];

    /// The outcome of an HTTP status: rejections are below 500.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        match status {
            0..400 => Self::Success,
            400..500 => Self::Denied,
            500.. => Self::Failed,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for Outcome {
    type Err = UnknownOutcome;

    fn from_str(text: &str) -> Result<Self, UnknownOutcome> {
        Self::ALL
            .iter()
            .copied()
            .find(|outcome| outcome.as_str() == text)
            .ok_or(UnknownOutcome)
    }
}

/// The request by which it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id, the client's own or ours.
    pub id: Arc<str>,
    /// Its method.
    pub method: Cow<'static, str>,
    /// The route that it fitted, with names for the parts that vary.
    pub route: Cow<'static, str>,
    /// The client's address; `None` where a proxy named one that can't be read.
    pub ip: Option<IpAddr>,
    /// What the client says it is, cut to a bounded length.
    pub user_agent: Option<Arc<str>>,
    /// The status of the answer.
    pub status_code: u16,
    /// The first characters of the secret that it was authenticated by, if that was a partner key's.
    pub key_prefix: Option<Arc<str>>,
}

/// The detail that an event has while its count may still grow.
const OPEN: &str = "open";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub occurred_at: OffsetDateTime,
    /// Who did it.
    pub actor: Actor,
    /// What was done or tried.
    pub action: Action,
    /// To what.
    pub target: Target,
    /// The org that it was about, if it was about one.
    pub org_id: Option<OrgId>,
    /// How it ended.
    pub outcome: Outcome,
    /// The request by which it was done; `None` for the system's own doing.
    pub request: Option<Request>,
    /// Whatever else is worth knowing.
    pub details: Details,
}

impl Event {
    /// The same event, whose count may still grow.
    #[must_use]
    pub fn opened(mut self) -> Self {
        self.details.insert(OPEN.to_owned(), true.into());
        self
    }

    /// Whether its count may still grow, unless the process that counts is gone.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.details.get(OPEN) == Some(&true.into())
    }

    /// The same event as its readers see it.
    #[must_use]
    pub fn closed(mut self) -> Self {
        if self.is_open() {
            self.details.remove(OPEN);
        }
        self
    }
}
