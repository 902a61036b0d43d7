//! The rows of partner keys.

use diesel::prelude::*;
use keys::{PartnerKey, RevocationReason};
use scopes::ScopeSet;
use stores::StoreError;

use crate::tables::{partners::partners, values, webhook_announcements::webhook_announcements};

diesel::table! {
    partner_keys (id) {
        id -> Text,
        partner_id -> Text,
        name -> Text,
        digest -> Binary,
        scopes -> Text,
        org_id -> Nullable<Text>,
        org_plans -> Nullable<Text>,
        allowed_cidrs -> Nullable<Text>,
        rate_limit -> Nullable<BigInt>,
        rate_window -> Nullable<BigInt>,
        expires_at -> Nullable<BigInt>,
        disabled -> Bool,
        labels -> Text,
        key_prefix -> Text,
        created_at -> BigInt,
        created_by -> Text,
        last_used_at -> Nullable<BigInt>,
        revoked_at -> Nullable<BigInt>,
        max_live_orgs -> Nullable<BigInt>,
        max_ttl_seconds -> Nullable<BigInt>,
        on_revoke -> Text,
        orgs_to_go_since -> Nullable<BigInt>,
        pepper_id -> Nullable<Text>,
        end_to_announce -> Nullable<BigInt>,
        revocation_reason -> Nullable<Text>,
        rotated -> Bool,
        prune_after -> Nullable<BigInt>,
        on_leak -> Text,
    }
}

diesel::joinable!(partner_keys -> partners (partner_id));
diesel::allow_tables_to_appear_in_same_query!(partner_keys, partners);
diesel::allow_tables_to_appear_in_same_query!(partner_keys, webhook_announcements);

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = partner_keys)]
pub(super) struct KeyRow {
    pub(super) id: String,
    partner_id: String,
    #[diesel(embed)]
    pub(super) settings: SettingsRow,
    org_id: Option<String>,
    key_prefix: String,
    created_at: i64,
    created_by: String,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
    revocation_reason: Option<String>,
    pub(super) rotated: bool,
}

/// What an admin may change.
#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = partner_keys)]
#[diesel(treat_none_as_null = true)]
pub(super) struct SettingsRow {
    name: String,
    scopes: String,
    org_plans: Option<String>,
    allowed_cidrs: Option<String>,
    rate_limit: Option<i64>,
    rate_window: Option<i64>,
    pub(super) expires_at: Option<i64>,
    disabled: bool,
    labels: String,
    max_live_orgs: Option<i64>,
    max_ttl_seconds: Option<i64>,
    on_revoke: String,
    on_leak: String,
}

impl From<&PartnerKey> for KeyRow {
    fn from(key: &PartnerKey) -> Self {
        Self {
            id: key.id.to_string(),
            partner_id: key.partner_id.to_string(),
            settings: SettingsRow::from(key),
            org_id: key.org_id.map(|id| id.to_string()),
            key_prefix: key.key_prefix.clone(),
            created_at: values::micros(key.created_at),
            created_by: key.created_by.to_string(),
            last_used_at: key.last_used_at.map(values::micros),
            revoked_at: key.revoked_at.map(values::micros),
            revocation_reason: key
                .revocation_reason
                .map(|reason| reason.as_str().to_owned()),
            rotated: false,
        }
    }
}

impl From<&PartnerKey> for SettingsRow {
    fn from(key: &PartnerKey) -> Self {
        let (rate_limit, rate_window) = values::limit_columns(key.rate_limit);
        Self {
            name: key.name.to_string(),
            scopes: key.scopes.to_string(),
            org_plans: key.org_plans.as_deref().map(values::plans_text),
            allowed_cidrs: key.allowed_cidrs.as_ref().map(values::networks_text),
            rate_limit,
            rate_window,
            expires_at: key.expires_at.map(values::micros),
            disabled: key.disabled,
            labels: values::labels_text(&key.labels),
            max_live_orgs: key
                .max_live_orgs
                .map(|count| i64::try_from(count).unwrap_or(i64::MAX)),
            max_ttl_seconds: key.max_ttl_seconds.map(i64::from),
            on_revoke: key.on_revoke.as_str().to_owned(),
            on_leak: key.on_leak.as_str().to_owned(),
        }
    }
}

impl TryFrom<KeyRow> for PartnerKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let settings = row.settings;
        Ok(Self {
            id: values::id(&row.id, "the id of a key")?,
            partner_id: values::id(&row.partner_id, "the partner of a key")?,
            name: values::name(settings.name, "the name of a key")?,
            scopes: ScopeSet::parse_list(&settings.scopes)
                .map_err(|_| values::corrupt("the scopes of a key"))?,
            org_id: values::optional_id(row.org_id.as_deref(), "the org of a key")?,
            org_plans: settings
                .org_plans
                .map(|text| values::plans(&text, "the plans of a key"))
                .transpose()?,
            allowed_cidrs: settings
                .allowed_cidrs
                .map(|text| values::networks(&text, "the networks of a key"))
                .transpose()?,
            rate_limit: values::limit(
                (settings.rate_limit, settings.rate_window),
                "the limit of a key",
            )?,
            expires_at: values::optional_time(settings.expires_at, "the end of a key")?,
            max_live_orgs: settings
                .max_live_orgs
                .map(|count| values::number(count, "the orgs of a key"))
                .transpose()?,
            max_ttl_seconds: settings
                .max_ttl_seconds
                .map(|seconds| values::number(seconds, "the leases of a key's orgs"))
                .transpose()?,
            on_revoke: settings
                .on_revoke
                .parse()
                .map_err(|_| values::corrupt("what becomes of a key's orgs"))?,
            on_leak: settings
                .on_leak
                .parse()
                .map_err(|_| values::corrupt("what becomes of a leaked key"))?,
            disabled: settings.disabled,
            labels: values::labels(&settings.labels, "the labels of a key")?,
            key_prefix: row.key_prefix,
            created_at: values::time(row.created_at, "the time of a key")?,
            created_by: row
                .created_by
                .parse()
                .map_err(|_| values::corrupt("the creator of a key"))?,
            last_used_at: values::optional_time(row.last_used_at, "the last use of a key")?,
            revoked_at: values::optional_time(row.revoked_at, "the revocation of a key")?,
            // A program before this column revokes without a reason, also beside this one.
            revocation_reason: match row.revocation_reason {
                None => row.revoked_at.map(|_| RevocationReason::Unspecified),
                Some(text) => Some(
                    text.parse()
                        .map_err(|_| values::corrupt("why a key was revoked"))?,
                ),
            },
            // In a table of its own.
            rotation: None,
        })
    }
}
