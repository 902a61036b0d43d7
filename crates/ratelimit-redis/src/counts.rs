//! What the limiter has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Failure;

/// What has been counted since the process began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Whether this instance goes on by its share of each limit, because the server can't be used.
    pub is_partitioned: bool,
    /// Decisions that the server made, a round trip each.
    pub exact: u64,
    /// Decisions by permits taken ahead, or by what the server said a moment ago.
    pub leased: u64,
    /// Decisions by this instance's share.
    pub fallback: u64,
    /// Failures by reason.
    pub failures: Vec<(&'static str, u64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) exact: AtomicU64,
    pub(crate) leased: AtomicU64,
    pub(crate) fallback: AtomicU64,
    failures: [AtomicU64; Failure::REASONS.len()],
}

impl Counts {
    pub(crate) fn fail(&self, failure: &Failure) {
        if let Some(count) = self.failures.get(failure.number()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self, is_partitioned: bool) -> Stats {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let failures = Failure::REASONS.into_iter().zip(&self.failures);
        Stats {
            is_partitioned,
            exact: get(&self.exact),
            leased: get(&self.leased),
            fallback: get(&self.fallback),
            failures: failures
                .map(|(reason, count)| (reason, get(count)))
                .collect(),
        }
    }
}
