//! The use cases: who may do what, in one transaction with the audit event that records it.
//!
//! Every request goes [`Service::authenticate`] → [`Service::authorize`] → one use case. Each of them gives an
//! [`Audited`] result or a [`Rejection`], whose event is durable.
//! This crate must not know HTTP, SQL or the time of day: the clock and the random source come in with [`Env`].

mod audit_events;
mod audited;
mod authn;
mod authorize;
mod billing;
mod context;
mod env;
mod error;
mod exchange;
mod idempotency;
mod instances;
mod keys;
mod leaks;
mod operation;
mod orgs;
mod partners;
mod plans;
mod runtime;
mod setup;
mod trust_rules;
mod webhooks;
mod whoami;
mod workers;
mod workspaces;

use std::sync::Arc;

use ::instances::Instance;
use ::keys::Peppers;
use ::orgs::{PlanCatalogue, ReservedSlugs};
use ::webhooks::AddressPolicy;
use ratelimit::RateLimit;

use self::runtime::batcher::{Batcher, BatcherConfig};

pub use self::{
    audited::{Audited, Rejection},
    authn::{
        Credentials,
        folded_rejections::{FoldedCounts, MAX_OPEN_AGE},
    },
    context::{Caller, ClientAddress, Context, Deprecation, LimitName, RequestInfo},
    env::Env,
    error::{Error, OrgConflict},
    exchange::{
        Exchange, ExchangeError, ExchangeRejection, ExchangedToken, issuer_keys::IssuerClient,
    },
    idempotency::{IdempotencyKey, Rendered},
    instances::{LiveInstances, Receipt, Unconfirmed, follow_server_clock},
    keys::{
        ReplayedEnd, ReplayedRevocation, RevocationReceipt, key_revoke_replay,
        key_secret_end_replay,
    },
    leaks::{LeakCounts, LeakedToken, Verdict},
    operation::{Access, Operation, operations},
    orgs::{
        OrgWithSteps,
        held_polls::HeldPollCounts,
        secrets::OpenedSecrets,
        status_cache::{CacheCounts, REVALIDATE_INTERVAL},
    },
    runtime::periodic::{Next, PeriodicJob},
    setup::{
        FirstStart, SetupError, SystemUser, admin_key_create, admin_key_revoke,
        instance::{NewInstance, OtherInstance},
        peppers::{OrphanPolicy, Orphans},
        prepare, resume_ids,
    },
    webhooks::webhook_secret_pepper,
    whoami::Quota,
    workers::{deliver::DeferredEndpoints, retention::Pruning},
};

/// The operator's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The peppers of key digests.
    pub peppers: Peppers,
    /// The plans that orgs can have.
    pub plans: PlanCatalogue,
    /// The slugs that no org can have.
    pub reserved_slugs: ReservedSlugs,
    /// How long a key may live, if there is a maximum.
    pub max_key_lifetime: Option<time::Duration>,
    /// How often an admin key may be used.
    pub admin_rate_limit: RateLimit,
    /// How many unknown tokens one client address may send.
    pub auth_failure_limit: RateLimit,
    /// How many tokens one trust rule exchanges.
    pub token_exchange_limit: RateLimit,
    /// How many responses to calls with an idempotency key are stored for one credential.
    pub idempotency_limit: RateLimit,
    /// How many calls this process can have at once. Held polls and calls with an idempotency key are bounded
    /// by it, so that no key can use up all of them.
    pub max_calls: usize,
    /// The URL of the login page, as webhooks name it.
    pub login_url: String,
    /// Which URLs webhook endpoints may have.
    pub webhook_address_policy: AddressPolicy,
    /// This process as [`prepare`] has registered it, if it is to report as an instance.
    pub instance: Option<Instance>,
    /// Where the number of live instances is kept.
    pub live_instances: LiveInstances,
}

/// The control plane, over a database, a rate limiter and a provisioner.
#[derive(Debug)]
pub struct Service<D, L, P> {
    db: D,
    limiter: L,
    provisioner: P,
    settings: Settings,
    env: Env,
    credentials: authn::credential_cache::CredentialCache,
    instances: instances::InstanceReporter,
    key_changes: runtime::single_flight::SingleFlight,
    auth_failures: authn::auth_failure_throttle::AuthFailureThrottle,
    folded_rejections: authn::folded_rejections::FoldedRejections,
    unrecorded_uses: authn::unrecorded_uses::UnrecordedUses,
    idempotent_requests: idempotency::InFlightRequests,
    idempotent_limiter: runtime::fair_share::FairShare<ids::Ulid>,
    statuses: orgs::status_cache::StatusCache,
    estimates: orgs::long_polls::ProvisioningEstimates,
    held_polls: orgs::held_polls::HeldPolls,
    creations: Batcher<ids::Ulid, orgs::create::CreateOrg, orgs::create::Created>,
    quota_locks: runtime::keyed_lock::KeyedLock<ids::PartnerId>,
    /// The partner after which the search for due orgs goes on.
    due_cursor: std::sync::Mutex<Option<ids::PartnerId>>,
    /// The partner after which the search for expired orgs goes on.
    expired_cursor: std::sync::Mutex<Option<ids::PartnerId>>,
    /// Notified when an org has fallen due.
    due: tokio::sync::Notify,
    slots: Arc<workers::reconcile::slots::ProvisioningSlots>,
    finished:
        Batcher<(), workers::reconcile::FinishedAttempt, Option<workers::reconcile::Recorded>>,
    outbox: webhooks::outbox::Outbox,
    deliverer: workers::deliver::Deliverer,
    resealer: workers::reseal::Resealer,
    trust_rules: exchange::rules::TrustRules,
    issuer_keys: Arc<exchange::issuer_keys::IssuerKeys>,
    exchanged: exchange::ExchangedTokens,
    secret_reads: Batcher<ids::Ulid, ids::OrgId, Option<stores::SealedOrgSecrets>>,
    leaks: leaks::LeakCounters,
    leak_reports: leaks::ReportBatcher,
    waiting_leaks: leaks::WaitingReports,
    /// Held by whoever looks up leaked tokens: one at a time.
    leak_lookups: tokio::sync::Mutex<()>,
    /// The pruning that is under way, if there is one.
    pruning: tokio::sync::Mutex<Option<Pruning>>,
    clock: workers::clock_steps::ClockWatch,
    /// Notified when a message is to be sent.
    outgoing: tokio::sync::Notify,
}

impl<D, L, P> Service<D, L, P> {
    /// A control plane; [`prepare`] has been run on its database.
    pub fn new(db: D, limiter: L, provisioner: P, settings: Settings, env: Env) -> Arc<Self> {
        let outbox = webhooks::outbox::Outbox::new(env.clone(), settings.login_url.clone());
        let clock = workers::clock_steps::ClockWatch::new(env.now());
        let max_calls = settings.max_calls;
        let credentials = authn::credential_cache::CredentialCache::default();
        if settings.instance.is_some() {
            credentials.require_reports();
        }
        let instances = instances::InstanceReporter::new(
            settings.instance.clone(),
            settings.live_instances.clone(),
        );
        Arc::new(Self {
            db,
            limiter,
            provisioner,
            settings,
            env,
            credentials,
            instances,
            key_changes: runtime::single_flight::SingleFlight::default(),
            auth_failures: authn::auth_failure_throttle::AuthFailureThrottle::default(),
            folded_rejections: authn::folded_rejections::FoldedRejections::default(),
            unrecorded_uses: authn::unrecorded_uses::UnrecordedUses::default(),
            idempotent_requests: idempotency::InFlightRequests::default(),
            idempotent_limiter: idempotency::idempotent_limiter(max_calls),
            statuses: orgs::status_cache::StatusCache::default(),
            estimates: orgs::long_polls::ProvisioningEstimates::default(),
            held_polls: orgs::held_polls::HeldPolls::new(max_calls),
            creations: Batcher::new(BatcherConfig::TRANSACTIONS),
            quota_locks: runtime::keyed_lock::KeyedLock::default(),
            due_cursor: std::sync::Mutex::default(),
            due: tokio::sync::Notify::new(),
            slots: Arc::default(),
            expired_cursor: std::sync::Mutex::default(),
            finished: Batcher::new(BatcherConfig::TRANSACTIONS),
            outbox,
            leaks: leaks::LeakCounters::default(),
            leak_reports: leaks::report_batcher(),
            waiting_leaks: leaks::WaitingReports::default(),
            leak_lookups: tokio::sync::Mutex::default(),
            pruning: tokio::sync::Mutex::default(),
            clock,
            deliverer: workers::deliver::Deliverer::default(),
            resealer: workers::reseal::Resealer::default(),
            trust_rules: exchange::rules::TrustRules::default(),
            issuer_keys: Arc::default(),
            exchanged: exchange::ExchangedTokens::default(),
            secret_reads: Batcher::new(BatcherConfig::TRANSACTIONS),
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
