//! Labels of orgs, by which they are found.

use diesel::prelude::*;
use ids::PartnerId;
use orgs::{Org, OrgStatus};
use stores::StoreError;

use super::{row::orgs as table, visible::Query};
use crate::session::{Session, Writing};

diesel::table! {
    org_labels (org_id, label_key) {
        org_id -> Text,
        partner_id -> Text,
        label_key -> Text,
        label_value -> Text,
        live -> Bool,
    }
}

diesel::allow_tables_to_appear_in_same_query!(org_labels, table);

/// Those that have all of the labels, of live orgs or of deleted ones.
pub(super) fn labelled<'a>(
    mut query: Query<'a>,
    labels: &'a [(String, String)],
    live: bool,
) -> Query<'a> {
    for (key, value) in labels {
        // Within one partner's rows both sides have an index that begins with the partner.
        query = query.filter(diesel::dsl::exists(
            org_labels::table
                .filter(org_labels::partner_id.eq(table::partner_id))
                .filter(org_labels::org_id.eq(table::id))
                .filter(org_labels::label_key.eq(key))
                .filter(org_labels::label_value.eq(value))
                .filter(org_labels::live.eq(live)),
        ));
    }
    query
}

/// The ids of orgs of a partner that have a label, of live ones or of deleted ones.
pub(super) fn ids_labelled<M>(
    session: &mut Session<M>,
    partner: PartnerId,
    (key, value): &(String, String),
    live: bool,
    limit: i64,
) -> Result<Vec<String>, StoreError> {
    let query = org_labels::table
        .filter(org_labels::partner_id.eq(partner.to_string()))
        .filter(org_labels::label_key.eq(key))
        .filter(org_labels::label_value.eq(value))
        .filter(org_labels::live.eq(live))
        .select(org_labels::org_id)
        .limit(limit);
    session.run(|connection| query.load(connection))
}

/// Adds the labels of an org.
pub(super) fn insert(session: &mut Session<Writing>, org: &Org) -> Result<(), StoreError> {
    let (id, partner) = (org.id.to_string(), org.partner_id.to_string());
    for (key, value) in org.labels.iter() {
        session.run(|connection| {
            diesel::insert_into(org_labels::table)
                .values((
                    org_labels::org_id.eq(&id),
                    org_labels::partner_id.eq(&partner),
                    org_labels::label_key.eq(key),
                    org_labels::label_value.eq(value),
                    org_labels::live.eq(org.status != OrgStatus::Deleted),
                ))
                .execute(connection)
        })?;
    }
    Ok(())
}

/// Puts the labels of an org in the place of those that it had.
pub(super) fn replace(session: &mut Session<Writing>, org: &Org) -> Result<(), StoreError> {
    let its = org_labels::table.filter(org_labels::org_id.eq(org.id.to_string()));
    session.run(|connection| diesel::delete(its).execute(connection))?;
    insert(session, org)
}

/// Has the labels of those orgs that are deleted now found among those of deleted ones.
pub(super) fn retire(session: &mut Session<Writing>, orgs: &[&Org]) -> Result<(), StoreError> {
    let gone = orgs
        .iter()
        .filter(|org| org.status == OrgStatus::Deleted && org.labels.iter().next().is_some());
    let ids: Vec<String> = gone.map(|org| org.id.to_string()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    session.run(|connection| {
        diesel::update(org_labels::table.filter(org_labels::org_id.eq_any(&ids)))
            .set(org_labels::live.eq(false))
            .execute(connection)
    })?;
    Ok(())
}
