//! Bounds on connections, in all and for one client address.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::metrics::ConnectionMetrics;

/// The most connections of one server, however many descriptors it may have.
const MAX_CONNECTIONS: u64 = 16_384;
/// The fewest descriptors that are kept for the database, files, webhooks and programs.
const MIN_RESERVE: u64 = 64;
/// How many connections are examined to find an idle one to close for a new one.
const MAX_PROBES: usize = 16;
/// Between two warnings about too many connections.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// At a bound, a new connection evicts the oldest idle one, of its own address before those of others. Without
/// an idle one it is refused.
pub struct ConnectionLimiter {
    max: usize,
    max_per_address: usize,
    /// Proxies speak for many clients, so they have no share of their own.
    trusted_proxies: Vec<IpNet>,
    metrics: ConnectionMetrics,
    next: AtomicU64,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    /// All of them, the oldest first.
    all: BTreeMap<u64, Entry>,
    by_origin: HashMap<Origin, BTreeSet<u64>>,
    /// What each new connection is told at once; none while the server goes on.
    notice: u8,
    logged: Option<Instant>,
}

#[derive(Clone)]
struct Entry {
    origin: Origin,
    slot: Arc<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Origin {
    /// An IPv4 address, or the /64 network of an IPv6 address: a client that has one address has all of it.
    Client(IpAddr),
    Proxy(IpAddr),
}

/// State that the limiter and one connection share.
#[derive(Debug, Default)]
struct Slot {
    id: AtomicU64,
    waits_for_client: AtomicBool,
    notice: AtomicU8,
    task: AtomicWaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The server is about to stop: the next response is the last one, and says so.
    LastResponse,
    /// The server stops: what has begun is finished, and nothing else is waited for.
    Drain,
    /// A new connection needs the slot.
    Evict,
}

// A later notice outweighs those before it.
const LAST_RESPONSE: u8 = 1;
const DRAIN: u8 = 2;
const EVICT: u8 = 3;

/// The permit of one connection, released on drop.
pub struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    slot: Arc<Slot>,
}

impl ConnectionLimiter {
    /// For a process with this descriptor limit.
    pub fn new(
        descriptors: u64,
        trusted_proxies: Vec<IpNet>,
        metrics: ConnectionMetrics,
    ) -> Arc<Self> {
        let reserve = (descriptors / 4).max(MIN_RESERVE);
        let max = descriptors.saturating_sub(reserve).min(MAX_CONNECTIONS);
        let max = usize::try_from(max).unwrap_or(usize::MAX).max(1);
        Arc::new(Self {
            max,
            max_per_address: max.div_ceil(2),
            trusted_proxies,
            metrics,
            next: AtomicU64::new(0),
            connections: Mutex::default(),
        })
    }

    /// In all, and of one client address.
    pub const fn bounds(&self) -> (usize, usize) {
        (self.max, self.max_per_address)
    }

    /// A permit for a connection of this peer; `None` when it is refused.
    pub fn acquire(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let origin = self.origin(peer);
        let mut connections = self.connections.lock();
        let permits = connections.by_origin.get(&origin).map_or(0, BTreeSet::len);
        let bound = if matches!(origin, Origin::Client(_)) && permits >= self.max_per_address {
            Some("address")
        } else {
            (connections.all.len() >= self.max).then_some("total")
        };
        if let Some(bound) = bound {
            let mut evicted = self.evict(&mut connections, Some(origin));
            if !evicted && bound == "total" {
                evicted = self.evict(&mut connections, None);
            }
            self.log(&mut connections, bound, peer);
            if !evicted {
                self.metrics.refused(bound);
                return None;
            }
            self.metrics.closed("evicted");
        }
        let slot = Arc::new(Slot::default());
        slot.waits_for_client.store(true, Ordering::Relaxed);
        slot.notice.store(connections.notice, Ordering::Release);
        let entry = Entry {
            origin,
            slot: Arc::clone(&slot),
        };
        self.insert(&mut connections, entry);
        self.metrics.open.set(gauge(connections.all.len()));
        drop(connections);
        Some(ConnectionPermit {
            limiter: Arc::clone(self),
            slot,
        })
    }

    /// Has each connection, those that are yet to come as well, close after its next response.
    pub fn close_after_response(&self) {
        self.notify_all(LAST_RESPONSE);
    }

    /// Has each connection close as soon as it has no request, those that are yet to come as well.
    pub fn drain(&self) {
        self.notify_all(DRAIN);
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.connections.lock().all.len()
    }

    fn notify_all(&self, notice: u8) {
        let mut connections = self.connections.lock();
        connections.notice = notice;
        for entry in connections.all.values() {
            entry.slot.notify(notice);
        }
    }

    fn origin(&self, peer: IpAddr) -> Origin {
        let peer = peer.to_canonical();
        if self.trusted_proxies.iter().any(|net| net.contains(&peer)) {
            return Origin::Proxy(peer);
        }
        Origin::Client(match peer {
            IpAddr::V4(_) => peer,
            IpAddr::V6(address) => {
                Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into()
            }
        })
    }

    fn insert(&self, connections: &mut Connections, entry: Entry) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        entry.slot.id.store(id, Ordering::Relaxed);
        let ids = connections.by_origin.entry(entry.origin).or_default();
        ids.insert(id);
        connections.all.insert(id, entry);
    }

    /// Closes the oldest idle connection, of this origin or of all. Busy ones that were examined become the
    /// newest, so the next search examines others.
    fn evict(&self, connections: &mut Connections, origin: Option<Origin>) -> bool {
        for _ in 0..MAX_PROBES {
            let oldest = match origin {
                Some(origin) => connections
                    .by_origin
                    .get(&origin)
                    .and_then(BTreeSet::first)
                    .copied(),
                None => connections.all.keys().next().copied(),
            };
            let Some(entry) = oldest.and_then(|id| connections.remove(id)) else {
                return false;
            };
            if entry.slot.waits_for_client.load(Ordering::Relaxed) {
                entry.slot.notify(EVICT);
                return true;
            }
            self.insert(connections, entry);
        }
        false
    }

    fn log(&self, connections: &mut Connections, bound: &str, peer: IpAddr) {
        if connections
            .logged
            .is_some_and(|logged| logged.elapsed() < LOG_INTERVAL)
        {
            return;
        }
        connections.logged = Some(Instant::now());
        tracing::warn!(
            bound,
            address = %peer,
            open = connections.all.len(),
            max = self.max,
            max_per_address = self.max_per_address,
            "too many connections: the oldest idle ones are closed, or new ones refused"
        );
    }
}

impl Connections {
    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.all.remove(&id)?;
        if let Some(ids) = self.by_origin.get_mut(&entry.origin) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_origin.remove(&entry.origin);
            }
        }
        Some(entry)
    }
}

/// The notices of one connection, for its call.
#[derive(Debug, Default)]
pub struct Notices(Option<Arc<Slot>>);

impl Notices {
    /// Whether the server stops, or is about to.
    pub fn is_stopping(&self) -> bool {
        let notice = self.0.as_ref().and_then(|slot| slot.notice());
        matches!(notice, Some(Notice::LastResponse | Notice::Drain))
    }

    /// Whether a new connection needs the slot.
    pub fn is_evicted(&self) -> bool {
        let notice = self.0.as_ref().and_then(|slot| slot.notice());
        notice == Some(Notice::Evict)
    }

    /// Whether the connection can be closed for another.
    pub fn set_waits_for_client(&self, waits: bool) {
        if let Some(slot) = &self.0 {
            slot.waits_for_client.store(waits, Ordering::Relaxed);
        }
    }
}

impl Slot {
    fn notice(&self) -> Option<Notice> {
        match self.notice.load(Ordering::Acquire) {
            LAST_RESPONSE => Some(Notice::LastResponse),
            DRAIN => Some(Notice::Drain),
            EVICT => Some(Notice::Evict),
            _ => None,
        }
    }

    fn notify(&self, notice: u8) {
        self.notice.fetch_max(notice, Ordering::Release);
        self.task.wake();
    }
}

impl ConnectionPermit {
    pub fn notice(&self) -> Option<Notice> {
        self.slot.notice()
    }

    /// What the call of this connection can ask for the notice.
    pub fn notices(&self) -> Notices {
        Notices(Some(Arc::clone(&self.slot)))
    }

    /// Whether the connection is idle, so that it can be closed for another.
    pub fn set_waits_for_client(&self, waits: bool) {
        self.slot.waits_for_client.store(waits, Ordering::Relaxed);
    }

    /// The task to wake with a notice.
    pub fn register(&self, waker: &Waker) {
        self.slot.task.register(waker);
    }

    pub fn metrics(&self) -> &ConnectionMetrics {
        &self.limiter.metrics
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut connections = self.limiter.connections.lock();
        let id = self.slot.id.load(Ordering::Relaxed);
        // An evicted one is removed already. Ids are never used twice.
        connections.remove(id);
        let open = gauge(connections.all.len());
        self.limiter.metrics.open.set(open);
    }
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
