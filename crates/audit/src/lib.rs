//! Audit events, and the queries of them.
//!
//! Every request by a known credential leaves exactly one event, allowed or rejected.
//! This crate must not know HTTP: a method, a route and a status are recorded as the plain texts and
//! numbers that they are.

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
