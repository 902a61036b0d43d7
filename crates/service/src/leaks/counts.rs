//! What has been reported and found since the process began.

use std::sync::atomic::{AtomicU64, Ordering};

/// What has been reported and found since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeakCounts {
    /// Reports of anybody.
    pub reports: u64,
    /// Reports that were not taken: too many waited, or the database failed.
    pub refused: u64,
    /// Tokens that have the form of a key.
    pub tokens: u64,
    /// Keys that were revoked.
    pub revoked: u64,
    /// Keys whose partner was told.
    pub notified: u64,
    /// Admin keys that can be used.
    pub admin_keys: u64,
}

#[derive(Debug, Default)]
pub(crate) struct LeakCounters {
    reports: AtomicU64,
    refused: AtomicU64,
    tokens: AtomicU64,
    revoked: AtomicU64,
    notified: AtomicU64,
    admin_keys: AtomicU64,
}

fn add(counter: &AtomicU64, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter.fetch_add(count, Ordering::Relaxed);
}

impl LeakCounters {
    pub(crate) fn count_report(&self, tokens: usize) {
        add(&self.reports, 1);
        add(&self.tokens, tokens);
    }

    pub(crate) fn count_refused(&self) {
        add(&self.refused, 1);
    }

    pub(crate) fn count_keys(&self, revoked: usize, notified: usize) {
        add(&self.revoked, revoked);
        add(&self.notified, notified);
    }

    pub(crate) fn count_admin_key(&self) {
        add(&self.admin_keys, 1);
    }

    pub(crate) fn counts(&self) -> LeakCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LeakCounts {
            reports: count(&self.reports),
            refused: count(&self.refused),
            tokens: count(&self.tokens),
            revoked: count(&self.revoked),
            notified: count(&self.notified),
            admin_keys: count(&self.admin_keys),
        }
    }
}
