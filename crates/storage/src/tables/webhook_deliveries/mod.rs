//! Deliveries of messages to endpoints.

pub(super) mod pending;
mod row;
mod store;

pub(super) use self::row::webhook_deliveries;
