//! What differs for webhooks: holding an endpoint, and noting an announcement once.

use diesel::{QueryResult, prelude::*};

use crate::{
    connection::AnyConnection,
    schema::{webhook_announcements, webhook_endpoints},
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
