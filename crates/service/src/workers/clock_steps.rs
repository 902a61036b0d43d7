//! Recovery after the clock was set back: what is due at a time would be due that much later.

use std::time::Duration as StdDuration;

use ids::{DeliveryId, TypedId as _, Ulid};
use parking_lot::Mutex;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::{Duration, OffsetDateTime};
use tokio::time::Instant;
use webhooks::{PendingDelivery, max_retry_delay};

use crate::Service;

/// By how much the time of day must have fallen behind to count as set back.
const STEP: Duration = Duration::seconds(2);
/// How much further ahead than any delay or lease a time must be to count as set by a clock that was ahead:
/// the clocks of several instances differ a little.
const LEEWAY: Duration = Duration::seconds(60);
/// How many rows are changed in one transaction.
const BATCH: usize = 200;

/// Compares the time of day with the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct ClockStepDetector {
    wall: OffsetDateTime,
    monotonic: Instant,
}

impl ClockStepDetector {
    /// A detector that begins at this time of day.
    fn new(now: OffsetDateTime) -> Self {
        Self {
            wall: now,
            monotonic: Instant::now(),
        }
    }

    /// Whether the clock was set back since the last call.
    fn was_set_back(&mut self, now: OffsetDateTime) -> bool {
        let passed = self.monotonic.elapsed();
        let expected = self.wall + Duration::try_from(passed).unwrap_or_default();
        *self = Self::new(now);
        now + STEP < expected
    }
}

/// How long after a step back the recovery begins: until then every live worker has renewed its leases by the new
/// time.
const CLOCK_STEP_GRACE: StdDuration = StdDuration::from_secs(15);

/// Watches the clock of one process.
#[derive(Debug)]
pub(crate) struct ClockWatch(Mutex<State>);

#[derive(Debug)]
struct State {
    detector: ClockStepDetector,
    recover_at: Option<Instant>,
}

impl ClockWatch {
    /// A watch that recovers after its start too: the clock may have been set back while no process ran.
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        Self(Mutex::new(State {
            detector: ClockStepDetector::new(now),
            recover_at: Some(Instant::now() + CLOCK_STEP_GRACE),
        }))
    }

    /// Whether it is time to recover.
    fn check(&self, now: OffsetDateTime) -> bool {
        let mut state = self.0.lock();
        if state.detector.was_set_back(now) {
            state.recover_at = Some(Instant::now() + CLOCK_STEP_GRACE);
        }
        state.recover_at.is_some_and(|at| at <= Instant::now())
    }
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// Recovers some time after the clock was set back; to be called every second.
    ///
    /// # Errors
    /// When the database fails; then the next call tries again.
    pub async fn check_clock(&self) -> Result<(), StoreError> {
        if self.clock.check(self.env.now()) {
            self.recover_from_clock_step().await?;
            self.clock.0.lock().recover_at = None;
        }
        Ok(())
    }

    /// Makes due what waits for longer than any delay, and ends leases that last for longer than any; how many
    /// there were. Other instances may work meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover_from_clock_step(&self) -> Result<usize, StoreError> {
        let now = self.env.now();
        let mut recovered = 0;
        loop {
            let orgs = self
                .db
                .write(move |tx| tx.orgs_make_due(now + LEEWAY, now, BATCH))
                .await?;
            recovered += orgs;
            if orgs < BATCH {
                break;
            }
        }
        loop {
            let leases = self
                .db
                .write(move |tx| tx.endpoint_leases_shorten(now + LEEWAY, now, BATCH))
                .await?;
            recovered += leases;
            if leases < BATCH {
                break;
            }
        }
        recovered += self.recover_deliveries(now).await?;
        if recovered > 0 {
            tracing::warn!(
                recovered,
                "the clock was set back; work that waited for it is due now"
            );
            self.due.notify_one();
            self.outgoing.notify_one();
        }
        Ok(recovered)
    }

    /// Goes through all deliveries that are due after `now`.
    async fn recover_deliveries(&self, now: OffsetDateTime) -> Result<usize, StoreError> {
        let mut after = (now, DeliveryId::from_ulid(Ulid::from(0)));
        let mut recovered = 0;
        loop {
            let ahead = self
                .db
                .read(move |view| view.deliveries_due_after(after, BATCH))
                .await?;
            let Some(last) = ahead.last() else {
                return Ok(recovered);
            };
            after = (last.due_at, last.id);
            let is_late =
                |it: &&PendingDelivery| it.due_at > now + max_retry_delay(it.tries) + LEEWAY;
            let late: Vec<DeliveryId> = ahead.iter().filter(is_late).map(|it| it.id).collect();
            if !late.is_empty() {
                recovered += late.len();
                self.db
                    .write(move |tx| tx.deliveries_make_due(&late, now))
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
        let mut detector = ClockStepDetector::new(start);
        let second = Duration::SECOND;
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(
            !detector.was_set_back(start + second * 4),
            "a little behind"
        );
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(!detector.was_set_back(start + second * 9000), "set forward");
        tokio::time::advance(StdDuration::from_secs(5)).await;
        assert!(detector.was_set_back(start + second * 9), "set back again");
        assert!(!detector.was_set_back(start + second * 9), "told once");
    }
}
