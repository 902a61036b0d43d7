//! Addresses that have sent too many unknown tokens, and the one lane in which theirs are looked up.
//!
//! Such a token may still be a good one that is not remembered, so it is looked up all the same: one
//! after the other, beside everybody else's.

use std::{net::IpAddr, time::Duration};

use quick_cache::sync::Cache;
use ratelimit::Subject;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// How many addresses are remembered.
const ADDRESSES: usize = 10_000;
/// How many wait in the lane at the most.
const WAITING: usize = 64;

/// The lane is full; the address may come again later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowded {
    /// How much later.
    pub(crate) retry_after: Duration,
}

/// The right to look a token up, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    _place: Option<SemaphorePermit<'a>>,
    _lane: Option<SemaphorePermit<'a>>,
}

/// The addresses of one process.
#[derive(Debug)]
pub(crate) struct Strangers {
    until: Cache<Subject, Instant>,
    places: Semaphore,
    lane: Semaphore,
}

impl Default for Strangers {
    fn default() -> Self {
        Self {
            until: Cache::new(ADDRESSES),
            places: Semaphore::new(WAITING),
            lane: Semaphore::new(1),
        }
    }
}

impl Strangers {
    /// Notes that an address has used up what it may send, for so long.
    pub(crate) fn note(&self, address: IpAddr, wait: Duration) {
        self.until
            .insert(Subject::address(address), Instant::now() + wait);
    }

    /// Waits until a token from this address may be looked up: at once from most, in the lane from
    /// those that were noted.
    pub(crate) async fn turn(&self, address: IpAddr) -> Result<Turn<'_>, Crowded> {
        let until = self.until.get(&Subject::address(address));
        let retry_after = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if retry_after.is_zero() {
            return Ok(Turn {
                _place: None,
                _lane: None,
            });
        }
        let place = self
            .places
            .try_acquire()
            .map_err(|_| Crowded { retry_after })?;
        let lane = self
            .lane
            .acquire()
            .await
            .map_err(|_| Crowded { retry_after })?;
        Ok(Turn {
            _place: Some(place),
            _lane: Some(lane),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOUD: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const QUIET: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[tokio::test(start_paused = true)]
    async fn a_noted_address_goes_one_by_one_and_others_are_not_held_up() {
        let strangers = Strangers::default();
        strangers.note(LOUD, Duration::from_secs(5));
        let first = strangers.turn(LOUD).await.unwrap();
        let soon = Duration::from_millis(1);
        assert!(
            tokio::time::timeout(soon, strangers.turn(LOUD))
                .await
                .is_err()
        );
        let _others = (
            strangers.turn(QUIET).await.unwrap(),
            strangers.turn(QUIET).await.unwrap(),
        );
        drop(first);
        strangers.turn(LOUD).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_lane_is_bounded_and_the_note_ends() {
        let strangers = Strangers::default();
        strangers.note(LOUD, Duration::from_secs(5));
        let _first = strangers.turn(LOUD).await.unwrap();
        let mut waiting: Vec<_> = (1..WAITING)
            .map(|_| Box::pin(strangers.turn(LOUD)))
            .collect();
        for turn in &mut waiting {
            assert!(asked_once(turn.as_mut()).await.is_none());
        }
        assert!(strangers.turn(LOUD).await.is_err());
        tokio::time::advance(Duration::from_secs(5)).await;
        let _all = (
            strangers.turn(LOUD).await.unwrap(),
            strangers.turn(LOUD).await.unwrap(),
        );
    }

    /// What the future gives when it is asked once.
    async fn asked_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match future.as_mut().poll(context) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
