//! The use cases: who may do what, in one transaction with the audit event that tells of it.
//!
//! Every call goes [`Service::authenticate`] → [`Service::authorize`] → one use case. Each of them either
//! gives an [`Audited`] whose event is durable, or a [`Rejection`] whose event is.
//! This crate refuses to know how requests travel, what SQL is, and what time it is: the clock and the
//! random source come in with [`Env`].

mod abandoned;
mod announce;
mod audited;
mod auth_failure_throttle;
mod authenticate;
mod authorize;
mod billing;
mod clock_steps;
mod context;
mod credential_cache;
mod deliver;
mod env;
mod error;
mod events;
mod held_polls;
mod idempotency;
mod key_feed;
mod keys;
mod long_polls;
mod operation;
mod org_creation;
mod org_ends;
mod orgs;
mod outbox;
mod partner_turns;
mod partners;
mod peppers;
mod provisioning_slots;
mod pruning;
mod reconcile;
mod refusals;
mod renewal;
mod setup;
mod shares;
mod statuses;
mod together;
mod turns;
mod waiters;
mod webhooks;
mod whoami;
mod workspaces;

use std::sync::Arc;

use ::keys::Peppers;
use ::orgs::{PlanCatalogue, ReservedSlugs};
use ::webhooks::Reach;
use ratelimit::RateLimit;

pub use self::{
    audited::{Audited, Rejection},
    authenticate::Credentials,
    clock_steps::{ClockWatch, HASTEN_AFTER},
    context::{Caller, ClientAddress, Context, LimitName, RequestInfo},
    deliver::Deferred,
    env::Env,
    error::{Error, OrgConflict},
    held_polls::HeldPollCounts,
    idempotency::{IdempotencyKey, Rendered},
    operation::{Access, Operation, operations},
    orgs::OrgWithSteps,
    peppers::{OrphanedKeys, Orphans},
    pruning::Pruning,
    refusals::{FoldedCounts, OPEN_AT_MOST},
    setup::{
        FirstStart, SetupError, SystemUser, admin_key_create, admin_key_revoke, go_on, prepare,
    },
    webhooks::webhook_secret_pepper,
};

/// What the operator has settled.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Digests of keys are made with these.
    pub peppers: Peppers,
    /// The plans that orgs can have.
    pub plans: PlanCatalogue,
    /// The slugs that no org can have.
    pub reserved_slugs: ReservedSlugs,
    /// How often an admin key may be used.
    pub admin_rate_limit: RateLimit,
    /// How often one client address may present tokens that nobody knows.
    pub auth_failure_limit: RateLimit,
    /// The page that customers log in on, as messages to partners name it.
    pub login_url: String,
    /// Where partners may have messages sent.
    pub webhook_reach: Reach,
}

/// The control plane, over a database, a limiter and a provisioner.
#[derive(Debug)]
pub struct Service<D, L, P> {
    db: D,
    limiter: L,
    provisioner: P,
    settings: Settings,
    env: Env,
    credentials: credential_cache::CredentialCache,
    key_feed: key_feed::Coalescer,
    statuses: statuses::Statuses,
    pace: long_polls::Pace,
    held_polls: held_polls::HeldPolls,
    auth_failures: auth_failure_throttle::AuthFailureThrottle,
    refusals: refusals::Refusals,
    running: idempotency::Running,
    running_shares: shares::Shares<ids::Ulid>,
    /// The partner behind which the search for due orgs goes on.
    due_after: std::sync::Mutex<Option<ids::PartnerId>>,
    /// Rung when an org has fallen due.
    due: tokio::sync::Notify,
    slots: Arc<provisioning_slots::ProvisioningSlots>,
    creations: together::Together<org_creation::Creation, org_creation::Created>,
    quota_turns: turns::Turns<ids::PartnerId>,
    finished: together::Together<reconcile::Finished, reconcile::Recorded>,
    outbox: outbox::Outbox,
    deliverer: deliver::Deliverer,
    /// Rung when a message is to be sent.
    outgoing: tokio::sync::Notify,
}

impl<D, L, P> Service<D, L, P> {
    /// A control plane; [`prepare`] has been run on its database.
    pub fn new(db: D, limiter: L, provisioner: P, settings: Settings, env: Env) -> Arc<Self> {
        let outbox = outbox::Outbox::new(env.clone(), settings.login_url.clone());
        Arc::new(Self {
            db,
            limiter,
            provisioner,
            settings,
            env,
            credentials: credential_cache::CredentialCache::default(),
            key_feed: key_feed::Coalescer::default(),
            statuses: statuses::Statuses::default(),
            pace: long_polls::Pace::default(),
            held_polls: held_polls::HeldPolls::default(),
            auth_failures: auth_failure_throttle::AuthFailureThrottle::default(),
            refusals: refusals::Refusals::default(),
            running: idempotency::Running::default(),
            running_shares: idempotency::running_shares(),
            due: tokio::sync::Notify::new(),
            slots: Arc::default(),
            due_after: std::sync::Mutex::default(),
            creations: together::Together::default(),
            quota_turns: turns::Turns::default(),
            finished: together::Together::default(),
            outbox,
            deliverer: deliver::Deliverer::default(),
            outgoing: tokio::sync::Notify::new(),
        })
    }

    /// The clock and the random source.
    #[must_use]
    pub const fn env(&self) -> &Env {
        &self.env
    }

    /// The database.
    #[must_use]
    pub const fn database(&self) -> &D {
        &self.db
    }

    /// The limiter.
    #[must_use]
    pub const fn limiter(&self) -> &L {
        &self.limiter
    }
}
