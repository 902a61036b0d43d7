//! What tests and measurements share: the in-memory database, throwaway servers, an HTTP client, the store
//! conformance suite.
//!
//! Nothing here is part of the program. Everything but the throwaway server is the same in every run.

#![allow(missing_docs, reason = "the names of test helpers say it")]
#![expect(clippy::panic, clippy::unwrap_used, reason = "this crate is test code")]

pub mod browser;
pub mod build;
pub mod clock;
pub mod conformance;
pub mod http;
pub mod issuer;
pub mod latency;
pub mod memory;
pub mod missing;
pub mod nginx;
pub mod node;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod python;
pub mod random;
pub mod redis;
pub mod relay;
pub mod search;
pub mod server;
pub mod sqlite;
pub mod tail;
