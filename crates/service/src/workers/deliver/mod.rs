//! The deliverer: leases endpoints that have messages due, sends them, and records the outcome.
//!
//! An endpoint is leased while messages are sent to it, and every write asks for the lease's token. So an
//! endpoint gets a few messages at a time, whatever the number of workers, and a slow one delays no other. A
//! message is sent again until the receiver's 2xx is recorded: at least once.
//!
//! What is due is found by partner (`endpoints_pending`), and partners take turns (`slots.rs`). Reads and
//! writes of endpoints that are served at the same time share transactions (`record.rs`).

mod overflow;
mod record;
mod slots;
mod turn;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration as StdDuration,
};

use ids::{EndpointId, EventId, PartnerId, TypedId as _};
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::OffsetDateTime;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use webhooks::{AttemptOutcome, Backlog, Lease, PendingEndpoint, PendingEndpoints, Sender};

pub use self::slots::DeferredEndpoints;
use self::{
    record::{AttemptCounts, Fetch, Fetched, Write, Written},
    slots::Slots,
    turn::Turn,
};
use crate::{
    Service,
    runtime::{
        batcher::{Batcher, BatcherConfig},
        lease::LEASE_DURATION,
        lease_worker::{self, Finished, LeaseWorker, MAX_IDLE, MIN_IDLE},
    },
};

/// How many partners one search sees.
const PARTNERS_PER_SEARCH: usize = 64;
/// Up to how many pending messages are counted.
const MAX_BACKLOG_COUNT: usize = 10_000;

/// The deliverer's state in one process.
#[derive(Debug)]
pub(crate) struct Deliverer {
    slots: Mutex<Slots>,
    search: Mutex<SearchRound>,
    reads: Batcher<(), Fetch, Option<Fetched>>,
    writes: Batcher<(), Write, Written>,
    attempts: AttemptCounts,
    deferred: Mutex<DeferredEndpoints>,
    /// The partner after which the search for long backlogs goes on.
    trim_cursor: Mutex<Option<PartnerId>>,
    /// How many messages were given up because too many waited for their endpoint.
    overflowed: AtomicU64,
}

impl Default for Deliverer {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            search: Mutex::default(),
            reads: Batcher::new(BatcherConfig::TRANSACTIONS),
            writes: Batcher::new(BatcherConfig::TRANSACTIONS),
            attempts: AttemptCounts::default(),
            deferred: Mutex::default(),
            trim_cursor: Mutex::default(),
            overflowed: AtomicU64::new(0),
        }
    }
}

/// A round of searches through all partners.
#[derive(Debug, Default)]
struct SearchRound {
    /// The partner after which the next search goes on.
    after: Option<PartnerId>,
    /// Whether the round has found an endpoint that could be leased.
    has_leased: bool,
    /// When the next message is due of those that the round has seen.
    next_due: Option<OffsetDateTime>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliverer {
    /// Records what a search has found; how long to wait before the next one.
    fn searched(
        &self,
        found: &PendingEndpoints,
        has_leased: bool,
        now: OffsetDateTime,
    ) -> StdDuration {
        let mut round = lock(&self.search);
        let due = found.endpoints.iter().map(|it| it.due_at);
        round.next_due = due.filter(|&due| due > now).chain(round.next_due).min();
        round.has_leased |= has_leased;
        round.after = found.after;
        if round.after.is_some() {
            return MIN_IDLE;
        }
        let round = std::mem::take(&mut *round);
        if round.has_leased {
            MIN_IDLE
        } else {
            round.next_due.map_or(MAX_IDLE, |due| until(due, now))
        }
    }
}

/// How long to wait for a time to come.
fn until(due: OffsetDateTime, now: OffsetDateTime) -> StdDuration {
    StdDuration::try_from(due - now)
        .unwrap_or_default()
        .clamp(MIN_IDLE, MAX_IDLE)
}

/// The deliverer's part of the worker loop.
struct DeliveryWorker<D, L, P, S> {
    service: Arc<Service<D, L, P>>,
    sender: Arc<S>,
    cancel: CancellationToken,
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static, S: Sender> LeaseWorker
    for DeliveryWorker<D, L, P, S>
{
    /// Nothing is handed over: a message is found by the search.
    type Work = std::convert::Infallible;
    /// Whether the endpoint was slow, if a message was sent to it.
    type Output = Option<bool>;

    const NAME: &'static str = "webhooks";
    const MIN_SEARCH_INTERVAL: StdDuration = MIN_IDLE;
    /// A message that is on its way is sent again by whoever goes on.
    const SHUTDOWN_GRACE: StdDuration = StdDuration::ZERO;

    fn has_capacity(&self) -> bool {
        !lock(&self.service.deliverer.slots).are_all_in_use()
    }

    async fn search(
        &mut self,
        tasks: &mut JoinSet<Self::Output>,
    ) -> Result<StdDuration, StoreError> {
        let (db, deliverer) = (&self.service.db, &self.service.deliverer);
        let now = self.service.env.now();
        let after = lock(&deliverer.search).after;
        let search = db.read(move |view| {
            let next = view.next_delivery_due()?;
            let found = match next.filter(|&due| due <= now) {
                Some(_) => view.endpoints_pending(now, after, PARTNERS_PER_SEARCH)?,
                None => PendingEndpoints::default(),
            };
            Ok::<_, StoreError>((next, found))
        });
        let (next, found) = search.await?;
        let due = found.endpoints.iter().filter(|it| it.due_at <= now);
        let due: Vec<PendingEndpoint> = due.copied().collect();
        let (chosen, deferred) = lock(&deliverer.slots).choose(&due);
        *lock(&deliverer.deferred) = deferred;
        let has_leased = self.start_leased(chosen, now, tasks).await?;
        let pause = deliverer.searched(&found, has_leased, now);
        Ok(match next {
            Some(next) if next > now => pause.min(until(next, now)),
            Some(_) | None => pause,
        })
    }

    fn start(&mut self, work: Self::Work, _tasks: &mut JoinSet<Self::Output>) {
        match work {}
    }

    fn finished(&mut self, finished: Finished<Self::Output>) -> bool {
        let slots = &self.service.deliverer.slots;
        match finished {
            Ok((task, is_slow)) => lock(slots).release(task, is_slow),
            Err(error) => {
                tracing::error!("webhook delivery panicked; it is retried: {error}");
                lock(slots).release(error.id(), None);
            }
        }
        // The endpoint may have more that is due, and another one may have its slot.
        true
    }

    fn close(&mut self) {}
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static, S: Sender> DeliveryWorker<D, L, P, S> {
    /// Leases endpoints and starts a turn for each that it gets; whether it got any.
    async fn start_leased(
        &self,
        chosen: Vec<PendingEndpoint>,
        now: OffsetDateTime,
        tasks: &mut JoinSet<Option<bool>>,
    ) -> Result<bool, StoreError> {
        if chosen.is_empty() {
            return Ok(false);
        }
        let service = &self.service;
        let lease = Lease {
            token: service.env.id::<EventId>().ulid(),
            until: now + LEASE_DURATION,
        };
        let acquired_at = Instant::now();
        let ids: Vec<EndpointId> = chosen.iter().map(|it| it.id).collect();
        let leased = service
            .db
            .write(move |tx| tx.endpoints_lease(&ids, now, lease))
            .await?;
        for endpoint in chosen.into_iter().filter(|it| leased.contains(&it.id)) {
            let turn = Turn::new(
                Arc::clone(service),
                Arc::clone(&self.sender),
                endpoint.id,
                lease.token,
            );
            let cancel = self.cancel.clone();
            let task = tasks.spawn(turn.run(acquired_at, cancel)).id();
            lock(&service.deliverer.slots).acquire(task, endpoint);
        }
        Ok(!leased.is_empty())
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Runs the deliverer until `stop` is cancelled. What is on its way then is sent again by whoever goes on.
    pub async fn deliver<S: Sender>(self: Arc<Self>, sender: Arc<S>, stop: CancellationToken) {
        let cancel = CancellationToken::new();
        let worker = DeliveryWorker {
            service: Arc::clone(&self),
            sender,
            cancel: cancel.clone(),
        };
        let (_, nothing) = mpsc::unbounded_channel();
        lease_worker::run(worker, &self.outgoing, nothing, stop, cancel).await;
    }

    /// Sends what is due; how many endpoints had something.
    ///
    /// # Errors
    /// When the database can't say what is due, or can't lease it.
    pub async fn deliver_due<S: Sender>(
        self: &Arc<Self>,
        sender: &Arc<S>,
    ) -> Result<usize, StoreError> {
        let worker = DeliveryWorker {
            service: Arc::clone(self),
            sender: Arc::clone(sender),
            cancel: CancellationToken::new(),
        };
        lease_worker::run_once(worker).await
    }

    /// How attempts have ended since the process began.
    pub fn delivery_attempts(&self) -> impl Iterator<Item = (AttemptOutcome, u64)> {
        self.deliverer.attempts.counts()
    }

    /// How many endpoints with something due could not be served at the last search.
    pub fn deferred_endpoints(&self) -> DeferredEndpoints {
        *lock(&self.deliverer.deferred)
    }

    /// How many messages were given up since the process began because too many waited for their endpoint.
    pub fn overflowed_deliveries(&self) -> u64 {
        self.deliverer.overflowed.load(Ordering::Relaxed)
    }

    /// How many messages wait, counted up to ten thousand.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let now = self.env.now();
        self.db
            .read(move |view| view.backlog(now, MAX_BACKLOG_COUNT))
            .await
    }
}
