//! Sending webhooks over HTTP: one connection for each message, to an address that was checked.
//!
//! There is no proxy, no redirect, no second look-up: whatever could lead a message to another place
//! than the one that was checked is not there.

mod bounded;
mod connect;
mod lookups;
mod sender;

pub use self::{connect::public_roots, sender::HttpSender};
