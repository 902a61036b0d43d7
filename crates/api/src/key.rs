//! Partner keys.

pub(crate) mod rotation;

use api_macros::{Query, Request, Response};
use ids::{KeyId, Labels, Name, OrgId, PartnerId, PlanName};
use keys::{
    Change, KeyChanges, KeyDraft, KeyListRequest, KeyStatus, Networks, OnLeak, OnRevoke,
    PartnerKey, PlainKey, RevocationReason,
};
use orgs::Ttl;
use ratelimit::RateLimit;
use scopes::ScopeSet;
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use self::rotation::SecretView;
use crate::{
    BodyError, RateLimitView, Request as _, Time,
    wire::{
        CreatorText, FutureTime, KeyPrefix, LabelPatch, NotNull, OrgCount, OrgPlans, SecretKey,
        Whole,
    },
};

/// A partner key, without its secret.
#[derive(Clone, Debug, Serialize, Response)]
#[api(name = "PartnerKey")]
pub struct KeyView {
    /// The id of the key.
    id: KeyId,
    /// A name that says what the key is for.
    #[api(example = "acme-ci-pipeline")]
    name: Name,
    /// The partner that the key belongs to.
    partner_id: PartnerId,
    /// The only org that the key has access to; `null` for all orgs of the partner.
    org_id: Option<OrgId>,
    /// What the key may do.
    scopes: ScopeSet,
    /// The plans whose orgs the key may create, change and delete; `null` for all plans.
    #[api(as = Option<OrgPlans>)]
    org_plans: Option<Vec<PlanName>>,
    /// The rate limit of the key. The default is 600 requests per 60 seconds.
    rate_limit: RateLimitView,
    /// The time from which the key is refused; `null` for a key that does not expire.
    expires_at: Option<Time>,
    /// The networks from which the key may be used, in CIDR notation such as `192.0.2.0/24`, without bits
    /// set beyond the prefix; `null` for all.
    #[api(as = Option<Networks>)]
    allowed_cidrs: Option<Vec<String>>,
    /// The most orgs created with the key that may exist at the same time; `null` for no maximum.
    #[api(as = Option<OrgCount>)]
    max_live_orgs: Option<u64>,
    /// The longest lease, in seconds, of the orgs created with the key. Every one of them gets a lease: of
    /// `ttl_seconds` up to this maximum, or without it of the maximum. `null` for no maximum.
    #[api(as = Option<Ttl>)]
    max_ttl_seconds: Option<u32>,
    /// Whether revoking the key keeps the orgs created with it, which is the default, or deletes them.
    #[api(as = OnRevoke)]
    on_revoke: &'static str,
    /// Whether the key is revoked, which is the default, when its secret is reported as leaked, or its partner is only
    /// told.
    #[api(as = OnLeak)]
    on_leak: &'static str,
    /// Up to 16 labels of your choice.
    labels: Labels,
    /// The first characters of the newest secret, by which a key is recognized.
    #[api(as = KeyPrefix)]
    key_prefix: String,
    /// The secrets that work, the newest first: two of them while a rotation runs.
    #[api(as = Vec<SecretView>)]
    secrets: Vec<SecretView>,
    /// Whether an admin has disabled the key.
    disabled: bool,
    /// Whether the key can be used, and otherwise why not.
    #[api(as = KeyStatus)]
    status: &'static str,
    /// The time at which the key was created.
    created_at: Time,
    /// The admin key or the trust rule that created the key.
    #[api(as = CreatorText)]
    created_by: String,
    /// The last time at which the key was used, to the minute; `null` if it was never used.
    last_used_at: Option<Time>,
    /// The time at which the key was revoked.
    revoked_at: Option<Time>,
    /// Why the key was revoked, as its first revocation said; `null` until it is revoked.
    #[api(as = Option<RevocationReason>)]
    revocation_reason: Option<&'static str>,
}

impl KeyView {
    /// The key with its status at `now`.
    #[must_use]
    pub fn new(key: PartnerKey, now: OffsetDateTime) -> Self {
        Self {
            status: key.status(now).as_str(),
            secrets: key
                .live_secrets(now)
                .into_iter()
                .map(SecretView::from)
                .collect(),
            rate_limit: key.effective_rate_limit().into(),
            id: key.id,
            name: key.name,
            partner_id: key.partner_id,
            org_id: key.org_id,
            scopes: key.scopes,
            org_plans: key.org_plans,
            expires_at: key.expires_at.map(Time),
            allowed_cidrs: key.allowed_cidrs.map(|networks| networks.iter().collect()),
            max_live_orgs: key.max_live_orgs,
            max_ttl_seconds: key.max_ttl_seconds,
            on_revoke: key.on_revoke.as_str(),
            on_leak: key.on_leak.as_str(),
            labels: key.labels,
            key_prefix: key.key_prefix,
            disabled: key.disabled,
            created_at: Time(key.created_at),
            created_by: key.created_by.to_string(),
            last_used_at: key.last_used_at.map(Time),
            revoked_at: key.revoked_at.map(Time),
            revocation_reason: key.revocation_reason.map(RevocationReason::as_str),
        }
    }
}

/// A new key with its secret, which is shown only once.
#[derive(Serialize, Response)]
#[api(name = "IssuedPartnerKey")]
pub struct NewKeyView<'a> {
    /// The secret of the key. It is shown only once; store it safely.
    #[api(as = SecretKey)]
    key: &'a str,
    #[serde(flatten)]
    view: KeyView,
}

impl<'a> NewKeyView<'a> {
    /// The key with its secret.
    #[must_use]
    pub fn new(key: PartnerKey, secret: &'a PlainKey, now: OffsetDateTime) -> Self {
        Self {
            key: secret.expose(),
            view: KeyView::new(key, now),
        }
    }
}

/// A partner key to create.
#[derive(Request)]
#[api(like = KeyView, context = OffsetDateTime, exclusive(expires_at, expires_in_days))]
pub struct NewPartnerKey {
    #[api(example = "acme-ci-pipeline")]
    name: Name,
    scopes: ScopeSet,
    #[api(example = null)]
    org_id: Option<OrgId>,
    /// The partner that the key belongs to. Without it and without `org_id`, a partner is created for the key.
    partner_id: Option<PartnerId>,
    org_plans: Option<OrgPlans>,
    allowed_cidrs: Option<Networks>,
    rate_limit: Option<RateLimit>,
    /// The time from which the key is refused, in the future. Without it and `expires_in_days`, the key does
    /// not expire, or after the longest lifetime that the operator allows.
    expires_at: Option<FutureTime>,
    /// The days from now after which the key expires; not together with `expires_at`.
    expires_in_days: Option<Whole<1, 3650>>,
    labels: Option<Labels>,
    max_live_orgs: Option<OrgCount>,
    max_ttl_seconds: Option<Ttl>,
    on_revoke: Option<OnRevoke>,
    on_leak: Option<OnLeak>,
}

impl NewPartnerKey {
    /// The key that is asked for at `now`.
    #[must_use]
    pub fn into_draft(self, now: OffsetDateTime) -> KeyDraft {
        let in_days = self
            .expires_in_days
            .and_then(|days| now.checked_add(Duration::days(i64::try_from(days.0).ok()?)));
        KeyDraft {
            name: self.name,
            scopes: self.scopes,
            org_id: self.org_id,
            partner_id: self.partner_id,
            org_plans: self.org_plans.map(|plans| plans.0),
            allowed_cidrs: self.allowed_cidrs,
            rate_limit: self.rate_limit,
            expires_at: self.expires_at.map(|time| time.0).or(in_days),
            expires_in_days: in_days.is_some(),
            max_live_orgs: self.max_live_orgs.map(|count| count.0),
            max_ttl_seconds: self.max_ttl_seconds.map(Ttl::seconds),
            on_revoke: self.on_revoke.unwrap_or_default(),
            on_leak: self.on_leak.unwrap_or_default(),
            labels: self.labels.unwrap_or_default(),
        }
    }
}

/// Changes to a partner key, as a merge patch (RFC 7396): a field that is left out stays as it is, `null`
/// restores the default.
#[derive(Request)]
#[api(like = KeyView, context = OffsetDateTime)]
pub struct PartnerKeyChanges {
    name: NotNull<Name>,
    #[api(example = ["orgs:list"])]
    scopes: NotNull<ScopeSet>,
    org_plans: Change<OrgPlans>,
    #[api(example = ["192.0.2.0/24"])]
    allowed_cidrs: Change<Networks>,
    rate_limit: Change<RateLimit>,
    /// The time from which the key is refused, in the future; `null` for a key that does not expire, or after the
    /// longest lifetime that the operator allows.
    expires_at: Change<FutureTime>,
    max_live_orgs: Change<OrgCount>,
    max_ttl_seconds: Change<Ttl>,
    on_revoke: Change<OnRevoke>,
    on_leak: Change<OnLeak>,
    #[api(example = false)]
    disabled: Change<bool>,
    /// Changes to the labels: a value sets a label, `null` removes it.
    labels: Change<LabelPatch>,
}

impl From<PartnerKeyChanges> for KeyChanges {
    fn from(changes: PartnerKeyChanges) -> Self {
        Self {
            name: changes.name.0,
            scopes: changes.scopes.0,
            org_plans: changes.org_plans.map(|plans| plans.0),
            allowed_cidrs: changes.allowed_cidrs,
            rate_limit: changes.rate_limit,
            expires_at: changes.expires_at.map(|time| time.0),
            max_live_orgs: changes.max_live_orgs.map(|count| count.0),
            max_ttl_seconds: changes.max_ttl_seconds.map(Ttl::seconds),
            on_revoke: changes.on_revoke,
            on_leak: changes.on_leak,
            disabled: changes.disabled,
            labels: changes.labels.map(|labels| labels.0),
        }
    }
}

/// The revocation of a partner key. The body may also be left out.
#[derive(Request)]
pub struct KeyRevocation {
    /// Why the key is revoked; without it, `unspecified`. The key keeps the reason of its first revocation.
    #[api(example = "superseded")]
    reason: Option<RevocationReason>,
}

impl KeyRevocation {
    /// The revocation that a body asks for, which may be empty.
    ///
    /// # Errors
    /// When it is not a JSON object, or a member does not fit.
    pub fn read(body: &[u8]) -> Result<RevocationReason, BodyError> {
        if body.is_empty() {
            return Ok(RevocationReason::Unspecified);
        }
        let asked = Self::from_body(body, &())?;
        Ok(asked.reason.unwrap_or_default())
    }
}

/// Which keys to list.
#[derive(Query)]
pub struct KeyFilters {
    /// Only keys with this status.
    status: Option<KeyStatus>,
    /// Only keys of this partner. For admins.
    #[api(admin)]
    partner_id: Option<PartnerId>,
    /// Only keys that expire before this time.
    expires_before: Option<Time>,
    /// Only keys that were not used at this time or later, to the minute; those that were never used as well.
    unused_since: Option<Time>,
}

impl KeyFilters {
    /// The keys that are asked for. They have their status at `now`.
    #[must_use]
    pub fn at(self, now: OffsetDateTime) -> KeyListRequest {
        KeyListRequest {
            partner_id: self.partner_id,
            status: self.status.map(|status| (status, now)),
            expires_before: self.expires_before.map(|time| time.0),
            unused_since: self.unused_since.map(|time| time.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-04-23 08:00 UTC);

    fn read(body: &str) -> Result<KeyDraft, BodyError> {
        NewPartnerKey::from_body(body.as_bytes(), &NOW).map(|key| key.into_draft(NOW))
    }

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let actual: Vec<_> = match read(body) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(text)) => panic!("{text}"),
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(actual, pointers, "{body}");
    }

    #[test]
    fn the_announced_request_is_read() {
        check(
            r#"{"name": "acme-ci-pipeline", "scopes": ["orgs:create", "orgs:list"], "org_id": null}"#,
            &[],
        );
    }

    #[test]
    fn errors_point_to_the_field() {
        check("{}", &["/name", "/scopes"]);
        check(
            r#"{"name": "a", "scopes": ["orgs:list", "orgs:fly", 7]}"#,
            &["/scopes/1", "/scopes/2"],
        );
        check(r#"{"name": "a", "scopes": [], "admin": true}"#, &["/admin"]);
        check(
            r#"{"name": "a", "scopes": [], "org_id": "org_1"}"#,
            &["/org_id"],
        );
        check(
            r#"{"name": "a", "scopes": [], "org_plans": []}"#,
            &["/org_plans"],
        );
        check(
            r#"{"name": "a", "scopes": [], "rate_limit": {"limit": 0}}"#,
            &["/rate_limit/limit", "/rate_limit/window_seconds"],
        );
        check(
            r#"{"name": "a", "scopes": [], "expires_at": "2026-04-23T08:00:00Z"}"#,
            &["/expires_at"],
        );
        check(
            r#"{"name": "a", "scopes": [], "expires_at": "2027-01-01T00:00:00Z", "expires_in_days": 1}"#,
            &["/expires_in_days"],
        );
        check(
            r#"{"name": "a", "scopes": [], "labels": {"A": "x", "b": 1}}"#,
            &["/labels/b"],
        );
        check(
            r#"{"name": "a", "scopes": [], "labels": {"A": "x"}}"#,
            &["/labels/A"],
        );
    }

    #[test]
    fn max_live_orgs_and_on_revoke_are_read() {
        let orgs = |body: &str| {
            let draft = read(body).unwrap();
            (draft.max_live_orgs, draft.on_revoke)
        };
        let set = r#"{"name": "a", "scopes": [], "max_live_orgs": 3, "on_revoke": "delete"}"#;
        assert_eq!(orgs(set), (Some(3), OnRevoke::Delete));
        let unset = r#"{"name": "a", "scopes": [], "max_live_orgs": null, "on_revoke": null}"#;
        assert_eq!(orgs(unset), (None, OnRevoke::Keep));
        check(
            r#"{"name": "a", "scopes": [], "max_live_orgs": -1, "on_revoke": "burn"}"#,
            &["/max_live_orgs", "/on_revoke"],
        );
        let changes = KeyChanges::from(
            PartnerKeyChanges::from_body(br#"{"max_live_orgs": null, "on_revoke": null}"#, &NOW)
                .unwrap(),
        );
        assert_eq!(changes.max_live_orgs, Change::Clear);
        assert_eq!(changes.on_revoke, Change::Clear);
    }

    #[test]
    fn days_are_counted_from_now() {
        let body = r#"{"name": "a", "scopes": [], "expires_in_days": 30}"#;
        let draft = read(body).unwrap();
        assert_eq!(draft.expires_at, Some(datetime!(2026-05-23 08:00 UTC)));
    }
}
