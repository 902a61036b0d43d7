//! A clock that was set back: what waits for a time would wait for as much longer.

use std::time::Duration as StdDuration;

use ids::{DeliveryId, TypedId as _, Ulid};
use orgs::OrgStore as _;
use ratelimit::Limiter;
use stores::{Database, StoreError};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use webhooks::{PendingDelivery, WebhookQueries as _, WebhookStore as _, longest_pause_after};

use crate::Service;

/// By how much the time of day must have fallen behind to count as set back.
const STEP: Duration = Duration::seconds(2);
/// How much further ahead than any pause, or any lease, a time must be to count as the work of a clock
/// that was ahead: clocks of several instances differ a little.
const LEEWAY: Duration = Duration::seconds(60);
/// How many rows are changed in one transaction.
const AT_ONCE: usize = 200;

/// Compares the time of day with a clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct ClockWatch {
    wall: OffsetDateTime,
    steady: Instant,
}

impl ClockWatch {
    /// A watch that begins at this time of day.
    #[must_use]
    pub fn new(now: OffsetDateTime) -> Self {
        Self {
            wall: now,
            steady: Instant::now(),
        }
    }

    /// Whether the clock was set back since it was asked last.
    pub fn was_set_back(&mut self, now: OffsetDateTime) -> bool {
        let passed = self.steady.elapsed();
        let expected = self.wall + Duration::try_from(passed).unwrap_or_default();
        *self = Self::new(now);
        now + STEP < expected
    }
}

/// How long after a step back what waits is hastened: until then every live worker has renewed its leases
/// by the new time.
pub const HASTEN_AFTER: StdDuration = StdDuration::from_secs(15);

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Makes due what waits for longer than it ever has to, and ends leases that last for longer than
    /// any; tells how many there were. Other instances may work meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hasten_waiting(&self) -> Result<usize, StoreError> {
        let now = self.env.now();
        let mut hastened = 0;
        loop {
            let orgs = self
                .db
                .write(move |tx| tx.orgs_hasten(now + LEEWAY, now, AT_ONCE))
                .await?;
            hastened += orgs;
            if orgs < AT_ONCE {
                break;
            }
        }
        loop {
            let leases = self
                .db
                .write(move |tx| tx.endpoint_leases_shorten(now + LEEWAY, now, AT_ONCE))
                .await?;
            hastened += leases;
            if leases < AT_ONCE {
                break;
            }
        }
        hastened += self.hasten_deliveries(now).await?;
        if hastened > 0 {
            tracing::warn!(
                hastened,
                "the clock was set back; what waited for it is due now"
            );
            self.due.notify_one();
            self.outgoing.notify_one();
        }
        Ok(hastened)
    }

    /// Goes through all deliveries that are due after `now`.
    async fn hasten_deliveries(&self, now: OffsetDateTime) -> Result<usize, StoreError> {
        let mut after = (now, DeliveryId::from_ulid(Ulid::from(0)));
        let mut hastened = 0;
        loop {
            let ahead = self
                .db
                .read(move |view| view.deliveries_ahead(after, AT_ONCE))
                .await?;
            let Some(last) = ahead.last() else {
                return Ok(hastened);
            };
            after = (last.due_at, last.id);
            let is_late =
                |it: &&PendingDelivery| it.due_at > now + longest_pause_after(it.tries) + LEEWAY;
            let late: Vec<DeliveryId> = ahead.iter().filter(is_late).map(|it| it.id).collect();
            if !late.is_empty() {
                hastened += late.len();
                self.db
                    .write(move |tx| tx.deliveries_hasten(&late, now))
                    .await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_step_back_is_one() {
        let start = OffsetDateTime::UNIX_EPOCH;
        let mut watch = ClockWatch::new(start);
        let second = Duration::SECOND;
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(!watch.was_set_back(start + second * 4), "a little behind");
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(!watch.was_set_back(start + second * 9000), "set forward");
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(watch.was_set_back(start + second * 9), "set back again");
        assert!(!watch.was_set_back(start + second * 9), "told once");
    }
}
