//! Rows that a transaction holds until it ends. On SQLite its writer is alone already.
//!
//! `FOR NO KEY UPDATE` keeps out whoever holds the same row so, or changes it, and nobody who only refers
//! to it: PostgreSQL holds the rows that a new one refers to with `FOR KEY SHARE`, in an order that nobody
//! has chosen. So no more than this is ever taken, but by the wait for the uses of a key, which holds nothing
//! else.

/// Runs a query of ids that locks what it finds, on PostgreSQL alone.
macro_rules! lock {
    ($connection:expr, $query:expr) => {
        match $connection {
            $crate::connection::AnyConnection::Postgres(postgres) => {
                $query.load::<String>(postgres).map(drop)
            }
            $crate::connection::AnyConnection::Sqlite(_) => Ok(()),
        }
    };
}
pub(super) use lock;

/// Runs a query whose rows are locked on PostgreSQL (`for_update` or `for_no_key_update`). Those that another
/// transaction has locked are left out, so that nobody waits.
macro_rules! load_unlocked {
    ($connection:expr, $query:expr, $lock:ident) => {
        match $connection {
            $crate::connection::AnyConnection::Postgres(postgres) => {
                $query.$lock().skip_locked().load(postgres)
            }
            $crate::connection::AnyConnection::Sqlite(sqlite) => $query.load(sqlite),
        }
    };
}
pub(super) use load_unlocked;
