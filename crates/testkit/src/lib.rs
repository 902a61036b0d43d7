//! What tests share: the in-memory database, throwaway PostgreSQL, the store conformance suite.
//!
//! Nothing here is part of the program. Everything but the throwaway server is the same in every run.

#![expect(clippy::panic, clippy::unwrap_used, reason = "this crate is test code")]

pub mod build;
pub mod clock;
pub mod conformance;
pub mod memory;
pub mod postgres;
pub mod random;
pub mod sqlite;
pub mod tail;
