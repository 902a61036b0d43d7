//! Metrics of limits and shares.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use service::{FoldedCounts, HeldPollCounts};

use super::set;

pub struct LimitMetrics {
    throttled_lookups: IntCounter,
    folded_rejections: IntCounter,
    lost_refusals: IntCounter,
    held_polls: IntGauge,
    polls: IntCounterVec,
}

impl LimitMetrics {
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let held_polls = IntGauge::new("molecule_held_polls", "Status polls that are held now")?;
        let polls = IntCounterVec::new(
            Opts::new(
                "molecule_held_polls_total",
                "Status polls that asked to be held, by what became of them",
            ),
            &["state"],
        )?;
        registry.register(Box::new(held_polls.clone()))?;
        registry.register(Box::new(polls.clone()))?;
        let throttled_lookups = IntCounter::new(
            "molecule_auth_lookups_throttled_total",
            "Look-ups of tokens from addresses over their limit of unknown ones",
        )?;
        let folded_rejections = IntCounter::new(
            "molecule_refusals_folded_total",
            "Refusals that share an audit event with others of their second",
        )?;
        let lost_refusals = IntCounter::new(
            "molecule_refusals_lost_total",
            "Refusals that no audit event tells of, because too many waited for the database",
        )?;
        registry.register(Box::new(throttled_lookups.clone()))?;
        registry.register(Box::new(folded_rejections.clone()))?;
        registry.register(Box::new(lost_refusals.clone()))?;
        Ok(Self {
            throttled_lookups,
            folded_rejections,
            lost_refusals,
            held_polls,
            polls,
        })
    }

    /// Sets the metrics to what the service has counted since the process began.
    pub fn set(&self, throttled_lookups: u64, refusals: FoldedCounts, polls: HeldPollCounts) {
        set(&self.throttled_lookups, throttled_lookups);
        set(&self.folded_rejections, refusals.folded);
        set(&self.lost_refusals, refusals.lost);
        self.held_polls
            .set(i64::try_from(polls.now).unwrap_or(i64::MAX));
        for (state, count) in [
            ("held", polls.held),
            ("over_key_share", polls.over_key),
            ("over_address_share", polls.over_address),
        ] {
            set(&self.polls.with_label_values(&[state]), count);
        }
    }
}
