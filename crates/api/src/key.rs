//! Partner keys on the wire.

use ids::{AdminKeyId, KeyId, Labels, Name, OrgId, PartnerId, PlanName};
use keys::{
    InvalidNetworks, KeyChanges, KeyDraft, KeyListRequest, KeyStatus, Networks, OnRevoke,
    PartnerKey, PlainKey,
};
use scopes::{Scope, ScopeSet};
use serde::Serialize;
use serde_json::Value;
use time::{Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::{
    BodyError, FieldError, Fields, Query, QueryError, RateLimitView, Time,
    fields::{boolean, list, parsed, text, whole},
    openapi::forms::of,
    parse_time,
    partner::{label_changes, labels, max_orgs, rate_limit},
};

/// The most days that `expires_in_days` takes: ten years.
const MAX_DAYS: u64 = 3650;

/// A partner key on the wire.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = PartnerKey)]
pub struct KeyView {
    /// Its id.
    #[schema(schema_with = of::key_id)]
    id: KeyId,
    /// Its name.
    #[schema(schema_with = of::name)]
    name: Name,
    /// Whose it is.
    #[schema(schema_with = of::partner_id)]
    partner_id: PartnerId,
    /// The org that it is bound to.
    #[schema(schema_with = of::maybe_org_id)]
    org_id: Option<OrgId>,
    /// What it may do.
    #[schema(schema_with = of::scopes)]
    scopes: ScopeSet,
    /// The plans of the orgs that it may create; `null` for all.
    #[schema(schema_with = of::maybe_plans)]
    org_plans: Option<Vec<PlanName>>,
    /// Its own limit.
    rate_limit: RateLimitView,
    /// When it ends by itself.
    #[schema(schema_with = of::maybe_time)]
    expires_at: Option<Time>,
    /// The networks from which it can be used; `null` for all.
    #[schema(schema_with = of::maybe_networks)]
    allowed_cidrs: Option<Vec<String>>,
    /// How many orgs of its making there may be at once.
    #[schema(schema_with = of::maybe_count)]
    max_live_orgs: Option<u64>,
    /// What becomes of its orgs when it is revoked.
    #[schema(schema_with = of::on_revoke)]
    on_revoke: &'static str,
    /// Labels.
    #[schema(schema_with = of::labels)]
    labels: Labels,
    /// The beginning of its secret, to tell it by.
    #[schema(schema_with = of::key_prefix)]
    key_prefix: String,
    /// Whether an admin has switched it off.
    disabled: bool,
    /// Where it stands.
    #[schema(schema_with = of::key_status)]
    status: &'static str,
    /// When it was made.
    #[schema(schema_with = of::time)]
    created_at: Time,
    /// Who made it.
    #[schema(schema_with = of::admin_key_id)]
    created_by: AdminKeyId,
    /// When it was last used, true to the minute.
    #[schema(schema_with = of::maybe_time)]
    last_used_at: Option<Time>,
    /// When it was revoked.
    #[schema(schema_with = of::maybe_time)]
    revoked_at: Option<Time>,
}

impl KeyView {
    /// The key as it stands at `now`.
    #[must_use]
    pub fn new(key: PartnerKey, now: OffsetDateTime) -> Self {
        Self {
            status: key.status(now).as_str(),
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
            on_revoke: key.on_revoke.as_str(),
            labels: key.labels,
            key_prefix: key.key_prefix,
            disabled: key.disabled,
            created_at: Time(key.created_at),
            created_by: key.created_by,
            last_used_at: key.last_used_at.map(Time),
            revoked_at: key.revoked_at.map(Time),
        }
    }
}

/// A key that was just made: the one answer that shows its secret.
#[derive(Serialize)]
pub struct NewKeyView<'a> {
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

/// Reads the request for a key.
///
/// # Errors
/// When it is not JSON, or values are missing or wrong.
pub fn key_draft(body: &[u8], now: OffsetDateTime) -> Result<KeyDraft, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let name = fields.required("name", parsed(Name::new));
    let scopes = fields.required("scopes", scopes);
    let org_id = fields.optional("org_id", parsed(|text| text.parse()));
    let partner_id = fields.optional("partner_id", parsed(|text| text.parse()));
    let org_plans = fields.optional("org_plans", org_plans);
    let allowed_cidrs = fields.optional("allowed_cidrs", allowed_cidrs);
    let rate_limit = fields.optional("rate_limit", rate_limit);
    let expires_at = fields.optional("expires_at", |value| end(value, now));
    let days = fields.optional("expires_in_days", whole(1, MAX_DAYS));
    if expires_at.is_some() && days.is_some() {
        fields.error(
            "expires_in_days",
            "stands beside expires_at; give one of the two",
        );
    }
    let in_days = days.and_then(|days| now.checked_add(Duration::days(i64::try_from(days).ok()?)));
    let labels = fields.optional("labels", labels).unwrap_or_default();
    let max_live_orgs = fields.optional("max_live_orgs", max_orgs());
    let on_revoke = fields.optional("on_revoke", on_revoke).unwrap_or_default();
    fields
        .build(|| {
            Some(KeyDraft {
                name: name?,
                scopes: scopes?,
                org_id,
                partner_id,
                org_plans,
                allowed_cidrs,
                rate_limit,
                expires_at: expires_at.or(in_days),
                max_live_orgs,
                on_revoke,
                labels,
            })
        })
        .map_err(BodyError::Invalid)
}

/// Reads a merge patch of a key.
///
/// # Errors
/// When it is not JSON, or values are wrong.
pub fn key_changes(body: &[u8], now: OffsetDateTime) -> Result<KeyChanges, BodyError> {
    let mut fields = Fields::of_body(body)?;
    let changes = KeyChanges {
        name: fields.replaced("name", parsed(Name::new)),
        scopes: fields.replaced("scopes", scopes),
        org_plans: fields.change("org_plans", org_plans),
        allowed_cidrs: fields.change("allowed_cidrs", allowed_cidrs),
        rate_limit: fields.change("rate_limit", rate_limit),
        expires_at: fields.change("expires_at", |value| end(value, now)),
        max_live_orgs: fields.change("max_live_orgs", max_orgs()),
        on_revoke: fields.change("on_revoke", on_revoke),
        disabled: fields.change("disabled", boolean),
        labels: label_changes(&mut fields),
    };
    fields.build(|| Some(changes)).map_err(BodyError::Invalid)
}

/// Reads which keys to list. Only an admin key's query has `partner_id`.
///
/// # Errors
/// When a value is bad.
pub fn key_list_request(
    query: &mut Query,
    by_admin: bool,
    now: OffsetDateTime,
) -> Result<KeyListRequest, QueryError> {
    let status = query.filter("status", |text| text.parse::<KeyStatus>())?;
    let partner_id = if by_admin {
        query.filter("partner_id", str::parse::<PartnerId>)?
    } else {
        None
    };
    Ok(KeyListRequest {
        partner_id,
        status: status.map(|status| (status, now)),
    })
}

fn on_revoke(value: Value) -> Result<OnRevoke, Vec<FieldError>> {
    parsed(|text| text.parse())(value)
}

fn scopes(value: Value) -> Result<ScopeSet, Vec<FieldError>> {
    let scope = |value| parsed(|text| text.parse::<Scope>())(value);
    Ok(list(scope)(value)?.into_iter().collect())
}

fn org_plans(value: Value) -> Result<Vec<PlanName>, Vec<FieldError>> {
    let plans = list(|value| parsed(PlanName::new)(value))(value)?;
    let mut distinct: Vec<PlanName> = Vec::new();
    for plan in plans {
        if !distinct.contains(&plan) {
            distinct.push(plan);
        }
    }
    if distinct.is_empty() {
        return Err(FieldError::here(
            "must name a plan; leave it out to allow all",
        ));
    }
    Ok(distinct)
}

fn allowed_cidrs(value: Value) -> Result<Networks, Vec<FieldError>> {
    let texts = list(text)(value)?;
    Networks::parse(texts.iter().map(String::as_str)).map_err(|error| {
        let pointer = match error {
            InvalidNetworks::Form(at) | InvalidNetworks::HostBits(at) => format!("/{at}"),
            InvalidNetworks::Empty | InvalidNetworks::TooMany => String::new(),
        };
        vec![FieldError::new(pointer, error.to_string())]
    })
}

fn end(value: Value, now: OffsetDateTime) -> Result<OffsetDateTime, Vec<FieldError>> {
    let end = parsed(|text| parse_time(&text))(value)?;
    if end > now {
        Ok(end)
    } else {
        Err(FieldError::here("must be in the future"))
    }
}

#[cfg(test)]
mod tests {
    use keys::Change;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-04-23 08:00 UTC);

    #[track_caller]
    fn check(body: &str, pointers: &[&str]) {
        let told: Vec<_> = match key_draft(body.as_bytes(), NOW) {
            Ok(_) => Vec::new(),
            Err(BodyError::Syntax(text)) => panic!("{text}"),
            Err(BodyError::Invalid(errors)) => errors.into_iter().map(|e| e.pointer).collect(),
        };
        assert_eq!(told, pointers, "{body}");
    }

    #[test]
    fn the_announced_request_is_read() {
        check(
            r#"{"name": "acme-ci-pipeline", "scopes": ["orgs:create", "orgs:list"], "org_id": null}"#,
            &[],
        );
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
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
    fn what_becomes_of_a_keys_orgs_is_read() {
        let orgs = |body: &str| {
            let draft = key_draft(body.as_bytes(), NOW).unwrap();
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
        let changes = key_changes(br#"{"max_live_orgs": null, "on_revoke": null}"#, NOW).unwrap();
        assert_eq!(changes.max_live_orgs, Change::Clear);
        assert_eq!(changes.on_revoke, Change::Clear);
    }

    #[test]
    fn days_are_counted_from_now() {
        let body = br#"{"name": "a", "scopes": [], "expires_in_days": 30}"#;
        let draft = key_draft(body, NOW).unwrap();
        assert_eq!(draft.expires_at, Some(datetime!(2026-05-23 08:00 UTC)));
    }
}
