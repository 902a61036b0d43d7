//! The log of changes to keys, and its revision.

use diesel::prelude::*;
use keys::{Changed, Changes, MIN_CHANGES_KEPT};
use stores::StoreError;

use crate::{
    dialect::same,
    schema::{key_changes, key_revision},
    session::{Session, Writing},
    values,
};

/// The id of the one row that holds the revision.
const ONLY: i64 = 1;

pub(crate) fn revision<M>(session: &mut Session<M>) -> Result<u64, StoreError> {
    let value: Option<i64> = session.run(|connection| {
        let only = key_revision::table.find(ONLY).select(key_revision::value);
        same::ask_one(connection, only)
    })?;
    let value = value.ok_or(values::corrupt("the revision of keys"))?;
    values::number(value, "the revision of keys")
}

pub(crate) fn since<M>(session: &mut Session<M>, since: u64) -> Result<Changes, StoreError> {
    // In this order: what is logged after the revision was read is only more than it tells of.
    let newest = revision(session)?;
    if newest == since {
        return Ok(Changes::since(since, newest, Vec::new()));
    }
    let after = i64::try_from(since).unwrap_or(i64::MAX);
    let rows: Vec<(i64, String, bool)> = session.run(|connection| {
        key_changes::table
            .filter(key_changes::revision.gt(after))
            .order(key_changes::revision)
            .select((
                key_changes::revision,
                key_changes::subject,
                key_changes::confirm,
            ))
            .load(connection)
    })?;
    let confirm = rows.iter().any(|row| row.2);
    let logged = rows
        .into_iter()
        .map(|(revision, subject, _)| {
            let changed: Changed = subject
                .parse()
                .map_err(|_| values::corrupt("a change of keys"))?;
            Ok((
                values::number(revision, "the revision of a change")?,
                changed,
            ))
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Changes::since(since, newest, logged).to_confirm(confirm))
}

/// Raises the revision and logs the change under it. The revision's row is held until the transaction
/// ends, so revisions become visible in their order.
pub(crate) fn log(session: &mut Session<Writing>, changed: Changed) -> Result<(), StoreError> {
    let revision: i64 = session.run(|connection| {
        diesel::update(key_revision::table.find(ONLY))
            .set(key_revision::value.eq(key_revision::value + 1))
            .returning(key_revision::value)
            .get_result(connection)
    })?;
    session.run(|connection| {
        diesel::insert_into(key_changes::table)
            .values((
                key_changes::revision.eq(revision),
                key_changes::subject.eq(changed.to_string()),
            ))
            .execute(connection)
    })?;
    let kept = i64::try_from(MIN_CHANGES_KEPT).unwrap_or(i64::MAX);
    session.run(|connection| {
        diesel::delete(key_changes::table.filter(key_changes::revision.le(revision - kept)))
            .execute(connection)
    })?;
    Ok(())
}

/// Marks the newest change as one to be confirmed. The transaction has logged it, and holds the revision.
pub(crate) fn confirm(session: &mut Session<Writing>) -> Result<u64, StoreError> {
    let newest = revision(session)?;
    let logged = i64::try_from(newest).unwrap_or(i64::MAX);
    session.run(|connection| {
        let newest = diesel::update(key_changes::table.find(logged));
        same::change(connection, newest.set(key_changes::confirm.eq(true)))
    })?;
    Ok(newest)
}
