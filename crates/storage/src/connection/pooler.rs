//! Poolers that hand each transaction to another session, such as PgBouncer in transaction mode.
//!
//! What is set on a session, its prepared statements and its locks would be lost or somebody else's
//! there. So such a pooler is found out and refused before anything of ours is set on a session.

use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl as _,
    connection::SimpleConnection as _,
};

use super::{
    PgConnection,
    error::{self, OpenError},
    url::{DatabaseUrl, Engine},
};

/// How often it is tried: others who use the same pooler may be in between.
const ROUNDS: usize = 3;

/// Refuses a pooler in whose sessions transactions don't stay.
pub(crate) fn refuse_transaction_pooling(url: &DatabaseUrl) -> Result<(), OpenError> {
    let Engine::Postgres(address) = &url.0 else {
        return Ok(());
    };
    let connect = || PgConnection::establish(address);
    let mut one = connect().map_err(|error| OpenError::Unreachable {
        url: url.to_string(),
        source: error::unavailable(url.without_secrets(&error.to_string())),
    })?;
    // A server that has no second connection for us has no pooler before it that would share one.
    let Ok(mut other) = connect() else {
        return Ok(());
    };
    match is_shared(&mut one, &mut other) {
        Ok(false) => Ok(()),
        Ok(true) => Err(OpenError::TransactionPooling {
            url: url.to_string(),
        }),
        Err(error) => Err(OpenError::Unreachable {
            url: url.to_string(),
            source: error::store_error(&error),
        }),
    }
}

/// Whether the two connections get each other's sessions.
fn is_shared(one: &mut PgConnection, other: &mut PgConnection) -> QueryResult<bool> {
    let own = begin(one)?;
    one.batch_execute("ROLLBACK")?;
    for _ in 0..ROUNDS {
        // A pooler gives the session that was used last.
        let held = begin(other)?;
        if held == own {
            return Ok(true);
        }
        let again = begin(one)?;
        one.batch_execute("ROLLBACK")?;
        other.batch_execute("ROLLBACK")?;
        if again != own {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Begins a transaction; the process of the server's that it runs in.
fn begin(connection: &mut PgConnection) -> QueryResult<i32> {
    #[derive(QueryableByName)]
    struct Backend {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        pid: i32,
    }
    connection.batch_execute("BEGIN")?;
    let backend: Backend =
        diesel::sql_query("SELECT pg_backend_pid() AS pid").get_result(connection)?;
    Ok(backend.pid)
}
