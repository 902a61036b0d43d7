//! What differs for webhooks: holding rows, and noting an announcement once.

use diesel::{QueryResult, prelude::*};

use super::same::Same;
use crate::{
    connection::AnyConnection,
    schema::{
        webhook_announcements, webhook_deliveries as deliveries, webhook_endpoints as endpoints,
        webhook_endpoints,
    },
};

/// Holds a webhook endpoint. Deliveries to it, which refer to its row, can be added meanwhile.
pub(crate) fn lock_endpoint(connection: &mut AnyConnection, id: &str) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => webhook_endpoints::table
            .find(id)
            .select(webhook_endpoints::id)
            .for_no_key_update()
            .load::<String>(postgres)
            .map(drop),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}

/// Notes an announcement unless it is noted; whether it was added.
pub(crate) fn announcement_insert(
    connection: &mut AnyConnection,
    subject: &str,
    ends_at: i64,
) -> QueryResult<bool> {
    let row = (
        webhook_announcements::subject.eq(subject),
        webhook_announcements::ends_at.eq(ends_at),
    );
    on_both!(connection, |inner| diesel::insert_into(
        webhook_announcements::table
    )
    .values(row)
    .on_conflict((
        webhook_announcements::subject,
        webhook_announcements::ends_at
    ))
    .do_nothing()
    .execute(inner))
    .map(|rows| rows > 0)
}

/// The ids that a question gives, locked on PostgreSQL; those that another transaction has locked are left
/// out.
macro_rules! locked {
    ($connection:expr, $question:expr) => {
        match $connection {
            AnyConnection::Postgres(postgres) => {
                Same($question.for_update().skip_locked()).load(postgres)
            }
            AnyConnection::Sqlite(sqlite) => Same($question).load(sqlite),
        }
    };
}

/// Deliveries that ended before a time, the oldest first.
pub(crate) fn ended_deliveries(
    connection: &mut AnyConnection,
    since: i64,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let ended = deliveries::table
        .filter(deliveries::ended_at.lt(since))
        .order(deliveries::ended_at)
        .limit(limit)
        .select(deliveries::id);
    locked!(connection, ended)
}

/// Deleted endpoints that are to be looked at.
pub(crate) fn endpoints_to_forget(
    connection: &mut AnyConnection,
    since: i64,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let deleted = endpoints::table
        .filter(endpoints::forget_after.lt(since))
        .order(endpoints::forget_after)
        .limit(limit)
        .select(endpoints::id);
    locked!(connection, deleted)
}

/// Deliveries to some endpoints.
pub(crate) fn deliveries_to(
    connection: &mut AnyConnection,
    endpoints: &[String],
    limit: i64,
) -> QueryResult<Vec<String>> {
    let theirs = deliveries::table
        .filter(deliveries::endpoint_id.eq_any(endpoints))
        .limit(limit)
        .select(deliveries::id);
    match connection {
        AnyConnection::Postgres(postgres) => theirs.for_update().skip_locked().load(postgres),
        AnyConnection::Sqlite(sqlite) => theirs.load(sqlite),
    }
}

/// Announcements of ends before a time, the oldest first.
pub(crate) fn past_announcements(
    connection: &mut AnyConnection,
    since: i64,
    limit: i64,
) -> QueryResult<Vec<(String, i64)>> {
    let past = webhook_announcements::table
        .filter(webhook_announcements::ends_at.lt(since))
        .order(webhook_announcements::ends_at)
        .limit(limit)
        .select((
            webhook_announcements::subject,
            webhook_announcements::ends_at,
        ));
    match connection {
        AnyConnection::Postgres(postgres) => past.for_update().skip_locked().load(postgres),
        AnyConnection::Sqlite(sqlite) => past.load(sqlite),
    }
}
