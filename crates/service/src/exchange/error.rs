//! Why a token is not exchanged.

use std::time::Duration as StdDuration;

use stores::StoreError;
use trust::Denial;

/// Why a token is not exchanged.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExchangeError {
    /// There is no such rule, or it is disabled.
    #[error(
        "there is no trust rule of this id that is enabled; ask the operator for the rule of your pipeline"
    )]
    NoRule,
    /// The token is not trusted.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The partner's plan does not include keys any more.
    #[error("the plan of the rule's partner does not include keys; ask the operator")]
    PartnerPlan,
    /// The rule does not have the scopes.
    #[error("{0}")]
    Scope(String),
    /// Too many tokens are exchanged, or exchanges from this address have failed.
    #[error("too many exchanges {}; wait and try again", if *.by_rule { "by this rule" } else { "from this address have failed" })]
    RateLimited {
        /// How long to wait.
        retry_after: StdDuration,
        /// Whether it is the limit of the rule, and not that of the address.
        by_rule: bool,
    },
    /// The issuer does not say what its keys are.
    #[error("the keys of the issuer can't be fetched: {0}; try again later")]
    IssuerUnavailable(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ExchangeError {
    /// A short name of the reason, for metrics and the audit log.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoRule => "no-rule",
            Self::Denied(denial) => denial.reason(),
            Self::PartnerPlan => "partner-plan",
            Self::Scope(_) => "scope",
            Self::RateLimited { .. } => "rate-limited",
            Self::IssuerUnavailable(_) => "issuer-unavailable",
            Self::Store(_) => "error",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NoRule | Self::Denied(_) | Self::PartnerPlan | Self::Scope(_) => 400,
            Self::RateLimited { .. } => 429,
            Self::IssuerUnavailable(_) => 503,
            Self::Store(error) if error.is_temporary() => 503,
            Self::Store(_) => 500,
        }
    }

    /// Whether it counts among the failures of its sender's address.
    pub(super) const fn is_the_senders(&self) -> bool {
        self.status() == 400
    }
}
