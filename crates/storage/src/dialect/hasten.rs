//! What waits for a time that a clock set back has moved far ahead: found by an index, and on PostgreSQL
//! locked; what another transaction is about to change is left out, for that is written by the new clock.

use diesel::{QueryResult, prelude::*};

use crate::{
    connection::AnyConnection,
    schema::{orgs, webhook_deliveries as deliveries, webhook_endpoints as endpoints},
};

/// The ids that a question gives, locked on PostgreSQL.
macro_rules! locked {
    ($connection:expr, $question:expr) => {
        match $connection {
            AnyConnection::Postgres(postgres) => {
                $question.for_no_key_update().skip_locked().load(postgres)
            }
            AnyConnection::Sqlite(sqlite) => $question.load(sqlite),
        }
    };
}

/// Orgs that are due after a time.
pub(crate) fn orgs_due(
    connection: &mut AnyConnection,
    later_than: i64,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let late = orgs::table
        .filter(orgs::due_at.gt(later_than))
        .order(orgs::due_at)
        .limit(limit)
        .select(orgs::id);
    locked!(connection, late)
}

/// Orgs whose leases end after a time.
pub(crate) fn orgs_leased(
    connection: &mut AnyConnection,
    later_than: i64,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let late = orgs::table
        .filter(orgs::lease_token.is_not_null())
        .filter(orgs::lease_until.gt(later_than))
        .limit(limit)
        .select(orgs::id);
    locked!(connection, late)
}

/// Endpoints whose leases end after a time.
pub(crate) fn endpoints_leased(
    connection: &mut AnyConnection,
    later_than: i64,
    limit: i64,
) -> QueryResult<Vec<String>> {
    let late = endpoints::table
        .filter(endpoints::hold_token.is_not_null())
        .filter(endpoints::hold_until.gt(later_than))
        .limit(limit)
        .select(endpoints::id);
    locked!(connection, late)
}

/// Those of these deliveries that are pending.
pub(crate) fn deliveries_pending(
    connection: &mut AnyConnection,
    ids: &[String],
) -> QueryResult<Vec<String>> {
    let pending = deliveries::table
        .filter(deliveries::id.eq_any(ids))
        .filter(deliveries::due_at.is_not_null())
        .select(deliveries::id);
    locked!(connection, pending)
}
