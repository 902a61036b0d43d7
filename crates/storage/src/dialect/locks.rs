//! Rows that a transaction holds until it ends. On SQLite its writer is alone already.
//!
//! `FOR NO KEY UPDATE` keeps out whoever holds the same row so, or changes it, and nobody who only refers
//! to it: PostgreSQL holds the rows that a new one refers to with `FOR KEY SHARE`, in an order that nobody
//! has chosen. So no more than this is ever taken, but by [`await_key_uses`], which holds nothing else.

use diesel::{QueryResult, prelude::*};

use crate::{
    connection::AnyConnection,
    schema::{key_revision, orgs, partner_keys, partners},
};

/// One row, and several, in the order of their ids.
macro_rules! row_locks {
    ($table:ident: $(#[$one_doc:meta])* $one:ident, $(#[$many_doc:meta])* $many:ident) => {
        $(#[$one_doc])*
        pub(crate) fn $one(connection: &mut AnyConnection, id: &str) -> QueryResult<()> {
            match connection {
                AnyConnection::Postgres(postgres) => $table::table
                    .find(id)
                    .select($table::id)
                    .for_no_key_update()
                    .load::<String>(postgres)
                    .map(drop),
                AnyConnection::Sqlite(_) => Ok(()),
            }
        }

        $(#[$many_doc])*
        pub(crate) fn $many(connection: &mut AnyConnection, ids: &[String]) -> QueryResult<()> {
            match connection {
                AnyConnection::Postgres(_) if ids.is_empty() => Ok(()),
                AnyConnection::Postgres(postgres) => $table::table
                    .filter($table::id.eq_any(ids))
                    .order($table::id)
                    .select($table::id)
                    .for_no_key_update()
                    .load::<String>(postgres)
                    .map(drop),
                AnyConnection::Sqlite(_) => Ok(()),
            }
        }
    };
}

row_locks!(
    partners:
    /// Holds a partner.
    lock_partner,
    /// Holds partners.
    lock_partners
);
row_locks!(
    partner_keys:
    /// Holds a partner key.
    lock_key,
    /// Holds partner keys.
    lock_keys
);
row_locks!(
    orgs:
    /// Holds an org.
    lock_org,
    /// Holds orgs.
    lock_orgs
);

/// Has a partner key in use, as many others may at the same time.
pub(crate) fn lock_key_for_use(connection: &mut AnyConnection, id: &str) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => partner_keys::table
            .find(id)
            .select(partner_keys::id)
            .for_key_share()
            .load::<String>(postgres)
            .map(drop),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}

/// Waits for all transactions that have a partner key in use.
pub(crate) fn await_key_uses(connection: &mut AnyConnection, id: &str) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => partner_keys::table
            .find(id)
            .select(partner_keys::id)
            .for_update()
            .load::<String>(postgres)
            .map(drop),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}

/// Holds the revision of keys, as whoever raises it does.
pub(crate) fn lock_key_revision(connection: &mut AnyConnection) -> QueryResult<()> {
    match connection {
        AnyConnection::Postgres(postgres) => key_revision::table
            .select(key_revision::value)
            .for_no_key_update()
            .load::<i64>(postgres)
            .map(drop),
        AnyConnection::Sqlite(_) => Ok(()),
    }
}
