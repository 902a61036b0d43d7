//! Questions to the server about itself.

use diesel::{QueryResult, QueryableByName, connection::SimpleConnection as _, prelude::*};

use super::segments;
use crate::{connection::AnyConnection, schema::meta};

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

/// How many more connections the server would give to a role that is no superuser, for all that can be seen.
pub(crate) fn free_connections(connection: &mut AnyConnection) -> QueryResult<i64> {
    #[derive(QueryableByName)]
    struct Answer {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        free: i64,
    }
    let AnyConnection::Postgres(postgres) = connection else {
        return Ok(i64::MAX);
    };
    let answer: Answer = diesel::sql_query(
        "SELECT least(
             current_setting('max_connections')::bigint
                 - current_setting('superuser_reserved_connections')::bigint
                 - (SELECT sum(numbackends) FROM pg_stat_database),
             nullif(d.datconnlimit, -1) - s.numbackends,
             (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
         )::bigint AS free
         FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid
         WHERE d.datname = current_database()",
    )
    .get_result(postgres)?;
    Ok(answer.free)
}

/// Changes no row, and fails where none could be changed.
pub(crate) fn try_to_write(connection: &mut AnyConnection) -> QueryResult<()> {
    diesel::delete(meta::table.filter(meta::name.eq("")))
        .execute(connection)
        .map(drop)
}

/// What the server's clock tells, in microseconds since 1970; SQLite has none of its own.
pub(crate) fn clock_micros(connection: &mut AnyConnection) -> QueryResult<Option<i64>> {
    match connection {
        AnyConnection::Postgres(_) => segments::clock_micros(connection).map(Some),
        AnyConnection::Sqlite(_) => Ok(None),
    }
}

/// Has the commits of a session of PostgreSQL wait for no disk: a crash of the server may undo the last
/// of them.
pub(crate) fn commit_early(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => postgres.batch_execute("SET synchronous_commit = off"),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}
