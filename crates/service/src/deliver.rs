//! The deliverer: leases endpoints that have messages due, sends them, and writes down how it went.
//!
//! An endpoint is leased while messages are sent to it, and every commit asks for the lease's token. So
//! an endpoint gets a few messages at a time, whatever the number of workers, and one that is slow
//! holds up no other. A message is sent again until the receiver's 2xx is on record: at least once.
//!
//! What is due is found by partner (`endpoints_pending`), and turns go round by partner (`slots.rs`).
//! Reads and writes of turns at the same time share transactions (`record.rs`).

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

use ids::{EventId, PartnerId, TypedId as _};
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::{Duration, OffsetDateTime};
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::{Instant, sleep, sleep_until},
};
use webhooks::{
    Attempted, Backlog, Lease, PendingEndpoint, PendingEndpoints, Sender, WebhookQueries as _,
    WebhookStore as _,
};

pub use self::slots::Deferred;
use self::{
    record::{Batch, Ended, Fetch, Job, Tally},
    slots::Slots,
    turn::Turn,
};
use crate::{Service, together::Together};

/// How long an endpoint is leased without a sign of life.
const LEASE: Duration = Duration::seconds(10);
/// How many partners one search sees.
const PARTNERS_AT_ONCE: usize = 64;
/// Up to how many pending messages are counted.
const COUNTED: usize = 10_000;
/// The shortest pause between two searches.
const MIN_IDLE: StdDuration = StdDuration::from_millis(10);
/// The longest pause between two searches: another process may have written a message.
const MAX_IDLE: StdDuration = StdDuration::from_secs(1);

/// What the deliverer of one process keeps in memory.
#[derive(Debug, Default)]
pub(crate) struct Deliverer {
    slots: Mutex<Slots>,
    search: Mutex<Search>,
    batches: Together<Fetch, Option<Batch>>,
    ends: Together<Job, Ended>,
    tally: Tally,
    deferred: Mutex<Deferred>,
    /// The partner behind which the search for long backlogs goes on.
    trimmed: Mutex<Option<PartnerId>>,
    /// How many messages were given up because too many waited for their endpoint.
    overflowed: AtomicU64,
}

/// How far the search for what is due has come, on its way through all partners.
#[derive(Debug, Default)]
struct Search {
    after: Option<PartnerId>,
    /// Whether it has found something that could be begun.
    began: bool,
    /// When the next of what it has seen is due.
    upcoming: Option<OffsetDateTime>,
}

/// A turn that has ended: its task, and whether its endpoint took long to answer, if it was asked.
type EndedTurn = Result<(Id, Option<bool>), JoinError>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliverer {
    fn ended(&self, ended: EndedTurn) {
        match ended {
            Ok((task, slow)) => lock(&self.slots).end(task, slow),
            Err(error) => {
                tracing::error!("a webhook turn broke down; it is taken up again: {error}");
                lock(&self.slots).end(error.id(), None);
            }
        }
    }

    /// Notes what a search has found; how long to wait before the next one.
    fn searched(&self, found: &PendingEndpoints, began: bool, now: OffsetDateTime) -> StdDuration {
        let mut search = lock(&self.search);
        let upcoming = found.endpoints.iter().map(|it| it.due_at);
        search.upcoming = upcoming
            .filter(|&due| due > now)
            .chain(search.upcoming)
            .min();
        search.began |= began;
        search.after = found.after;
        if search.after.is_some() {
            return MIN_IDLE;
        }
        let search = std::mem::take(&mut *search);
        if search.began {
            MIN_IDLE
        } else {
            search.upcoming.map_or(MAX_IDLE, |due| until(due, now))
        }
    }
}

/// How long to wait for a time to come.
fn until(due: OffsetDateTime, now: OffsetDateTime) -> StdDuration {
    StdDuration::try_from(due - now)
        .unwrap_or_default()
        .clamp(MIN_IDLE, MAX_IDLE)
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// How attempts have ended since the process began.
    pub fn attempts(&self) -> impl Iterator<Item = (Attempted, u64)> {
        self.deliverer.tally.counts()
    }

    /// How many endpoints with something due could not be served at the last look.
    pub fn deferred_endpoints(&self) -> Deferred {
        *lock(&self.deliverer.deferred)
    }

    /// How many messages were given up since the process began because too many waited for their
    /// endpoint.
    pub fn overflowed_deliveries(&self) -> u64 {
        self.deliverer.overflowed.load(Ordering::Relaxed)
    }

    /// How many messages wait, counted up to ten thousand.
    ///
    /// # Errors
    /// When storage can't say.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let now = self.env.now();
        self.db.read(move |view| view.backlog(now, COUNTED)).await
    }

    /// Works until `stop` turns true. What is on its way then is sent again by whoever goes on.
    pub async fn deliver<S: Sender>(
        self: Arc<Self>,
        sender: Arc<S>,
        mut stop: watch::Receiver<bool>,
    ) {
        let mut turns = JoinSet::new();
        while !*stop.borrow() {
            let began = Instant::now();
            let pause = match self.begin_turns(&sender, &stop, &mut turns).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(
                        error = error.as_dyn(),
                        "messages that are due can't be sent; trying again"
                    );
                    MAX_IDLE
                }
            };
            tokio::select! {
                () = self.outgoing.notified() => {}
                Some(ended) = turns.join_next_with_id() => self.deliverer.ended(ended),
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
            tokio::select! {
                () = sleep_until(began + MIN_IDLE) => {}
                _ = stop.changed() => {}
            }
        }
        while let Some(ended) = turns.join_next_with_id().await {
            self.deliverer.ended(ended);
        }
    }

    /// Sends what is due, and tells how many endpoints had something.
    ///
    /// # Errors
    /// When storage can't say what is due, or can't take that it is worked on.
    pub async fn deliver_due<S: Sender>(
        self: &Arc<Self>,
        sender: &Arc<S>,
    ) -> Result<usize, StoreError> {
        let (_go_on, stop) = watch::channel(false);
        let mut turns = JoinSet::new();
        self.begin_turns(sender, &stop, &mut turns).await?;
        let begun = turns.len();
        while let Some(ended) = turns.join_next_with_id().await {
            self.deliverer.ended(ended);
        }
        Ok(begun)
    }

    /// Begins a turn for each endpoint with something due, as far as there is room; tells how long
    /// to wait before the next search.
    async fn begin_turns<S: Sender>(
        self: &Arc<Self>,
        sender: &Arc<S>,
        stop: &watch::Receiver<bool>,
        turns: &mut JoinSet<Option<bool>>,
    ) -> Result<StdDuration, StoreError> {
        while let Some(ended) = turns.try_join_next_with_id() {
            self.deliverer.ended(ended);
        }
        if lock(&self.deliverer.slots).are_taken() {
            return Ok(MAX_IDLE);
        }
        let now = self.env.now();
        let after = lock(&self.deliverer.search).after;
        let search = self.db.read(move |view| {
            let next = view.next_delivery_due()?;
            let found = match next.filter(|&due| due <= now) {
                Some(_) => view.endpoints_pending(now, after, PARTNERS_AT_ONCE)?,
                None => PendingEndpoints::default(),
            };
            Ok::<_, StoreError>((next, found))
        });
        let (next, found) = search.await?;
        let due = found.endpoints.iter().filter(|it| it.due_at <= now);
        let due: Vec<PendingEndpoint> = due.copied().collect();
        let (chosen, deferred) = lock(&self.deliverer.slots).choose(&due);
        *lock(&self.deliverer.deferred) = deferred;
        let began = self.begin_leased(chosen, now, |endpoint, token| {
            let turn = Turn::new(Arc::clone(self), Arc::clone(sender), endpoint.id, token);
            let stop = stop.clone();
            turns.spawn(async move { turn.run(stop).await }).id()
        });
        let pause = self.deliverer.searched(&found, began.await? > 0, now);
        Ok(match next {
            Some(next) if next > now => pause.min(until(next, now)),
            Some(_) | None => pause,
        })
    }

    /// Leases endpoints and begins a turn for each; tells for how many.
    async fn begin_leased(
        &self,
        chosen: Vec<PendingEndpoint>,
        now: OffsetDateTime,
        mut begin: impl FnMut(PendingEndpoint, ids::Ulid) -> Id,
    ) -> Result<usize, StoreError> {
        if chosen.is_empty() {
            return Ok(0);
        }
        let lease = Lease {
            token: self.env.id::<EventId>().ulid(),
            until: now + LEASE,
        };
        let wanted: Vec<_> = chosen.iter().map(|it| it.id).collect();
        let leased = self
            .db
            .write(move |tx| tx.endpoints_lease(&wanted, now, lease))
            .await?;
        for endpoint in chosen.into_iter().filter(|it| leased.contains(&it.id)) {
            let task = begin(endpoint, lease.token);
            lock(&self.deliverer.slots).begin(task, endpoint);
        }
        Ok(leased.len())
    }
}
