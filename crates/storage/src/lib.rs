//! The stores on SQLite and PostgreSQL, by diesel.
//!
//! This crate owns the connections, the rows, the transactions and the migrations, and is the only one
//! that knows SQL. It refuses to know what any use case does, and HTTP: it implements the traits of
//! `stores`, and nothing outside of it opens a transaction.
//!
//! Both engines run the same queries. Where they differ, the difference is in `dialect`.

// Its build script makes SQLite part of the program; nothing calls it by name.
use libsqlite3_sys as _;

mod admin_keys;
mod announcements;
mod budget;
mod connection;
mod connections;
mod control;
mod database;
mod dialect;
mod error;
mod events;
mod files;
mod gate;
mod group_commit;
mod idempotency;
mod indexer;
mod instances;
mod key_changes;
mod key_store;
mod keys;
mod known_keys;
mod list_queue;
mod migrations;
mod org_ends;
mod org_lists;
mod org_progress;
mod org_store;
mod org_work;
mod orgs;
mod paged;
mod partners;
mod peppers;
mod pool;
mod pooler;
mod postgres;
mod schema;
mod session;
mod shares;
mod slugs;
mod sqlite;
mod stamps;
mod steps;
mod subscriptions;
mod threads;
mod url;
mod values;
mod webhook_deliveries;
mod webhook_endpoints;
mod webhook_store;
mod webhook_work;
mod workspaces;

pub use database::{Options, SQLITE_BATCH, SqlDatabase};
pub use error::OpenError;
pub use files::create_private_folder;
pub use group_commit::acks::AuditMode;
pub use list_queue::ListStats;
pub use migrations::{migrate, migrate_if_empty, revert_all};
pub use session::{Reading, Session, Writing};
pub use shares::{CONNECTIONS, MIN_CONNECTIONS};
pub use threads::wait_until_closed;
pub use url::{DatabaseUrl, InvalidDatabaseUrl};
