//! The reconciler: takes orgs that are due, has them provisioned, changed or deprovisioned, and records the
//! outcome.
//!
//! Every org is worked on under a lease, and every write asks for the lease's token, so a worker that has lost
//! its lease can't write. Whatever is done may be done again. Orgs are worked on side by side: one that takes
//! long delays no other.

mod handed_back;
mod lease;
mod outcome;
mod record;
pub(crate) mod slots;

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use ids::{OrgId, PartnerId};
use orgs::{
    DueLimits, DueOrgs, Org, OrgProgress, ProvisionError, ProvisionOutput, ProvisionRequest,
    Provisioner, Step, StepStatus, StopReason,
};
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::{
    handed_back::check_rotation,
    outcome::change_step,
    slots::{HandedOver, Permit},
};
pub(crate) use self::{
    lease::AcquiredLease,
    record::{FinishedAttempt, Recorded},
};
use crate::{
    Service,
    runtime::{
        cancellation::CancellationReason,
        lease_worker::{self, Finished, LeaseWorker, MAX_IDLE, MIN_IDLE},
    },
};

/// How many orgs are leased in one transaction at the most.
const LEASE_BATCH: usize = 256;
/// How many partners one search sees.
const PARTNERS_PER_SEARCH: usize = 64;

/// What one search has found.
struct Search {
    /// How many orgs it has started to work on.
    started: usize,
    /// Whether there may be more that are due.
    more: bool,
}

/// The reconciler's part of the worker loop.
struct Reconciler<D, L, P> {
    service: Arc<Service<D, L, P>>,
    /// How many orgs to take, instead of as many as there are free slots.
    room: Option<usize>,
    cancel: CancellationToken,
}

impl<D: Database, L: Limiter, P: Provisioner> LeaseWorker for Reconciler<D, L, P> {
    type Work = HandedOver;
    type Output = ();

    const NAME: &'static str = "orgs";
    const MIN_SEARCH_INTERVAL: StdDuration = StdDuration::ZERO;
    const SHUTDOWN_GRACE: StdDuration = StdDuration::from_secs(1);

    fn has_capacity(&self) -> bool {
        self.service.slots.free() > 0
    }

    async fn search(&mut self, tasks: &mut JoinSet<()>) -> Result<StdDuration, StoreError> {
        let room = self.room.unwrap_or_else(|| self.service.slots.free());
        let search = self.start_due(room.min(LEASE_BATCH), tasks).await?;
        Ok(match search {
            Search { started, more } if started > 0 && more => StdDuration::ZERO,
            Search { more: true, .. } => MIN_IDLE,
            Search { more: false, .. } => self.service.time_until_due().await,
        })
    }

    fn start(&mut self, work: HandedOver, tasks: &mut JoinSet<()>) {
        let HandedOver { org, lease, permit } = work;
        self.spawn(org, lease, Some(permit), tasks);
    }

    fn finished(&mut self, finished: Finished<()>) -> bool {
        if let Err(error) = finished {
            tracing::error!("work on an org panicked; it is retried when its lease ends: {error}");
        }
        false
    }

    fn close(&mut self) {
        self.service.slots.close();
    }
}

impl<D: Database, L: Limiter, P: Provisioner> Reconciler<D, L, P> {
    /// Leases up to so many orgs that are due, and starts to work on them.
    async fn start_due(&self, room: usize, tasks: &mut JoinSet<()>) -> Result<Search, StoreError> {
        let service = &self.service;
        let now = service.env.now();
        let after = *service.due_cursor();
        let limits = DueLimits {
            partners: PARTNERS_PER_SEARCH,
            orgs: room,
        };
        let found = service
            .db
            .read(move |view| view.orgs_due(now, after, limits));
        let found: DueOrgs = found.await?;
        *service.due_cursor() = found.after;
        let chosen = service.slots.choose(found.orgs, room);
        // What is left over waits for a slot, unless another worker is quicker.
        let more = found.more || found.after.is_some() || after.is_some() || chosen.len() == room;
        let (ids, mut permits): (Vec<OrgId>, HashMap<OrgId, Permit>) = chosen
            .into_iter()
            .map(|(org, permit)| (org.id, (org.id, permit)))
            .unzip();
        let leased = service.lease_orgs(ids).await?;
        let started = leased.len();
        for (org, lease) in leased {
            let permit = permits.remove(&org.id);
            self.spawn(org, lease, permit, tasks);
        }
        Ok(Search { started, more })
    }

    fn spawn(
        &self,
        org: Org,
        lease: AcquiredLease,
        permit: Option<Permit>,
        tasks: &mut JoinSet<()>,
    ) {
        let (service, cancel) = (Arc::clone(&self.service), self.cancel.clone());
        tasks.spawn(async move {
            service.work_on(org, lease, cancel).await;
            drop(permit);
        });
    }
}

impl<D: Database, L: Limiter, P: Provisioner> Service<D, L, P> {
    /// Runs the reconciler until `stop` is cancelled, and ends what it has begun.
    pub async fn reconcile(self: Arc<Self>, stop: CancellationToken) {
        let handed_over = self.slots.open(self.provisioner.max_concurrency());
        let cancel = CancellationToken::new();
        let reconciler = Reconciler {
            service: Arc::clone(&self),
            room: None,
            cancel: cancel.clone(),
        };
        lease_worker::run(reconciler, &self.due, handed_over, stop, cancel).await;
    }

    /// Works on as many orgs as the provisioner takes at once; how many there were.
    ///
    /// # Errors
    /// When the database can't say which are due, or can't lease them.
    pub async fn reconcile_due(self: &Arc<Self>) -> Result<usize, StoreError> {
        let reconciler = Reconciler {
            service: Arc::clone(self),
            room: Some(self.provisioner.max_concurrency()),
            cancel: CancellationToken::new(),
        };
        lease_worker::run_once(reconciler).await
    }

    /// How many orgs that were due found no slot at this process's last search.
    pub fn orgs_without_slot(&self) -> usize {
        self.slots.waiting()
    }

    /// Until when nothing falls due, as far as this process can know.
    async fn time_until_due(&self) -> StdDuration {
        let now = self.env.now();
        let next = self.db.read(move |view| view.next_org_due(now)).await;
        match next {
            Ok(Some(at)) => StdDuration::try_from(at - now)
                .unwrap_or_default()
                .clamp(MIN_IDLE, MAX_IDLE),
            Ok(None) | Err(_) => MAX_IDLE,
        }
    }

    /// The partner after which the search for due orgs goes on.
    fn due_cursor(&self) -> MutexGuard<'_, Option<PartnerId>> {
        self.due_cursor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    async fn lease_orgs(&self, ids: Vec<OrgId>) -> Result<Vec<(Org, AcquiredLease)>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let acquired = AcquiredLease::new(&self.env);
        let (now, lease) = (self.env.now(), acquired.lease);
        let leased: Vec<Org> = self
            .db
            .write(move |tx| {
                let leased = tx.orgs_lease(&ids, now, lease, |one| begin_attempt(one, now))?;
                Ok::<_, StoreError>(leased.into_iter().map(|work| work.org).collect())
            })
            .await?;
        for org in &leased {
            self.statuses.invalidate(org.id);
        }
        Ok(leased.into_iter().map(|org| (org, acquired)).collect())
    }

    async fn work_on(&self, org: Org, lease: AcquiredLease, cancel: CancellationToken) {
        let stop = CancellationReason::new();
        let work = async {
            let Some(mut request) = ProvisionRequest::due(&org) else {
                // Nothing else is ever due.
                return Ok(ProvisionOutput::default());
            };
            match self.known_secrets(&org).await {
                Ok(secrets) => request.known_secrets = secrets,
                Err(error) => {
                    tracing::warn!(error = error.as_dyn(), org_id = %org.id, "reading secrets failed");
                    return Err(ProvisionError::Interrupted);
                }
            }
            if lease.is_too_old_to_begin() || stop.is_cancelled() {
                return Err(ProvisionError::Interrupted);
            }
            let result = self.provisioner.run(&request, stop.cancelled()).await;
            result
                .and_then(|output| check_rotation(request.verb, &org, output))
                .map_err(|error| error.map_message(|text| request.known_secrets.apply(text)))
        };
        let shutdown = async {
            cancel.cancelled().await;
            stop.cancel(StopReason::Shutdown);
            std::future::pending().await
        };
        let result = tokio::select! {
            result = work => result,
            never = self.keep_lease(&org, lease, &stop) => match never {},
            result = shutdown => result,
        };
        self.record(&org, lease.lease.token, result).await;
    }
}

/// Records that an attempt at an org begins. Should its worker vanish, it is due again behind the others.
fn begin_attempt(OrgProgress { work, due_at, .. }: &mut OrgProgress, now: OffsetDateTime) {
    if let Some(verb) = work.org.verb() {
        work.org.updated_at = now;
        // Its worker has vanished, and what it did is not gone on with.
        let cut_off =
            |step: &&mut Step| step.name != verb.step() && step.status == StepStatus::Running;
        for step in work.steps.iter_mut().filter(cut_off) {
            step.end(false, now);
        }
        change_step(&mut work.steps, verb.step(), |step| step.begin(now));
        *due_at = Some(now);
    }
}
