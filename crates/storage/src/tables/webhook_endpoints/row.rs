//! The rows of endpoints.

use diesel::prelude::*;
use stores::StoreError;
use webhooks::{
    DisabledReason, Endpoint, EndpointUrl, EventKind, EventKinds, Failures, OldSecret,
    SealedSecrets,
};

use crate::tables::values;

diesel::table! {
    webhook_endpoints (id) {
        id -> Text,
        partner_id -> Text,
        url -> Text,
        events -> Text,
        secret -> Nullable<Binary>,
        old_secret -> Nullable<Binary>,
        old_secret_until -> Nullable<BigInt>,
        older_secrets -> Nullable<Text>,
        created_at -> BigInt,
        disabled_at -> Nullable<BigInt>,
        disabled_reason -> Nullable<Text>,
        failing_since -> Nullable<BigInt>,
        failed_attempts -> BigInt,
        deleted_at -> Nullable<BigInt>,
        hold_token -> Nullable<Text>,
        hold_until -> Nullable<BigInt>,
        forget_after -> Nullable<BigInt>,
    }
}

/// What stands between the events of one endpoint.
const SEPARATOR: &str = " ";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_endpoints)]
pub(super) struct EndpointRow {
    pub(super) id: String,
    partner_id: String,
    created_at: i64,
    #[diesel(embed)]
    pub(super) state: StateRow,
}

/// What changes of an endpoint.
#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_endpoints)]
#[diesel(treat_none_as_null = true)]
pub(super) struct StateRow {
    url: String,
    events: String,
    secret: Option<Vec<u8>>,
    old_secret: Option<Vec<u8>>,
    old_secret_until: Option<i64>,
    older_secrets: Option<String>,
    disabled_at: Option<i64>,
    disabled_reason: Option<String>,
    #[diesel(embed)]
    pub(super) failures: FailuresRow,
}

/// The attempts that have failed since the last delivery.
#[derive(AsChangeset, Queryable, Selectable, Insertable)]
#[diesel(table_name = webhook_endpoints)]
#[diesel(treat_none_as_null = true)]
pub(super) struct FailuresRow {
    failing_since: Option<i64>,
    failed_attempts: i64,
}

/// The secrets alone.
#[derive(AsChangeset)]
#[diesel(table_name = webhook_endpoints)]
#[diesel(treat_none_as_null = true)]
pub(super) struct SecretColumns {
    secret: Option<Vec<u8>>,
    old_secret: Option<Vec<u8>>,
    older_secrets: Option<String>,
}

impl From<&SealedSecrets> for SecretColumns {
    fn from(secrets: &SealedSecrets) -> Self {
        Self {
            secret: Some(secrets.current.clone()),
            old_secret: secrets.old.clone(),
            older_secrets: older_text(&secrets.older),
        }
    }
}

impl EndpointRow {
    pub(super) fn of(endpoint: &Endpoint, secrets: &SealedSecrets) -> Self {
        Self {
            id: endpoint.id.to_string(),
            partner_id: endpoint.partner_id.to_string(),
            created_at: values::micros(endpoint.created_at),
            state: StateRow {
                url: endpoint.url.to_string(),
                events: endpoint.events.names().join(SEPARATOR),
                secret: Some(secrets.current.clone()),
                old_secret: secrets.old.clone(),
                old_secret_until: endpoint.old_secret_until.map(values::micros),
                older_secrets: older_text(&secrets.older),
                disabled_at: endpoint.disabled_at.map(values::micros),
                disabled_reason: endpoint.disabled_reason.map(|it| it.as_str().to_owned()),
                failures: FailuresRow::from(endpoint.failures),
            },
        }
    }

    /// The endpoint with its secrets.
    pub(super) fn with_secrets(mut self) -> Result<(Endpoint, SealedSecrets), StoreError> {
        let state = &mut self.state;
        let secrets = SealedSecrets {
            current: state
                .secret
                .take()
                .ok_or(values::corrupt("the secret of a webhook endpoint"))?,
            old: state.old_secret.take(),
            older: older(state.older_secrets.take().as_deref())?,
        };
        Ok((self.try_into()?, secrets))
    }
}

impl From<Option<Failures>> for FailuresRow {
    fn from(failures: Option<Failures>) -> Self {
        Self {
            failing_since: failures.map(|failures| values::micros(failures.since)),
            failed_attempts: failures.map_or(0, |failures| failures.attempts.into()),
        }
    }
}

impl FailuresRow {
    fn failures(&self) -> Result<Option<Failures>, StoreError> {
        const WHAT: &str = "the failures of a webhook endpoint";
        let since = values::optional_time(self.failing_since, WHAT)?;
        let attempts = values::number(self.failed_attempts, WHAT)?;
        Ok(since.map(|since| Failures { since, attempts }))
    }
}

impl TryFrom<EndpointRow> for Endpoint {
    type Error = StoreError;

    fn try_from(row: EndpointRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: values::id(&row.id, "the id of a webhook endpoint")?,
            partner_id: values::id(&row.partner_id, "the partner of a webhook endpoint")?,
            url: EndpointUrl::stored(row.state.url)
                .map_err(|_| values::corrupt("the URL of a webhook endpoint"))?,
            events: kinds(&row.state.events)
                .ok_or(values::corrupt("the events of a webhook endpoint"))?,
            created_at: values::time(row.created_at, "the time of a webhook endpoint")?,
            old_secret_until: values::optional_time(
                row.state.old_secret_until,
                "the overlap of a webhook endpoint",
            )?,
            disabled_at: values::optional_time(
                row.state.disabled_at,
                "the end of a webhook endpoint",
            )?,
            disabled_reason: row
                .state
                .disabled_reason
                .map(|text| {
                    DisabledReason::parse(&text)
                        .ok_or(values::corrupt("why a webhook endpoint is disabled"))
                })
                .transpose()?,
            failures: row.state.failures.failures()?,
        })
    }
}

/// What stands in the column `older_secrets`: the times until which secrets sign, and the secrets.
type OlderSecrets = Vec<(i64, Vec<u8>)>;

fn older_text(older: &[OldSecret]) -> Option<String> {
    let pairs = older
        .iter()
        .map(|old| (values::micros(old.until), old.sealed.clone()));
    let pairs = OlderSecrets::from_iter(pairs);
    let text = serde_json::to_string(&pairs).ok();
    text.filter(|_| !pairs.is_empty())
}

fn older(text: Option<&str>) -> Result<Vec<OldSecret>, StoreError> {
    let what = "the older secrets of a webhook endpoint";
    let Some(text) = text else {
        return Ok(Vec::new());
    };
    let pairs: OlderSecrets = serde_json::from_str(text).map_err(|_| values::corrupt(what))?;
    pairs
        .into_iter()
        .map(|(until, sealed)| {
            Ok(OldSecret {
                sealed,
                until: values::time(until, what)?,
            })
        })
        .collect()
}

fn kinds(text: &str) -> Option<EventKinds> {
    let kinds: Option<Vec<EventKind>> = text.split(SEPARATOR).map(EventKind::parse).collect();
    EventKinds::new(kinds?).ok()
}

/// Whether the column `events` has a kind of event.
pub(super) fn listens(events: &str, kind: EventKind) -> bool {
    events.split(SEPARATOR).any(|event| event == kind.as_str())
}
