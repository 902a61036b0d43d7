//! Keys that trust rules have made: there are many, and each is short-lived.

use diesel::prelude::*;
use ids::{KeyId, TrustRuleId};
use stores::StoreError;
use time::OffsetDateTime;

use super::row::partner_keys;
use crate::{
    connection::AnyConnection,
    session::{Session, Writing},
    tables::{locks::load_unlocked, orgs::orgs, values},
};

/// Keys of a rule that are not revoked and end after `at`, held until the transaction ends.
pub(super) fn live_keys(
    session: &mut Session<Writing>,
    rule: TrustRuleId,
    at: OffsetDateTime,
    limit: usize,
) -> Result<Vec<KeyId>, StoreError> {
    let live = partner_keys::table
        .filter(partner_keys::created_by.eq(rule.to_string()))
        .filter(partner_keys::prune_after.is_not_null())
        .filter(partner_keys::revoked_at.is_null())
        .filter(
            partner_keys::expires_at
                .gt(values::micros(at))
                .assume_not_null(),
        )
        .order(partner_keys::expires_at)
        .limit(values::row_count(limit))
        .select(partner_keys::id);
    let mut ids: Vec<String> = session.run(|connection| match connection {
        AnyConnection::Postgres(postgres) => live.load(postgres),
        AnyConnection::Sqlite(sqlite) => live.load(sqlite),
    })?;
    // Rows are held in the order of their ids.
    ids.sort_unstable();
    ids.iter()
        .map(|id| values::id(id, "the id of a key"))
        .collect()
}

/// When a key is pruned that has made an org. It is no key that stays, for which there is no such time: lists of those
/// leave it out.
const NEVER: i64 = i64::MAX;

/// Deletes keys that may be, but those that have made an org; how many were looked at.
pub(super) fn prune(
    session: &mut Session<Writing>,
    now: OffsetDateTime,
    limit: usize,
) -> Result<usize, StoreError> {
    let past = partner_keys::table
        .filter(partner_keys::prune_after.is_not_null())
        .filter(
            partner_keys::prune_after
                .le(values::micros(now))
                .assume_not_null(),
        )
        .order(partner_keys::prune_after)
        .limit(values::row_count(limit))
        .select(partner_keys::id);
    let mut past: Vec<String> =
        session.run(|connection| load_unlocked!(connection, past, for_update))?;
    let found = past.len();
    let creators: Vec<String> = session.run(|connection| {
        orgs::table
            .filter(orgs::created_by_key_id.eq_any(&past))
            .select(orgs::created_by_key_id)
            .distinct()
            .load(connection)
    })?;
    past.retain(|id| !creators.contains(id));
    session.run(|connection| {
        let kept = partner_keys::table.filter(partner_keys::id.eq_any(&creators));
        diesel::update(kept)
            .set(partner_keys::prune_after.eq(NEVER))
            .execute(connection)
    })?;
    session.run(|connection| {
        let gone = partner_keys::table.filter(partner_keys::id.eq_any(&past));
        diesel::delete(gone).execute(connection)
    })?;
    Ok(found)
}
