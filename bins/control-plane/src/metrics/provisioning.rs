//! Metrics of provisioning.

use std::time::Duration;

use orgs::{OrgBacklog, ProvisionError, ProvisionRequest};
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};
use time::OffsetDateTime;

/// Upper bounds of the histogram of durations, in seconds.
const BUCKETS: &[f64] = &[
    0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
];

/// Clones share their counters.
#[derive(Clone)]
pub struct ProvisioningMetrics {
    attempts: IntCounterVec,
    durations: HistogramVec,
    due: IntGauge,
    oldest: IntGauge,
    without_slot: IntGauge,
}

impl ProvisioningMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let attempts = IntCounterVec::new(
            Opts::new(
                "molecule_provisioning_attempts_total",
                "Attempts to provision or deprovision an org",
            ),
            &["step", "plan", "result"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "molecule_provisioning_duration_seconds",
                "How long an attempt took",
            )
            .buckets(BUCKETS.to_vec()),
            &["step", "plan"],
        )?;
        let due = IntGauge::new(
            "molecule_orgs_due",
            "Orgs that are due for an attempt, counted up to 10000",
        )?;
        let oldest = IntGauge::new(
            "molecule_orgs_due_oldest_age_seconds",
            "How long the oldest due org has waited",
        )?;
        let without_slot = IntGauge::new(
            "molecule_orgs_without_slot",
            "Orgs that were due without a free slot at the last search of this instance",
        )?;
        registry.register(Box::new(without_slot.clone()))?;
        registry.register(Box::new(attempts.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        registry.register(Box::new(due.clone()))?;
        registry.register(Box::new(oldest.clone()))?;
        Ok(Self {
            attempts,
            durations,
            due,
            oldest,
            without_slot,
        })
    }

    pub fn attempted<T>(
        &self,
        request: &ProvisionRequest,
        result: &Result<T, ProvisionError>,
        took: Duration,
    ) {
        let outcome = match result {
            Ok(_) => "done",
            Err(ProvisionError::TryAgain(_)) => "again",
            Err(ProvisionError::Failed(_)) => "failed",
            Err(ProvisionError::Interrupted) => "interrupted",
        };
        let (step, plan) = (request.verb.as_str(), request.org.plan.as_str());
        self.attempts
            .with_label_values(&[step, plan, outcome])
            .inc();
        self.durations
            .with_label_values(&[step, plan])
            .observe(took.as_secs_f64());
    }

    pub fn waiting(&self, backlog: OrgBacklog, now: OffsetDateTime, without_slot: usize) {
        let without_slot = i64::try_from(without_slot).unwrap_or(i64::MAX);
        self.without_slot.set(without_slot);
        self.due.set(i64::try_from(backlog.due).unwrap_or(i64::MAX));
        let age = backlog.oldest.map_or(0, |at| (now - at).whole_seconds());
        self.oldest.set(age);
    }
}
