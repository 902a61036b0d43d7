//! The log of changes to keys, and its revision.

use diesel::{QueryResult, prelude::*};
use keys::{Changed, Changes, KeyChangeQueries, KeyChangeStore, MIN_CHANGES_KEPT};
use stores::StoreError;

use super::values;
use crate::{
    connection::{AnyConnection, prepared},
    session::{Session, Writing},
};

diesel::table! {
    key_revision (id) {
        id -> BigInt,
        value -> BigInt,
    }
}

diesel::table! {
    key_changes (revision) {
        revision -> BigInt,
        subject -> Text,
        confirm -> Bool,
    }
}

/// The id of the one row that holds the revision.
const ONLY: i64 = 1;

pub(super) fn revision<M>(session: &mut Session<M>) -> Result<u64, StoreError> {
    let value: Option<i64> = session.run(|connection| {
        let only = key_revision::table.find(ONLY).select(key_revision::value);
        prepared::first_by_type(connection, only)
    })?;
    let value = value.ok_or(values::corrupt("the revision of keys"))?;
    values::number(value, "the revision of keys")
}

impl<M> KeyChangeQueries for Session<M> {
    type Error = StoreError;

    fn key_changes(&mut self, since: u64) -> Result<Changes, StoreError> {
        // In this order: what is logged after the revision was read is only more than it tells of.
        let newest = revision(self)?;
        if newest == since {
            return Ok(Changes::since(since, newest, Vec::new()));
        }
        let after = i64::try_from(since).unwrap_or(i64::MAX);
        let rows: Vec<(i64, String, bool)> = self.run(|connection| {
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
}

/// Raises the revision and logs the change under it. The revision's row is held until the transaction
/// ends, so revisions become visible in their order.
pub(super) fn log(session: &mut Session<Writing>, changed: Changed) -> Result<(), StoreError> {
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

impl KeyChangeStore for Session<Writing> {
    fn key_change_confirm(&mut self) -> Result<u64, StoreError> {
        // The transaction has logged the newest, and holds the revision.
        let newest = revision(self)?;
        let logged = i64::try_from(newest).unwrap_or(i64::MAX);
        self.run(|connection| {
            let newest = diesel::update(key_changes::table.find(logged));
            prepared::execute(connection, newest.set(key_changes::confirm.eq(true)))
        })?;
        Ok(newest)
    }
}

/// Holds the revision, as whoever raises it does.
pub(super) fn lock(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => key_revision::table
            .select(key_revision::value)
            .for_no_key_update()
            .load::<i64>(postgres)
            .map(drop),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}
