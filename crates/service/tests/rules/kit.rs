//! A control plane in memory and callers for it.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use audit::{AuditVisibility, Event, EventFilter};
use ids::{KeyId, OrgId, PageRequest, PlanName};
use keys::{KeyDraft, OnLeak, OnRevoke, PartnerKey, Pepper, Peppers, PlainKey, RevocationReason};
use orgs::{
    ChangeKind, LocalProvisioner, Org, OrgDraft, OrgVisibility, PlanCatalogue, ProvisionError,
    ProvisionOutput, ProvisionRequest, Provisioner, ReservedSlugs, Step, StopReason, Verb,
};
use ratelimit::{MemoryLimiter, RateLimit};
use scopes::Scope;
use service::{
    ClientAddress, Context, Credentials, Env, NewInstance, Operation, OrphanPolicy, Rejection,
    Rendered, RequestInfo, Service, Settings, operations, prepare,
};
use stores::{Database as _, StoreError, prelude::*};
use testkit::{build, clock::FakeClock, memory::MemoryDatabase, random::SeededRandom};
use tokio::sync::Semaphore;
use webhooks::AddressPolicy;

pub type ControlPlane<P> = Service<MemoryDatabase, MemoryLimiter, P>;

/// A control plane with one admin key.
pub struct Bench<P> {
    pub service: Arc<ControlPlane<P>>,
    pub db: MemoryDatabase,
    pub clock: FakeClock,
    pub admin: PlainKey,
}

pub fn peppers() -> Peppers {
    Peppers::new(Pepper::new("p".repeat(32)).unwrap(), [])
}

/// A process of its own: two with one seed would make the same ids.
pub fn env(clock: &FakeClock, seed: u64) -> Env {
    let clock = clock.clone();
    Env::new(move || clock.now(), SeededRandom::new(seed))
}

pub async fn bench() -> Bench<LocalProvisioner> {
    bench_with(LocalProvisioner).await
}

pub async fn bench_with<P: Provisioner>(provisioner: P) -> Bench<P> {
    bench_of(provisioner, None, usize::MAX).await
}

/// A control plane that is an instance, and can have so many calls at once.
pub async fn bench_of_instance(max_calls: usize) -> Bench<LocalProvisioner> {
    let instance = NewInstance {
        host: "cp-1".to_owned(),
        version: "1.2.3".to_owned(),
    };
    bench_of(LocalProvisioner, Some(instance), max_calls).await
}

async fn bench_of<P: Provisioner>(
    provisioner: P,
    instance: Option<NewInstance>,
    max_calls: usize,
) -> Bench<P> {
    let (db, clock) = (MemoryDatabase::new(), FakeClock::new());
    let env = env(&clock, 1);
    let orphans = OrphanPolicy::Refuse;
    let first = prepare(&db, &env, &peppers(), None, orphans, instance)
        .await
        .unwrap();
    let admin = first.admin_key.unwrap();
    let plans = ["free", "standard"].map(|name| PlanName::new(name).unwrap());
    let settings = Settings {
        peppers: peppers(),
        plans: PlanCatalogue::new(plans).unwrap(),
        reserved_slugs: ReservedSlugs::default(),
        admin_rate_limit: RateLimit::literal(1000, 60),
        auth_failure_limit: RateLimit::literal(2, 60),
        token_exchange_limit: RateLimit::literal(6000, 60),
        idempotency_limit: RateLimit::literal(50_000, 86_400),
        max_key_lifetime: None,
        max_calls,
        login_url: "https://app.example/login".to_owned(),
        webhook_address_policy: AddressPolicy::Public,
        instance: first.instance,
        live_instances: service::LiveInstances::default(),
    };
    let ticks = clock.clone();
    let limiter = MemoryLimiter::new(move || ticks.monotonic());
    let service = Service::new(db.clone(), limiter, provisioner, settings, env);
    Bench {
        service,
        db,
        clock,
        admin,
    }
}

/// An answer that is the org's id alone.
pub fn org_body(org: &Org) -> Rendered {
    Rendered::new(org.id.to_string())
}

impl<P: Provisioner> Bench<P> {
    pub fn call(&self, operation: Operation) -> RequestInfo {
        RequestInfo {
            at: self.clock.now(),
            request_id: "req".into(),
            method: "GET",
            route: "/test",
            operation,
            subject: None,
            org_id: None,
            client: ClientAddress::direct(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            user_agent: None,
            secret: None,
        }
    }

    pub async fn authenticate(
        &self,
        key: &PlainKey,
        operation: Operation,
    ) -> Result<Context, Rejection> {
        let presented = Credentials {
            key: key.clone(),
            revokes: None,
        };
        self.service
            .authenticate(self.call(operation), presented)
            .await
    }

    pub fn key_draft(&self, limit: Option<RateLimit>) -> KeyDraft {
        KeyDraft {
            name: build::name("acme"),
            scopes: Scope::ALL.iter().copied().collect(),
            org_id: None,
            partner_id: None,
            org_plans: None,
            allowed_cidrs: None,
            rate_limit: limit,
            expires_at: None,
            expires_in_days: false,
            max_live_orgs: None,
            max_ttl_seconds: None,
            on_revoke: OnRevoke::Keep,
            on_leak: OnLeak::Revoke,
            labels: build::labels(&[]),
        }
    }

    pub async fn key(&self, limit: Option<RateLimit>) -> (KeyId, PlainKey) {
        self.key_by(self.key_draft(limit)).await
    }

    pub async fn key_by(&self, draft: KeyDraft) -> (KeyId, PlainKey) {
        let context = self
            .authenticate(&self.admin, operations::KEY_CREATE)
            .await
            .unwrap();
        let render = |key: &PartnerKey, secret: &PlainKey| {
            Rendered::new(format!("{} {}", key.id, secret.expose()))
        };
        let answer = self.service.key_create(&context, draft, render).await;
        let body = answer.unwrap().value.body;
        let (id, secret) = body.split_once(' ').unwrap();
        (id.parse().unwrap(), PlainKey::parse(secret).unwrap())
    }

    pub fn org_draft(&self, slug: &str) -> OrgDraft {
        OrgDraft {
            name: build::name(slug),
            slug: build::slug(slug),
            plan: build::plan("standard"),
            options: build::options(serde_json::json!({})),
            external_id: None,
            labels: build::labels(&[]),
            delete_protection: false,
            ttl: None,
        }
    }

    pub async fn create_org(&self, key: &PlainKey, slug: &str) -> Result<OrgId, Rejection> {
        self.create_org_by(key, self.org_draft(slug)).await
    }

    pub async fn create_org_by(&self, key: &PlainKey, draft: OrgDraft) -> Result<OrgId, Rejection> {
        let context = self.authenticate(key, operations::ORG_CREATE).await?;
        let answer = self.service.org_create(&context, draft, org_body).await?;
        Ok(answer.value.body.parse().unwrap())
    }

    pub async fn delete_org(&self, key: &PlainKey, id: OrgId) -> Org {
        let context = self
            .authenticate(key, operations::ORG_DELETE)
            .await
            .unwrap();
        self.service.org_delete(&context, id).await.unwrap().value
    }

    /// The operator ends a key.
    pub async fn revoke(&self, id: KeyId) {
        let context = self.authenticate(&self.admin, operations::KEY_REVOKE).await;
        self.service
            .key_revoke(&context.unwrap(), id, RevocationReason::Unspecified)
            .await
            .unwrap();
    }

    /// Begins a change of a ready org that its provisioner is to carry out.
    pub async fn change(&self, id: OrgId, kind: ChangeKind) {
        let now = self.clock.now();
        let changed = self.db.write(move |tx| {
            let mut org = tx.org_for_update(OrgVisibility::All, id)?.unwrap();
            org.begin_change(kind.clone(), now).unwrap();
            let mut steps = tx.org_steps(id)?;
            steps.push(Step::pending(kind.verb().step()));
            tx.org_update(&org, Some(now))?;
            tx.steps_replace(id, &steps)
        });
        changed.await.map_err(|error: StoreError| error).unwrap();
    }

    pub async fn org(&self, id: OrgId) -> Org {
        let read = self.db.read(move |view| view.org(OrgVisibility::All, id));
        read.await.unwrap().unwrap()
    }

    pub async fn steps(&self, id: OrgId) -> Vec<Step> {
        let read = self.db.read(move |view| view.org_steps(id));
        read.await.unwrap()
    }

    /// All events, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        let all = EventFilter::all(AuditVisibility::All);
        let page = PageRequest::new(1000, None).with_budget(usize::MAX);
        let read = self.db.read(move |view| view.events(&all, page));
        let mut events: Vec<Event> = read.await.map_err(|error: StoreError| error).unwrap().items;
        events.reverse();
        events
    }

    pub async fn actions(&self) -> Vec<&'static str> {
        self.events()
            .await
            .into_iter()
            .map(|event| event.action.as_str())
            .collect()
    }
}

/// A provisioner that tells that it was asked to make an org, and does when it is let through.
#[derive(Clone)]
pub struct Gated {
    pub entered: Arc<Semaphore>,
    pub let_through: Arc<Semaphore>,
}

impl Provisioner for Gated {
    async fn run(
        &self,
        request: &ProvisionRequest,
        _stop: impl Future<Output = StopReason> + Send,
    ) -> Result<ProvisionOutput, ProvisionError> {
        if request.verb == Verb::Provision {
            self.entered.add_permits(1);
            self.let_through.acquire().await.unwrap().forget();
        }
        Ok(ProvisionOutput::default())
    }
}
