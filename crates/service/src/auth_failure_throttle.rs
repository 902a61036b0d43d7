//! Look-ups of tokens from addresses that have sent too many unknown ones.
//!
//! Such a token may be a good one that the credential cache does not have, so it is looked up all the
//! same. All that wait share one query at a time, in turn by address: a flood costs the database one
//! small query every few milliseconds, and a good key among it waits for a few of them.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use keys::{AdminKey, HeldKey, KeyDigest, KeyKind, KeyQueries};
use ratelimit::Subject;
use stores::{Database, StoreError};
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{Caller, shares::has_room};

/// How many tokens one query is about.
const BATCH: usize = 256;
/// How long one query follows the other at the least.
const MIN_INTERVAL: Duration = Duration::from_millis(5);
/// How many look-ups wait. Each is a request of a connection of its own, so there are seldom so many;
/// whoever comes on top is told that the server is busy, not that an address is limited.
const MAX_WAITING: usize = 50_000;

/// A credential, and the digest under which it is stored.
type Found = Result<Option<(Caller, KeyDigest)>, StoreError>;

/// A token as it is looked up.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// What kind of key it is.
    pub(crate) kind: KeyKind,
    /// Its digests, one for each pepper.
    pub(crate) digests: Vec<KeyDigest>,
}

/// The throttled look-ups of one process.
#[derive(Debug)]
pub(crate) struct AuthFailureThrottle {
    queue: Arc<Mutex<Queue>>,
    lookups: AtomicU64,
    runtime: Option<Handle>,
}

impl Default for AuthFailureThrottle {
    fn default() -> Self {
        Self {
            queue: Arc::default(),
            lookups: AtomicU64::new(0),
            runtime: Handle::try_current().ok(),
        }
    }
}

/// Look-ups that wait, in turn by address.
#[derive(Debug, Default)]
struct Queue {
    of: HashMap<Subject, VecDeque<Waiting>>,
    /// Each address of which look-ups wait, once.
    turns: VecDeque<Subject>,
    waiting: usize,
    has_worker: bool,
}

#[derive(Debug)]
struct Waiting {
    lookup: Lookup,
    caller: oneshot::Sender<Found>,
}

impl Queue {
    fn push(&mut self, address: Subject, waiting: Waiting) -> Result<(), StoreError> {
        let own = self.of.get(&address).map_or(0, VecDeque::len);
        if !has_room(own, self.waiting, MAX_WAITING) {
            return Err(StoreError::Overloaded);
        }
        if own == 0 {
            self.turns.push_back(address);
        }
        self.of.entry(address).or_default().push_back(waiting);
        self.waiting += 1;
        Ok(())
    }

    /// Takes the look-up that has waited longest of the address whose turn it is.
    fn pop(&mut self) -> Option<Waiting> {
        let address = self.turns.pop_front()?;
        let own = self.of.get_mut(&address)?;
        let next = own.pop_front();
        if own.is_empty() {
            self.of.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        self.waiting = self.waiting.saturating_sub(1);
        next
    }

    /// The next look-ups; those of callers who have gone away are forgotten.
    fn batch(&mut self) -> Vec<Waiting> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(waiting) = self.pop()
        {
            if !waiting.caller.is_closed() {
                batch.push(waiting);
            }
        }
        batch
    }
}

impl AuthFailureThrottle {
    /// Looks a token up that came from an address over its limit.
    ///
    /// # Errors
    /// When too many wait, or the database fails.
    pub(crate) async fn find<D: Database>(
        &self,
        db: &D,
        address: Subject,
        lookup: Lookup,
    ) -> Found {
        let (caller, answer) = oneshot::channel();
        let start = {
            let mut queue = lock(&self.queue);
            queue.push(address, Waiting { lookup, caller })?;
            !std::mem::replace(&mut queue.has_worker, true)
        };
        self.lookups.fetch_add(1, Ordering::Relaxed);
        if start {
            let worker = Worker {
                queue: Arc::clone(&self.queue),
                is_done: false,
            };
            // On the runtime of the whole process: the threads of connections may end before it.
            match &self.runtime {
                Some(runtime) => drop(runtime.spawn(worker.run(db.clone()))),
                None => drop(tokio::spawn(worker.run(db.clone()))),
            }
        }
        answer.await.unwrap_or(Err(StoreError::Unavailable(None)))
    }

    /// How many look-ups have been throttled since the process began.
    pub(crate) fn lookups(&self) -> u64 {
        self.lookups.load(Ordering::Relaxed)
    }
}

/// The one who asks the database, while look-ups wait.
struct Worker {
    queue: Arc<Mutex<Queue>>,
    is_done: bool,
}

impl Worker {
    async fn run<D: Database>(mut self, db: D) {
        while let Some(batch) = self.take() {
            let next = Instant::now() + MIN_INTERVAL;
            let (lookups, callers): (Vec<_>, Vec<_>) = batch
                .into_iter()
                .map(|waiting| (waiting.lookup, waiting.caller))
                .unzip();
            let found: Result<_, StoreError> = db.read(move |view| find_all(view, &lookups)).await;
            match found {
                Ok(found) => {
                    for (caller, found) in callers.into_iter().zip(found) {
                        // Whoever has gone away needs no answer.
                        drop(caller.send(Ok(found)));
                    }
                }
                Err(error) => {
                    for caller in callers {
                        drop(caller.send(Err(error.clone())));
                    }
                }
            }
            sleep_until(next).await;
        }
    }

    /// The next batch. When nothing waits, the worker is done before anybody can come: whoever comes
    /// next starts another.
    fn take(&mut self) -> Option<Vec<Waiting>> {
        let mut queue = lock(&self.queue);
        let batch = queue.batch();
        if batch.is_empty() {
            queue.has_worker = false;
            self.is_done = true;
            return None;
        }
        Some(batch)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.is_done {
            lock(&self.queue).has_worker = false;
        }
    }
}

/// The credentials behind these tokens, in their order.
fn find_all<Q: KeyQueries<Error = StoreError>>(
    view: &mut Q,
    lookups: &[Lookup],
) -> Result<Vec<Option<(Caller, KeyDigest)>>, StoreError> {
    let of = |partner: bool| {
        let mut digests = Vec::new();
        for lookup in lookups {
            if (lookup.kind == KeyKind::Partner) == partner {
                digests.extend_from_slice(&lookup.digests);
            }
        }
        digests
    };
    let (partner, admin) = (of(true), of(false));
    let mut found: HashMap<[u8; 32], Caller> = HashMap::new();
    if !partner.is_empty() {
        let keys: Vec<(KeyDigest, HeldKey)> = view.keys_by_digest(&partner)?;
        found.extend(
            keys.into_iter()
                .map(|(digest, held)| (*digest.as_bytes(), Caller::Partner(Arc::new(held)))),
        );
    }
    if !admin.is_empty() {
        let keys: Vec<(KeyDigest, AdminKey)> = view.admin_keys_by_digest(&admin)?;
        found.extend(
            keys.into_iter()
                .map(|(digest, key)| (*digest.as_bytes(), Caller::Admin(Arc::new(key)))),
        );
    }
    let callers = lookups.iter().map(|lookup| {
        let mut digests = lookup.digests.iter();
        digests.find_map(|digest| Some((found.get(digest.as_bytes()).cloned()?, *digest)))
    });
    Ok(callers.collect())
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn address(last: u8) -> Subject {
        Subject::address(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)))
    }

    fn push(queue: &mut Queue, address: Subject) -> Option<oneshot::Receiver<Found>> {
        let (caller, answer) = oneshot::channel();
        let lookup = Lookup {
            kind: KeyKind::Partner,
            digests: Vec::new(),
        };
        queue.push(address, Waiting { lookup, caller }).ok()?;
        Some(answer)
    }

    #[test]
    fn addresses_take_turns() {
        let mut queue = Queue::default();
        let flood: Vec<_> = (0..1000).map(|_| push(&mut queue, address(1))).collect();
        let mut quiet = push(&mut queue, address(2)).unwrap();
        let first = queue.batch();
        assert_eq!(first.len(), BATCH);
        assert_eq!(queue.waiting, 1001 - BATCH);
        assert!(
            !queue.of.contains_key(&address(2)),
            "it was in the first batch"
        );
        drop(first);
        assert!(quiet.try_recv().is_err());
        drop(flood);
        assert!(queue.batch().is_empty(), "all callers have gone away");
        assert_eq!(
            (queue.waiting, queue.of.len(), queue.turns.len()),
            (0, 0, 0)
        );
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let mut queue = Queue::default();
        let mut all = Vec::new();
        all.extend(std::iter::from_fn(|| push(&mut queue, address(1))));
        assert_eq!(all.len(), MAX_WAITING / 2);
        assert!(push(&mut queue, address(2)).is_some());
    }
}
