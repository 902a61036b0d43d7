//! The one time that all instances go by, and how far the clock of this machine is from it.

use std::sync::atomic::{AtomicBool, Ordering};

use ::instances::MAX_CLOCK_SKEW;
use ratelimit::Limiter;
use stores::{Database, StoreError, prelude::*};
use time::Duration;
use tokio::time::Instant;

use crate::{Env, Service};

/// Whether the operator has been told that the clocks differ.
#[derive(Debug, Default)]
pub(super) struct SkewWarning(AtomicBool);

impl SkewWarning {
    /// Whether the difference has become too large, or small again, since the last call.
    fn change(&self, skew: Duration) -> Option<bool> {
        let is_large = skew.abs() > MAX_CLOCK_SKEW;
        (self.0.swap(is_large, Ordering::Relaxed) != is_large).then_some(is_large)
    }
}

/// Reads the clock of the database's server, by which all times go from then on. To be called before anything
/// is written or served; each report of an instance does so again.
///
/// # Errors
/// When the database fails; then the time goes on from the last reading.
pub async fn follow_server_clock<D: Database>(db: &D, env: &Env) -> Result<(), StoreError> {
    let read = db.read_control(|view| {
        let asked = Instant::now();
        let time = view.server_time()?;
        Ok::<_, StoreError>((time, (asked, Instant::now())))
    });
    if let (Some(time), between) = read.await? {
        env.follow_server_clock(time, between);
    }
    Ok(())
}

impl<D: Database, L: Limiter, P: Send + Sync + 'static> Service<D, L, P> {
    /// How far the clock of this machine is ahead of the database server's.
    #[must_use]
    pub fn clock_skew(&self) -> Duration {
        self.env.clock_skew()
    }

    /// Tells the operator when the clocks begin to differ too much, and when they agree again.
    pub(super) fn warn_of_skew(&self) {
        let skew = self.clock_skew();
        let skew_ms = milliseconds(skew);
        match self.instances.skew.change(skew) {
            Some(true) => tracing::warn!(
                skew_ms,
                "clock skew: this machine's clock differs from the database server's by more than 2 seconds; \
                 all times go by the server's clock; synchronize both clocks, for example with NTP"
            ),
            Some(false) => tracing::info!(
                skew_ms,
                "clock skew ended: this machine's clock agrees with the database server's again"
            ),
            None => {}
        }
    }
}

/// Whole milliseconds, as far as they fit.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    let milliseconds = duration.whole_milliseconds();
    i64::try_from(milliseconds).unwrap_or(if milliseconds < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_of_a_skew_are_told_once() {
        let warning = SkewWarning::default();
        let seconds = |seconds| warning.change(Duration::seconds(seconds));
        assert_eq!([0, 2, -2].map(seconds), [None; 3]);
        assert_eq!([3, -3, 9].map(seconds), [Some(true), None, None]);
        assert_eq!([1, 0].map(seconds), [Some(false), None]);
    }
}
