//! What an org's subscription says.

use std::{fmt, str::FromStr};

use time::{Month, OffsetDateTime, util::days_in_month};

/// A text that is not the status of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subscription's status is one of trialing, active, past_due, canceled")]
pub struct UnknownSubscriptionStatus;

/// Whether the org is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// A trial.
    Trialing,
    /// Paid for.
    Active,
    /// A payment is late.
    PastDue,
    /// Over.
    Canceled,
}

impl SubscriptionStatus {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Trialing, Self::Active, Self::PastDue, Self::Canceled];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for SubscriptionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SubscriptionStatus {
    type Err = UnknownSubscriptionStatus;

    fn from_str(text: &str) -> Result<Self, UnknownSubscriptionStatus> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownSubscriptionStatus)
    }
}

/// An org's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Whether the org is paid for.
    pub status: SubscriptionStatus,
    /// When the present period began.
    pub current_period_start: OffsetDateTime,
    /// When it ends; later than its start.
    pub current_period_end: OffsetDateTime,
    /// When the subscription will end, if it will.
    pub cancel_at: Option<OffsetDateTime>,
}

impl Subscription {
    /// The subscription of a new org: active, for one calendar month.
    #[must_use]
    pub fn starting(now: OffsetDateTime) -> Self {
        Self {
            status: SubscriptionStatus::Active,
            current_period_start: now,
            current_period_end: one_month_after(now),
            cancel_at: None,
        }
    }
}

/// The same day of the next month, or its last day where the month is shorter.
fn one_month_after(start: OffsetDateTime) -> OffsetDateTime {
    let month = start.month().next();
    let year = if month == Month::January {
        start.year() + 1
    } else {
        start.year()
    };
    let day = start.day().min(days_in_month(month, year));
    time::Date::from_calendar_date(year, month, day)
        .map_or(start + time::Duration::days(30), |date| {
            start.replace_date(date)
        })
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[track_caller]
    fn check(start: OffsetDateTime, end: OffsetDateTime) {
        assert_eq!(Subscription::starting(start).current_period_end, end);
    }

    #[test]
    fn a_period_is_a_calendar_month() {
        check(
            datetime!(2026-04-23 08:00 UTC),
            datetime!(2026-05-23 08:00 UTC),
        );
        check(
            datetime!(2026-12-05 08:00 UTC),
            datetime!(2027-01-05 08:00 UTC),
        );
        check(
            datetime!(2027-01-31 23:59 UTC),
            datetime!(2027-02-28 23:59 UTC),
        );
        check(
            datetime!(2028-01-31 00:00 UTC),
            datetime!(2028-02-29 00:00 UTC),
        );
    }
}
