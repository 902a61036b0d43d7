//! Partner keys and the states of their life.

use std::{fmt, net::IpAddr, str::FromStr};

use ids::{KeyId, Labels, Name, OrgId, PartnerId, PlanName};
use ratelimit::RateLimit;
use scopes::ScopeSet;
use time::{Duration, OffsetDateTime};

use crate::{KeyCreator, Networks, OnLeak, Partner, Rotation, UsedSecret};

/// A text that is not the status of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key's status is one of active, disabled, expired, revoked")]
pub struct UnknownStatus;

/// Whether a key can be used, and if not, the strongest reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyStatus {
    /// It can be used.
    Active,
    /// An admin has switched it off; it can be switched on again.
    Disabled,
    /// Its time is over.
    Expired,
    /// It is gone for good.
    Revoked,
}

impl KeyStatus {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Active, Self::Disabled, Self::Expired, Self::Revoked];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for KeyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownStatus)
    }
}

/// A text that is not a choice of what becomes of a key's orgs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("on_revoke is one of keep, delete")]
pub struct UnknownOnRevoke;

/// What becomes of the orgs that a key has made when it is revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRevoke {
    /// They stay.
    #[default]
    Keep,
    /// They are deleted.
    Delete,
}

impl OnRevoke {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Keep, Self::Delete];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        }
    }
}

impl FromStr for OnRevoke {
    type Err = UnknownOnRevoke;

    fn from_str(text: &str) -> Result<Self, UnknownOnRevoke> {
        Self::ALL
            .iter()
            .copied()
            .find(|choice| choice.as_str() == text)
            .ok_or(UnknownOnRevoke)
    }
}

/// A text that is not a reason for a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reason of a revocation is one of unspecified, leaked, superseded, churned")]
pub struct UnknownRevocationReason;

/// Why a key was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationReason {
    /// Nobody has said why.
    #[default]
    Unspecified,
    /// Its secret was seen where it does not belong.
    Leaked,
    /// Another key has taken its place.
    Superseded,
    /// The partner has left.
    Churned,
}

impl RevocationReason {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Unspecified,
        Self::Leaked,
        Self::Superseded,
        Self::Churned,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Leaked => "leaked",
            Self::Superseded => "superseded",
            Self::Churned => "churned",
        }
    }
}

impl FromStr for RevocationReason {
    type Err = UnknownRevocationReason;

    fn from_str(text: &str) -> Result<Self, UnknownRevocationReason> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.as_str() == text)
            .ok_or(UnknownRevocationReason)
    }
}

/// A partner key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerKey {
    /// Its id.
    pub id: KeyId,
    /// Whose it is.
    pub partner_id: PartnerId,
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub scopes: ScopeSet,
    /// The one org it acts within, if it is bound to one.
    pub org_id: Option<OrgId>,
    /// The plans of the orgs it may create, if it is held to some.
    pub org_plans: Option<Vec<PlanName>>,
    /// The networks from which it may be used, if it is held to some.
    pub allowed_cidrs: Option<Networks>,
    /// How often it may be used, when not [`RateLimit::KEY_DEFAULT`].
    pub rate_limit: Option<RateLimit>,
    /// When it ends by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// How many orgs of its making there may be at once, deleted ones aside.
    pub max_live_orgs: Option<u64>,
    /// How many seconds the lease of each org of its making lasts at the most; with it, each has one.
    pub max_ttl_seconds: Option<u32>,
    /// What becomes of the orgs of its making when it is revoked.
    pub on_revoke: OnRevoke,
    /// What becomes of it when its secret is reported as leaked.
    pub on_leak: OnLeak,
    /// Whether an admin has switched it off.
    pub disabled: bool,
    /// Labels.
    pub labels: Labels,
    /// The first characters of the newest secret.
    pub key_prefix: String,
    /// When it was created.
    pub created_at: OffsetDateTime,
    /// Who made it.
    pub created_by: KeyCreator,
    /// When it was last used, true to the minute.
    pub last_used_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
    /// Why it was revoked; `None` until it is.
    pub revocation_reason: Option<RevocationReason>,
    /// Its secrets, if it was ever rotated.
    pub rotation: Option<Rotation>,
}

/// For how long after its end a key that a trust rule has made is listed.
pub const LISTED_AFTER_END: Duration = Duration::DAY;

/// The longest life of a key that a trust rule has made.
pub const MAX_RULE_KEY_LIFE: Duration = Duration::HOUR;

impl PartnerKey {
    /// Whether lists show it at `now`: a key that a trust rule has made leaves them a day after its end.
    #[must_use]
    pub fn is_listed(&self, now: OffsetDateTime) -> bool {
        let ends = [self.expires_at, self.revoked_at];
        let end = ends.into_iter().flatten().min();
        !self.created_by.is_rule() || end.is_none_or(|end| now - end < LISTED_AFTER_END)
    }

    /// Whether it can be used at `now`; what can't be undone outweighs what can.
    #[must_use]
    pub fn status(&self, now: OffsetDateTime) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.expires_at.is_some_and(|end| end <= now) {
            KeyStatus::Expired
        } else if self.disabled {
            KeyStatus::Disabled
        } else {
            KeyStatus::Active
        }
    }

    /// The limit in force.
    #[must_use]
    pub fn effective_rate_limit(&self) -> RateLimit {
        self.rate_limit.unwrap_or(RateLimit::KEY_DEFAULT)
    }

    /// Whether it may create orgs of this plan.
    #[must_use]
    pub fn allows_org_plan(&self, plan: &PlanName) -> bool {
        self.org_plans
            .as_ref()
            .is_none_or(|plans| plans.contains(plan))
    }

    /// Whether it may be used from this address. A client whose address is not known is in no network.
    #[must_use]
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        self.allowed_cidrs
            .as_ref()
            .is_none_or(|networks| address.is_some_and(|address| networks.contain(address)))
    }

    /// Whether it was not used at `time` or later. A use is recorded once a minute, so one in the same minute may
    /// have been later than what is recorded.
    #[must_use]
    pub fn is_unused_since(&self, time: OffsetDateTime) -> bool {
        let minute = |at: OffsetDateTime| at.unix_timestamp().div_euclid(60);
        self.last_used_at
            .is_none_or(|last| minute(last) < minute(time))
    }
}

/// A key and its partner: what is needed to authorize a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyWithPartner {
    /// The key.
    pub key: PartnerKey,
    /// Its partner.
    pub partner: Partner,
}

/// A key that was found by the digest of one of its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The key.
    pub held: KeyWithPartner,
    /// Which of its secrets it was; it may have ended.
    pub secret: UsedSecret,
}

#[cfg(test)]
mod tests {
    use ids::{AdminKeyId, TrustRuleId, TypedId, Ulid};
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-04-23 08:00:30 UTC);

    fn key() -> PartnerKey {
        PartnerKey {
            id: KeyId::from_ulid(Ulid::from(1)),
            partner_id: PartnerId::from_ulid(Ulid::from(2)),
            name: Name::new("acme").unwrap(),
            scopes: ScopeSet::EMPTY,
            org_id: None,
            org_plans: None,
            allowed_cidrs: None,
            rate_limit: None,
            expires_at: None,
            max_live_orgs: None,
            max_ttl_seconds: None,
            on_revoke: OnRevoke::Keep,
            on_leak: OnLeak::Revoke,
            disabled: false,
            labels: Labels::default(),
            key_prefix: "mol_pk_12345".into(),
            created_at: NOW,
            created_by: AdminKeyId::from_ulid(Ulid::from(3)).into(),
            last_used_at: None,
            revoked_at: None,
            revocation_reason: None,
            rotation: None,
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut PartnerKey), expect: KeyStatus) {
        let mut key = key();
        change(&mut key);
        assert_eq!(key.status(NOW), expect);
    }

    #[test]
    fn the_strongest_reason_is_reported() {
        check(|_| (), KeyStatus::Active);
        check(|key| key.disabled = true, KeyStatus::Disabled);
        check(
            |key| (key.disabled, key.expires_at) = (true, Some(NOW)),
            KeyStatus::Expired,
        );
        check(
            |key| (key.revoked_at, key.expires_at) = (Some(NOW), Some(NOW)),
            KeyStatus::Revoked,
        );
    }

    #[test]
    fn a_key_ends_at_the_very_moment() {
        check(
            |key| key.expires_at = Some(NOW + Duration::MICROSECOND),
            KeyStatus::Active,
        );
        check(|key| key.expires_at = Some(NOW), KeyStatus::Expired);
    }

    #[test]
    fn a_key_of_a_trust_rule_leaves_lists_a_day_after_its_end() {
        let mut key = key();
        key.expires_at = Some(NOW);
        assert!(key.is_listed(NOW + Duration::DAY), "an admin made it");
        key.created_by = TrustRuleId::from_ulid(Ulid::from(3)).into();
        assert!(key.is_listed(NOW + Duration::DAY - Duration::MICROSECOND));
        assert!(!key.is_listed(NOW + Duration::DAY));
        key.revoked_at = Some(NOW - Duration::MINUTE);
        assert!(!key.is_listed(NOW + Duration::DAY - Duration::MINUTE));
    }

    #[test]
    fn a_key_is_unused_only_if_its_last_minute_is_over() {
        let mut key = key();
        assert!(key.is_unused_since(NOW));
        key.last_used_at = Some(NOW);
        assert!(!key.is_unused_since(NOW - Duration::HOUR));
        assert!(!key.is_unused_since(NOW + Duration::seconds(29)));
        assert!(key.is_unused_since(NOW + Duration::seconds(30)));
        let before = NOW - Duration::minutes(5);
        assert!(!key.is_unused_since(before), "time does not run back");
    }

    #[test]
    fn a_key_held_to_plans_creates_those_alone() {
        let plan = |name: &str| PlanName::new(name).unwrap();
        let mut key = key();
        assert!(key.allows_org_plan(&plan("enterprise")));
        key.org_plans = Some(vec![plan("standard")]);
        assert!(key.allows_org_plan(&plan("standard")));
        assert!(!key.allows_org_plan(&plan("enterprise")));
    }
}
