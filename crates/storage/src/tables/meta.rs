//! Single values by their names, and whether the database takes changes.

use diesel::{QueryResult, QueryableByName, connection::SimpleConnection as _, prelude::*};

use crate::connection::{AnyConnection, on_both, prepared::Prepared};

diesel::table! {
    meta (name) {
        name -> Text,
        value -> Text,
    }
}

/// The value of a name.
pub(crate) fn value(connection: &mut AnyConnection, name: &str) -> QueryResult<Option<String>> {
    meta::table
        .find(name)
        .select(meta::value)
        .first(connection)
        .optional()
}

/// Adds a value unless there is one of its name; whether it was added.
pub(crate) fn insert(connection: &mut AnyConnection, name: &str, value: &str) -> QueryResult<bool> {
    on_both!(connection, |inner| Prepared(
        diesel::insert_into(meta::table)
            .values((meta::name.eq(name), meta::value.eq(value)))
            .on_conflict(meta::name)
            .do_nothing()
    )
    .execute(inner))
    .map(|rows| rows > 0)
}

/// Replaces a value, if it still is `expected`; whether it was.
pub(super) fn replace(
    connection: &mut AnyConnection,
    name: &str,
    expected: &str,
    new: &str,
) -> QueryResult<bool> {
    let unchanged = meta::table.find(name).filter(meta::value.eq(expected));
    diesel::update(unchanged)
        .set(meta::value.eq(new))
        .execute(connection)
        .map(|rows| rows > 0)
}

/// Sets a number, unless it is as high already. The name is ours, and needs no quoting.
pub(super) fn raise(
    connection: &mut AnyConnection,
    name: &'static str,
    number: i64,
) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "INSERT INTO meta (name, value) VALUES ('{name}', '{number}')
         ON CONFLICT (name) DO UPDATE SET value = excluded.value
         WHERE CAST(meta.value AS BIGINT) < CAST(excluded.value AS BIGINT)"
    ))
}

/// Deletes a value.
pub(super) fn delete(connection: &mut AnyConnection, name: &str) -> QueryResult<()> {
    diesel::delete(meta::table.find(name))
        .execute(connection)
        .map(drop)
}

/// Whether the server takes changes: a standby takes none, nor does one that is set to be read-only. It is
/// asked by a session that itself is held to questions. Of SQLite's file this tells only that it answers.
pub(crate) fn is_writable(connection: &mut AnyConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        writable: bool,
    }
    let question = match connection {
        AnyConnection::Postgres(_) => {
            "SELECT NOT pg_is_in_recovery() AND reset_val = 'off' AS writable
             FROM pg_settings WHERE name = 'default_transaction_read_only'"
        }
        AnyConnection::Sqlite(_) => "SELECT count(*) >= 0 AS writable FROM meta",
    };
    let answer: Answer = diesel::sql_query(question).get_result(connection)?;
    Ok(answer.writable)
}

/// Changes no row, and fails where none could be changed.
pub(crate) fn try_to_write(connection: &mut AnyConnection) -> QueryResult<()> {
    diesel::delete(meta::table.filter(meta::name.eq("")))
        .execute(connection)
        .map(drop)
}
