//! Metrics of reports of leaked tokens.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use service::LeakCounts;

use super::{register, set};

pub struct LeakMetrics {
    reports: IntCounterVec,
    tokens: IntCounter,
    keys: IntCounterVec,
}

impl LeakMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let reports = Opts::new(
            "molecule_leak_reports_total",
            "Reports of leaked tokens, by whether they were taken",
        );
        let keys = Opts::new(
            "molecule_leaked_keys_total",
            "Keys of this server among reported tokens, by what was done about them",
        );
        let metrics = Self {
            reports: register(registry, IntCounterVec::new(reports, &["outcome"]))?,
            tokens: register(
                registry,
                IntCounter::new(
                    "molecule_leak_tokens_total",
                    "Reported tokens that have the form of a key",
                ),
            )?,
            keys: register(registry, IntCounterVec::new(keys, &["action"]))?,
        };
        // So that an increase is seen from the first one on.
        metrics.set(LeakCounts::default());
        Ok(metrics)
    }

    /// Sets the metrics to what the service has counted since the process began.
    pub fn set(&self, counts: LeakCounts) {
        let LeakCounts {
            reports,
            refused,
            tokens,
            revoked,
            notified,
            admin_keys,
        } = counts;
        let taken = reports.saturating_sub(refused);
        for (outcome, count) in [("taken", taken), ("refused", refused)] {
            set(&self.reports.with_label_values(&[outcome]), count);
        }
        set(&self.tokens, tokens);
        for (action, count) in [
            ("revoked", revoked),
            ("notified", notified),
            ("admin_key_alert", admin_keys),
        ] {
            set(&self.keys.with_label_values(&[action]), count);
        }
    }
}
