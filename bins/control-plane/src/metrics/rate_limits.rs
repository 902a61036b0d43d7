//! Metrics of rate limits.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use ratelimit::Decision;
use service::LimitName;

use super::register;

pub struct RateLimitMetrics {
    decisions: IntCounterVec,
    key: IntCounter,
    partner: IntCounter,
    admin: IntCounter,
    idempotency: IntCounter,
    address: IntCounter,
    rotation: IntCounter,
}

impl RateLimitMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let decisions = IntCounterVec::new(
            Opts::new(
                "molecule_rate_limit_decisions_total",
                "Decisions of rate limits, by the limit and whether it allowed the request",
            ),
            &["limit", "outcome"],
        );
        let decisions = register(registry, decisions)?;
        let allowed = |limit: LimitName| {
            // From the start on, so that a first refusal shows as a rise.
            let _ = decisions.with_label_values(&[limit.as_str(), "limited"]);
            decisions.with_label_values(&[limit.as_str(), "allowed"])
        };
        Ok(Self {
            key: allowed(LimitName::Key),
            partner: allowed(LimitName::Partner),
            admin: allowed(LimitName::Admin),
            idempotency: allowed(LimitName::Idempotency),
            address: allowed(LimitName::Address),
            rotation: allowed(LimitName::Rotation),
            decisions,
        })
    }

    /// Counts the limits that have let a request in.
    pub fn allowed(&self, limits: &[(LimitName, Decision)]) {
        for (limit, _) in limits {
            self.of(*limit).inc();
        }
    }

    /// Counts an unknown token that its address was allowed to try.
    pub fn allowed_address(&self) {
        self.address.inc();
    }

    const fn of(&self, limit: LimitName) -> &IntCounter {
        match limit {
            LimitName::Key => &self.key,
            LimitName::Partner => &self.partner,
            LimitName::Admin => &self.admin,
            LimitName::Idempotency => &self.idempotency,
            LimitName::Address => &self.address,
            LimitName::Rotation => &self.rotation,
        }
    }

    /// Counts a refusal.
    pub fn limited(&self, limit: LimitName) {
        self.decisions
            .with_label_values(&[limit.as_str(), "limited"])
            .inc();
    }
}
