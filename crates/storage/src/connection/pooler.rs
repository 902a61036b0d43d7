//! Poolers that hand each transaction to another session, such as PgBouncer in transaction mode.
//!
//! What is set on a session, its prepared statements and its locks would be lost or somebody else's
//! there. So such a pooler is found out before anything of ours is set on a session. It is used for calls,
//! whose transactions then bring their settings along and prepare nothing, if the server itself can be
//! reached too, for what needs a session; else it is refused.

use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl as _,
    connection::SimpleConnection as _,
};

use stores::StoreError;

use super::{
    PgConnection,
    error::{self, OpenError},
    url::{DatabaseUrl, Engine},
};

/// How often it is tried: others who use the same pooler may be in between.
const ROUNDS: usize = 3;

/// The URL for transactions that need no session of their own: as it is, or marked as one of a pooler whose
/// transactions don't stay in a session, where the server itself has a URL too.
pub(crate) fn for_calls(url: &DatabaseUrl) -> Result<DatabaseUrl, OpenError> {
    if !url.has_direct() {
        refuse_transaction_pooling(url)?;
        return Ok(url.clone());
    }
    let direct = url.direct();
    refuse_transaction_pooling(&direct)?;
    let unreachable = |source| OpenError::Unreachable {
        url: url.to_string(),
        source,
    };
    if server(url).map_err(unreachable)? != server(&direct).map_err(unreachable)? {
        return Err(OpenError::OtherDatabase {
            url: url.to_string(),
            direct: direct.to_string(),
        });
    }
    Ok(if hands_sessions_on(url)? {
        url.pooled()
    } else {
        url.clone()
    })
}

/// Refuses a pooler in whose sessions transactions don't stay.
pub(crate) fn refuse_transaction_pooling(url: &DatabaseUrl) -> Result<(), OpenError> {
    if hands_sessions_on(url)? {
        Err(OpenError::TransactionPooling {
            url: url.to_string(),
        })
    } else {
        Ok(())
    }
}

/// Whether transactions of one connection run in sessions of others.
fn hands_sessions_on(url: &DatabaseUrl) -> Result<bool, OpenError> {
    let unreachable = |source| OpenError::Unreachable {
        url: url.to_string(),
        source,
    };
    if url.sqlite_path().is_some() {
        return Ok(false);
    }
    let mut one = connect(url).map_err(unreachable)?;
    // A server that has no second connection for us has no pooler before it that would share one.
    let Ok(mut other) = connect(url) else {
        return Ok(false);
    };
    is_shared(&mut one, &mut other).map_err(|error| unreachable(error::store_error(&error)))
}

/// Connects, and sets nothing.
fn connect(url: &DatabaseUrl) -> Result<PgConnection, StoreError> {
    let (Engine::Postgres(address) | Engine::Pooled(address) | Engine::Sqlite(address)) = &url.0;
    PgConnection::establish(address)
        .map_err(|error| error::unavailable(url.without_secrets(&error.to_string())))
}

/// Which database of which server a URL leads to.
#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Server {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    started: i64,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    database: i64,
}

fn server(url: &DatabaseUrl) -> Result<Server, StoreError> {
    diesel::sql_query(
        "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS started,
             oid::bigint AS database
         FROM pg_database WHERE datname = current_database()",
    )
    .get_result(&mut connect(url)?)
    .map_err(|error| error::store_error(&error))
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
