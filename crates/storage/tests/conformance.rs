//! Both engines keep the rules of all stores.

#![expect(clippy::unwrap_used, reason = "this is test code")]

#[path = "conformance/pgbouncer.rs"]
mod pgbouncer;
#[path = "conformance/postgres.rs"]
mod postgres;
#[path = "conformance/sqlite.rs"]
mod sqlite;
