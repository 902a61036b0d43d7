//! Sending webhooks over HTTP: one connection for each message, to an address that was checked.
//!
//! There is no proxy, no redirect and no second look-up, so a message can go nowhere else.

mod bounded;
mod connect;
mod lookups;
mod sender;

pub use self::{
    connect::public_roots,
    sender::{BodyLimits, HttpSender, Received},
};
