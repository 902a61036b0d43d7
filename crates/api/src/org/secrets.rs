//! The secrets of orgs.

use std::collections::BTreeMap;

use api_macros::Response;
use ids::OrgId;
use orgs::OrgSecrets;
use serde::Serialize;
use time::OffsetDateTime;

use crate::{Time, wire::SecretMap};

/// The secrets of an org.
#[derive(Serialize, Response)]
#[api(name = "OrgSecrets")]
pub struct SecretsView<'a> {
    /// The id of the org.
    org_id: OrgId,
    /// The secrets by their names.
    #[api(as = SecretMap, example = {"DATABASE_URL": "postgres://acme:VZ2rqNzd@db.example.com/acme"})]
    secrets: BTreeMap<&'a str, &'a str>,
    /// The time at which the secrets were set; `null` when there are none.
    #[api(example = "2026-04-23T08:00:04.000000Z")]
    updated_at: Option<Time>,
}

impl<'a> SecretsView<'a> {
    /// The secrets of an org in plain text.
    #[must_use]
    pub fn new(org: OrgId, secrets: &'a OrgSecrets, updated_at: Option<OffsetDateTime>) -> Self {
        Self {
            org_id: org,
            secrets: secrets
                .iter()
                .map(|(name, value)| (name, value.expose()))
                .collect(),
            updated_at: updated_at.map(Time),
        }
    }
}
