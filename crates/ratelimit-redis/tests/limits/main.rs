//! Limits shared through a real Redis: what is counted, what happens without it, and which servers are
//! refused.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code"
)]

mod kit;

mod encrypted;
mod exact;
mod leased;
mod outages;
mod servers;
