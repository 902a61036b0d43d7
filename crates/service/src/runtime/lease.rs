//! Leases on what several processes work on: how long they last, and how they are kept.

use std::{convert::Infallible, fmt, future::Future, time::Duration as StdDuration};

use stores::StoreError;
use time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a lease lasts without a renewal.
pub(crate) const LEASE_DURATION: Duration = Duration::seconds(10);
/// How often a lease is renewed.
const RENEW_INTERVAL: StdDuration = StdDuration::from_secs(3);
/// How long after the last good renewal the work is given up. What is left of the lease then is for the work
/// to come to its end.
const GIVE_UP_AFTER: StdDuration = StdDuration::from_secs(6);

/// Renews the lease of `id` until the future is dropped. `renew` tells whether the lease is still held. `lost` is
/// called when it is not, and when it was not renewed for so long that another process may take it soon.
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
    loop {
        sleep(RENEW_INTERVAL).await;
        let began = Instant::now();
        match timeout(RENEW_INTERVAL, renew()).await {
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
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        time::Duration,
    };

    use super::*;

    /// When a lease counts as lost whose renewals end so.
    async fn lost_at(renew: impl Fn() -> Option<Result<bool, StoreError>>) -> Vec<u64> {
        let (began, lost) = (Instant::now(), RefCell::new(Vec::new()));
        let renew = || {
            let renewed = renew();
            async {
                match renewed {
                    Some(renewed) => renewed,
                    None => std::future::pending().await,
                }
            }
        };
        let keep = keep("test", began, renew, || {
            lost.borrow_mut().push(began.elapsed().as_secs());
        });
        assert!(timeout(Duration::from_secs(10), keep).await.is_err());
        lost.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_lost_when_the_store_says_so_or_has_said_nothing_for_six_seconds() {
        assert_eq!(lost_at(|| Some(Ok(true))).await, [0; 0]);
        assert_eq!(lost_at(|| Some(Ok(false))).await.first(), Some(&3));
        let failing = || Some(Err(StoreError::Overloaded));
        assert_eq!(lost_at(failing).await.first(), Some(&6));
        assert_eq!(lost_at(|| None).await.first(), Some(&6));
        let turn = Cell::new(0);
        let every_other = || {
            turn.set(turn.get() + 1);
            Some(if turn.get() % 2 == 0 {
                Ok(true)
            } else {
                Err(StoreError::Overloaded)
            })
        };
        // The first renewal fails; the second is good, 6 s after the lease was acquired.
        assert_eq!(lost_at(every_other).await, [0; 0]);
    }
}
