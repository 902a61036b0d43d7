//! What is asked for: new orgs and workspaces, and changes to a subscription.

use ids::{Labels, Name, PlanName};
use time::OffsetDateTime;

use crate::{Slug, Subscription, SubscriptionStatus};

/// An org that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgDraft {
    /// Its name.
    pub name: Name,
    /// Its slug.
    pub slug: Slug,
    /// Its plan.
    pub plan: PlanName,
    /// The partner's own name for it.
    pub external_id: Option<Name>,
    /// Labels.
    pub labels: Labels,
}

/// A workspace that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkspaceDraft {
    /// Its name.
    pub name: Name,
    /// Its slug.
    pub slug: Slug,
}

/// A new state of an org's billing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BillingDraft {
    /// Whether the org is paid for.
    pub status: SubscriptionStatus,
    /// When the period begins; without it the present one stays.
    pub current_period_start: Option<OffsetDateTime>,
    /// When the period ends; without it the present one stays.
    pub current_period_end: Option<OffsetDateTime>,
    /// When the subscription will end.
    pub cancel_at: Option<OffsetDateTime>,
    /// The org's plan; without it the present one stays.
    pub plan: Option<PlanName>,
}

/// A period would end before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the period must end after it begins")]
pub struct EmptyPeriod;

impl BillingDraft {
    /// The subscription after the change.
    ///
    /// # Errors
    /// When its period would not end after it begins.
    pub fn applied_to(&self, before: &Subscription) -> Result<Subscription, EmptyPeriod> {
        let after = Subscription {
            status: self.status,
            current_period_start: self
                .current_period_start
                .unwrap_or(before.current_period_start),
            current_period_end: self.current_period_end.unwrap_or(before.current_period_end),
            cancel_at: self.cancel_at,
        };
        if after.current_period_start < after.current_period_end {
            Ok(after)
        } else {
            Err(EmptyPeriod)
        }
    }
}
