//! Paces refusals, whatever the reason, answers that need no credential, and long bodies.
//!
//! Such an answer is cheap, but a client with hundreds of connections asks for tens of thousands a second,
//! and then all calls wait for the processors. So each source, a credential or an address, is answered at a
//! steady rate, and its further requests wait on their connections, where they cost nothing. A long body waits
//! before it is parsed, since that is the work, and while it is thrown away.

use std::{
    array,
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use ratelimit::Subject;
use service::Caller;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How many sources of a kind are told apart. Two that share a cell wait for each other's refusals and long bodies.
const CELLS: usize = 4096;
/// Of one answer: a source gets 2000 a second.
const INTERVAL: Duration = Duration::from_micros(500);
/// How far a source may be ahead: 500 answers at once.
const BURST: Duration = Duration::from_millis(250);
/// How far a source may be ahead with bodies: one of 64 KiB at once. Thirty at once would keep all workers busy for as
/// long as others notice.
const BODY_BURST: Duration = Duration::from_millis(8);
/// The longest wait, whatever the source has asked for. Long enough for a long body on each of 500 connections: those
/// that wait for the longest time go on at the same moment.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// A body counts as one answer for each of these.
const BYTES_PER_ANSWER: u64 = 4096;

/// When each source's answers so far are paid for, in microseconds since the start: the virtual scheduling
/// algorithm of GCRA, where a request is put off instead of refused.
pub struct Pacing {
    start: Instant,
    hasher: RandomState,
    /// Those of unknown tokens and addresses, of known credentials, and of the public paths.
    cells: Box<[AtomicU64; 3 * CELLS]>,
    stopping: CancellationToken,
}

/// The cell of a credential or an address, by its keyed hash: nobody can find another one with the same cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(usize);

impl Pacing {
    /// No answer waits once `stopping` is cancelled.
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            start: Instant::now(),
            hasher: RandomState::new(),
            cells: Box::new(array::from_fn(|_| AtomicU64::new(0))),
            stopping,
        }
    }

    /// Whoever has the token in these headers.
    pub fn token(&self, headers: &HeaderMap) -> Source {
        let token = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.source(0, token)
    }

    /// A credential that is known.
    pub fn caller(&self, caller: &Caller) -> Source {
        self.source(1, caller.ulid())
    }

    /// Whoever calls from an address, or from its /64 network with IPv6.
    pub fn address(&self, address: IpAddr) -> Source {
        self.source(0, Subject::address(address))
    }

    /// The same on public paths, where probes of a balancer may come from the address of other clients.
    pub fn public(&self, address: IpAddr) -> Source {
        self.source(2, Subject::address(address))
    }

    fn source(&self, kind: usize, value: impl Hash) -> Source {
        let hash = usize::try_from(self.hasher.hash_one(value)).unwrap_or(usize::MAX);
        Source(kind * CELLS + hash % CELLS)
    }

    /// Waits until a source may have an answer with a body of so many bytes.
    pub async fn wait(&self, source: Source, bytes: u64) {
        self.wait_for(source, 1 + bytes / BYTES_PER_ANSWER, BURST)
            .await;
    }

    /// Waits until a source whose turn it was may have the rest of an answer of so many bytes.
    pub async fn wait_for_long_answer(&self, source: Source, bytes: u64) {
        if bytes >= BYTES_PER_ANSWER {
            self.wait_for(source, bytes / BYTES_PER_ANSWER, BURST).await;
        }
    }

    /// Waits until so many bytes of a body that a source has sent may be worked on.
    pub async fn wait_for_body(&self, source: Source, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes >= BYTES_PER_ANSWER {
            self.wait_for(source, bytes / BYTES_PER_ANSWER, BODY_BURST)
                .await;
        }
    }

    async fn wait_for(&self, source: Source, answers: u64, burst: Duration) {
        let wait = self.reserve(source, (answers, burst), self.start.elapsed());
        if wait.is_zero() {
            return;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    fn reserve(
        &self,
        Source(cell): Source,
        (answers, burst): (u64, Duration),
        now: Duration,
    ) -> Duration {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let (now, burst, max) = (micros(now), micros(burst), micros(MAX_WAIT));
        let cost = micros(INTERVAL).saturating_mul(answers);
        let next = |cell: u64| cell.max(now).saturating_add(cost).min(now + burst + max);
        let before = self.cells.get(cell).and_then(|cell| {
            let update = |cell| Some(next(cell));
            cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update)
                .ok()
        });
        let paid_until = next(before.unwrap_or_default());
        Duration::from_micros(paid_until.saturating_sub(now + burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pacing() -> Pacing {
        Pacing::new(CancellationToken::new())
    }

    #[test]
    fn a_burst_is_answered_at_once_and_what_follows_at_a_steady_rate() {
        let pacing = pacing();
        let now = Duration::from_secs(7);
        let waits: Vec<_> = (0..600)
            .map(|_| pacing.reserve(Source(1), (1, BURST), now))
            .collect();
        assert_eq!(waits[499], Duration::ZERO);
        assert_eq!(waits[500], INTERVAL);
        assert_eq!(waits[599], INTERVAL * 100);
        let later = now + INTERVAL * 100;
        assert_eq!(pacing.reserve(Source(1), (1, BURST), later), INTERVAL);
    }

    #[test]
    fn of_long_bodies_one_is_worked_on_at_once() {
        let pacing = pacing();
        let now = Duration::from_secs(7);
        let body = (16, BODY_BURST);
        let waits: Vec<_> = (0..3)
            .map(|_| pacing.reserve(Source(1), body, now))
            .collect();
        assert_eq!(waits, [0, 8, 16].map(Duration::from_millis));
        assert_eq!(
            pacing.reserve(Source(1), (1, BURST), now),
            Duration::ZERO,
            "a short answer waits for no body"
        );
    }

    #[test]
    fn no_source_waits_for_another_and_none_without_end() {
        let pacing = pacing();
        let now = Duration::ZERO;
        for _ in 0..100_000 {
            assert!(pacing.reserve(Source(1), (1, BURST), now) <= MAX_WAIT);
        }
        assert_eq!(pacing.reserve(Source(1), (1, BURST), now), MAX_WAIT);
        assert_eq!(pacing.reserve(Source(2), (1, BURST), now), Duration::ZERO);
        // What it has asked for in vain is not held against it for long.
        let later = now + MAX_WAIT + BURST;
        assert_eq!(pacing.reserve(Source(1), (1, BURST), later), Duration::ZERO);
    }
}
