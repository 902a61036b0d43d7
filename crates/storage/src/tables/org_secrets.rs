//! The secrets of orgs, sealed.

use diesel::prelude::*;
use ids::OrgId;
use keys::PepperId;
use stores::{OrgSecretQueries, OrgSecretStore, SealedOrgSecrets, StoreError};

use super::values;
use crate::{
    connection::{
        AnyConnection, on_both,
        prepared::{self, Prepared, PreparedByType},
    },
    session::{Session, Writing},
};

diesel::table! {
    org_secrets (org_id) {
        org_id -> Text,
        sealed -> Binary,
        pepper_id -> Text,
        updated_at -> BigInt,
    }
}

#[derive(AsChangeset, Insertable, Queryable, Selectable)]
#[diesel(table_name = org_secrets)]
struct SecretsRow {
    org_id: String,
    sealed: Vec<u8>,
    pepper_id: String,
    updated_at: i64,
}

impl From<&SealedOrgSecrets> for SecretsRow {
    fn from(secrets: &SealedOrgSecrets) -> Self {
        Self {
            org_id: secrets.org.to_string(),
            sealed: secrets.sealed.clone(),
            pepper_id: secrets.pepper.to_string(),
            updated_at: values::micros(secrets.updated_at),
        }
    }
}

impl TryFrom<SecretsRow> for SealedOrgSecrets {
    type Error = StoreError;

    fn try_from(row: SecretsRow) -> Result<Self, StoreError> {
        Ok(Self {
            org: values::id(&row.org_id, "the org of secrets")?,
            sealed: row.sealed,
            pepper: values::pepper_id(&row.pepper_id)?,
            updated_at: values::time(row.updated_at, "the time of an org's secrets")?,
        })
    }
}

impl<M> OrgSecretQueries for Session<M> {
    fn org_secrets(&mut self, orgs: &[OrgId]) -> Result<Vec<SealedOrgSecrets>, StoreError> {
        let ids: Vec<String> = orgs.iter().map(ToString::to_string).collect();
        let all = org_secrets::table.select(prepared::columns::<SecretsRow>());
        let rows: Vec<SecretsRow> = self.run(|connection| match connection {
            AnyConnection::Postgres(postgres) => {
                Prepared(all.filter(org_secrets::org_id.eq_any(&ids))).load(postgres)
            }
            AnyConnection::Sqlite(sqlite) => {
                let mut rows = Vec::new();
                for id in &ids {
                    let its = PreparedByType(all.filter(org_secrets::org_id.eq(id)));
                    rows.append(&mut its.load(sqlite)?);
                }
                Ok(rows)
            }
        })?;
        rows.into_iter().map(SealedOrgSecrets::try_from).collect()
    }

    fn org_secrets_under(
        &mut self,
        pepper: PepperId,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<SealedOrgSecrets>, StoreError> {
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let found = org_secrets::table
            .filter(org_secrets::pepper_id.eq(pepper.to_string()))
            .filter(org_secrets::org_id.gt(after))
            .order(org_secrets::org_id)
            .limit(values::row_count(limit))
            .select(SecretsRow::as_select());
        let rows: Vec<SecretsRow> = self.run(|connection| found.load(connection))?;
        rows.into_iter().map(SealedOrgSecrets::try_from).collect()
    }
}

impl OrgSecretStore for Session<Writing> {
    fn org_secrets_put(&mut self, secrets: &SealedOrgSecrets) -> Result<(), StoreError> {
        let row = SecretsRow::from(secrets);
        self.run(|connection| put(connection, &row))
    }

    fn org_secrets_erase(&mut self, org: OrgId) -> Result<(), StoreError> {
        let erased = diesel::delete(org_secrets::table.find(org.to_string()));
        self.run(|connection| prepared::execute(connection, erased))?;
        Ok(())
    }

    fn org_secrets_reseal(
        &mut self,
        expected: &[u8],
        new: &SealedOrgSecrets,
    ) -> Result<bool, StoreError> {
        let unchanged = org_secrets::table
            .find(new.org.to_string())
            .filter(org_secrets::sealed.eq(expected));
        let resealed = diesel::update(unchanged).set((
            org_secrets::sealed.eq(&new.sealed),
            org_secrets::pepper_id.eq(new.pepper.to_string()),
        ));
        let rows = self.run(|connection| prepared::execute(connection, resealed))?;
        Ok(rows > 0)
    }
}

fn put(connection: &mut AnyConnection, row: &SecretsRow) -> QueryResult<()> {
    on_both!(connection, |inner| Prepared(
        diesel::insert_into(org_secrets::table)
            .values(row)
            .on_conflict(org_secrets::org_id)
            .do_update()
            .set((
                org_secrets::sealed.eq(&row.sealed),
                org_secrets::pepper_id.eq(&row.pepper_id),
                org_secrets::updated_at.eq(row.updated_at),
            ))
    )
    .execute(inner))
    .map(drop)
}

/// How many orgs' secrets are sealed under each pepper.
pub(super) fn counts_by_pepper<M>(
    session: &mut Session<M>,
) -> Result<Vec<(String, i64)>, StoreError> {
    let counts = org_secrets::table
        .group_by(org_secrets::pepper_id)
        .select((org_secrets::pepper_id, diesel::dsl::count_star()));
    session.run(|connection| counts.load(connection))
}
