//! Partners: the accounts that own keys and the orgs made with them.

use std::{fmt, str::FromStr};

use ids::{Labels, Name, PartnerId};
use ratelimit::RateLimit;
use time::OffsetDateTime;

/// A text that is not the plan of a partner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a partner's plan is one of free, standard, partner, enterprise")]
pub struct UnknownPartnerPlan;

/// What the partner has bought; keys are for `partner` and `enterprise`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartnerPlan {
    /// No keys.
    Free,
    /// No keys.
    Standard,
    /// Keys.
    Partner,
    /// Keys.
    Enterprise,
}

impl PartnerPlan {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Free, Self::Standard, Self::Partner, Self::Enterprise];

    /// Whether keys of a partner on this plan may be made and used.
    #[must_use]
    pub const fn includes_keys(self) -> bool {
        match self {
            Self::Free | Self::Standard => false,
            Self::Partner | Self::Enterprise => true,
        }
    }

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Standard => "standard",
            Self::Partner => "partner",
            Self::Enterprise => "enterprise",
        }
    }
}

impl fmt::Display for PartnerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PartnerPlan {
    type Err = UnknownPartnerPlan;

    fn from_str(text: &str) -> Result<Self, UnknownPartnerPlan> {
        Self::ALL
            .iter()
            .copied()
            .find(|plan| plan.as_str() == text)
            .ok_or(UnknownPartnerPlan)
    }
}

/// The account that owns keys and the orgs made with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its id.
    pub id: PartnerId,
    /// Its name.
    pub name: Name,
    /// What it has bought.
    pub plan: PartnerPlan,
    /// A budget shared by all of its keys, beside the budget of each.
    pub rate_limit: Option<RateLimit>,
    /// How many orgs that are not deleted it may have.
    pub max_orgs: Option<u64>,
    /// Labels.
    pub labels: Labels,
    /// When it was created.
    pub created_at: OffsetDateTime,
}
