//! The use cases: who may do what, in one transaction with the audit event that tells of it.
//!
//! Every call goes [`Service::admit`] → [`Service::authorize`] → one use case. Each of them either
//! gives an [`Answer`] whose event is durable, or a [`Refusal`] whose event is.
//! This crate refuses to know how requests travel, what SQL is, and what time it is: the clock and the
//! random source come in with [`World`].

mod audited;
mod authenticate;
mod authorize;
mod billing;
mod context;
mod error;
mod events;
mod keys;
mod memory;
mod once;
mod operation;
mod org_ends;
mod orgs;
mod partners;
mod pruning;
mod reconcile;
mod refusals;
mod setup;
mod statuses;
mod strangers;
mod whoami;
mod workspaces;
mod world;

use std::sync::Arc;

use ::keys::Peppers;
use ::orgs::{PlanCatalogue, ReservedSlugs};
use ratelimit::RateLimit;

pub use self::{
    audited::{Answer, Refusal},
    authenticate::Presented,
    context::{Call, Caller, Context, LimitName},
    error::{Error, OrgConflict},
    once::{Once, Rendered},
    operation::{Access, Operation, operations},
    orgs::OrgWithSteps,
    pruning::Pruning,
    setup::{FirstStart, SetupError, admin_key_create, admin_key_revoke, prepare},
    world::World,
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
}

/// The control plane, over a database, a limiter and a provisioner.
#[derive(Debug)]
pub struct Service<D, L, P> {
    db: D,
    limiter: L,
    provisioner: P,
    settings: Settings,
    world: World,
    memory: memory::Memory,
    statuses: statuses::Statuses,
    strangers: strangers::Strangers,
    refusals: refusals::Refusals,
    running: once::Running,
    /// Rung when an org has fallen due.
    due: tokio::sync::Notify,
}

impl<D, L, P> Service<D, L, P> {
    /// A control plane; [`prepare`] has been run on its database.
    pub fn new(db: D, limiter: L, provisioner: P, settings: Settings, world: World) -> Arc<Self> {
        Arc::new(Self {
            db,
            limiter,
            provisioner,
            settings,
            world,
            memory: memory::Memory::default(),
            statuses: statuses::Statuses::default(),
            strangers: strangers::Strangers::default(),
            refusals: refusals::Refusals::default(),
            running: once::Running::default(),
            due: tokio::sync::Notify::new(),
        })
    }

    /// The clock and the random source.
    #[must_use]
    pub const fn world(&self) -> &World {
        &self.world
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
