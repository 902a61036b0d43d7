//! Concurrency patterns, each once: batching, fair sharing, leases, periodic jobs, cancellation.
//!
//! It owns threads of control and no rules: it must not know orgs, keys, webhooks or any table.

pub(crate) mod batcher;
pub(crate) mod cancellation;
pub(crate) mod fair_queue;
pub(crate) mod fair_share;
pub(crate) mod fair_turns;
pub(crate) mod keyed_lock;
pub(crate) mod lease;
pub(crate) mod lease_worker;
pub(crate) mod periodic;
pub(crate) mod single_flight;
