//! `molctl` as its users run it: against a scripted server, and against the real one.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test code outside of test functions"
)]

mod bad_input;
mod every_command;
mod flow;
mod generated;
mod keyring;
mod kit;
mod pipelines;
mod receivers;
mod rotation;
mod waits;
