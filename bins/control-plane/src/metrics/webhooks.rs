//! Numbers of how messages are delivered.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use service::DeferredEndpoints;

/// The numbers of one process.
pub struct WebhookMetrics {
    attempts: IntCounterVec,
    pending: IntGauge,
    oldest: IntGauge,
    deferred: IntGaugeVec,
    overflowed: IntCounter,
}

impl WebhookMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let attempts = IntCounterVec::new(
            Opts::new(
                "molecule_webhook_attempts_total",
                "Attempts to deliver a message, by what they led to",
            ),
            &["outcome"],
        )?;
        let pending = IntGauge::new(
            "molecule_webhook_deliveries_pending",
            "Messages that have not arrived yet, of all instances, counted up to 10000",
        )?;
        let oldest = IntGauge::new(
            "molecule_webhook_oldest_due_seconds",
            "How long the longest waiting message has been due, of all instances",
        )?;
        let deferred = IntGaugeVec::new(
            Opts::new(
                "molecule_webhook_endpoints_deferred",
                "Endpoints with something due that wait for a slot, by what they wait for",
            ),
            &["reason"],
        )?;
        let overflowed = IntCounter::new(
            "molecule_webhook_overflowed_total",
            "Messages given up because too many waited for their endpoint",
        )?;
        registry.register(Box::new(attempts.clone()))?;
        registry.register(Box::new(pending.clone()))?;
        registry.register(Box::new(oldest.clone()))?;
        registry.register(Box::new(deferred.clone()))?;
        registry.register(Box::new(overflowed.clone()))?;
        Ok(Self {
            attempts,
            pending,
            oldest,
            deferred,
            overflowed,
        })
    }

    /// Tells how many attempts to deliver a message have led to this since the process began.
    pub fn attempts(&self, outcome: &str, count: u64) {
        let counter = self.attempts.with_label_values(&[outcome]);
        counter.inc_by(count.saturating_sub(counter.get()));
    }

    /// Tells how many messages wait, and for how long the longest waiting has been due.
    pub fn backlog(&self, pending: u64, oldest_seconds: i64) {
        self.pending.set(gauge(pending));
        self.oldest.set(oldest_seconds);
    }

    /// Tells how many endpoints with something due wait for a slot.
    pub fn deferred(&self, deferred: DeferredEndpoints) {
        let DeferredEndpoints {
            partner_share,
            slow_share,
            slots,
        } = deferred;
        for (reason, count) in [
            ("partner_share", partner_share),
            ("slow_share", slow_share),
            ("slots", slots),
        ] {
            self.deferred.with_label_values(&[reason]).set(gauge(count));
        }
    }

    /// Tells how many messages were given up since the process began because too many waited.
    pub fn overflowed(&self, count: u64) {
        let counted = self.overflowed.get();
        self.overflowed.inc_by(count.saturating_sub(counted));
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
