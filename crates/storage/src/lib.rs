//! The stores on SQLite and PostgreSQL, by diesel.
//!
//! This crate owns the connections, the rows, the transactions and the migrations, and is the only one
//! that knows SQL. It refuses to know what any use case does, and HTTP: it implements the traits of
//! `stores`, and nothing outside of it opens a transaction.
//!
//! Both engines run the same queries. Where they differ, the difference stands beside its table.

// Its build script makes SQLite part of the program; nothing calls it by name.
use libsqlite3_sys as _;

mod budget;
mod connection;
mod control;
mod database;
mod events;
mod files;
mod group_commit;
mod indexer;
mod key_cache;
mod list_queue;
mod migrations;
mod options;
mod pool;
mod postgres;
mod session;
mod shares;
mod sqlite;
mod stamps;
mod stats;
mod tables;
mod threads;

/// For measurements of other designs on the same connection.
#[doc(hidden)]
pub use connection::PgConnection;
pub use connection::{
    error::OpenError,
    url::{DatabaseUrl, InvalidDatabaseUrl},
};
pub use database::SqlDatabase;
pub use files::create_private_folder;
pub use group_commit::acks::AuditMode;
pub use list_queue::ListStats;
pub use migrations::{migrate, migrate_if_empty, pending_migrations, revert_all};
pub use options::{Options, SQLITE_BATCH};
pub use session::{Reading, Session, Writing};
pub use shares::{CONNECTIONS, MIN_CONNECTIONS};
pub use stats::{PoolStats, QueueStats};
pub use threads::wait_until_closed;
