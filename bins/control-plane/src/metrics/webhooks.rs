//! Metrics of webhooks.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use service::DeferredEndpoints;

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

    /// The number of attempts with this outcome since the process began.
    pub fn attempts(&self, outcome: &str, count: u64) {
        let counter = self.attempts.with_label_values(&[outcome]);
        counter.inc_by(count.saturating_sub(counter.get()));
    }

    /// The number of pending messages, and how long the oldest has been due.
    pub fn backlog(&self, pending: u64, oldest_seconds: i64) {
        self.pending.set(gauge(pending));
        self.oldest.set(oldest_seconds);
    }

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

    /// The number of messages dropped because of a full backlog, since the process began.
    pub fn overflowed(&self, count: u64) {
        let counted = self.overflowed.get();
        self.overflowed.inc_by(count.saturating_sub(counted));
    }
}

fn gauge(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
