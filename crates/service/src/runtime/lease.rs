//! Leases on what several processes work on: how long they last, and how they are kept.

use std::{convert::Infallible, fmt, future::Future, time::Duration as StdDuration};

use stores::StoreError;
use time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a lease lasts without a renewal.
pub(crate) const LEASE_DURATION: Duration = Duration::seconds(10);
/// How often a lease is renewed.
const RENEW_INTERVAL: StdDuration = StdDuration::from_secs(3);
/// How soon a renewal that has failed is tried again.
const RETRY_INTERVAL: StdDuration = StdDuration::from_secs(1);
/// How long after the last good renewal the work is given up. What is left of the lease then is for the work
/// to come to its end.
pub(crate) const GIVE_UP_AFTER: StdDuration = StdDuration::from_secs(6);

/// Renews the lease of `id` until the future is dropped. `renew` tells whether the lease is still held. `lost` is
/// called when it is not, and when it was not renewed for so long that another process may take it soon.
///
/// A lease lasts from the moment before it was written, however long writing it took. So everything counts from
/// `acquired_at`, and from the beginnings of renewals.
pub(crate) async fn keep<F>(
    id: impl fmt::Display,
    acquired_at: Instant,
    renew: impl Fn() -> F,
    lost: impl Fn(),
) -> Infallible
where
    F: Future<Output = Result<bool, StoreError>>,
{
    let mut renewed_at = acquired_at;
    let mut next = acquired_at + RENEW_INTERVAL;
    loop {
        sleep_until(next).await;
        let (began, give_up_at) = (Instant::now(), renewed_at + GIVE_UP_AFTER);
        if began >= give_up_at {
            lost();
        }
        // Neither a renewal nor the pause after it puts off giving up.
        let in_time = |at: Instant| {
            if Instant::now() < give_up_at {
                at.min(give_up_at)
            } else {
                at
            }
        };
        match timeout_at(in_time(began + RENEW_INTERVAL), renew()).await {
            Ok(Ok(true)) => renewed_at = began,
            Ok(Ok(false)) => lost(),
            Ok(Err(error)) => {
                tracing::warn!(error = error.as_dyn(), %id, "lease renewal failed; retrying");
            }
            Err(_elapsed) => tracing::warn!(%id, "lease renewal timed out; retrying"),
        }
        if renewed_at.elapsed() >= GIVE_UP_AFTER {
            lost();
        }
        next = if renewed_at == began {
            began + RENEW_INTERVAL
        } else {
            in_time(Instant::now() + RETRY_INTERVAL)
        };
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        time::Duration,
    };

    use tokio::time::sleep;

    use super::*;

    /// What a renewal brings, and how long it takes.
    type Renewal = (Duration, Result<bool, StoreError>);

    /// No renewal takes so long.
    const HANGS: Duration = Duration::from_secs(1000);

    fn at_once(renewed: Result<bool, StoreError>) -> Renewal {
        (Duration::ZERO, renewed)
    }

    /// When a lease counts as lost whose renewals end so, in seconds after it was acquired.
    async fn lost_at(renew: impl Fn() -> Renewal) -> Vec<u64> {
        lost_when_written_in(Duration::ZERO, renew).await
    }

    /// The same for a lease that took so long to write.
    async fn lost_when_written_in(written_in: Duration, renew: impl Fn() -> Renewal) -> Vec<u64> {
        let (acquired_at, lost) = (Instant::now(), RefCell::new(Vec::new()));
        sleep(written_in).await;
        let renew = || {
            let (takes, renewed) = renew();
            async move {
                sleep(takes).await;
                renewed
            }
        };
        let keep = keep("test", acquired_at, renew, || {
            lost.borrow_mut().push(acquired_at.elapsed().as_secs());
        });
        let end = acquired_at + Duration::from_secs(10);
        assert!(timeout_at(end, keep).await.is_err());
        lost.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_lost_when_the_store_says_so_or_has_said_nothing_for_six_seconds() {
        assert_eq!(lost_at(|| at_once(Ok(true))).await, [0; 0]);
        assert_eq!(lost_at(|| at_once(Ok(false))).await.first(), Some(&3));
        let failing = || at_once(Err(StoreError::Overloaded));
        assert_eq!(lost_at(failing).await.first(), Some(&6));
        assert_eq!(lost_at(|| (HANGS, Ok(true))).await.first(), Some(&6));
        let turn = Cell::new(0);
        let every_other = || {
            turn.set(turn.get() + 1);
            at_once(if turn.get() % 2 == 0 {
                Ok(true)
            } else {
                Err(StoreError::Overloaded)
            })
        };
        // The first renewal fails; the second is good, 4 s after the lease was acquired.
        assert_eq!(lost_at(every_other).await, [0; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_a_lease_was_written_counts() {
        let written_in = Duration::from_secs;
        let good = || at_once(Ok(true));
        let hanging = || (HANGS, Ok(true));
        let lost = lost_when_written_in(written_in(5), good).await;
        assert_eq!(lost, [0; 0], "it is renewed at once");
        let lost = lost_when_written_in(written_in(5), hanging).await;
        assert_eq!(lost.first(), Some(&6));
        let lost = lost_when_written_in(written_in(7), hanging).await;
        assert_eq!(lost.first(), Some(&7), "nothing is waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_as_old_as_the_beginning_of_its_last_good_renewal() {
        let turn = Cell::new(0);
        let slow_then_hanging = || {
            turn.set(turn.get() + 1);
            if turn.get() == 1 {
                (Duration::from_millis(2900), Ok(true))
            } else {
                (HANGS, Ok(true))
            }
        };
        // Renewed from 3 s to 5.9 s after it was acquired, so it ends after 13 s.
        assert_eq!(lost_at(slow_then_hanging).await.first(), Some(&9));
    }
}
