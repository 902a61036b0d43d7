//! Valid values of the domain, each with an id of its own and nothing that a test must know.
//!
//! A test changes what it is about and leaves the rest:
//!
//! ```
//! use testkit::build::Build;
//!
//! let build = Build::new();
//! let partner = build.partner();
//! let key = keys::PartnerKey { disabled: true, ..build.key(&partner) };
//! assert_eq!(key.partner_id, partner.id);
//! ```

use std::{collections::BTreeMap, sync::Mutex};

use audit::{Action, Actor, Details, Event, Outcome, Request, Target, TargetKind};
use ids::{AdminKeyId, KeyId, Labels, Name, PlanName, Sequence, TypedId, Ulid};
use instances::Instance;
use keys::{
    AdminKey, AdminKeyOrigin, AdminRole, KeyDigest, NewSecret, OnLeak, OnRevoke, Partner,
    PartnerKey, PartnerPlan,
};
use orgs::{LeaseToken, Org, OrgOptions, OrgStatus, Slug, Workspace};
use rand_core::Rng;
use scopes::{Scope, ScopeSet};
use time::OffsetDateTime;
use trust::{Claims, Issuer, Refusals, TokenTtl, TrustRule};
use webhooks::{Delivery, Endpoint, EndpointUrl, EventKind, EventKinds, SealedSecrets};

use crate::{clock::START, random::SeededRandom};

/// A name that fits.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A slug that fits.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

/// The name of a plan that fits.
///
/// # Panics
/// When it does not.
#[must_use]
pub fn plan(text: &str) -> PlanName {
    PlanName::new(text).unwrap()
}

/// Options that fit.
///
/// # Panics
/// When they do not.
#[must_use]
pub fn options(value: serde_json::Value) -> OrgOptions {
    let serde_json::Value::Object(object) = value else {
        panic!("{value}");
    };
    OrgOptions::new(object).unwrap()
}

/// Labels that fit.
///
/// # Panics
/// When they do not.
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Labels::new(pairs.iter().map(owned)).unwrap()
}

/// Makes values; what it makes later has the higher id.
#[derive(Debug)]
pub struct Build {
    source: Mutex<(Sequence, SeededRandom)>,
}

impl Default for Build {
    fn default() -> Self {
        Self::new()
    }
}

impl Build {
    /// A builder that has made nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            source: Mutex::new((Sequence::new(), SeededRandom::new(7))),
        }
    }

    /// A fresh id of any kind.
    pub fn id<I: TypedId>(&self) -> I {
        let mut source = self.source.lock().unwrap();
        let (sequence, random) = &mut *source;
        let unix_ms = START.unix_timestamp() * 1000;
        sequence.next(unix_ms.try_into().unwrap(), random)
    }

    /// A digest that no other key has.
    pub fn digest(&self) -> KeyDigest {
        let mut bytes = [0; 32];
        self.source.lock().unwrap().1.fill_bytes(&mut bytes);
        KeyDigest::from_bytes(bytes)
    }

    /// A token that no other worker has.
    pub fn lease_token(&self) -> LeaseToken {
        LeaseToken(self.id::<AdminKeyId>().ulid())
    }

    /// A partner that may have keys and as many orgs as it likes.
    pub fn partner(&self) -> Partner {
        Partner {
            id: self.id(),
            name: name("Acme"),
            plan: PartnerPlan::Partner,
            rate_limit: None,
            max_orgs: None,
            labels: Labels::default(),
            created_at: START,
        }
    }

    /// An active key with all scopes, bound to nothing.
    pub fn key(&self, partner: &Partner) -> PartnerKey {
        PartnerKey {
            id: self.id(),
            partner_id: partner.id,
            name: name("acme-ci"),
            scopes: Scope::ALL.iter().copied().collect(),
            org_id: None,
            org_plans: None,
            allowed_cidrs: None,
            rate_limit: None,
            expires_at: None,
            max_live_orgs: None,
            max_ttl_seconds: None,
            on_revoke: OnRevoke::Keep,
            on_leak: OnLeak::Revoke,
            disabled: false,
            labels: Labels::default(),
            key_prefix: "mol_pk_7n42d".to_owned(),
            created_at: START,
            created_by: AdminKeyId::from_ulid(Ulid::from(1)).into(),
            last_used_at: None,
            revoked_at: None,
            revocation_reason: None,
            rotation: None,
        }
    }

    /// An active key with these scopes alone.
    pub fn key_with(&self, partner: &Partner, scopes: &[Scope]) -> PartnerKey {
        let scopes: ScopeSet = scopes.iter().copied().collect();
        PartnerKey {
            scopes,
            ..self.key(partner)
        }
    }

    /// The same key after a rotation at this time. Its older secret works for an hour more.
    #[must_use]
    pub fn rotated(&self, mut key: PartnerKey, at: OffsetDateTime) -> PartnerKey {
        key.replace_secret(NewSecret {
            key_prefix: format!("mol_pk_{:05}", self.id::<KeyId>().ulid().0 % 100_000),
            at,
            overlap: time::Duration::HOUR,
            finish_when_idle: None,
        });
        key
    }

    /// A trust rule in use.
    pub fn trust_rule(&self, partner: &Partner) -> TrustRule {
        let claims = serde_json::json!({"repository_id": "1"});
        TrustRule {
            id: self.id(),
            name: name("acme-ci"),
            partner_id: partner.id,
            issuer: Issuer::stored("https://ci.example".to_owned()),
            audience: "https://cp.example".to_owned(),
            claims: Claims::read(claims.as_object().unwrap()).unwrap(),
            refuse: Refusals::default(),
            scopes: Scope::ALL.iter().copied().collect(),
            org_plans: None,
            max_live_orgs: None,
            max_ttl_seconds: None,
            rate_limit: None,
            token_ttl: TokenTtl::default(),
            enabled: true,
            created_at: START,
        }
    }

    /// A generated admin key in use.
    pub fn admin_key(&self) -> AdminKey {
        AdminKey {
            id: self.id(),
            name: name("root"),
            origin: AdminKeyOrigin::Generated,
            role: AdminRole::Operator,
            expires_at: None,
            allowed_cidrs: None,
            created_at: START,
            revoked_at: None,
        }
    }

    /// An instance that has just started.
    pub fn instance(&self) -> Instance {
        Instance {
            id: self.id(),
            host: "cp-1".to_owned(),
            version: "1.2.3".to_owned(),
            started_at: START,
            admin_key_id: None,
            last_seen_at: START,
            revision: 0,
            lag_ms: None,
            clock_skew_ms: 0,
        }
    }

    /// A new org that this key asked for, with a slug of its own.
    pub fn org(&self, key: &PartnerKey) -> Org {
        let id: ids::OrgId = self.id();
        Org {
            id,
            partner_id: key.partner_id,
            created_by_key_id: key.id,
            name: name("Acme Lab"),
            slug: slug(&format!("acme-{}", id.ulid().to_string().to_lowercase())),
            plan: plan("standard"),
            options: OrgOptions::default(),
            change: None,
            status: OrgStatus::Provisioning,
            external_id: None,
            labels: Labels::default(),
            delete_protection: false,
            created_at: START,
            updated_at: START,
            ready_at: None,
            expires_at: None,
            deleted_at: None,
            failure: None,
            outputs: BTreeMap::new(),
            secret_names: Vec::new(),
            attempts: 0,
        }
    }

    /// A workspace of an org.
    pub fn workspace(&self, org: &Org, text: &str) -> Workspace {
        Workspace {
            id: self.id(),
            org_id: org.id,
            name: name(text),
            slug: slug(text),
            created_at: START,
        }
    }

    /// An active webhook endpoint that listens to everything.
    ///
    /// # Panics
    /// Never: its URL and its events fit.
    pub fn endpoint(&self, partner: &Partner) -> Endpoint {
        Endpoint {
            id: self.id(),
            partner_id: partner.id,
            url: EndpointUrl::stored("https://hooks.example.com/molecule").unwrap(),
            events: EventKinds::new(EventKind::OFFERED.iter().copied()).unwrap(),
            created_at: START,
            old_secret_until: None,
            disabled_at: None,
            disabled_reason: None,
            failures: None,
        }
    }

    /// Secrets that no other endpoint has, as they would be stored.
    pub fn sealed_secrets(&self) -> SealedSecrets {
        SealedSecrets {
            current: self.digest().as_bytes().to_vec(),
            old: None,
            older: Vec::new(),
        }
    }

    /// A message to an endpoint, due at once.
    pub fn delivery(&self, endpoint: &Endpoint) -> Delivery {
        let ids = (endpoint.id, endpoint.partner_id);
        let body = r#"{"type":"org.ready"}"#.to_owned();
        Delivery::new(self.id(), ids, EventKind::OrgReady, body, START)
    }

    /// A call by this key that succeeded: a list of orgs.
    pub fn event(&self, key: &PartnerKey) -> Event {
        let actor = Actor::PartnerKey {
            id: key.id,
            partner_id: key.partner_id,
        };
        self.event_by(actor)
    }

    /// A call by this actor that succeeded: a list of orgs.
    pub fn event_by(&self, actor: Actor) -> Event {
        Event {
            id: self.id(),
            occurred_at: START,
            actor,
            action: Action::OrgList,
            target: Target::all(TargetKind::Org),
            org_id: None,
            outcome: Outcome::Success,
            request: Some(self.request()),
            details: Details::new(),
        }
    }

    /// A request from a client on the same machine.
    pub fn request(&self) -> Request {
        Request {
            id: self.id::<ids::RequestId>().to_string().into(),
            method: "GET".into(),
            route: "/v1/orgs".into(),
            ip: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            user_agent: Some("molctl/1.0".into()),
            status_code: 200,
            key_prefix: Some("mol_pk_7n42d".into()),
        }
    }
}
