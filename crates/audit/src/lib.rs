#![doc = include_str!("../README.md")]
//!
//! Every request by a known credential leaves exactly one event, allowed or rejected.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod action;
mod event;
mod stamp;
mod store;

pub use action::{Action, UnknownAction};
pub use event::{Actor, Details, Event, Outcome, Request, Target, TargetKind, UnknownOutcome};
pub use stamp::{LAG, Receipt, Stamp, Stamper};
pub use store::{
    ActorId, AuditQueries, AuditStore, AuditVisibility, EventFilter, EventListRequest, Pruned,
};
