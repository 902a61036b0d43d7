//! Both engines keep the rules of all stores.

#![expect(clippy::unwrap_used, reason = "this is test code")]

#[path = "conformance/postgres.rs"]
mod postgres;
#[path = "conformance/sqlite.rs"]
mod sqlite;
