//! Metrics of limits that instances share.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use ratelimit_redis::{Failure, Stats};

use super::set;

pub struct SharedLimitMetrics {
    partitioned: IntGauge,
    decisions: IntCounterVec,
    failures: IntCounterVec,
}

impl SharedLimitMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let partitioned = IntGauge::new(
            "molecule_limits_partitioned",
            "Whether this instance goes on by its part of each limit, since Redis can't be used: 1, else 0",
        )?;
        let decisions = IntCounterVec::new(
            Opts::new(
                "molecule_limit_decisions_total",
                "Decisions about limits that instances share, by how they were made",
            ),
            &["mode"],
        )?;
        let failures = IntCounterVec::new(
            Opts::new(
                "molecule_limits_redis_failures_total",
                "Failures of Redis, by reason",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(partitioned.clone()))?;
        registry.register(Box::new(decisions.clone()))?;
        registry.register(Box::new(failures.clone()))?;
        // Prometheus sees the first failure only if there was a zero before.
        for reason in Failure::REASONS {
            set(&failures.with_label_values(&[reason]), 0);
        }
        Ok(Self {
            partitioned,
            decisions,
            failures,
        })
    }

    /// Sets the metrics to what the limiter has counted since the process began.
    pub fn set(&self, stats: &Stats) {
        self.partitioned.set(stats.is_partitioned.into());
        for (mode, count) in [
            ("exact", stats.exact),
            ("leased", stats.leased),
            ("fallback", stats.fallback),
        ] {
            set(&self.decisions.with_label_values(&[mode]), count);
        }
        for (reason, count) in &stats.failures {
            set(&self.failures.with_label_values(&[*reason]), *count);
        }
    }
}
