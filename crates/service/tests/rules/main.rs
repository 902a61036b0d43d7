//! The use cases on the database in memory, with a clock that the test moves.

#![expect(clippy::panic, clippy::unwrap_used, reason = "this is test code")]

mod admin_keys;
mod again;
mod creations;
mod endings;
mod fairness;
mod instances;
mod kit;
mod leaks;
mod limits;
mod long_polls;
mod provisioning;
mod recording;
mod rotations;
mod secrets;
mod stopping;
mod updates;
mod visibility;
mod webhooks;
