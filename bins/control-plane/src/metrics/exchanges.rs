//! Metrics of exchanges of tokens.

use prometheus::{IntCounterVec, Opts, Registry};

use super::register;

/// Outcomes that each have a count from the start on, so that a first one shows as a rise.
const OUTCOMES: [&str; 21] = [
    "success",
    "malformed-request",
    "no-rule",
    "malformed",
    "issuer",
    "time",
    "expired",
    "not-yet-valid",
    "unknown-key",
    "signature",
    "audience",
    "token-id",
    "claim",
    "refused-claim",
    "replayed",
    "partner-plan",
    "scope",
    "rate-limited",
    "issuer-unavailable",
    "unsupported-grant-type",
    "error",
];

#[derive(Clone)]
pub struct ExchangeMetrics {
    exchanges: IntCounterVec,
    fetches: IntCounterVec,
}

impl ExchangeMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let exchanges = IntCounterVec::new(
            Opts::new(
                "molecule_token_exchanges_total",
                "Exchanges of pipelines' tokens, by their outcome",
            ),
            &["outcome"],
        );
        let fetches = IntCounterVec::new(
            Opts::new(
                "molecule_issuer_fetches_total",
                "Fetches of the keys of token issuers, by their outcome",
            ),
            &["outcome"],
        );
        let (exchanges, fetches) = (register(registry, exchanges)?, register(registry, fetches)?);
        for outcome in OUTCOMES {
            let _ = exchanges.with_label_values(&[outcome]);
        }
        for outcome in ["success", "failure"] {
            let _ = fetches.with_label_values(&[outcome]);
        }
        Ok(Self { exchanges, fetches })
    }

    /// Counts an exchange; the outcome is `success` or the reason of the refusal.
    pub fn ended(&self, outcome: &str) {
        self.exchanges.with_label_values(&[outcome]).inc();
    }

    /// Counts a fetch of an issuer's keys.
    pub fn fetched(&self, succeeded: bool) {
        let outcome = if succeeded { "success" } else { "failure" };
        self.fetches.with_label_values(&[outcome]).inc();
    }
}
